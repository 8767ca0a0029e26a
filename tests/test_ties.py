"""Ties: every congruence that can be solved by one or two words, against brute force."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.ties import tie


def is_tie(total: int, shift: int, odd: bool) -> bool:
    floor, rest = divmod(total, 1 << shift)
    return rest == 1 << (shift - 1) and floor % 2 == odd


def numbers(raw: list[int]) -> np.ndarray:
    return np.array(raw, object)


def test_a_tie_of_one_word_is_found_wherever_there_is_one() -> None:
    rng = np.random.default_rng(0)
    for weight, bias, shift, odd in product(range(-9, 10), (-3, 0, 4), range(1, 5), (False, True)):
        low, high = -11, 12
        there = any(is_tie(bias + weight * x, shift, odd) for x in range(low, high + 1))
        ends = numbers([low]), numbers([high])
        found = tie(bias, numbers([weight]), *ends, shift, odd, rng)
        assert (found is not None) == there, (weight, bias, shift, odd)
        if found is not None:
            assert low <= found[0] <= high
            assert is_tie(bias + weight * int(found[0]), shift, odd)


def test_a_tie_of_two_words_is_found_wherever_there_is_one() -> None:
    rng = np.random.default_rng(1)
    found_any = 0
    for a, b, shift, odd in product((-6, 1, 3, 8), (-4, 2, 5, 12), (2, 4, 6), (False, True)):
        pairs = product(range(-4, 4), range(3))
        there = any(is_tie(7 + a * x + b * y, shift, odd) for x, y in pairs)
        draws = (
            tie(7, numbers([a, b]), numbers([-4, 0]), numbers([3, 2]), shift, odd, rng)
            for _ in range(4)  # each tries one word first, drawn
        )
        found = next((words for words in draws if words is not None), None)
        assert (found is not None) == there, (a, b, shift, odd)
        found_any += there
    assert found_any > 20


sizes = st.integers(-(2**31), 2**31 - 1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(sizes, st.integers(-(2**31), 0), st.integers(0, 2**31)), min_size=1),
    st.integers(-(2**60), 2**60),
    st.integers(1, 61),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_what_is_found_is_a_tie_within_the_ends(
    entries: list[tuple[int, int, int]], bias: int, shift: int, odd: bool, seed: int
) -> None:
    weights, low, high = (numbers(list(part)) for part in zip(*entries, strict=True))
    found = tie(bias, weights, low, high, shift, odd, np.random.default_rng(seed))
    if found is not None:
        assert all(lo <= x <= hi for lo, x, hi in zip(low, found.tolist(), high, strict=True))
        total = bias + sum(w * x for w, x in zip(weights, found.tolist(), strict=True))
        assert is_tie(total, shift, odd)


def test_eight_bit_words_reach_ties_of_long_shifts() -> None:
    rng = np.random.default_rng(2)
    for shift in (8, 10, 12):
        found = 0
        for _ in range(20):
            weights = rng.integers(-128, 128, 16).astype(object)
            ends = numbers([-128] * 16), numbers([127] * 16)
            found += tie(int(rng.integers(1000)), weights, *ends, shift, True, rng) is not None
        assert found == 20, shift


def test_no_tie_without_a_right_shift() -> None:
    rng = np.random.default_rng(3)
    ends = numbers([-8, -8]), numbers([7, 7])
    for shift in (-3, 0, 62, 80):
        assert tie(1, numbers([1, 3]), *ends, shift, False, rng) is None


def test_weights_that_change_nothing_leave_a_tie_or_none() -> None:
    rng = np.random.default_rng(4)
    ends = numbers([-8, -8]), numbers([7, 7])
    for bias in range(8):
        found = tie(bias, numbers([0, 16]), *ends, 2, True, rng)
        assert (found is not None) == (bias == 6)
