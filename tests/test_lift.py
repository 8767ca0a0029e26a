"""The slow vertical channels: a plain Python definition, their bounds, and a made-up ride."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgcn_ref.lift import lift_channels, squared_magnitude


def _plain(q: list[list[int]], n: int) -> list[tuple[list[int], int]]:
    """The module's text in plain Python, one (surplus of each joint, velocity) per step."""
    means = [word * 256 for word in q[0]]
    speed, found = 0, []
    for row in q:
        differences = [word - mean // 256 for word, mean in zip(row, means, strict=True)]
        means = [
            mean + max(-100 * n, min(100 * n, d))
            for mean, d in zip(means, differences, strict=True)
        ]
        limit = 4096 * n // 3
        surplus = [max(-limit, min(limit, d)) for d in differences]
        zone = 300 * n * len(row)
        total = sum(surplus)
        total = total - zone if total > zone else total + zone if total < -zone else 0
        speed = max(-(2**24), min(2**24 - 1, speed - speed // 2**12 + total))
        if any(abs(d) > 4000 * n for d in differences):
            speed = 0
        found.append((surplus, max(-(2**17), min(2**17 - 1, speed)) // 4))
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_equals_the_plain_definition(n: int, joints: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spread = int(10 ** rng.uniform(0, 5))
    q = np.clip(
        rng.integers(8192 * n - spread, 8192 * n + spread + 1, (steps, joints)), 0, 32767 * n
    )
    found = lift_channels(q, n)
    assert found.shape == (steps, 2, joints)
    for t, (surplus, velocity) in enumerate(_plain(q.tolist(), n)):
        assert found[t, 0].tolist() == surplus
        assert set(found[t, 1].tolist()) == {velocity}


def test_words_fit_16_bits_at_the_most_frames_per_step() -> None:
    q = np.zeros((3000, 6), dtype=np.int64)
    q[1:] = 4000 * 8  # as far off the mean as the gate lets pass
    for sign in (1, -1):
        found = lift_channels(sign * q, 8)
        assert found.min() >= -(2**15) and found.max() < 2**15
        assert abs(found[:, 1]).max() >= 2**15 - 1


def test_a_ride_shows_between_its_bursts_and_a_blow_clears_it() -> None:
    n, rest = 6, 8192 * 6
    q = np.full((300, 6), rest)
    q[50:62] += 5000  # a tenth of gravity for 1.2 s
    q[200:212] -= 5000
    velocity = lift_channels(q, n)[:, 1, 0]
    assert not velocity[:50].any()
    assert (velocity[62:200] > 20_000).all()
    assert abs(velocity[212:]).max() < velocity.max() / 5  # the means have crept a little
    q[100] += 4500 * n  # a step on the stairs
    assert not lift_channels(q, n)[100:200, 1].any()


def test_squared_magnitude_by_hand() -> None:
    acc = np.array([[[0, 16384, -32768], [0, 0, -32768], [16384, 0, -32768]]])
    assert squared_magnitude(acc).tolist() == [[8192, 8192, 32767]]


@pytest.mark.parametrize("frames_per_step", [1, 3, 8])
def test_rest_is_zero(frames_per_step: int) -> None:
    q = np.full((50, 6), 8192 * frames_per_step)
    assert not lift_channels(q, frames_per_step).any()
