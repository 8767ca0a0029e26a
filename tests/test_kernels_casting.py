from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from fxp.cast import requantise
from fxp.kernels.casting import Clamp, Recast, apply_cast, prepare_cast
from fxp.qformat import Cast, Overflow, QFormat, Rounding

WORDS = [*range(-140, 141)]
EDGES = sorted(
    {
        sign * ((1 << k) + d)
        for k in (*range(0, 62, 6), 7, 15, 30, 31, 32, 33, 61)
        for d in (-1, 0, 1)
        for sign in (-1, 1)
    }
    | {-(1 << 62), (1 << 62) - 1, 3 << 60, -(3 << 60), 5 << 40, -(5 << 40)}
)
FAR = [-1000, -64, -63, -62, -33, -32, -31, -1, 0, 1, 30, 31, 32, 33, 61, 62, 63, 64, 65, 1000]


def simulated(words: Sequence[int], cast: Cast, relu: bool, shift: int) -> list[int]:
    prepared = prepare_cast(cast, relu, [shift], (min(words), max(words)), 1)
    return run_cast(prepared, np.array(words)[:, None])[:, 0].tolist()


def run_cast(prepared: Clamp | Recast, x: np.ndarray) -> np.ndarray:
    y = np.empty(x.shape, np.int64)
    apply_cast(prepared, x, y)
    return y


def assert_equal(words: Sequence[int], cast: Cast, relu: bool, shift: int) -> None:
    frac_bits = cast.to.frac_bits + shift
    expected = [requantise(word, frac_bits, cast, relu) for word in words]
    assert simulated(words, cast, relu, shift) == expected, (cast, relu, shift)


def casts(widths: Iterable[int], rounding: Rounding, overflow: Overflow) -> list[Cast]:
    formats = [QFormat(bits, 3, signed) for bits in widths for signed in (True, False)]
    return [Cast(fmt, rounding, overflow) for fmt in formats]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", Overflow)
def test_small_words_at_every_near_shift(rounding: Rounding, overflow: Overflow) -> None:
    for cast in casts((1, 2, 4, 8), rounding, overflow):
        for shift in range(-4, 11):
            assert_equal(WORDS, cast, False, shift)
        assert_equal(WORDS, cast, True, 3)
        assert_equal(WORDS, cast, True, -2)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", Overflow)
def test_words_of_63_bits_at_far_shifts(rounding: Rounding, overflow: Overflow) -> None:
    for cast in casts((1, 8, 31, 32), rounding, overflow):
        for shift in FAR:
            assert_equal(EDGES, cast, shift % 2 == 1, shift)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", Overflow)
def test_words_at_the_edge_of_32_bits(rounding: Rounding, overflow: Overflow) -> None:
    """32-bit arithmetic is chosen here, and must be refused where it would overflow."""
    words = [w for w in EDGES if -(2**31) <= w < 2**31] + [2**31 - 9, -(2**31)]
    below = [w for w in words if w < 0]
    for cast in casts((8, 31, 32), rounding, overflow):
        for shift in (0, 1, 5, 30, 31, 32, 33):
            assert_equal(words, cast, False, shift)
            assert_equal(below, cast, False, shift)


@pytest.mark.parametrize(
    ("extremes", "shift", "word_bits", "dtype"),
    [
        ((-(2**31), 2**31 - 1 - 8), 4, 8, np.int32),
        ((-(2**31), 2**31 - 8), 4, 8, np.int64),  # plus half no longer fits
        ((-(2**31) - 1, 0), 4, 8, np.int64),
        ((0, 1000), 31, 8, np.int64),  # half is 2**30, but the shift of 32 needs 64 bits
        ((0, 1000), 4, 32, np.int64),
    ],
)
def test_arithmetic_is_32_bits_wide_only_where_all_of_it_fits(
    extremes: tuple[int, int], shift: int, word_bits: int, dtype: type
) -> None:
    cast = Cast(QFormat(word_bits, 0, signed=word_bits < 32))
    prepared = prepare_cast(cast, False, [shift + (shift == 31)], extremes, 1)
    assert isinstance(prepared, Clamp)
    assert prepared.offset.dtype == dtype


def test_shifts_per_channel_repeat_for_every_joint() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-5000, 5000, (7, 2 * 5))  # 2 joints, 5 channels
    shifts = [-3, 0, 2, 6, 70]
    for rounding in Rounding:
        for overflow in Overflow:
            cast = Cast(QFormat(6, 0), rounding, overflow)
            y = run_cast(prepare_cast(cast, False, shifts, (-5000, 5000), 2), x)
            for (t, i), word in np.ndenumerate(x):
                assert y[t, i] == requantise(int(word), shifts[i % 5], cast)


def test_plain_casts_take_the_short_kernel() -> None:
    fmt = QFormat(8, 0)
    short = [Rounding.TRN, Rounding.RND, Rounding.RND_MIN_INF]
    for rounding in Rounding:
        for overflow in Overflow:
            prepared = prepare_cast(Cast(fmt, rounding, overflow), False, [5], (-999, 999), 1)
            plain = rounding in short and overflow in (Overflow.SAT, Overflow.SAT_SYM)
            assert isinstance(prepared, Clamp) == plain
