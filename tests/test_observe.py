"""Observations: exact extremes, a bounded and uniform sample, mergeable and repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from fxp.observe import Reservoir, observation, observe_merge, observe_update


def filled(seed: int, *chunks: object, capacity: int = 50) -> Reservoir:
    reservoir = Reservoir(seed, capacity)
    for chunk in chunks:
        observe_update(reservoir, np.asarray(chunk))
    return reservoir


@given(st.lists(st.lists(st.floats(-9, 9, width=32), min_size=1), min_size=1), st.integers(1, 9))
def test_extremes_are_exact_and_the_sample_is_of_the_values(
    chunks: list[list[float]], capacity: int
) -> None:
    values = [v for chunk in chunks for v in chunk]
    seen = observation(filled(3, *chunks, capacity=capacity))
    assert (seen.lo, seen.hi) == (min(values), max(values))
    assert seen.sample.size == min(capacity, len(values))
    remaining = list(values)
    for value in seen.sample.tolist():
        remaining.remove(value)  # fails for a value that was not there, or not that often


def test_a_small_stream_is_kept_whole() -> None:
    seen = observation(filled(0, np.arange(30).reshape(2, 3, 5), [40.0]))
    assert sorted(seen.sample.tolist()) == [*range(30), 40.0]
    assert seen.sample.dtype == np.float32


def test_same_seed_same_sample() -> None:
    chunks = [np.arange(1000), np.arange(1000, 1500)]
    first, again, other = (filled(seed, *chunks).sample for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("chunk", [40, 5000])
def test_every_position_is_as_likely(chunk: int) -> None:
    frames, capacity, runs = 5000, 50, 200
    hits = np.zeros(frames)
    for seed in range(runs):
        pieces = [np.arange(i, min(i + chunk, frames)) for i in range(0, frames, chunk)]
        hits[filled(seed, *pieces, capacity=capacity).sample.astype(int)] += 1
    by_tenth = hits.reshape(10, -1).sum(axis=1)  # binomial: mean 1000, sigma 30
    assert by_tenth.sum() == capacity * runs
    assert (np.abs(by_tenth - 1000) < 150).all()


def test_merge_is_a_sample_of_both_streams() -> None:
    weight_of_second = []
    for seed in range(100):
        merged = filled(2 * seed, np.arange(1000))
        observe_merge(merged, filled(2 * seed + 1, np.arange(1000, 4000)))
        seen = observation(merged)
        assert (seen.lo, seen.hi, merged.count, seen.sample.size) == (0, 3999, 4000, 50)
        weight_of_second.append((seen.sample >= 1000).mean())
    assert abs(np.mean(weight_of_second) - 0.75) < 0.04  # sigma 0.006


def test_merge_goes_on_in_the_stream() -> None:
    merged = filled(0, [1.0, 2.0], capacity=10)
    observe_merge(merged, filled(1, [3.0], capacity=10))
    observe_update(merged, [-4.0])
    seen = observation(merged)
    assert sorted(seen.sample.tolist()) == [-4, 1, 2, 3] and (seen.lo, seen.hi) == (-4, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_only_finite_values(bad: float) -> None:
    with pytest.raises(InputError, match=r"^block0\.conv: only finite values can be observed"):
        observe_update(Reservoir(0), [0.0, bad], "block0.conv")


def test_nothing_observed() -> None:
    empty = Reservoir(0)
    observe_update(empty, np.empty((0, 3)))
    with pytest.raises(InputError, match=r"^pool: no value was observed$"):
        observation(empty, "pool")
