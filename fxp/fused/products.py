"""Convolutions as steps: which tier holds them, and weights in the order the tiles read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fxp.fused.casts import NO_CAST, VectorCast, extremes, per_channel
from fxp.fused.steps import ProductStep, TapsStep, WideStep, Words
from fxp.fused.tiers import Tier, fits_int32
from fxp.ir import Conv, IntArray, TemporalConv
from fxp.kernels.products import LANES, NARROW_PANEL, WIDE_PANEL
from fxp.kernels.tables import CastKind, ProductConstant
from fxp.ranges import Signal

_BYTES, _HALVES = (np.iinfo(t) for t in (np.int8, np.int16))
_INT32 = np.iinfo(np.int32)
_GROUP = {np.dtype(np.int8): 4, np.dtype(np.int16): 2}  # operands multiplied at a time
_SIGNED_BYTES_ADD = 128
MOST_DIGITS = 3


def product_tier(
    node: Conv | TemporalConv,
    x: Signal,
    y: Signal,
    casts: Sequence[VectorCast],
    allowed: frozenset[Tier],
) -> Tier | None:
    """The first tier that holds operands, weights and sums with rounding; None if none does."""
    shifts = [shift for cast in casts for shift in cast.shift]
    if not fits_int32(*reach(y, casts)) or any(shift > 31 for shift in shifts):
        return None
    kind = multiplied(node, x, allowed)
    if kind is None:
        return None
    return Tier.INT8 if kind == np.int8 else _halves(allowed)


def reach(y: Signal, casts: Sequence[VectorCast]) -> tuple[int, int]:
    """The lowest and the highest sum, with the bias and what casts add to round."""
    return min(y.lo), max([max(y.hi), *(extremes(cast, y)[1] for cast in casts)])


def multiplied(
    node: Conv | TemporalConv, x: Signal, allowed: frozenset[Tier]
) -> np.dtype[np.integer] | None:
    """The type of both operands of the narrowest tier that holds them; None if none does."""
    lo = min(min(x.lo), int(node.weight.raw.min()))
    hi = max(max(x.hi), int(node.weight.raw.max()))
    if Tier.INT8 in allowed and _BYTES.min <= lo and hi <= _BYTES.max:
        return np.dtype(np.int8)
    if _halves(allowed) and _HALVES.min <= lo and hi <= _HALVES.max:
        return np.dtype(np.int16)
    return None


def _halves(allowed: frozenset[Tier]) -> Tier | None:
    order = (Tier.INT16, Tier.MADD16, Tier.PLAIN16)
    return next((tier for tier in order if tier in allowed), None)


def product(
    node: Conv | TemporalConv,
    casts: Mapping[str, VectorCast],
    tier: Tier,
) -> ProductStep | TapsStep:
    """A convolution with up to two casts of it, or as it is."""
    operand: np.dtype[np.integer] = np.dtype(np.int8 if tier is Tier.INT8 else np.int16)
    group = _GROUP[operand]
    weight = _taps(node)
    taps, inputs, outputs = weight.shape
    packed = _packed(weight, group, operand, tier)
    flipped = _SIGNED_BYTES_ADD * weight.sum(axis=(0, 1)) if tier is Tier.INT8 else 0
    constants = _constants(node.bias - flipped, list(casts.values()) or [NO_CAST], outputs)
    step = ProductStep(
        node.name,
        node.x,
        (node.name, *casts),
        tuple(casts) or (node.name,),
        tier,
        operand,
        packed,
        constants,
        -(-inputs // group),
        tuple(cast.kind == CastKind.EVEN for cast in casts.values()) or (False,),
    )
    if isinstance(node, Conv):
        return step
    return TapsStep(step, taps, node.dilation, node.lookahead, node.stride)


def wide_product(node: Conv, x: Signal, allowed: frozenset[Tier]) -> WideStep | None:
    """A 1x1 convolution in digits of at most 16 bits, or None where three do not do."""
    tier = _halves(allowed)
    if tier is None:
        return None
    weight = _taps(node)
    best: tuple[int, int, int, int, int] | None = None
    for digits in range(1, MOST_DIGITS + 1):
        for parts in range(1, MOST_DIGITS + 1):
            bits = _digit_bits(max(max(x.hi), ~min(x.lo)), digits)
            places = _digit_bits(int(max(weight.max(), ~weight.min())), parts)
            if bits <= 16 and places <= 16 and _holds(weight, x, bits, digits, places, parts):
                best = min(best or (99,) * 5, (digits * parts, digits, parts, bits, places))
    if best is None:
        return None
    _, digits, parts, bits, places = best
    w = [_packed(part, 2, np.dtype(np.int16), tier) for part in _balanced(weight, places, parts)]
    passes = tuple((i, w[j], i * bits + j * places) for i in range(digits) for j in range(parts))
    constants = _constants(np.zeros(weight.shape[2], np.int64), [NO_CAST], weight.shape[2])
    groups = -(-weight.shape[1] // 2)
    bias = np.ascontiguousarray(node.bias)
    return WideStep(node.name, node.x, tier, bits, digits, passes, constants, groups, bias)


def _digit_bits(largest: int, digits: int) -> int:
    """Bits of each digit that words up to `largest` are split into, evenly."""
    return -(-(largest.bit_length() + 1) // digits)


def _balanced(words: IntArray, bits: int, count: int) -> list[IntArray]:
    """Digits, lowest first, all but the highest in `-2**(bits - 1)..2**(bits - 1) - 1`."""
    found = []
    for _ in range(count - 1):
        low = ((words + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))
        found.append(low)
        words = (words - low) >> bits
    return [*found, words]


def _holds(weight: IntArray, x: Signal, bits: int, digits: int, places: int, parts: int) -> bool:
    """Whether every pair of digits fits 16 bits and its sums fit 32."""
    largest = max(max(x.hi), ~min(x.lo))
    for digit in range(digits):
        last = digit == digits - 1
        reach = (largest >> (bits * digit)) + 1 if last else 1 << (bits - 1)
        if reach > _HALVES.max + (not last or digits == 1):
            return False
        for part in _balanced(weight, places, parts):
            if part.min() < _HALVES.min or part.max() > _HALVES.max:
                return False
            if int(np.abs(part).sum(axis=(0, 1)).max()) * reach > _INT32.max:
                return False
    return True


def _taps(node: Conv | TemporalConv) -> IntArray:
    """Weights (taps, Cin, Cout)."""
    if isinstance(node, Conv):
        return node.weight.raw.T[None]
    return node.weight.raw.transpose(2, 1, 0)


def _packed(weight: IntArray, group: int, dtype: np.dtype[np.integer], tier: Tier) -> Words:
    """Panels as wide as a tile: (taps * groups, columns, group), zeros without weights."""
    taps, inputs, outputs = weight.shape
    groups, columns = -(-inputs // group), -(-outputs // LANES) * LANES
    full = np.zeros((taps, groups * group, columns), dtype)
    full[:, :inputs, :outputs] = weight
    lines = full.reshape(taps * groups, group, columns)
    width = LANES * (WIDE_PANEL if tier in (Tier.INT8, Tier.INT16) else NARROW_PANEL)
    panels = [lines[:, :, at : at + width] for at in range(0, columns, width)]
    return np.concatenate([panel.transpose(0, 2, 1).reshape(-1) for panel in panels])


def _constants(bias: IntArray, casts: Sequence[VectorCast], outputs: int) -> Words:
    """The array of `fxp.kernels.tables.ProductConstant`, columns in full vectors."""
    columns = -(-outputs // LANES) * LANES
    table = np.zeros((len(ProductConstant), columns), np.int64)
    first = casts[0]
    start = np.array(per_channel(first.offset, outputs))
    table[ProductConstant.BIAS, :outputs] = bias + start
    _put(table, ProductConstant.OUT_OFFSET, first, outputs)
    table[ProductConstant.OUT_OFFSET, :outputs] = start
    if len(casts) == 2:
        _put(table, ProductConstant.SECOND_OFFSET, casts[1], outputs)
        own = np.array(per_channel(casts[1].offset, outputs))
        table[ProductConstant.SECOND_AWAY, :outputs] = own
        table[ProductConstant.SECOND_OFFSET, :outputs] = own - start
    return table.astype(np.int32)  # the bias modulo 2**32


def _put(table: IntArray, first: ProductConstant, cast: VectorCast, outputs: int) -> None:
    whole = cast.kind == CastKind.NONE
    table[first + 1, :outputs] = per_channel(cast.shift, outputs)
    table[first + 2] = _INT32.min if whole else max(cast.low, _INT32.min)
    table[first + 3] = _INT32.max if whole else min(cast.high, _INT32.max)
    table[first + 4, :outputs] = per_channel(cast.odd, outputs)
