"""The format of every tensor: widths from the `QuantSpec`, binary points from the values.

Dynamic fixed point: each stored tensor has its own `frac_bits`, fixed here, once, from what was
observed of the float network (casts) or from the constants themselves (weights). How a binary point
is chosen among values is `fxp.binary_point`'s.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from fxp.binary_point import Calibrator, Word, choose_frac_bits, finest_frac_bits
from fxp.cast import FloatArray
from fxp.draft import INPUT_NORM
from fxp.errors import InputError
from fxp.floatnet import FloatNet
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
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    layer_of,
    operands,
)
from fxp.outline import constant_key, folding_norms, outline
from fxp.qformat import Cast, QFormat
from fxp.spec import ArchSpec, QuantSpec

CHANNEL_SPREAD_BITS = 8  # how much finer than its tensor's a channel's format may be
GUARD_BITS = 2  # a norm's bias keeps this many bits below the lsb of the cast after it
LEAST_NORM_BITS = 8
NOMINAL_SCORE_BITS = 6  # sign and integer bits of logits: up to 32, as trained networks have them
# Raw sensor words stand many deviations off zero (gravity), so an error of the scale becomes an
# offset: 8 bits per tensor cost 4 points of F1@50 on HuGaDB where 10 cost none.
LEAST_INPUT_NORM_BITS = 12
# Frames differ in spread, and one format serves them all. With operands of 8 bits and streams of
# 12, a network trained on synthetic gait gave 0.8 % of its labels otherwise than in float with 8
# bits here, and 0.5 % with 12 as with 16.
LEAST_LAYER_NORM_BITS = 12
# The words of a LayerNorm resolve a small part of its epsilon's root, 0.003, at this binary point;
# a finer one, for words that are smaller still, would only widen the squares.
MOST_LAYER_NORM_FRAC_BITS = 20


@dataclass(frozen=True)
class Formats:
    """Every choice that turns a float network into integers.

    `casts` by name of the `Requantise`, `weights` by parameter key as `(word_bits, frac_bits)` with
    one entry of `frac_bits` per tensor or per index of the first axis. `quant` is what was asked.
    """

    input: QFormat
    casts: Mapping[str, Cast]
    weights: Mapping[str, tuple[int, tuple[int, ...]]]
    quant: QuantSpec


@dataclass(frozen=True)
class _Wiring:
    """Nodes by name, and what reads each of them."""

    nodes: Mapping[str, Node]
    readers: Mapping[str, list[Node]]


def nominal_formats(arch: ArchSpec, quant: QuantSpec) -> Formats:
    """The widths that `quant` asks for, all binary points at 0: enough to count cost.

    Only the operands of a softmax have `NOMINAL_SCORE_BITS` integer bits, on which the size of its
    tables depends.

    Raises:
        InputError: an entry of `quant.layers` matches no layer.
    """
    graph = outline(arch)
    _check_layers(graph, quant)
    wiring, folded = _wiring(graph), folding_norms(arch)
    casts: dict[str, Cast] = {}
    weights: dict[str, tuple[int, tuple[int, ...]]] = {}
    for node in graph.nodes:
        if isinstance(node, Requantise):
            word = _word(node, wiring, quant)
            shares = any(isinstance(reader, Softmax) for reader in wiring.readers[node.name])
            casts[node.name] = word.at(word.word_bits - NOMINAL_SCORE_BITS if shares else 0)
        elif (key := constant_key(node)) is not None:
            unit = quant.fold == "weights" and node.name in folded
            weights[key] = (2 if unit else _constant_bits(node, quant), (0,))
    return Formats(QFormat(quant.input_bits, 0), casts, weights, quant)


def calibrate(net: FloatNet, quant: QuantSpec) -> Formats:
    """The formats of `net`: widths of `quant`, binary points by `quant.calibrator`.

    The input is integers: `frac_bits` 0. A norm whose scales are all one (folded into the weights
    before it) keeps a scale of `2**k` with the least k at which its bias has `GUARD_BITS` bits
    below the lsb of the cast that follows. A channel's format is at most `CHANNEL_SPREAD_BITS`
    finer than its tensor's.

    Raises:
        InputError: an accumulator was not observed, the observed input does not fit `input_bits`,
            `net` was exported with another `fold`, an entry of `quant.layers` matches no layer, or
            the calibrator is `best`, which is chosen on recordings.
    """
    if net.meta["fold"] != quant.fold:
        raise InputError(
            f"`fold` is {quant.fold!r} but the network was exported with {net.meta['fold']!r}"
        )
    graph = outline(net.arch)
    _check_layers(graph, quant)
    _check_input(net, quant)
    wiring, folded = _wiring(graph), folding_norms(net.arch)
    casts = {
        node.name: _calibrated_cast(node, net, wiring, quant)
        for node in graph.nodes
        if isinstance(node, Requantise)
    }
    calibrator = _calibrator(quant)
    weights: dict[str, tuple[int, tuple[int, ...]]] = {}
    for node in graph.nodes:
        if (key := constant_key(node)) is None:
            continue
        if node.name in folded and bool((net.params[key] == 1.0).all()):
            frac_bits = _unit_scale_bits(node, wiring, casts)
            weights[key] = (frac_bits + 2, (frac_bits,))  # 2**frac_bits and a sign
        else:
            word, values = Word(_constant_bits(node, quant)), net.params[key]
            weights[key] = (word.word_bits, _constant_frac_bits(values, word, quant, calibrator))
    return Formats(QFormat(quant.input_bits, 0), casts, weights, quant)


def _calibrated_cast(node: Requantise, net: FloatNet, wiring: _Wiring, quant: QuantSpec) -> Cast:
    seen = net.observations.get(node.x)
    if seen is None:
        raise InputError(f"{node.name}: no observation of `{node.x}` to calibrate from")
    lo, hi, sample = seen.lo, seen.hi, seen.sample.astype(np.float64)
    if node.relu:
        lo, hi, sample = max(lo, 0.0), max(hi, 0.0), np.maximum(sample, 0.0)
    word = _word(node, wiring, quant)
    ends = np.array([lo]), np.array([hi])
    chosen = choose_frac_bits(sample[None], *ends, word, _calibrator(quant))
    frac_bits = int(chosen[0])
    if any(isinstance(reader, LayerNorm) for reader in wiring.readers[node.name]):
        frac_bits = min(frac_bits, MOST_LAYER_NORM_FRAC_BITS)
    return word.at(frac_bits)


def _calibrator(quant: QuantSpec) -> Calibrator:
    if quant.calibrator == "best":
        raise InputError("key `calibrator`: `best` is chosen on recordings, and there are none")
    return quant.calibrator


def _constant_frac_bits(
    values: FloatArray, word: Word, quant: QuantSpec, calibrator: Calibrator
) -> tuple[int, ...]:
    whole = values.reshape(1, -1)
    groups = whole if quant.weight_granularity == "tensor" else values.reshape(len(values), -1)
    lo, hi = groups.min(axis=1), groups.max(axis=1)
    chosen = choose_frac_bits(groups, lo, hi, word, calibrator)
    most = finest_frac_bits(whole.min(axis=1), whole.max(axis=1), word) + CHANNEL_SPREAD_BITS
    return tuple(np.minimum(chosen, most).tolist())


def _unit_scale_bits(node: Node, wiring: _Wiring, casts: Mapping[str, Cast]) -> int:
    """The k of a scale `2**k`: enough fractional bits for the bias, and no more."""
    (operand,) = operands(node)
    source = wiring.nodes[operand]
    while isinstance(source, TemporalSum | Flatten):
        source = wiring.nodes[source.x]
    needed = max(casts[reader.name].to.frac_bits for reader in wiring.readers[node.name])
    most = QFormat(32, 0).word_bits - 2
    return min(max(needed + GUARD_BITS - casts[source.name].to.frac_bits, 0), most)


def _word(node: Requantise, wiring: _Wiring, quant: QuantSpec) -> Word:
    """Width and modes of a cast, by what reads it: scores, only sums, or multipliers.

    A stream is as wide as what enters a sum, even where a norm reads it too (in a TCN).
    """
    _, activation_bits, stream_bits = quant.bits(layer_of(node.name))
    reading = wiring.readers[node.name]
    if any(isinstance(reader, Argmax | Softmax) for reader in reading):
        bits = quant.logit_bits
    elif any(isinstance(other, LayerNorm) for other in (wiring.nodes[node.x], *reading)):
        bits = quant.layer_norm_bits or max(LEAST_LAYER_NORM_BITS, activation_bits)
    elif node.name.endswith(".stream") or all(isinstance(reader, Add) for reader in reading):
        bits = stream_bits
    else:
        bits = activation_bits
    signed = not (quant.unsigned_relu and node.relu)
    return Word(bits, signed, quant.rounding, quant.overflow)


def _constant_bits(node: Node, quant: QuantSpec) -> int:
    """Width of a node's constant operand."""
    weight_bits, _, _ = quant.bits(layer_of(node.name))
    match node:
        case Conv() | TemporalConv():
            return weight_bits
        case GraphProduct():
            return quant.adjacency_bits or weight_bits
        case Affine():
            least = LEAST_INPUT_NORM_BITS if node.name == INPUT_NORM else LEAST_NORM_BITS
            return quant.norm_bits or max(least, weight_bits)
        case (
            Input()
            | TemporalSum()
            | Add()
            | Flatten()
            | JointMean()
            | ClipMean()
            | LayerNorm()
            | Softmax()
            | Requantise()
            | Argmax()
        ):
            raise ValueError(f"{node.name} has no constant operand")
        case _:
            assert_never(node)


def _wiring(graph: Graph) -> _Wiring:
    """What reads each value; what reads a flattened value reads the value itself."""
    readers: dict[str, list[Node]] = {node.name: [] for node in graph.nodes}
    for node in reversed(graph.nodes):
        if isinstance(node, Flatten):
            readers[node.x] += readers[node.name]
            continue
        for name in operands(node):
            readers[name].append(node)
    return _Wiring({node.name: node for node in graph.nodes}, readers)


def _check_layers(graph: Graph, quant: QuantSpec) -> None:
    layers = list(dict.fromkeys(layer_of(node.name) for node in graph.nodes))
    for pattern in quant.layers:
        if not fnmatch.filter(layers, pattern):
            raise InputError(
                f"key `layers`: {pattern!r} matches no layer (layers: {', '.join(layers)})"
            )


def _check_input(net: FloatNet, quant: QuantSpec) -> None:
    """The input is integers, cast nowhere: it must fit as it is."""
    seen = net.observations.get("input")
    fmt = QFormat(quant.input_bits, 0)
    if seen is not None and not (fmt.raw_min <= seen.lo and seen.hi <= fmt.raw_max):
        raise InputError(
            f"input: observed {seen.lo:.0f} to {seen.hi:.0f}, more than the "
            f"`input_bits` {quant.input_bits} hold"
        )
