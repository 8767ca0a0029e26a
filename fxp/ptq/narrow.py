"""Networks whose accumulators fit a width by construction: the weights are brought under it.

The bound is the exact one of `fxp.ranges`, row by row, on the integer words and with the range that
the operand really has: after a ReLU its words have one sign, so that positive and negative weights
have each a budget of their own (A2Q+, Colbert et al. 2024, gets the same by centring the weights).
Text: docs/accumulators.md.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from fxp.calibrate import Formats
from fxp.cast import FloatArray
from fxp.errors import GraphError, InputError
from fxp.floatnet import FloatNet
from fxp.ir import (
    Affine,
    Conv,
    Graph,
    GraphProduct,
    Node,
    TemporalConv,
    layer_of,
    operands,
)
from fxp.lower import WithConstants, lower, with_constants
from fxp.outline import constant_key
from fxp.ptq.constraint import Rows, constrained, round_half_up, words_of
from fxp.ranges import Signal, is_sum, signal_of
from fxp.validate import Value, describe_node

Targets = Mapping[str, int]  # bits by name of a layer or glob; the last that matches counts
Params = Mapping[str, FloatArray]


def narrowed(net: FloatNet, formats: Formats, targets: Targets) -> tuple[FloatNet, Formats]:
    """The network and its formats with every accumulator of the targets' layers within its width.

    Binary points of constants move to the left where that leaves a smaller squared error than
    shrinking the weights alone. If all layers have a target, the network declares the widest.

    Args:
        net, formats: what `fxp.lower` would take.
        targets: bits, sign included.

    Raises:
        InputError: a target matches no layer.
        GraphError: an accumulator that no weight of its own can bring there, or only zeros.
    """
    graph = lower(net, formats)
    check_layers(graph, targets)
    params, formats = _walk(graph, net.params, formats, targets, choose=True)
    asked = [target_of(node, targets) for node in graph.nodes if is_sum(node)]
    given = [bits for bits in asked if bits is not None]
    if len(given) == len(asked):
        declared = min(formats.quant.accumulator_bits, max(given))
        quant = formats.quant.model_copy(update={"accumulator_bits": declared})
        formats = replace(formats, quant=quant)
    return replace(net, params=params), formats


def within(
    graph: Graph, params: Params, formats: Formats, targets: Targets
) -> dict[str, FloatArray]:
    """All parameters, those that exceed a target brought back; `formats` stay.

    Args:
        graph: what `fxp.lower` makes of any parameters in these formats, as `narrowed` chose them.
        params: float64 by the keys of `FloatNet`.
        formats, targets: as `narrowed` took and gave them.

    Raises:
        GraphError: an accumulator that no weight of its own can bring there.
    """
    return _walk(graph, params, formats, targets, choose=False)[0]


def target_of(node: Node, targets: Targets) -> int | None:
    """The width asked of a node's accumulator."""
    layer = layer_of(node.name)
    found = [bits for pattern, bits in targets.items() if fnmatch.fnmatchcase(layer, pattern)]
    return found[-1] if found else None


def check_layers(graph: Graph, targets: Targets) -> None:
    """Refuse a pattern that matches nothing.

    Raises:
        InputError: there is one.
    """
    layers = list(dict.fromkeys(layer_of(node.name) for node in graph.nodes if is_sum(node)))
    for pattern in targets:
        if not fnmatch.filter(layers, pattern):
            raise InputError(
                f"key `accumulators`: {pattern!r} matches no layer (layers: {', '.join(layers)})"
            )


def _walk(
    graph: Graph, params: Params, formats: Formats, targets: Targets, choose: bool
) -> tuple[dict[str, FloatArray], Formats]:
    """Node by node, each with the operands that the mended ones before it give."""
    found, values, signals = dict(params), dict[str, Value](), dict[str, Signal]()
    for blank in graph.nodes:
        node = blank
        x = [signals[name] for name in operands(node)]
        bits = target_of(node, targets) if is_sum(node) else None
        if isinstance(node, Conv | TemporalConv | Affine | GraphProduct):
            if bits is not None:
                mended = _Sum(node, x[0], found, formats, bits)
                found, formats = _chosen(mended) if choose else (_fitted(mended), formats)
            node = with_constants(node, found, formats, x[0].frac_bits[0])
        values[node.name] = describe_node(node, [values[name] for name in operands(node)])
        signals[node.name] = signal_of(node, x, values[node.name])
        if bits is not None and signals[node.name].width_bits > bits:
            raise GraphError(
                f"node `{node.name}`: the accumulator needs {signals[node.name].width_bits} bits "
                f"whatever its weights, its layer's target is {bits}"
            )
    return found, formats


@dataclass(frozen=True, eq=False)
class _Sum:
    """A node with constants, what it reads, and the width its sums have to fit."""

    node: WithConstants
    x: Signal
    params: dict[str, FloatArray]
    formats: Formats
    bits: int

    @property
    def key(self) -> str:
        key = constant_key(self.node)
        assert key is not None
        return key

    @property
    def is_unit(self) -> bool:
        """Whether it is a norm that went into the weights before it: scales of one, untrained."""
        return isinstance(self.node, Affine) and bool((self.params[self.key] == 1.0).all())

    @property
    def word_bits(self) -> int:
        return self.formats.weights[self.key][0]

    def scale(self) -> FloatArray:
        """`2**frac_bits` along the first axis of the constants."""
        _, frac_bits = self.formats.weights[self.key]
        shape = (-1, *[1] * (self.params[self.key].ndim - 1))
        return np.ldexp(1.0, np.array(frac_bits, np.int64)).reshape(shape)

    def raw(self) -> FloatArray:
        """The constants in lsbs, not yet rounded."""
        found: FloatArray = self.params[self.key] * self.scale()
        return found

    def at(self, left: int) -> _Sum:
        """The same with the binary point of its constants `left` places further left."""
        word_bits, frac_bits = self.formats.weights[self.key]
        word_bits -= left if self.is_unit else 0  # 2**k and a sign
        moved = {self.key: (word_bits, tuple(f - left for f in frac_bits))}
        formats = replace(self.formats, weights={**self.formats.weights, **moved})
        return replace(self, formats=formats)


def _chosen(mended: _Sum) -> tuple[dict[str, FloatArray], Formats]:
    """Parameters that fit, at the binary point that changes the constants least."""
    word_bits, frac_bits = mended.formats.weights[mended.key]
    if mended.is_unit:
        tried = (mended.at(left) for left in range(frac_bits[0] + 1))
        best = next((t for t in tried if _fits(t)), mended.at(frac_bits[0]))
        return _fitted(best), best.formats
    wanted = mended.params[mended.key]
    best, least = mended, np.inf
    for left in range(word_bits - 1):
        tried_at = mended.at(left)
        error = float(np.square(_words(tried_at, _fitted(tried_at)) - wanted).sum())
        if error < least:
            best, least = tried_at, error
    found = _fitted(best)
    if wanted.any() and not _words(best, found).any():
        raise GraphError(
            f"node `{mended.node.name}`: {mended.bits} bits leave none of its weights but zeros"
        )
    return found, best.formats


def _words(mended: _Sum, params: Params) -> FloatArray:
    """The constants as the numbers that their words stand for."""
    scale = mended.scale()
    found: FloatArray = words_of(params[mended.key] * scale, mended.word_bits) / scale
    return found


def _fits(mended: _Sum) -> bool:
    """Whether a unit scale leaves the bias as it is."""
    key = f"{mended.node.name}.bias"
    return np.array_equal(_fitted(mended)[key], mended.params[key])


def _fitted(mended: _Sum) -> dict[str, FloatArray]:
    """The parameters with this node's brought within its width; what fits stays as it is."""
    node, x = mended.node, mended.x
    lo, hi = (np.array(ends, np.float64) for ends in (x.lo, x.hi))
    up, down = np.maximum(hi, 0), np.maximum(-lo, 0)  # a weight of zero gives zero
    match node:
        case Conv() | TemporalConv():
            return _fitted_conv(mended, up, down)
        case Affine():
            return _fitted_affine(mended, up[:, None], down[:, None])
        case GraphProduct():
            return _fitted_product(mended, up, down)
        case _:
            assert_never(node)


def _fitted_conv(mended: _Sum, up: FloatArray, down: FloatArray) -> dict[str, FloatArray]:
    bias, params = _clipped_bias(mended)
    raw = mended.raw()
    each = raw[0, 0].size  # taps
    flat = raw.reshape(len(raw), -1)
    rows = Rows(flat, up.repeat(each)[None], down.repeat(each)[None], mended.word_bits)
    shrunk = constrained(rows, bias, bias, mended.bits)
    return params | {mended.key: shrunk.reshape(raw.shape) / mended.scale()}


def _fitted_affine(mended: _Sum, up: FloatArray, down: FloatArray) -> dict[str, FloatArray]:
    """Up and down (C, 1). Each scale makes one product, joined by one bias or several."""
    raw = mended.raw()
    if mended.is_unit:  # the scale is what it is
        return _clipped_bias(mended, raw.max() * up, raw.max() * down)[1]
    bias, params = _clipped_bias(mended)
    if raw.shape[1] == 1:
        low, high = bias.min(axis=1, keepdims=True), bias.max(axis=1, keepdims=True)
    else:
        low = high = np.broadcast_to(bias, raw.shape)
    above, below = (np.broadcast_to(part, raw.shape).reshape(-1, 1) for part in (up, down))
    rows = Rows(raw.reshape(-1, 1), above, below, mended.word_bits)
    shrunk = constrained(rows, low.reshape(-1), high.reshape(-1), mended.bits)
    return params | {mended.key: shrunk.reshape(raw.shape) / mended.scale()}


def _fitted_product(mended: _Sum, up: FloatArray, down: FloatArray) -> dict[str, FloatArray]:
    """A row per target joint; the furthest channel of each partition counts for all."""
    raw = mended.raw()  # (P, V, W)
    parts, sources, targets = raw.shape
    _, frac_bits = mended.formats.weights[mended.key]
    lift = np.ldexp(1.0, max(frac_bits) - np.array(frac_bits))
    above, below = (
        (lift * part.reshape(parts, -1).max(axis=1)).repeat(sources)[None] for part in (up, down)
    )
    rows = Rows(raw.transpose(2, 0, 1).reshape(targets, -1), above, below, mended.word_bits)
    none = np.zeros(targets)
    shrunk = constrained(rows, none, none, mended.bits).reshape(targets, parts, sources)
    return mended.params | {mended.key: shrunk.transpose(1, 2, 0) / mended.scale()}


def _clipped_bias(
    mended: _Sum, up: FloatArray | float = 0.0, down: FloatArray | float = 0.0
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """The bias as words that leave room for products from `-down` to `up`, and the parameters."""
    key, limit = f"{mended.node.name}.bias", float(1 << (mended.bits - 1))
    _, frac_bits = mended.formats.weights[mended.key]
    bias = mended.params[key]
    shape = (-1, *[1] * (bias.ndim - 1))
    scale = np.ldexp(1.0, np.array(frac_bits, np.int64) + mended.x.frac_bits[0]).reshape(shape)
    clipped = np.clip(bias * scale, down - limit, limit - 1 - up)
    return round_half_up(clipped), mended.params | {key: clipped / scale}
