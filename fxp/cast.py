"""Conversions between numbers and raw words: the definition (normative text: docs/arithmetic.md).

Everything on single words is plain Python integers, exact at any shift, because it defines what the
simulator, the quantisation-aware training and the RTL must reproduce bit for bit. The modes are
those of `ap_fixed` (AMD UG1399, "Quantization Modes" and "Overflow Modes"); a cast rounds first,
then handles overflow, and only then applies a ReLU.
"""

from __future__ import annotations

from typing import Any, TypeVar, assert_never

import numpy as np
import numpy.typing as npt

from fxp.errors import FormatError
from fxp.qformat import Cast, Overflow, QFormat, Rounding

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Whole = TypeVar("Whole", int, IntArray)

_MANTISSA_BITS = 53  # of a float64, the hidden bit included


def round_shift(raw: int, shift: int, rounding: Rounding) -> int:
    """`raw / 2**shift` rounded to an integer; a shift of zero or less is an exact left shift."""
    if shift <= 0:
        return raw << -shift
    floor = raw >> shift
    return _round(floor, raw - (floor << shift), 1 << (shift - 1), rounding)


def overflow(raw: int, fmt: QFormat, mode: Overflow) -> int:
    """`raw` brought into the range of `fmt`."""
    low, high = fmt.raw_min, fmt.raw_max
    match mode:
        case Overflow.SAT:
            return min(max(raw, low), high)
        case Overflow.SAT_SYM:
            return min(max(raw, low, -high), high)
        case Overflow.SAT_ZERO:
            return raw if low <= raw <= high else 0
        case Overflow.WRAP:
            return ((raw - low) & ((1 << fmt.word_bits) - 1)) + low
        case _:
            assert_never(mode)


def requantise(raw: int, frac_bits: int, cast: Cast, relu: bool = False) -> int:
    """Cast `raw * 2**-frac_bits` into `cast.to`: round, overflow, then (if asked) ReLU."""
    rounded = round_shift(raw, frac_bits - cast.to.frac_bits, cast.rounding)
    word = overflow(rounded, cast.to, cast.overflow)
    return max(word, 0) if relu else word


def quantise(x: float | npt.ArrayLike, cast: Cast) -> IntArray:
    """Cast floats, exactly as `requantise` would cast the real numbers they stand for.

    Args:
        x: float64 numbers of any shape (anything narrower is widened first).
        cast: target format and modes.

    Returns:
        Raw words, int64, of the shape of `x`.

    Raises:
        FormatError: a NaN or an infinity.
    """
    values = np.asarray(x, dtype=np.float64)
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)].flat[0]
        raise FormatError(f"only finite numbers can be quantised, got {bad}")
    # A product x * 2**F could overflow or lose bits of a subnormal, so work on the mantissa:
    # x = mantissa * 2**exponent with an integer mantissa, 0 or 2**52 <= |mantissa| < 2**53.
    fraction, exponent = np.frexp(np.atleast_1d(values))
    mantissa = np.ldexp(fraction, _MANTISSA_BITS).astype(np.int64)
    shift = _MANTISSA_BITS - exponent.astype(np.int64) - cast.to.frac_bits
    # Right of 54 places every nonzero mantissa is below a half, so further ones look alike.
    right = np.clip(shift, 1, _MANTISSA_BITS + 2)
    floor = mantissa >> right
    rounded = _round(floor, mantissa - (floor << right), np.int64(1) << (right - 1), cast.rounding)
    if cast.overflow is Overflow.WRAP:  # low 32 bits: int64 may drop bits at its top
        raw = np.where(shift > 0, rounded, mantissa << np.clip(-shift, 0, 32))
    else:  # a mantissa is beyond 32 bits already and stays so: 9 places keep it within int64
        raw = np.where(shift > 0, rounded, mantissa << np.clip(-shift, 0, 9))
    return _overflow_array(raw, cast.to, cast.overflow).reshape(values.shape)


def dequantise(raw: npt.ArrayLike, frac_bits: npt.ArrayLike) -> FloatArray:
    """`raw * 2**-frac_bits` as float64, exact for words of up to 53 bits.

    Args:
        raw: integers of any shape.
        frac_bits: one number, or integers that broadcast against `raw`.
    """
    scaled = np.ldexp(np.asarray(raw, dtype=np.float64), -np.asarray(frac_bits, dtype=np.int64))
    return np.asarray(scaled, dtype=np.float64)


def reciprocal(joints: int, shift_bits: int) -> tuple[int, int]:
    """Multiplier and shift that stand for `1 / joints` in a `JointMean`.

    The multiplier is `2**shift_bits / joints` rounded half up, so the mean is wrong by a relative
    error of at most `joints * 2**-(shift_bits + 1)` (and by nothing where joints divides
    `2**shift_bits`).

    Raises:
        FormatError: fewer than one joint, or a shift too small for a multiplier of at least 1.
    """
    if joints < 1:
        raise FormatError(f"`joints` must be at least 1, got {joints}")
    multiplier = ((2 << max(shift_bits, 0)) + joints) // (2 * joints)
    if shift_bits < 0 or multiplier < 1:
        raise FormatError(f"`shift_bits` {shift_bits} cannot express 1/{joints}")
    return multiplier, shift_bits


def _round(floor: Whole, rest: Whole, half: Whole, rounding: Rounding) -> Whole:
    """`floor` or `floor + 1`, for the number `floor + rest / (2 * half)` with `0 <= rest < 2 half`.

    The same expressions serve Python integers and arrays.
    """
    up: Any
    tie = rest == half
    match rounding:
        case Rounding.TRN:
            up = 0
        case Rounding.TRN_ZERO:
            up = (floor < 0) & (rest > 0)
        case Rounding.RND:
            up = rest >= half
        case Rounding.RND_ZERO:
            up = (rest > half) | (tie & (floor < 0))
        case Rounding.RND_INF:
            up = (rest > half) | (tie & (floor >= 0))
        case Rounding.RND_MIN_INF:
            up = rest > half
        case Rounding.RND_CONV:
            up = (rest > half) | (tie & (floor % 2 == 1))
        case _:
            assert_never(rounding)
    result: Whole = floor + up
    return result


def _overflow_array(raw: IntArray, fmt: QFormat, mode: Overflow) -> IntArray:
    """`overflow`, word by word."""
    low, high = fmt.raw_min, fmt.raw_max
    match mode:
        case Overflow.SAT:
            return raw.clip(low, high)
        case Overflow.SAT_SYM:
            return raw.clip(max(low, -high), high)
        case Overflow.SAT_ZERO:
            return np.where((raw >= low) & (raw <= high), raw, 0)
        case Overflow.WRAP:
            return ((raw - low) & ((1 << fmt.word_bits) - 1)) + low
        case _:
            assert_never(mode)
