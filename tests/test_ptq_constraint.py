"""Rows of weights under a width: the bound by brute force, and no more shrunk than needed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.cast import FloatArray, quantise
from fxp.ptq.constraint import Rows, constrained, round_half_up, words_of
from fxp.qformat import Cast, QFormat


def row(raw: list[float], up: list[float], down: list[float], word_bits: int = 8) -> Rows:
    return Rows(np.array([raw]), np.array([up]), np.array([down]), word_bits)


def fitted(rows: Rows, bits: int, bias: float = 0.0) -> FloatArray:
    ends = np.full(len(rows.raw), bias)
    return constrained(rows, ends, ends, bits)


def extremes(rows: Rows, raw: FloatArray, bias: float) -> tuple[float, float]:
    """Smallest and largest sum over all corners of the operands' box, of the first row."""
    words, sums = words_of(raw, rows.word_bits)[0], []
    for corner in product(*zip(-rows.down[0], rows.up[0], strict=True)):
        sums.append(bias + float(words @ np.array(corner)))
    return min(sums), max(sums)


@given(st.lists(st.floats(-300, 300), min_size=1, max_size=20), st.integers(2, 9))
def test_words_are_those_of_lowering(raw: list[float], word_bits: int) -> None:
    expected = quantise(np.array(raw), Cast(QFormat(word_bits, 0)))
    assert np.array_equal(words_of(np.array(raw), word_bits), expected)
    assert round_half_up(np.array([0.49999999999999994, -0.5, 0.5])).tolist() == [0, 0, 1]


@settings(max_examples=300)
@given(st.integers(0, 2**32 - 1))
def test_no_sum_leaves_its_width_and_what_fits_is_untouched(seed: int) -> None:
    rng = np.random.default_rng(seed)
    terms, bits = int(rng.integers(1, 7)), int(rng.integers(4, 16))
    ends = [np.floor(rng.uniform(0, 200, terms)) * (rng.random(terms) < 0.8) for _ in range(2)]
    raw = rng.normal(0, rng.uniform(0.3, 60), (1, terms)) * (rng.random(terms) < 0.9)
    rows = Rows(raw, ends[0][None], ends[1][None], int(rng.integers(2, 9)))
    limit = 2 ** (bits - 1)
    bias = float(rng.integers(-limit, limit))
    found = fitted(rows, bits, bias)
    low, high = extremes(rows, found, bias)
    assert -limit <= low and high <= limit - 1
    before = extremes(rows, raw, bias)
    if -limit <= before[0] and before[1] <= limit - 1:
        assert np.array_equal(found, raw)
    again = fitted(Rows(found, rows.up, rows.down, rows.word_bits), bits, bias)
    assert np.array_equal(again, found)
    assert (np.abs(found) <= np.abs(raw)).all() and (found * raw >= 0).all()


def test_the_nearest_point_takes_the_same_from_every_magnitude() -> None:
    # operands within +-1: |w| may add up to 7. 6 + 4 - 3 is 13: each gives 2 (exactly half: up)
    found = fitted(row([6.0, 4.0, -3.0], [1, 1, 1], [1, 1, 1]), bits=4)
    assert words_of(found, 8).tolist() == [[4, 2, -1]]
    assert np.allclose(np.abs(found), np.array([[6.0, 4, 3]]) - (6 - np.abs(found[0, 0])))


def test_after_a_relu_positive_and_negative_weights_have_a_budget_each() -> None:
    # operands 0..1: 7 of positive weights and 8 of negative ones, 15 in all where +-1 allows 7
    one_signed = row([7.0, -8.0], [1, 1], [0, 0])
    assert fitted(one_signed, bits=4).tolist() == [[7.0, -8.0]]
    assert np.abs(words_of(fitted(row([7.0, -8.0], [1, 1], [1, 1]), bits=4), 8)).sum() <= 7
    found = fitted(row([9.0, -8.0], [1, 1], [0, 0]), bits=4)
    assert words_of(found, 8).tolist() == [[7, -8]] and found[0, 1] == -8.0


def test_a_bias_takes_its_part() -> None:
    room = row([9.0], [1], [0])
    assert [words_of(fitted(room, 5, bias), 8).item() for bias in (0.0, 6.0, 10.0, 15.0)] == [
        *(9, 9, 5, 0)
    ]


@pytest.mark.parametrize("bits", [8, 12])
def test_wide_operands_cost_more(bits: int) -> None:
    """The cost of a weight is its operand's reach: what reaches far gives most."""
    found = fitted(row([20.0, 20.0], [100, 10], [100, 10]), bits=bits)
    assert found[0, 0] < found[0, 1] <= 20
