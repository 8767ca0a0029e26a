from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.elementary import (
    LEAST_MANTISSA,
    MANTISSA_BITS,
    MOST_ROOT,
    ROOT_BITS,
    all_mantissas,
    all_reciprocal_roots,
    exponential,
    heaviest_root,
    layer_norm_bound,
    layer_norm_word,
    normalise,
    reciprocal_root,
)
from fxp.node_tables import reciprocal_root_seeds

SEEDS = reciprocal_root_seeds()


@given(st.integers(0, 70).flatmap(lambda bits: st.integers(1 << bits, (2 << bits) - 1)))
def test_a_mantissa_and_an_even_exponent_enclose_the_number(number: int) -> None:
    mantissa, k = normalise(number)
    assert LEAST_MANTISSA <= mantissa < 1 << MANTISSA_BITS
    assert k >= 1
    exact = Fraction(number * 2**MANTISSA_BITS, 4**k)
    assert mantissa <= exact < mantissa + 1


def test_the_root_of_every_mantissa_is_within_the_published_error() -> None:
    """`root * sqrt(mantissa)` squared, in exact integers, at both ends of what a mantissa means."""
    root, mantissa = all_reciprocal_roots(SEEDS, 2)[-1], all_mantissas()
    one = Fraction(4**ROOT_BITS * 2**MANTISSA_BITS)
    low = int(one * (1 - Fraction("3.82e-6")) ** 2)
    high = int(one * (1 + Fraction("9.46e-6")) ** 2)
    assert (root * root * mantissa).min() >= low  # all below 2**57
    assert (root * root * (mantissa + 1)).max() <= high


def test_single_roots_are_those_of_the_whole_table() -> None:
    steps = all_reciprocal_roots(SEEDS, 2)
    for at in (0, 1, 4095, 4096, 77_777, len(steps[0]) - 1):
        mantissa = LEAST_MANTISSA + at
        for n, roots in enumerate(steps):
            assert reciprocal_root(mantissa, SEEDS.tolist(), n) == roots[at]


def test_a_table_without_newton_steps_is_its_entries() -> None:
    roots = all_reciprocal_roots(np.array([5, 4, 3]), 0)[-1]
    assert roots.tolist() == [5] * 65536 + [4] * 65536 + [3] * 65536


@pytest.mark.parametrize(
    ("seeds", "steps", "message"),
    [
        ([MOST_ROOT + 1, 1, 1], 0, "got 524289 for mantissa 65536 after 0 Newton steps"),
        ([1, 1, 0], 0, "got 0 for mantissa 196608 after 0 Newton steps"),
        ([MOST_ROOT] * 3, 1, "for mantissa 196608 after 1 Newton steps"),
    ],
)
def test_tables_that_lead_out_of_range_are_refused(
    seeds: list[int], steps: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        heaviest_root(np.array(seeds), steps)


@pytest.mark.parametrize(("words", "frac_bits"), [(1, 10), (2, 18), (12, 0), (150, 12), (6400, 18)])
def test_no_word_of_a_norm_is_beyond_its_bound_and_one_comes_near(
    words: int, frac_bits: int
) -> None:
    bound = layer_norm_bound(words, SEEDS, 2, frac_bits)
    assert bound <= 1.00001 * (words - 1) ** 0.5 * 2**frac_bits + 1
    most = 0
    for one in (1, 3, 77, 2**15 - 1):  # a single word stands out as far as any can
        variance = words * one * one - one * one
        if variance:
            mantissa, k = normalise(variance)
            root = reciprocal_root(mantissa, SEEDS.tolist(), 2)
            for sign in (1, -1):
                word = layer_norm_word(sign * (words * one - one), root, k, frac_bits)
                most = max(most, abs(word))
    assert most <= bound
    assert bound - most <= max(1, bound >> 15)


def test_words_are_rounded_half_up() -> None:
    # a root of 2**18 stands for 1: numerators over 2**k, at 1 fractional bit
    found = [layer_norm_word(n, 1 << ROOT_BITS, 2, 1) for n in (1, -1, 3, -3, 2, -2)]
    assert found == [1, 0, 2, -1, 1, -1]  # 0.5, -0.5, 1.5, -1.5, 1, -1 halves


def test_an_exponential_is_a_product_of_two_entries_rounded_half_up() -> None:
    coarse, fine = [16, 3, 1], [16, 13, 9, 8]
    # d = 0..3 come from `fine` alone, d = 4..7 are 3 * fine / 16 = 3, 2.44, 1.69, 1.5
    found = [exponential(d, coarse, fine, 4) for d in range(8)]
    assert found == [16, 13, 9, 8, 3, 2, 2, 2]
    # beyond the end of `coarse` its last entry stands: 1, 0.81, 0.56, 0.5
    for d in (8, 12, 4000, 2**32):
        assert [exponential(d + i, coarse, fine, 4) for i in range(4)] == [1, 1, 1, 1]
    assert exponential(1, coarse, [16], 4) == 3
