"""Casts of int64 words in ONNX operators, by the constants of the simulator's own casts."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from fxp.errors import InputError
from fxp.interop.integer_steps import floor_div
from fxp.interop.onnx_builder import OnnxBuilder
from fxp.ir import IntArray, Requantise
from fxp.kernels.casting import Clamp, Recast, prepare_cast
from fxp.ranges import Signal

_MOST_PLACES = 62  # a larger power of two is no int64


def cast(b: OnnxBuilder, node: Requantise, x: Signal) -> str:
    """Round, overflow and ReLU of `node.x`, whose ranges are `x`."""
    shifts = [frac - node.cast.to.frac_bits for frac in x.frac_bits]
    extremes = (min(x.lo), max(x.hi))
    k = prepare_cast(node.cast, node.relu, shifts, extremes, joints=1)
    name = node.name
    if k.shift.max() > _MOST_PLACES:
        raise InputError(
            f"node `{name}`: a shift by {k.shift.max()} places is more than int64 operators of "
            f"ONNX have ({_MOST_PLACES})"
        )
    match k:
        case Clamp():
            moved = _plus(b, node.x, k.offset, f"{name}/moved")
            words = _shifted(b, moved, k.shift, f"{name}/shifted")
            ends = [b.scalar(int(end[0]), np.int64) for end in (k.low, k.high)]
            return b.add("Clip", [words, *ends], name)
        case Recast():
            return _recast(b, node, k)
        case _:
            assert_never(k)


def _recast(b: OnnxBuilder, node: Requantise, k: Recast) -> str:
    """As `fxp.kernels.pointwise.cast_saturate` and `cast_wrap`."""
    name, x = node.name, node.x
    moved = _plus(b, x, k.offset, f"{name}/moved")
    zero = b.scalar(0, np.int64)
    if k.negative.any():
        below = b.add("Less", [x, zero], f"{name}/below")
        extra = b.add("Where", [below, _column(b, k.negative, name, "negative"), zero], f"{name}/n")
        moved = b.add("Add", [moved, extra], f"{name}/mirrored")
    if k.odd.any():
        whole = _shifted(b, x, k.shift, f"{name}/whole")
        parity = b.add("Mod", [whole, b.scalar(2, np.int64)], f"{name}/parity")
        odd = b.add("Mul", [parity, _column(b, k.odd, name, "odd")], f"{name}/o")
        moved = b.add("Add", [moved, odd], f"{name}/even")
    words = _shifted(b, moved, k.shift, f"{name}/shifted")
    under, over, floor = (int(bound) for bound in k.bounds)
    if k.wrap:
        lowest, span = under, over + 1
        # the bits that are kept, before the shift to the left: they fit int64
        kept = np.maximum(span >> np.minimum(k.left, _MOST_PLACES), 1)
        low_bits = b.add("Mod", [words, _column(b, kept, name, "kept")], f"{name}/low")
        placed = _times(b, low_bits, k.left, f"{name}/placed")
        from_low = b.add("Sub", [placed, b.scalar(lowest, np.int64)], f"{name}/from_low")
        wrapped = b.add("Mod", [from_low, b.scalar(span, np.int64)], f"{name}/wrapped")
        result = b.add("Add", [wrapped, b.scalar(lowest, np.int64)], f"{name}/result")
    else:
        low, high = (_column(b, ends, name, key) for ends, key in ((k.low, "lo"), (k.high, "hi")))
        small = b.add("Less", [words, low], f"{name}/small")
        large = b.add("Greater", [words, high], f"{name}/large")
        inside = b.add("Max", [b.add("Min", [words, high], f"{name}/min"), low], f"{name}/inside")
        placed = _times(b, inside, k.left, f"{name}/placed")
        not_over = b.add("Where", [large, b.scalar(over, np.int64), placed], f"{name}/not_over")
        result = b.add("Where", [small, b.scalar(under, np.int64), not_over], f"{name}/result")
    return b.add("Max", [result, b.scalar(floor, np.int64)], name)


def _plus(b: OnnxBuilder, x: str, values: IntArray, name: str) -> str:
    return b.add("Add", [x, _column(b, values, name, "by")], name) if values.any() else x


def _shifted(b: OnnxBuilder, x: str, places: IntArray, name: str) -> str:
    """`x >> places`, channel by channel."""
    if not places.any():
        return x
    divisor = _column(b, np.int64(1) << places.astype(np.int64), name, "divisor")
    return floor_div(b, x, divisor, name)


def _times(b: OnnxBuilder, x: str, places: IntArray, name: str) -> str:
    """`x << places`, channel by channel, for words that stay within int64."""
    if not places.any():
        return x
    factor = np.int64(1) << np.minimum(places, _MOST_PLACES)
    return b.add("Mul", [x, _column(b, factor, name, "factor")], name)


def _column(b: OnnxBuilder, values: IntArray, name: str, key: str) -> str:
    """Constants of all channels or of each, against (T, C, V)."""
    if len(values) == 1:
        return b.scalar(int(values[0]), np.int64)
    return b.constant(f"{name}/{key}", values[:, None], np.int64)
