"""Convolutions of words or sums that 32 bits do not hold: carried, crossed, or digit by digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fxp.fused.casts import NO_CAST, VectorCast, per_channel
from fxp.fused.products import (
    HALVES,
    constant_table,
    halves_of,
    multiplied,
    over_taps,
    packed,
    panel_of,
    reach,
    taps_of,
    whole_constants,
)
from fxp.fused.steps import CrossedStep, ProductStep, TapsStep, WideStep, Words
from fxp.fused.tiers import Tier, fits_int32
from fxp.ir import Conv, IntArray, TemporalConv
from fxp.kernels.finish import CARRY_BITS
from fxp.kernels.forms import LANES
from fxp.kernels.tables import CastKind, NarrowConstant, ProductConstant
from fxp.ranges import Signal, signed_bits

MOST_DIGITS = 3
BYTE_BITS = 8  # of a low digit without a sign
LOW_BITS = (12, 11, 10, 9, 8)  # of one with a sign, in 16 bits
MOST_CARRIED_BITS = CARRY_BITS + 31  # of a sum: its high register is one of 32 bits
_MOST_NARROW = 1 << 30  # of words moved right, so that their parts fit 32 bits as well
_INT32, _INT64 = np.iinfo(np.int32), np.iinfo(np.int64)


def carried_product(
    node: Conv | TemporalConv,
    x: Signal,
    y: Signal,
    casts: Mapping[str, VectorCast],
    allowed: frozenset[Tier],
) -> ProductStep | TapsStep | None:
    """A convolution of 16-bit words whose sums are carried, or None where that does not do."""
    tier = halves_of(allowed)
    if tier is None or not _rounds(y, casts):
        return None
    if multiplied(node, x, allowed - {Tier.INT8}) is None:
        return None
    if multiplied(node, x, allowed) != np.int16 and (
        isinstance(node, TemporalConv) or fits_int32(*reach(y, []))
    ):
        return None  # a ring that holds bytes; or bytes are faster, with their casts behind
    weight, centre = taps_of(node), _middle(x)
    largest = max(max(x.hi) - centre, centre - min(x.lo))
    carry = _carry(weight, largest)
    if carry == 0:
        return None
    step = _carried_step(node, y, casts, tier, weight, carry, centre)
    return over_taps(node, step, len(weight))


def crossed_product(
    node: Conv, x: Signal, y: Signal, casts: Mapping[str, VectorCast], allowed: frozenset[Tier]
) -> CrossedStep | None:
    """A 1x1 convolution of two digits by two as three products, or None where that does not do."""
    tier = halves_of(allowed)
    if tier is None or not _rounds(y, casts) or multiplied(node, x, allowed) == np.int8:
        return None
    if {Tier.INT8, Tier.INT16} <= allowed:
        step = _crossed(node, x, y, casts, tier, BYTE_BITS, by_bytes=True)
        if step is not None:
            return step
    steps = (_crossed(node, x, y, casts, tier, bits, by_bytes=False) for bits in LOW_BITS)
    return next((step for step in steps if step is not None), None)


def _crossed(
    node: Conv,
    x: Signal,
    y: Signal,
    casts: Mapping[str, VectorCast],
    tier: Tier,
    low_bits: int,
    *,
    by_bytes: bool,
) -> CrossedStep | None:
    """With low digits of so many bits, in bytes those of words without a sign."""
    weight, centre = taps_of(node), _middle(x)
    low, high = _balanced(weight, low_bits, 2)
    digit = (1 << low_bits) - 1 if by_bytes else 1 << (low_bits - 1)
    rounding = 0 if by_bytes else digit
    least, most = ((word - centre + rounding) >> low_bits for word in (min(x.lo), max(x.hi)))
    largest = max(-least, most)
    halves = all(HALVES.min <= p.min() and p.max() <= HALVES.max for p in (high, high + low))
    if largest + digit > HALVES.max or not halves:
        return None
    lows, highs = (np.abs(part).sum(axis=(0, 1)) for part in (low, high))
    bottom = digit * lows
    middle = largest * lows + digit * highs + (bottom >> low_bits)  # with what it gets from below
    if max(middle.max(), bottom.max()) > _INT32.max - (4 << low_bits):  # and parts of the bias
        return None
    carry = _carry(high, largest)
    if carry == 0:
        return None
    step = _carried_step(node, y, casts, tier, high, carry, centre, low_bits)
    if step.narrow is None:
        return None
    kind, group = (np.dtype(np.int8), 4) if by_bytes else (np.dtype(np.int16), 2)
    return CrossedStep(
        step,
        packed(low, group, kind, panel_of(tier)),
        packed(high + low, 2, np.dtype(np.int16), panel_of(tier)),
        low_bits,
    )


def _rounds(y: Signal, casts: Mapping[str, VectorCast]) -> bool:
    """Whether 64 bits hold the sums with what casts add."""
    return signed_bits(*reach(y, list(casts.values()))) <= 64


def _middle(x: Signal) -> int:
    """What lowers words so that they reach as far up as down."""
    return (min(x.lo) + max(x.hi) + 1) // 2


def _carried_step(
    node: Conv | TemporalConv,
    y: Signal,
    casts: Mapping[str, VectorCast],
    tier: Tier,
    weight: IntArray,
    carry: int,
    centre: int,
    low_bits: int = 0,
) -> ProductStep:
    """The product of weights (taps, Cin, Cout), or of their high digits, with carried sums."""
    inputs, outputs = weight.shape[1:]
    wanted = list(casts.values()) or [NO_CAST]
    bias = node.bias.astype(object) + centre * taps_of(node).astype(object).sum(axis=(0, 1))
    return ProductStep(
        node.name,
        node.x,
        (node.name, *casts),
        tuple(casts) or (node.name,),
        tier,
        np.dtype(np.int16),
        packed(weight, 2, np.dtype(np.int16), panel_of(tier)),
        _carried_constants(bias, wanted, outputs),
        -(-inputs // 2),
        tuple(cast.kind == CastKind.EVEN for cast in casts.values()) or (False,),
        carry,
        centre,
        _narrow_constants(bias, y, wanted, outputs, low_bits),
    )


def _narrow_constants(
    bias: IntArray, y: Signal, casts: Sequence[VectorCast], outputs: int, low_bits: int
) -> Words | None:
    """`NarrowConstant`, or None where a cast does not fit 32 bits."""
    cast = casts[0]
    below, least = 2 * low_bits, min(cast.shift)
    ends = [end >> least for end in reach(y, casts)]
    if len(casts) > 1 or cast.kind != CastKind.CLAMP or least < below or max(cast.shift) > 47:
        return None
    if not all(-_MOST_NARROW <= end < _MOST_NARROW for end in (*ends, cast.low, cast.high)):
        return None
    table = np.zeros((len(NarrowConstant), -(-outputs // LANES) * LANES), object)
    words = bias + np.array(per_channel(cast.offset, outputs), object)
    shift = np.array(per_channel(cast.shift, outputs)) - below
    digits = ((NarrowConstant.LOW_BIAS, low_bits), (NarrowConstant.MIDDLE_BIAS, low_bits))
    for row, bits in (*digits, (NarrowConstant.BIAS, CARRY_BITS)):
        table[row, :outputs] = words & ((1 << bits) - 1)
        words = words >> bits
    table[NarrowConstant.HIGH_BIAS, :outputs] = words
    table[NarrowConstant.MIDDLE_BIAS] += table[NarrowConstant.LOW_BIAS]  # off it with their sum
    table[NarrowConstant.LEFT, :outputs] = np.maximum(CARRY_BITS - shift, 0)
    table[NarrowConstant.EXTRA, :outputs] = np.maximum(shift - CARRY_BITS, 0)
    table[NarrowConstant.RIGHT, :outputs] = np.minimum(shift, CARRY_BITS)
    table[NarrowConstant.LOWEST], table[NarrowConstant.HIGHEST] = cast.low, cast.high
    return ((table - _INT32.min) % (1 << 32) + _INT32.min).astype(np.int32)


def _carried_constants(bias: IntArray, casts: Sequence[VectorCast], outputs: int) -> Words:
    """`ProductConstant` modulo 2**64, as sums are, with the bias in each cast's own offset."""
    table = constant_table(bias, casts, outputs, _INT64.min, _INT64.max)
    if len(casts) == 2:
        table[ProductConstant.SECOND_OFFSET, :outputs] += bias
    return ((table - _INT64.min) % (1 << 64) + _INT64.min).astype(np.int64)


def _carry(weight: IntArray, largest: int) -> int:
    """The most pairs of operands, words up to `largest`, that 32 bits add up before a carry; or 0.

    What the carry before left is in the sum as well, and what they carry has 32 bits too. Weights
    (taps, Cin, Cout).
    """
    taps, inputs, outputs = weight.shape
    pairs = -(-inputs // 2)
    each = np.zeros((taps, 2 * pairs, outputs), np.int64)
    each[:, :inputs] = np.abs(weight)
    each = each.reshape(taps, pairs, 2, outputs).sum(axis=2)
    if int(each.sum(axis=(0, 1)).max()) * largest >= 1 << MOST_CARRIED_BITS:
        return 0
    most = (_INT32.max - (1 << CARRY_BITS)) // max(1, largest)
    if most == 0:
        return 0
    # so many pieces hold the largest sum of a tap: fewer, and so longer ones, need no trial
    pieces = max(1, -(-int(each.sum(axis=1).max()) // most))
    for carry in range(pairs if pieces == 1 else -(-pairs // (pieces - 1)), 0, -1):
        starts = np.arange(0, pairs, carry)
        if np.add.reduceat(each, starts, axis=1).max() <= most:
            return carry
    return 0


def wide_product(node: Conv, x: Signal, allowed: frozenset[Tier]) -> WideStep | None:
    """A 1x1 convolution in digits of at most 16 bits, or None where three do not do."""
    tier = halves_of(allowed)
    if tier is None:
        return None
    weight = taps_of(node)
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
    balanced, panel = _balanced(weight, places, parts), panel_of(tier)
    w = [packed(part, 2, np.dtype(np.int16), panel) for part in balanced]
    passes = tuple((i, w[j], i * bits + j * places) for i in range(digits) for j in range(parts))
    constants = whole_constants(weight.shape[2])
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
        if reach > HALVES.max + (not last or digits == 1):
            return False
        for part in _balanced(weight, places, parts):
            if part.min() < HALVES.min or part.max() > HALVES.max:
                return False
            if int(np.abs(part).sum(axis=(0, 1)).max()) * reach > _INT32.max:
                return False
    return True
