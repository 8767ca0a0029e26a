"""The C statements that make one frame of a node, and the constants they read.

`$x`, `$y` are the newest frames of operand and value, flat (C, V); sums are taken modulo 2**64,
which is harmless: what the ranges have certified fits 63 bits at its end.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from fxp.interop.c_casts import cast_call, cast_table
from fxp.interop.c_divisions import clip_mean, layer_norm, softmax
from fxp.interop.c_piece import Piece, Place
from fxp.interop.c_temporal import temporal_conv, temporal_sum
from fxp.interop.c_text import fill
from fxp.interop.magnitude import fracs
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    GraphProduct,
    Input,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
)


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
            piece.body = temporal_sum(node, at)
        case TemporalConv():
            piece.body = temporal_conv(node, at, piece)
        case Affine():
            piece.body = _affine(node, at, piece)
        case Add():
            piece.body = _add(at, piece, delays)
        case Flatten():
            piece.body = _flatten(at)
        case JointMean():
            piece.body = _joint_mean(node, at)
        case ClipMean():
            piece.body = clip_mean(node, at)
        case LayerNorm():
            piece.body = layer_norm(node, at, piece)
        case Softmax():
            piece.body = softmax(node, at, piece)
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


def _flatten(at: Place) -> str:
    return fill(
        """
        for (int v = 0; v < $joints; v++)
            for (int c = 0; c < $channels; c++)
                net->$y[v * $channels + c] = net->$x[c * $joints + v];
        """,
        channels=at.x[0].channels,
        joints=at.x[0].joints,
        x=at.operands[0],
        y=at.name,
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
