"""Rounding of weights by their effect: on the grid, never worse than the nearest, near the best."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.cast import FloatArray, IntArray, quantise
from fxp.ptq.rounding import adaround, gptq, nearest, output_error
from fxp.qformat import Cast, QFormat


def case(seed: int, rows: int, n: int, samples: int = 400) -> tuple[FloatArray, FloatArray]:
    """Weights, and the Gram matrix of correlated operands."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(n, n)) + 2 * np.ones((n, n)) / n
    x = rng.normal(size=(samples, n)) @ mix
    return rng.normal(size=(rows, n)), x.T @ x / samples


def per_row(rows: int, *frac: int) -> IntArray:
    return np.resize(np.array(frac, np.int64), rows)


@given(st.integers(0, 2**32), st.integers(2, 8), st.integers(-2, 6))
def test_nearest_is_what_lowering_does(seed: int, word_bits: int, frac: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(3, 5)) * 4
    fracs = per_row(3, frac, frac + 2)
    expected = [
        np.ldexp(quantise(row, Cast(QFormat(word_bits, int(f)))).astype(float), -f)
        for row, f in zip(weight, fracs, strict=True)
    ]
    assert np.array_equal(nearest(weight, word_bits, fracs), expected)


@pytest.mark.parametrize("method", [gptq, adaround])
@pytest.mark.parametrize("word_bits", [2, 3, 4, 8])
def test_results_are_on_the_grid_and_better_than_the_nearest(method, word_bits: int) -> None:  # type: ignore[no-untyped-def]
    better = 0
    for seed in range(6):
        weight, gram = case(seed, 4, 12)
        fracs = per_row(4, word_bits - 3, word_bits - 2)
        found = method(weight, gram, word_bits, fracs)
        assert np.array_equal(nearest(found, word_bits, fracs), found)  # words of the format
        plain = output_error(weight, nearest(weight, word_bits, fracs), gram)
        own = output_error(weight, found, gram)
        if method is adaround:
            assert (own <= plain).all()
        better += own.sum() < plain.sum()
    assert better >= 5


def test_uncorrelated_operands_are_rounded_to_the_nearest() -> None:
    weight, _ = case(1, 5, 9)
    fracs = per_row(5, 3)
    for method in (gptq, adaround):
        assert np.array_equal(method(weight, np.eye(9), 6, fracs), nearest(weight, 6, fracs))


def test_no_single_weight_is_better_rounded_the_other_way() -> None:
    """And in most cases nothing is: every choice of down or up for seven weights is tried."""
    optimal = 0
    for seed in range(10):
        weight, gram = case(seed, 1, 7)
        fracs = per_row(1, 1)
        found = adaround(weight, gram, 8, fracs)
        floor = np.floor(weight * 2) / 2
        choices = floor + np.array(list(itertools.product((0.0, 0.5), repeat=7)))
        errors = output_error(weight, choices, gram)
        own = output_error(weight, found, gram)[0]
        one_apart = (choices != found).sum(axis=1) == 1
        assert one_apart.sum() == 7
        assert own <= errors[one_apart].min() + 1e-12
        optimal += own <= errors.min() + 1e-12
    assert optimal >= 6


def test_dead_operands_change_nothing() -> None:
    weight, _ = case(2, 3, 4)
    fracs = per_row(3, 2)
    for method in (gptq, adaround):
        assert np.array_equal(method(weight, np.zeros((4, 4)), 5, fracs), nearest(weight, 5, fracs))
