"""Casts against definitions taken from the modes' prose, in exact fractions and sets of words.

`_nearest_rule` and `_fitted` below share nothing with the code under test: one rounds a `Fraction`
by looking at its two neighbours, the other picks a word out of the set of all words of the format.
"""

import math
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.cast import dequantise, overflow, quantise, reciprocal, requantise, round_shift
from fxp.errors import FormatError
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from tests.strategies import OVERFLOWS, ROUNDINGS, casts, qformats

MODES = list(product(ROUNDINGS, OVERFLOWS))
_TIE_WINNER = {
    Rounding.RND: max,
    Rounding.RND_MIN_INF: min,
    Rounding.RND_ZERO: lambda pair: min(pair, key=abs),
    Rounding.RND_INF: lambda pair: max(pair, key=abs),
    Rounding.RND_CONV: lambda pair: next(n for n in pair if n % 2 == 0),
}


def _rounded(x: Fraction, rounding: Rounding) -> int:
    """The mode's prose: truncations keep one neighbour, the others take the nearer one."""
    if rounding is Rounding.TRN:
        return math.floor(x)
    if rounding is Rounding.TRN_ZERO:
        return math.trunc(x)
    below, above = math.floor(x), math.ceil(x)
    if x - below == above - x:
        return below if below == above else _TIE_WINNER[rounding]((below, above))
    return below if x - below < above - x else above


def _words(fmt: QFormat) -> range:
    half = 2 ** (fmt.word_bits - 1)
    return range(-half, half) if fmt.signed else range(2 * half)


def _fitted(n: int, fmt: QFormat, mode: Overflow) -> int:
    """The mode's prose, by search in the set of words."""
    words = _words(fmt)
    if mode is Overflow.SAT_ZERO:
        return n if n in words else 0
    if mode is Overflow.WRAP:
        (word,) = range(words.start + (n - words.start) % len(words), words.stop, len(words))
        return word
    if mode is Overflow.SAT_SYM and fmt.signed:
        words = [word for word in words if -word in words]
    return min(words, key=lambda word: abs(word - n))


# ---------------------------------------------------------------------------- rounding


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_round_shift_on_every_9_bit_raw_and_shift(rounding: Rounding) -> None:
    for shift, raw in product(range(-9, 12), range(-256, 256)):
        expected = _rounded(Fraction(raw) / Fraction(2) ** shift, rounding)
        assert round_shift(raw, shift, rounding) == expected, (raw, shift)


@given(st.integers(-(2**90), 2**90), st.integers(-80, 120), st.sampled_from(ROUNDINGS))
def test_round_shift_is_exact_at_any_width_and_shift(
    raw: int, shift: int, rounding: Rounding
) -> None:
    assert round_shift(raw, shift, rounding) == _rounded(
        Fraction(raw) / Fraction(2) ** shift, rounding
    )


@given(st.integers(-(2**40), 2**40), st.integers(1, 45), st.sampled_from(ROUNDINGS))
def test_rounding_is_monotone(raw: int, shift: int, rounding: Rounding) -> None:
    assert round_shift(raw, shift, rounding) <= round_shift(raw + 1, shift, rounding)


@pytest.mark.parametrize(
    ("rounding", "of_plus", "of_minus"),
    [  # UG1399, "Quantization Modes": ap_fixed<3, 2> of 1.25 and of -1.25, here in words of 0.5
        (Rounding.RND, 3, -2),
        (Rounding.RND_ZERO, 2, -2),
        (Rounding.RND_MIN_INF, 2, -3),
        (Rounding.RND_INF, 3, -3),
        (Rounding.RND_CONV, 2, -2),
        (Rounding.TRN, 2, -3),
        (Rounding.TRN_ZERO, 2, -2),
    ],
)
def test_the_vendors_rounding_examples(rounding: Rounding, of_plus: int, of_minus: int) -> None:
    cast = Cast(QFormat(3, 1), rounding, Overflow.SAT)
    assert quantise([1.25, -1.25], cast).tolist() == [of_plus, of_minus]
    assert [requantise(raw, 2, cast) for raw in (5, -5)] == [of_plus, of_minus]


# ---------------------------------------------------------------------------- overflow


@pytest.mark.parametrize("mode", OVERFLOWS)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("word_bits", range(1, 9))
def test_overflow_on_every_raw_around_every_format(
    word_bits: int, signed: bool, mode: Overflow
) -> None:
    fmt = QFormat(word_bits, 3, signed)
    reach = 2 * 2**word_bits + 3
    for raw in range(-reach, reach + 1):
        assert overflow(raw, fmt, mode) == _fitted(raw, fmt, mode), raw


@given(st.integers(-(2**80), 2**80), qformats(1), st.sampled_from(OVERFLOWS))
def test_overflow_at_any_width(raw: int, fmt: QFormat, mode: Overflow) -> None:
    word = overflow(raw, fmt, mode)
    assert fmt.raw_min <= word <= fmt.raw_max
    if mode is Overflow.WRAP:
        assert (word - raw) % 2**fmt.word_bits == 0
    elif fmt.raw_min <= raw <= fmt.raw_max and not (
        mode is Overflow.SAT_SYM and raw < -fmt.raw_max
    ):
        assert word == raw
    elif mode is Overflow.SAT_ZERO:
        assert word == 0
    elif raw > 0:
        assert word == fmt.raw_max
    else:
        assert word == (-fmt.raw_max if mode is Overflow.SAT_SYM and fmt.signed else fmt.raw_min)


@pytest.mark.parametrize(
    ("mode", "signed", "number", "word"),
    [  # UG1399, "Overflow Modes": 4-bit integers of 19, -19 and 31
        (Overflow.SAT, True, 19, 7),
        (Overflow.SAT, True, -19, -8),
        (Overflow.SAT, False, 19, 15),
        (Overflow.SAT, False, -19, 0),
        (Overflow.SAT_ZERO, True, 19, 0),
        (Overflow.SAT_ZERO, True, -19, 0),
        (Overflow.SAT_ZERO, False, 19, 0),
        (Overflow.SAT_ZERO, False, -19, 0),
        (Overflow.SAT_SYM, True, 19, 7),
        (Overflow.SAT_SYM, True, -19, -7),
        (Overflow.SAT_SYM, False, 19, 15),
        (Overflow.SAT_SYM, False, -19, 0),
        (Overflow.WRAP, True, 31, -1),
        (Overflow.WRAP, True, -19, -3),
        (Overflow.WRAP, False, 19, 3),
        (Overflow.WRAP, False, -19, 13),
    ],
)
def test_the_vendors_overflow_examples(
    mode: Overflow, signed: bool, number: int, word: int
) -> None:
    assert overflow(number, QFormat(4, 0, signed), mode) == word


def test_symmetric_saturation_never_gives_the_lowest_word() -> None:
    assert overflow(-128, QFormat(8, 0), Overflow.SAT_SYM) == -127
    assert overflow(-127, QFormat(8, 0), Overflow.SAT_SYM) == -127
    assert overflow(-1, QFormat(1, 0), Overflow.SAT_SYM) == 0  # 0 is all of -max..max


# ---------------------------------------------------------------------------- requantise


@pytest.mark.parametrize(("rounding", "mode"), MODES)
def test_requantise_every_8_bit_raw_in_every_mode(rounding: Rounding, mode: Overflow) -> None:
    """Round, then overflow, then ReLU, at every shift that can matter to 8 bits."""
    raws = range(-128, 128)
    for shift in range(-3, 11):
        rounded = _rounded_8_bit_raws(shift, rounding)
        for bits, signed in product(range(1, 9), (True, False)):
            table = _fitted_numbers(bits, signed, mode)
            cast = Cast(QFormat(bits, 5 - shift, signed), rounding, mode)
            expected = [table[n] for n in rounded]
            assert [requantise(raw, 5, cast) for raw in raws] == expected
            relu = [max(word, 0) for word in expected]
            assert [requantise(raw, 5, cast, relu=True) for raw in raws] == relu


@cache
def _rounded_8_bit_raws(shift: int, rounding: Rounding) -> list[int]:
    return [_rounded(Fraction(raw) / Fraction(2) ** shift, rounding) for raw in range(-128, 128)]


@cache
def _fitted_numbers(bits: int, signed: bool, mode: Overflow) -> dict[int, int]:
    """Of every number that 8 bits shifted left by 3 can make."""
    return {n: _fitted(n, QFormat(bits, 0, signed), mode) for n in range(-1024, 1025)}


def test_rounding_comes_before_overflow() -> None:
    # 7.5 rounds up to 8, which wraps to -8 in 4 bits; wrapping first would have kept 7.5.
    assert requantise(15, 1, Cast(QFormat(4, 0), Rounding.RND, Overflow.WRAP)) == -8


def test_relu_comes_after_overflow() -> None:
    # 200 wraps to -56, which the ReLU then clears; the other order would give 200 and then -56.
    assert requantise(200, 0, Cast(QFormat(8, 0), overflow=Overflow.WRAP), relu=True) == 0


# ---------------------------------------------------------------------------- quantise


@pytest.mark.parametrize(("rounding", "mode"), MODES)
def test_quantise_every_float16_like_the_word_it_is(rounding: Rounding, mode: Overflow) -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    raws = (halves.astype(np.float64) * 2.0**24).astype(np.int64)  # every float16 is n * 2**-24
    some = slice(None, None, 7)
    for to in (QFormat(8, 2), QFormat(3, 8), QFormat(12, 20, False), QFormat(32, -1)):
        cast = Cast(to, rounding, mode)
        expected = [requantise(raw, 24, cast) for raw in raws[some].tolist()]
        assert quantise(halves[some], cast).tolist() == expected


@settings(max_examples=400)
@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**40), 2**40).map(lambda n: n / 16),
    casts(1),
)
def test_quantise_is_exact_for_every_float(x: float, cast: Cast) -> None:
    n = _rounded(Fraction(x) * Fraction(2) ** cast.to.frac_bits, cast.rounding)
    assert quantise(x, cast).tolist() == overflow(n, cast.to, cast.overflow)


@given(st.lists(st.floats(-4, 4), max_size=20), casts(2, 8))
def test_quantise_works_word_by_word(xs: list[float], cast: Cast) -> None:
    assert quantise(xs, cast).tolist() == [int(quantise(x, cast)) for x in xs]


@pytest.mark.parametrize("frac_bits", [-5000, -1074, -1023, 0, 1023, 1100, 5000])
@pytest.mark.parametrize("mode", OVERFLOWS)
def test_quantise_at_the_ends_of_the_float_range(frac_bits: int, mode: Overflow) -> None:
    tiny, least, most = 5e-324, 2.0**-1022, 1.7976931348623157e308
    for rounding in ROUNDINGS:
        cast = Cast(QFormat(17, frac_bits), rounding, mode)
        for x in (0.0, -0.0, tiny, -tiny, least, most, -most, most / 3):
            n = _rounded(Fraction(x) * Fraction(2) ** frac_bits, rounding)
            assert quantise(x, cast) == overflow(n, cast.to, mode), (x, rounding)


def test_quantise_does_not_add_a_half_in_floating_point() -> None:
    cast = Cast(QFormat(8, 0))
    below_half = 0.49999999999999994
    assert math.floor(below_half + 0.5) == 1  # the trap
    assert quantise([below_half, 0.5, -0.5, 1.5, -1.5], cast).tolist() == [0, 1, 0, 2, -1]


def test_quantise_keeps_the_shape_and_gives_int64() -> None:
    cast = Cast(QFormat(8, 4))
    for shape in [(), (0,), (3,), (2, 3, 4), (2, 0)]:
        for dtype in (np.float64, np.float32):
            words = quantise(np.ones(shape, dtype), cast)
            assert isinstance(words, np.ndarray)
            assert (words.shape, words.dtype) == (shape, np.int64)
            assert (words == 16).all()


@pytest.mark.parametrize(
    ("x", "text"), [(math.nan, "nan"), (math.inf, "inf"), ([0.0, -math.inf], "-inf")]
)
def test_quantise_refuses_what_is_no_number(x: object, text: str) -> None:
    with pytest.raises(FormatError) as caught:
        quantise(x, Cast(QFormat(8, 4)))
    assert str(caught.value) == f"only finite numbers can be quantised, got {text}"


# ---------------------------------------------------------------------------- dequantise


@given(st.integers(-(2**53), 2**53), st.integers(-200, 200))
def test_dequantise_is_exact(raw: int, frac_bits: int) -> None:
    assert Fraction(float(dequantise(raw, frac_bits))) == Fraction(raw) / Fraction(2) ** frac_bits


@given(qformats(1), st.data())
def test_dequantise_then_quantise_is_the_identity(fmt: QFormat, data: st.DataObject) -> None:
    raw = data.draw(st.integers(fmt.raw_min, fmt.raw_max))
    for rounding in ROUNDINGS:
        assert quantise(dequantise(raw, fmt.frac_bits), Cast(fmt, rounding)) == raw


def test_dequantise_broadcasts_binary_points() -> None:
    numbers = dequantise([[1, 2], [3, 4]], [[0], [1]])
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [[1.0, 2.0], [1.5, 2.0]]


# ---------------------------------------------------------------------------- reciprocal


@pytest.mark.parametrize("joints", range(1, 65))
def test_reciprocal_is_rounded_half_up_and_within_its_stated_error(joints: int) -> None:
    for shift_bits in range(31):
        exact = Fraction(2**shift_bits, joints)
        if exact < Fraction(1, 2):
            with pytest.raises(FormatError, match=f"`shift_bits` {shift_bits} .* 1/{joints}$"):
                reciprocal(joints, shift_bits)
            continue
        multiplier, shift = reciprocal(joints, shift_bits)
        assert shift == shift_bits
        assert multiplier == _rounded(exact, Rounding.RND)
        error = abs(multiplier / exact - 1)
        assert error <= Fraction(joints, 2 ** (shift_bits + 1))
        if 2**shift_bits % joints == 0:
            assert error == 0


@pytest.mark.parametrize(
    ("joints", "shift_bits", "text"),
    [
        (0, 16, "`joints` must be at least 1, got 0"),
        (-3, 16, "`joints` must be at least 1, got -3"),
        (4, -1, "`shift_bits` -1 cannot express 1/4"),
        (25, 3, "`shift_bits` 3 cannot express 1/25"),
    ],
)
def test_reciprocal_refuses(joints: int, shift_bits: int, text: str) -> None:
    with pytest.raises(FormatError) as caught:
        reciprocal(joints, shift_bits)
    assert str(caught.value) == text
