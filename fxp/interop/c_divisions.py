"""The C statements of nodes that divide or take roots: `ClipMean`, `LayerNorm`, `Softmax`."""

from __future__ import annotations

from fxp.elementary import LEAST_MANTISSA
from fxp.interop.c_piece import Piece, Place
from fxp.interop.c_text import fill
from fxp.ir import ClipMean, LayerNorm, Softmax


def clip_mean(node: ClipMean, at: Place) -> str:
    """The mean of the sums that `c_state` keeps, at the end of a clip."""
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


def layer_norm(node: LayerNorm, at: Place, piece: Piece) -> str:
    """By the root of `reciprocal_root`; where the variance is zero all numerators are."""
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
        seeds=piece.constant(f"{at.name}_seeds", node.seeds, "(entry)", "int32_t"),
        width=3 * LEAST_MANTISSA // len(node.seeds),
        steps=node.newton_steps,
        frac=node.frac_bits,
        x=at.operands[0],
        y=at.name,
        type=at.type,
    )


def softmax(node: Softmax, at: Place, piece: Piece) -> str:
    """Both tables and a division of positive integers."""
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
