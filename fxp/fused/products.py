"""Convolutions as steps: which tier holds them, and weights in the order the tiles read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fxp.fused.casts import NO_CAST, VectorCast, extremes, per_channel
from fxp.fused.steps import ProductStep, TapsStep, WideStep, Words
from fxp.fused.tiers import Tier, fits_int32
from fxp.ir import Conv, IntArray, TemporalConv
from fxp.kernels.carried import CARRIED_PANEL, CARRY_BITS
from fxp.kernels.forms import LANES
from fxp.kernels.products import NARROW_PANEL, WIDE_PANEL
from fxp.kernels.tables import CastKind, ProductConstant
from fxp.ranges import Signal

_BYTES, _HALVES = (np.iinfo(t) for t in (np.int8, np.int16))
_INT32, _INT64 = np.iinfo(np.int32), np.iinfo(np.int64)
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
    packed = _packed(weight, group, operand, _panel(tier))
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
    return _over_taps(node, step, taps)


def carried_product(
    node: Conv | TemporalConv,
    x: Signal,
    y: Signal,
    casts: Mapping[str, VectorCast],
    allowed: frozenset[Tier],
) -> ProductStep | TapsStep | None:
    """A convolution of 16-bit words whose sums are carried, or None where that does not do."""
    tier = _halves(allowed)
    if tier is None or multiplied(node, x, allowed) != np.int16:
        return None
    if not _fits(CARRY_BITS + 32, *reach(y, [])) or not _fits(64, *reach(y, list(casts.values()))):
        return None
    weight, centre = _taps(node), (min(x.lo) + max(x.hi) + 1) // 2
    carry = _carry(weight, max(max(x.hi) - centre, centre - min(x.lo)))
    if carry == 0:
        return None
    taps, inputs, outputs = weight.shape
    bias = node.bias.astype(object) + centre * weight.astype(object).sum(axis=(0, 1))
    step = ProductStep(
        node.name,
        node.x,
        (node.name, *casts),
        tuple(casts) or (node.name,),
        tier,
        np.int16,
        _packed(weight, 2, np.dtype(np.int16), CARRIED_PANEL),
        _wide_constants(bias, list(casts.values()) or [NO_CAST], outputs),
        -(-inputs // 2),
        tuple(cast.kind == CastKind.EVEN for cast in casts.values()) or (False,),
        carry,
        centre,
    )
    return _over_taps(node, step, taps)


def _carry(weight: IntArray, largest: int) -> int:
    """After how many pairs of operands, of words up to `largest`, 32 bits would overflow; or 0.

    What an earlier carry left is in the sum as well. Weights (taps, Cin, Cout).
    """
    taps, inputs, outputs = weight.shape
    pairs = -(-inputs // 2)
    each = np.zeros((taps, 2 * pairs, outputs), np.int64)
    each[:, :inputs] = np.abs(weight)
    each = each.reshape(taps, pairs, 2, outputs).sum(axis=2)
    most = (_INT32.max - (1 << CARRY_BITS)) // max(1, largest)
    for carry in range(pairs, 0, -1):
        starts = np.arange(0, pairs, carry)
        if np.add.reduceat(each, starts, axis=1).max() <= most:
            return carry
    return 0


def _fits(bits: int, lo: int, hi: int) -> bool:
    return -(1 << (bits - 1)) <= lo and hi < 1 << (bits - 1)


def _over_taps(
    node: Conv | TemporalConv, step: ProductStep, taps: int
) -> ProductStep | TapsStep:
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
    balanced, panel = _balanced(weight, places, parts), _panel(tier)
    w = [_packed(part, 2, np.dtype(np.int16), panel) for part in balanced]
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


def _panel(tier: Tier) -> int:
    """Vectors of columns in a tile."""
    return WIDE_PANEL if tier in (Tier.INT8, Tier.INT16) else NARROW_PANEL


def _packed(weight: IntArray, group: int, dtype: np.dtype[np.integer], panel: int) -> Words:
    """Panels of so many vectors: (taps * groups, columns, group), zeros without weights."""
    taps, inputs, outputs = weight.shape
    groups, columns = -(-inputs // group), -(-outputs // LANES) * LANES
    full = np.zeros((taps, groups * group, columns), dtype)
    full[:, :inputs, :outputs] = weight
    lines = full.reshape(taps * groups, group, columns)
    width = LANES * panel
    panels = [lines[:, :, at : at + width] for at in range(0, columns, width)]
    return np.concatenate([panel.transpose(0, 2, 1).reshape(-1) for panel in panels])


def _constants(bias: IntArray, casts: Sequence[VectorCast], outputs: int) -> Words:
    """The array of `fxp.kernels.tables.ProductConstant`, columns in full vectors."""
    table = _table(bias, casts, outputs, _INT32.min, _INT32.max)
    if len(casts) == 2:
        table[ProductConstant.SECOND_OFFSET] -= table[ProductConstant.OUT_OFFSET]
    return table.astype(np.int64).astype(np.int32)  # the bias modulo 2**32


def _wide_constants(bias: IntArray, casts: Sequence[VectorCast], outputs: int) -> Words:
    """The same in 64 bits, the bias of a second cast in its offset."""
    table = _table(bias, casts, outputs, _INT64.min, _INT64.max)
    if len(casts) == 2:
        table[ProductConstant.SECOND_OFFSET, :outputs] += bias
    return table.astype(np.int64)


def _table(
    bias: IntArray, casts: Sequence[VectorCast], outputs: int, lowest: int, highest: int
) -> Words:
    """Both in Python integers, the bias with the first offset, and offsets as they are."""
    table = np.zeros((len(ProductConstant), -(-outputs // LANES) * LANES), object)
    offsets = (ProductConstant.OUT_OFFSET, ProductConstant.SECOND_OFFSET)
    for first, cast in zip(offsets, casts, strict=False):
        whole = cast.kind == CastKind.NONE
        table[first, :outputs] = per_channel(cast.offset, outputs)
        table[first + 1, :outputs] = per_channel(cast.shift, outputs)
        table[first + 2] = lowest if whole else max(cast.low, lowest)
        table[first + 3] = highest if whole else min(cast.high, highest)
        table[first + 4, :outputs] = per_channel(cast.odd, outputs)
    table[ProductConstant.BIAS, :outputs] = bias + table[ProductConstant.OUT_OFFSET, :outputs]
    table[ProductConstant.SECOND_AWAY] = table[ProductConstant.SECOND_OFFSET]
    return table
