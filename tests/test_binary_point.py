"""Calibrators: exactly the finest format that does not clip, brute force for the least error."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.binary_point import (
    FINEST_RANGE_BITS,
    MSE_BITS,
    Word,
    choose_frac_bits,
    finest_frac_bits,
    squared_error,
)
from fxp.cast import dequantise, quantise
from fxp.qformat import Overflow, Rounding
from tests.strategies import OVERFLOWS, ROUNDINGS

words = st.builds(
    Word, st.integers(2, 32), st.booleans(), st.sampled_from(ROUNDINGS), st.sampled_from(OVERFLOWS)
)
numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


def finest(lo: float, hi: float, word: Word) -> int:
    return int(finest_frac_bits(np.array([lo]), np.array([hi]), word)[0])


def clips(value: float, frac_bits: int, word: Word) -> bool:
    """Whether the cast does more to the value than round it: by more than its rounding may."""
    fmt = word.at(frac_bits).to
    t = Fraction(value) * Fraction(2) ** frac_bits
    low = -fmt.raw_max if word.overflow is Overflow.SAT_SYM and word.signed else fmt.raw_min
    if word.rounding in (Rounding.TRN, Rounding.TRN_ZERO):
        return not low <= t <= fmt.raw_max
    return not low - Fraction(1, 2) < t < fmt.raw_max + Fraction(1, 2)


@pytest.mark.parametrize("bits", range(2, 33))
@pytest.mark.parametrize("k", [-12, -1, 0, 1, 9])
@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.TRN])
def test_a_power_of_two_does_not_clip(bits: int, k: int, rounding: Rounding) -> None:
    word = Word(bits, rounding=rounding)
    top = finest(0.0, 2.0**k, word)
    assert dequantise(quantise(2.0**k, word.at(top)), top) == 2.0**k
    assert dequantise(quantise(2.0**k, word.at(top + 1)), top + 1) < 2.0**k
    assert finest(-(2.0**k), 0.0, word) == bits - 1 - k  # the negative end reaches one lsb further


def test_a_value_just_below_half_an_lsb_too_large_rounds_in() -> None:
    edge = 127.5 / 128
    assert finest(0.0, np.nextafter(edge, 0), Word(8)) == 7
    assert finest(0.0, edge, Word(8)) == 6
    assert finest(0.0, np.nextafter(127 / 128, 1), Word(8, rounding=Rounding.TRN)) == 6
    assert finest(-1.0, 0.0, Word(8)) == 7
    assert finest(-1.0, 0.0, Word(8, overflow=Overflow.SAT_SYM)) == 6


@given(words, numbers, numbers)
def test_finest_is_finest(word: Word, a: float, b: float) -> None:
    lo, hi = (min(a, b), max(a, b)) if word.signed else (0.0, abs(a))
    frac_bits = finest(lo, hi, word)
    if hi <= 0 <= lo:
        assert frac_bits == word.word_bits - word.signed  # zeros: the range 1
        return
    assert not clips(lo, frac_bits, word) and not clips(hi, frac_bits, word)
    limit = word.word_bits - word.signed + FINEST_RANGE_BITS
    assert frac_bits <= limit
    if frac_bits < limit:
        assert clips(lo, frac_bits + 1, word) or clips(hi, frac_bits + 1, word)


def test_a_tiny_range_is_not_followed() -> None:
    assert finest(-1e-30, 1e-30, Word(8)) == 7 + FINEST_RANGE_BITS


@given(st.integers(0, 2**32 - 1), words)
def test_more_bits_and_smaller_values_are_finer(seed: int, word: Word) -> None:
    hi = abs(float(np.random.default_rng(seed).normal())) + 1e-3
    lo = -hi if word.signed else 0.0
    at = finest(lo, hi, word)
    assert finest(lo / 2, hi / 2, word) == at + 1
    if word.word_bits < 32:
        wider = Word(word.word_bits + 1, word.signed, word.rounding, word.overflow)
        assert at < finest(lo, hi, wider) <= at + 2


def test_percentile_leaves_one_in_ten_thousand() -> None:
    sample = np.concatenate([np.linspace(-1, 1, 100_001), [1000.0]])[None]
    lo, hi = sample.min(axis=1), sample.max(axis=1)
    assert choose_frac_bits(sample, lo, hi, Word(8), "max").tolist() == [-3]
    assert choose_frac_bits(sample, lo, hi, Word(8), "percentile").tolist() == [6]


@pytest.mark.parametrize("word", [Word(4), Word(8), Word(8, False), Word(6, True, Rounding.TRN)])
def test_mse_is_the_brute_force_minimum(word: Word) -> None:
    rng = np.random.default_rng(1)
    sample = rng.standard_t(2, (20, 300)) * 10.0 ** rng.uniform(-3, 3, (20, 1))
    sample = sample if word.signed else np.abs(sample)
    lo, hi = sample.min(axis=1), sample.max(axis=1)
    base = finest_frac_bits(lo, hi, word)
    chosen = choose_frac_bits(sample, lo, hi, word, "mse")
    assert (chosen > base).any()  # heavy tails: clipping pays somewhere
    for group, best in enumerate(chosen):
        errors = {}
        for f in range(base[group], base[group] + MSE_BITS + 1):
            back = dequantise(quantise(sample[group], word.at(f)), f)
            errors[f] = float(np.square(back - sample[group]).sum())
        assert errors[int(best)] == pytest.approx(min(errors.values()), rel=1e-12)


def test_mse_ties_go_to_the_larger_range() -> None:
    sample = np.array([[-1.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]])
    lo, hi = sample.min(axis=1), sample.max(axis=1)
    # every format from 1 fractional bit on holds row 0 exactly; 6 is the finest without clipping
    assert choose_frac_bits(sample, lo, hi, Word(8), "mse").tolist() == [6, 7]


def test_squared_error_per_group() -> None:
    sample = np.array([[0.25, 0.5], [1.5, 300.0]])
    errors = squared_error(sample, np.array([1, 0]), Word(8))
    assert errors.tolist() == [0.25**2, 0.5**2 + 173.0**2]
