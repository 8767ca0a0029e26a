"""The C statements that make one frame of a node, and the constants they read.

`$x`, `$y` are the newest frames of operand and value, flat (C, V); sums are taken modulo 2**64,
which is harmless: what the ranges have certified fits 63 bits at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from fxp.elementary import LEAST_MANTISSA
from fxp.interop.c_casts import cast_call, cast_table
from fxp.interop.c_text import array, fill
from fxp.interop.magnitude import fracs
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    GraphProduct,
    Input,
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
)
from fxp.ranges import Signal


@dataclass(frozen=True)
class Place:
    """What the C of a node names: identifiers, types and numbers of the node and its operands."""

    name: str
    type: str
    index: int
    y: Signal
    operands: Sequence[str]
    types: Sequence[str]
    reads: Sequence[int]
    x: Sequence[Signal]


@dataclass
class Piece:
    """C of one node: constants, and the statements that make a frame of it."""

    constants: list[str] = field(default_factory=list)
    body: str = ""

    def constant(self, name: str, values: IntArray, axes: str) -> str:
        """Add a constant array; gives its name."""
        self.constants.append(array(name, values, axes))
        return name


def piece_of(node: Node, at: Place, delays: tuple[int, int]) -> Piece:
    """The C of a node; `delays` are the frames that an Add's operands wait."""
    piece = Piece()
    match node:
        case Input():
            piece.body = ""
        case Conv():
            piece.body = _conv(node, at, piece)
        case GraphProduct():
            piece.body = _graph_product(node, at, piece)
        case TemporalSum():
            piece.body = _temporal_sum(node, at)
        case TemporalConv():
            piece.body = _temporal_conv(node, at, piece)
        case Affine():
            piece.body = _affine(node, at, piece)
        case Add():
            piece.body = _add(at, piece, delays)
        case JointMean():
            piece.body = _joint_mean(node, at)
        case ClipMean():
            piece.body = _clip_mean(node, at)
        case LayerNorm():
            piece.body = _layer_norm(node, at, piece)
        case Softmax():
            piece.body = _softmax(node, at, piece)
        case Requantise():
            piece.constants.append(cast_table(node, at.name, at.x[0]))
            piece.body = _requantise(node, at)
        case Argmax():
            piece.body = _argmax(at, piece)
        case _:
            assert_never(node)
    return piece


def _conv(node: Conv, at: Place, piece: Piece) -> str:
    weight = piece.constant(f"{at.name}_weight", node.weight.raw, "(out, in)")
    bias = piece.constant(f"{at.name}_bias", node.bias, "(out)")
    return fill(
        """
        for (int o = 0; o < $out; o++)
            for (int v = 0; v < $joints; v++) {
                uint64_t sum = (uint64_t)(int64_t)$bias[o];
                for (int i = 0; i < $in; i++)
                    sum += product($weight[o * $in + i], net->$x[i * $joints + v]);
                net->$y[o * $joints + v] = ($type)to_signed(sum);
            }
        """,
        out=at.y.channels,
        joints=at.y.joints,
        bias=bias,
        weight=weight,
        x=at.operands[0],
        y=at.name,
        type=at.type,
        **{"in": at.x[0].channels},
    )


def _graph_product(node: GraphProduct, at: Place, piece: Piece) -> str:
    adjacency = node.adjacency
    parts = len(adjacency.raw)
    fracs_of_parts = adjacency.frac_bits * (parts if len(adjacency.frac_bits) == 1 else 1)
    factors = np.array([_power(max(fracs_of_parts) - frac) for frac in fracs_of_parts], np.int64)
    return fill(
        """
        for (int c = 0; c < $channels; c++)
            for (int w = 0; w < $joints; w++) {
                uint64_t sum = 0;
                for (int p = 0; p < $parts; p++) {
                    uint64_t part = 0;
                    for (int v = 0; v < $joints; v++)
                        part += product($adjacency[(p * $joints + v) * $joints + w],
                                        net->$x[(p * $channels + c) * $joints + v]);
                    sum += part * (uint64_t)(int64_t)$factors[p];
                }
                net->$y[c * $joints + w] = ($type)to_signed(sum);
            }
        """,
        channels=at.y.channels,
        joints=at.y.joints,
        parts=parts,
        adjacency=piece.constant(
            f"{at.name}_adjacency", adjacency.raw, "(partition, source, target)"
        ),
        factors=piece.constant(f"{at.name}_factor", factors, "(partition): left shifts"),
        x=at.operands[0],
        y=at.name,
        type=at.type,
    )


def _temporal_sum(node: TemporalSum, at: Place) -> str:
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


def _temporal_conv(node: TemporalConv, at: Place, piece: Piece) -> str:
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


def _affine(node: Affine, at: Place, piece: Piece) -> str:
    shape = (at.y.channels, at.y.joints)
    wide = [np.broadcast_to(values, shape) for values in (node.scale.raw, node.bias)]
    return fill(
        """
        for (int i = 0; i < $size; i++)
            net->$y[i] = ($type)to_signed(product($scale[i], net->$x[i])
                                          + (uint64_t)(int64_t)$bias[i]);
        """,
        size=at.y.channels * at.y.joints,
        scale=piece.constant(f"{at.name}_scale", wide[0], "(channel, joint)"),
        bias=piece.constant(f"{at.name}_bias", wide[1], "(channel, joint)"),
        x=at.operands[0],
        y=at.name,
        type=at.type,
    )


def _add(at: Place, piece: Piece, delays: tuple[int, int]) -> str:
    """Both operands, the delayed one out of its line, times what aligns them."""
    terms = []
    for side, operand, signal, delay in zip("ab", at.operands, at.x, delays, strict=True):
        left = [_power(to - frac) for to, frac in zip(fracs(at.y), fracs(signal), strict=True)]
        factor = piece.constant(
            f"{at.name}_factor_{side}", np.array(left, np.int64), "(channel): left shifts"
        )
        line = f"{at.name}_delay_{side}[net->seen[{at.index}] % {delay + 1}]"
        terms.append(f"product({factor}[i / {at.y.joints}], net->{line if delay else operand}[i])")
    return fill(
        """
        for (int i = 0; i < $size; i++)
            net->$y[i] = ($type)to_signed($a
                                          + $b);
        """,
        size=at.y.channels * at.y.joints,
        a=terms[0],
        b=terms[1],
        y=at.name,
        type=at.type,
    )


def _joint_mean(node: JointMean, at: Place) -> str:
    return fill(
        """
        for (int c = 0; c < $channels; c++) {
            uint64_t sum = 0;
            for (int v = 0; v < $joints; v++)
                sum += (uint64_t)(int64_t)net->$x[c * $joints + v];
            net->$y[c] = ($type)to_signed(sum * $multiplier);
        }
        """,
        channels=at.y.channels,
        joints=at.x[0].joints,
        multiplier=node.multiplier,
        x=at.operands[0],
        y=at.name,
        type=at.type,
    )


def _clip_mean(node: ClipMean, at: Place) -> str:
    return fill(
        """
        const int64_t frames = net->seen[$read];
        for (int i = 0; i < $size; i++)
            net->$y[i] = ($type)floor_div(
                2 * (net->${y}_total[i] * $scale) + frames, 2 * frames);
        """,
        read=at.reads[0],
        size=at.y.channels * at.y.joints,
        scale=1 << node.shift,
        y=at.name,
        type=at.type,
    )


def _layer_norm(node: LayerNorm, at: Place, piece: Piece) -> str:
    return fill(
        """
        int64_t total = 0, squares = 0;
        for (int i = 0; i < $size; i++) {
            total += net->$x[i];
            squares += (int64_t)net->$x[i] * net->$x[i];
        }
        const int64_t variance = $size * squares - total * total + $epsilon;
        int k = 0;
        const int64_t root = variance
            ? reciprocal_root(variance, $seeds, $width, $steps, &k) : 0;
        const int drop = 18 + (variance ? k : 1) - $frac;
        for (int i = 0; i < $size; i++)
            net->$y[i] = ($type)shift_right(
                ($size * (int64_t)net->$x[i] - total) * root + (INT64_C(1) << (drop - 1)), drop);
        """,
        size=at.y.channels * at.y.joints,
        epsilon=int(node.epsilon[0]),
        seeds=piece.constant(f"{at.name}_seeds", node.seeds, "(entry)"),
        width=3 * LEAST_MANTISSA // len(node.seeds),
        steps=node.newton_steps,
        frac=node.frac_bits,
        x=at.operands[0],
        y=at.name,
        type=at.type,
    )


def _softmax(node: Softmax, at: Place, piece: Piece) -> str:
    return fill(
        """
        for (int v = 0; v < $joints; v++) {
            int64_t power[$channels], sum = 0, top = net->$x[v];
            for (int c = 1; c < $channels; c++)
                if (net->$x[c * $joints + v] > top) top = net->$x[c * $joints + v];
            for (int c = 0; c < $channels; c++) {
                const int64_t below = top - net->$x[c * $joints + v];
                const int64_t block = below / $fine_size;
                const int64_t high = $coarse[block < $last ? block : $last];
                power[c] = (high * $fine[below % $fine_size] + $half) >> $exp_bits;
                sum += power[c];
            }
            for (int c = 0; c < $channels; c++)
                net->$y[c * $joints + v] = ($type)(power[c] * $one / sum);
        }
        """,
        joints=at.y.joints,
        channels=at.y.channels,
        coarse=piece.constant(f"{at.name}_coarse", node.coarse, "(entry)"),
        fine=piece.constant(f"{at.name}_fine", node.fine, "(entry)"),
        fine_size=len(node.fine),
        last=len(node.coarse) - 1,
        half=1 << (node.exp_bits - 1),
        exp_bits=node.exp_bits,
        one=f"(INT64_C(1) << {node.frac_bits})",
        x=at.operands[0],
        y=at.name,
        type=at.type,
    )


def _requantise(node: Requantise, at: Place) -> str:
    return fill(
        """
        for (int i = 0; i < $size; i++)
            net->$y[i] = ($type)$call;
        """,
        size=at.y.channels * at.y.joints,
        call=cast_call(node, at.name, at.x[0], f"net->{at.operands[0]}[i]"),
        y=at.name,
        type=at.type,
    )


def _argmax(at: Place, piece: Piece) -> str:
    signal = at.x[0]
    left = np.array([max(signal.frac_bits) - frac for frac in fracs(signal)], np.int64)
    return fill(
        """
        for (int v = 0; v < $joints; v++) {
            int best = 0;
            for (int c = 1; c < $channels; c++)
                if (exceeds(net->$x[c * $joints + v], net->$x[best * $joints + v],
                            $left[c] - $left[best]))
                    best = c;
            net->$y[v] = ($type)best;
        }
        """,
        joints=at.y.joints,
        channels=signal.channels,
        left=piece.constant(f"{at.name}_left", left, "(channel): left shifts"),
        x=at.operands[0],
        y=at.name,
        type=at.type,
    )


def _power(exponent: int) -> int:
    """`2**exponent`; 0 beyond 62, where only a zero fits 63 bits when shifted."""
    return 1 << exponent if exponent < 63 else 0
