"""The C statements of nodes over time, `TemporalSum` and `TemporalConv` (state: `c_state`)."""

from __future__ import annotations

from fxp.interop.c_piece import Piece, Place
from fxp.interop.c_text import fill
from fxp.ir import TemporalConv, TemporalSum


def temporal_sum(node: TemporalSum, at: Place) -> str:
    """The newest frame in, the oldest out, into its place."""
    return fill(
        """
        const int64_t t = net->seen[$read] - 1;
        $xtype *old = net->${y}_fifo[t % $depth];
        $type *sum = net->${y}_sum[t % $dilation];
        for (int i = 0; i < $size; i++) {
            sum[i] = ($type)to_signed(product(1, sum[i]) + product(1, net->$x[i])
                                      - product(1, old[i]));
            old[i] = net->$x[i];
            net->$y[i] = sum[i];
        }
        """,
        read=at.reads[0],
        depth=node.window * node.dilation,
        dilation=node.dilation,
        size=at.y.channels * at.y.joints,
        x=at.operands[0],
        y=at.name,
        type=at.type,
        xtype=at.types[0],
    )


def temporal_conv(node: TemporalConv, at: Place, piece: Piece) -> str:
    """All taps whose frames lie inside the clip."""
    taps = node.weight.raw.shape[2]
    return fill(
        """
        const int64_t newest = net->seen[$index] * $stride + $lookahead;
        for (int o = 0; o < $out; o++)
            for (int v = 0; v < $joints; v++) {
                uint64_t sum = (uint64_t)(int64_t)$bias[o];
                for (int k = 0; k < $taps; k++) {
                    const int64_t s = newest - ($taps - 1 - k) * $dilation;
                    if (s < 0 || s >= net->seen[$read]) continue;
                    for (int i = 0; i < $in; i++)
                        sum += product($weight[(o * $in + i) * $taps + k],
                                       net->${y}_history[s % $depth][i * $joints + v]);
                }
                net->$y[o * $joints + v] = ($type)to_signed(sum);
            }
        """,
        index=at.index,
        read=at.reads[0],
        stride=node.stride,
        lookahead=node.lookahead,
        dilation=node.dilation,
        taps=taps,
        depth=(taps - 1) * node.dilation + 1,
        out=at.y.channels,
        joints=at.y.joints,
        weight=piece.constant(f"{at.name}_weight", node.weight.raw, "(out, in, tap)"),
        bias=piece.constant(f"{at.name}_bias", node.bias, "(out)"),
        y=at.name,
        type=at.type,
        **{"in": at.x[0].channels},
    )
