"""From a `Cast` and the shifts of a tensor to the constants of a cast kernel, and running it.

Every rounding is `(x + offset + negative * [x < 0] + odd * [x >> shift is odd]) >> shift` with the
right three constants. Shifts are unbounded in Python and prepared so that the kernels never see one
they cannot do: accumulators have at most 63 bits, so beyond 63 places only the sign matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

import numpy as np
import numpy.typing as npt

from fxp.ir import IntArray
from fxp.kernels.pointwise import cast_saturate, cast_wrap, round_saturate
from fxp.qformat import Cast, Overflow, Rounding

_INT32 = np.iinfo(np.int32)
_MAX_LEFT = 62  # a nonzero word is out of any format's range, or of its low bits, long before


@dataclass(frozen=True, eq=False)
class Clamp:
    """A cast for `round_saturate`."""

    offset: IntArray
    shift: IntArray
    low: IntArray
    high: IntArray


@dataclass(frozen=True, eq=False)
class Recast:
    """A cast for `cast_saturate`, or for `cast_wrap` if `wrap`."""

    offset: IntArray
    negative: IntArray
    odd: IntArray
    shift: IntArray
    left: IntArray
    low: IntArray
    high: IntArray
    bounds: IntArray
    wrap: bool


class Position(NamedTuple):
    """Constants of one channel (see `cast_saturate`)."""

    offset: int
    negative: int
    odd: int
    shift: int
    left: int
    low: int
    high: int


def prepare_cast(
    cast: Cast, relu: bool, shifts: Sequence[int], extremes: tuple[int, int], joints: int
) -> Clamp | Recast:
    """Constants for casting words within `extremes`, which fit 63 bits.

    Args:
        cast: target and modes.
        relu: negative results become zero.
        shifts: fractional bits to drop (negative: to add), one per channel or one for all.
        extremes: the smallest and the largest word that can come.
        joints: how often the channels repeat within a frame.
    """
    if all(shift == shifts[0] for shift in shifts):
        shifts, joints = shifts[:1], 1
    channels = [position(cast, shift) for shift in shifts]
    if _is_clamp(cast, channels):
        return _clamp(cast, relu, channels, extremes, joints)
    constants = (_flat(column, joints, np.int64) for column in zip(*channels, strict=True))
    offset, negative, odd, shift, left, low, high = constants
    floor = 0 if relu else cast.to.raw_min
    if cast.overflow == Overflow.WRAP:
        bounds = [cast.to.raw_min, (1 << cast.to.word_bits) - 1, floor]
    else:
        bounds = [*_replacements(cast), floor]
    wrap = cast.overflow == Overflow.WRAP
    last = _flat(bounds, 1, np.int64)
    return Recast(offset, negative, odd, shift, left, low, high, last, wrap)


def apply_cast(constants: Clamp | Recast, x: IntArray, y: IntArray) -> None:
    """Cast flat frames x (T, F) into y (T, F)."""
    k = constants
    match k:
        case Clamp():
            round_saturate(x, k.offset, k.shift, k.low, k.high, y)
        case Recast(wrap=True):
            cast_wrap(x, k.offset, k.negative, k.odd, k.shift, k.left, k.bounds, y)
        case Recast():
            cast_saturate(
                x, k.offset, k.negative, k.odd, k.shift, k.left, k.low, k.high, k.bounds, y
            )
        case _:
            assert_never(k)


def position(cast: Cast, shift: int) -> Position:
    """The constants of a cast that drops `shift` fractional bits (negative: adds)."""
    low, high = _range(cast)
    if shift > 0:
        return Position(*_rounding(cast.rounding, shift), min(shift, 63), 0, low, high)
    # low <= r << left <= high, told from r alone: the shifted word may not fit 64 bits
    left = -shift
    return Position(0, 0, 0, 0, min(left, _MAX_LEFT), -((-low) >> left), high >> left)


def _rounding(rounding: Rounding, shift: int) -> tuple[int, int, int]:
    """(offset, negative, odd) of a right shift by `shift >= 1` places."""
    if shift > 62:
        return _far_rounding(rounding, shift)
    half = 1 << (shift - 1)
    match rounding:
        case Rounding.TRN:
            return 0, 0, 0
        case Rounding.TRN_ZERO:
            return 0, 2 * half - 1, 0
        case Rounding.RND:
            return half, 0, 0
        case Rounding.RND_ZERO:
            return half - 1, 1, 0
        case Rounding.RND_INF:
            return half, -1, 0
        case Rounding.RND_MIN_INF:
            return half - 1, 0, 0
        case Rounding.RND_CONV:
            return half - 1, 0, 1
        case _:
            assert_never(rounding)


def _far_rounding(rounding: Rounding, shift: int) -> tuple[int, int, int]:
    """The same beyond 62 places, to be followed by a shift of 63.

    A word of 63 bits is then between -1/2 (for -2**62 at 63 places) and 1/2, this excluded, so the
    result is 0, or -1 for what is rounded down.
    """
    if rounding == Rounding.TRN:
        return 0, 0, 0
    down = rounding in (Rounding.RND_INF, Rounding.RND_MIN_INF)
    return 0, (1 << 62) - (down and shift == 63), 0


def _range(cast: Cast) -> tuple[int, int]:
    """The words that do not overflow."""
    low, high = cast.to.raw_min, cast.to.raw_max
    return (max(low, -high), high) if cast.overflow == Overflow.SAT_SYM else (low, high)


def _replacements(cast: Cast) -> tuple[int, int]:
    """What a saturating overflow puts in place of words below and above the range."""
    return (0, 0) if cast.overflow == Overflow.SAT_ZERO else _range(cast)


def _is_clamp(cast: Cast, channels: list[Position]) -> bool:
    saturates = cast.overflow in (Overflow.SAT, Overflow.SAT_SYM)
    return saturates and not any(c.negative or c.odd or c.left for c in channels)


def _clamp(
    cast: Cast, relu: bool, channels: list[Position], extremes: tuple[int, int], joints: int
) -> Clamp:
    """The constants of `round_saturate`, in 32 bits if no step of it needs more."""
    low, high = _range(cast)
    low = max(low, 0) if relu else low
    top = extremes[1] + max(c.offset for c in channels)
    narrow = _INT32.min <= min(extremes[0], low) and max(top, high) <= _INT32.max
    narrow = narrow and max(c.shift for c in channels) <= 31
    dtype = np.int32 if narrow else np.int64
    offset = _flat([c.offset for c in channels], joints, dtype)
    shift = _flat([c.shift for c in channels], joints, dtype)
    return Clamp(offset, shift, np.full_like(offset, low), np.full_like(offset, high))


def _flat(values: Sequence[int], joints: int, dtype: npt.DTypeLike) -> IntArray:
    """Constants per channel repeated for every joint of a frame."""
    return np.tile(np.array(values, dtype=dtype), joints)
