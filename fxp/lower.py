"""Float parameters and formats become the integer network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar, assert_never

import numpy as np

from fxp.calibrate import Formats
from fxp.cast import quantise
from fxp.elementary import ROOT_BITS
from fxp.errors import GraphError, InputError
from fxp.floatnet import FloatArray, FloatNet
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    Graph,
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
    Weights,
)
from fxp.node_tables import LAYER_NORM_EPS, exp_tables, layer_norm_epsilon
from fxp.outline import outline
from fxp.qformat import Cast, QFormat
from fxp.validate import describe

Value = TypeVar("Value")
WithConstants: TypeAlias = Conv | TemporalConv | Affine | GraphProduct

_BIAS_LIMIT_BITS = 62
_UNIT_GUARD_BITS = 2  # a LayerNorm rounds this many bits below the lsb of the cast behind it


def lower(net: FloatNet, formats: Formats, name: str = "") -> Graph:
    """The integer network of `net` in `formats`.

    Weights are rounded half up and saturated, biases rounded half up to the `frac_bits` of their
    accumulator. Where an operand and a stream get the same format they are one value, the operand.
    `meta` of the graph keeps `arch`, `quant` and the meta of `net`. Whether the accumulators hold
    every sum is `fxp.ranges.certify`'s to say.

    Raises:
        InputError: `formats` lacks an entry of this network.
        GraphError: a bias does not fit 63 bits at its accumulator's `frac_bits`.
        FormatError: the logits before a softmax have so many bits that its tables get too large.
    """
    nodes: list[Node] = []
    frac_bits: dict[str, int] = {}  # of stored values
    drafted = outline(net.arch)
    shapes = describe(drafted)
    for blank in drafted.nodes:
        match blank:
            case Input():
                node: Node = replace(blank, fmt=formats.input)
                frac_bits[blank.name] = formats.input.frac_bits
            case Requantise():
                cast = _entry(formats.casts, blank.name)
                node = replace(blank, cast=cast)
                frac_bits[blank.name] = cast.to.frac_bits
            case Conv() | TemporalConv() | Affine() | GraphProduct():
                node = with_constants(blank, net.params, formats, frac_bits[blank.x])
            case TemporalSum() | Flatten():
                node = blank
                frac_bits[blank.name] = frac_bits[blank.x]
            case Add() | JointMean() | ClipMean() | Argmax():
                node = blank
            case LayerNorm():
                words = shapes[blank.x].channels * shapes[blank.x].joints
                epsilon = layer_norm_epsilon(
                    LAYER_NORM_EPS, words, frac_bits[blank.x], unbiased=True
                )
                wanted = _entry(formats.casts, f"{blank.name}.q").to.frac_bits + _UNIT_GUARD_BITS
                own = min(max(wanted, 0), ROOT_BITS)
                node = replace(blank, epsilon=epsilon, frac_bits=own)
            case Softmax():
                operand = _entry(formats.casts, blank.x).to
                coarse, fine = exp_tables(operand, blank.exp_bits)
                node = replace(blank, coarse=coarse, fine=fine)
            case _:
                assert_never(blank)
        nodes.append(node)
    meta = {
        **net.meta,
        "arch": net.arch.model_dump(mode="json"),
        "quant": formats.quant.model_dump(mode="json"),
    }
    return Graph(
        name or net.arch.family,
        _without_twins(nodes),
        ("logits", "label"),
        formats.quant.accumulator_bits,
        meta,
    )


def with_constants(
    blank: WithConstants, params: Mapping[str, FloatArray], formats: Formats, operand_frac_bits: int
) -> WithConstants:
    """A node with the words that float parameters become in `formats`.

    Args:
        blank: the node; its own constants do not matter.
        params: float64 by the keys of `FloatNet`.
        formats: of every constant.
        operand_frac_bits: where the binary point of what it reads is.

    Raises:
        InputError, GraphError: as `lower`.
    """
    match blank:
        case Conv() | TemporalConv():
            weight = _weights(params, formats, f"{blank.name}.weight")
            bias = _bias(params, blank.name, operand_frac_bits, weight)
            return replace(blank, weight=weight, bias=bias)
        case Affine():
            scale = _weights(params, formats, f"{blank.name}.scale")
            bias = _bias(params, blank.name, operand_frac_bits, scale)
            return replace(blank, scale=scale, bias=bias)
        case GraphProduct():
            adjacency = _weights(params, formats, f"{blank.name}.adjacency")
            return replace(blank, adjacency=adjacency)
        case _:
            assert_never(blank)


def _weights(params: Mapping[str, FloatArray], formats: Formats, key: str) -> Weights:
    word_bits, frac_bits = _entry(formats.weights, key)
    scaled = np.ldexp(params[key], _per_first_axis(frac_bits, params[key].ndim))
    return Weights(quantise(scaled, Cast(QFormat(word_bits, 0))), word_bits, frac_bits)


def _bias(
    params: Mapping[str, FloatArray], node: str, operand_frac_bits: int, weight: Weights
) -> IntArray:
    """Bias in raw units of the accumulator, exact floats rounded half up."""
    bias = params[f"{node}.bias"]
    frac_bits = [operand_frac_bits + f for f in weight.frac_bits]
    with np.errstate(over="ignore"):  # an infinity is refused below
        scaled: FloatArray = np.ldexp(bias, _per_first_axis(frac_bits, bias.ndim))
    if not (np.abs(scaled) < 2.0**_BIAS_LIMIT_BITS).all():
        raise GraphError(
            f"{node}: a bias of {bias.flat[np.abs(scaled).argmax()]} needs more than "
            f"{_BIAS_LIMIT_BITS + 1} bits at the accumulator's {max(frac_bits)} `frac_bits`"
        )
    floor = np.floor(scaled)
    return floor.astype(np.int64) + (scaled - floor >= 0.5)


def _per_first_axis(frac_bits: Sequence[int], ndim: int) -> IntArray:
    return np.array(frac_bits, np.int64).reshape(-1, *[1] * (ndim - 1))


def _without_twins(nodes: list[Node]) -> tuple[Node, ...]:
    """Drop every cast that repeats an earlier one of the same accumulator; read that instead."""
    first: dict[tuple[str, Cast, bool], str] = {}
    twin_of: dict[str, str] = {}
    kept: list[Node] = []
    for node in nodes:
        match node:
            case Requantise():
                original = first.setdefault((node.x, node.cast, node.relu), node.name)
                if original != node.name:
                    twin_of[node.name] = original
                    continue
            case Affine():  # of a stream
                node = replace(node, x=twin_of.get(node.x, node.x))
            case Add():
                node = replace(node, a=twin_of.get(node.a, node.a), b=twin_of.get(node.b, node.b))
            case _:
                pass
        kept.append(node)
    return tuple(kept)


def _entry(table: Mapping[str, Value], key: str) -> Value:
    try:
        return table[key]
    except KeyError:
        raise InputError(f"formats: no entry for `{key}`") from None
