from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fxp.kernels.temporal import delay, temporal_conv, temporal_sum

FRAMES = 23


def chunks(rng: np.random.Generator) -> list[int]:
    """Where to cut a clip of FRAMES frames."""
    return sorted({0, FRAMES, *rng.integers(0, FRAMES, 4).tolist()})


@pytest.mark.parametrize("window", [1, 2, 3, 5, 30])
@pytest.mark.parametrize("dilation", [1, 2, 3, 7])
def test_running_sum_equals_the_sum_over_the_window(window: int, dilation: int) -> None:
    rng = np.random.default_rng(window + 100 * dilation)
    x = rng.integers(-99, 99, (FRAMES, 3))
    fifo, total = np.zeros((window * dilation, 3), np.int64), np.zeros((dilation, 3), np.int64)
    y = np.full_like(x, 77)
    cuts = chunks(rng)
    for a, b in pairwise(cuts):
        temporal_sum(x[a:b], a, fifo, total, y[a:b])
    for t in range(FRAMES):
        past = [t - k * dilation for k in range(window) if t >= k * dilation]
        assert np.array_equal(y[t], x[past].sum(axis=0))


def test_running_sum_never_drifts_even_when_32_bits_wrap_in_between() -> None:
    x = np.tile(np.array([[2**31 - 1], [-(2**31)], [-1]], np.int32), (40, 1))
    y = np.empty_like(x)
    fifo, total = np.zeros((2, 1), np.int32), np.zeros((1, 1), np.int32)
    temporal_sum(x, 0, fifo, total, y)
    wrapped = x.astype(np.int64)
    wrapped[1:] += x[:-1]
    assert np.array_equal(y, wrapped.astype(np.int32))


@pytest.mark.parametrize("taps", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_temporal_conv_at_every_lookahead_and_cut(taps: int, dilation: int, stride: int) -> None:
    rng = np.random.default_rng(taps + 100 * dilation)
    x = rng.integers(-99, 99, (FRAMES, 2, 3))
    weight, bias = rng.integers(-99, 99, (taps, 3, 4)), rng.integers(-99, 99, 4)
    reach = (taps - 1) * dilation
    for lookahead in range(reach + 1):
        ring = np.zeros((reach + 1, 2, 3), np.int64)
        parts, cuts = [], chunks(rng)
        for a, b in pairwise(cuts):
            flush = lookahead if b == FRAMES else 0
            there = [t for t in range(0, FRAMES, stride) if a <= t + lookahead < b + flush]
            y = np.full((len(there), 2, 4), 77)
            temporal_conv(x[a:b], flush, a, lookahead, stride, dilation, ring, weight, bias, y)
            parts.append(y)
        y = np.concatenate(parts)
        assert len(y) == -(-FRAMES // stride)
        for t in range(0, FRAMES, stride):
            expected = np.tile(bias, (2, 1))
            for k in range(taps):
                s = t + lookahead - (taps - 1 - k) * dilation
                if 0 <= s < FRAMES:
                    expected += x[s] @ weight[k]
            assert np.array_equal(y[t // stride], expected)


@pytest.mark.parametrize("late", [0, 1, 2, 5, FRAMES, FRAMES + 3])
def test_delay_keeps_frames_until_the_other_operand_has_them(late: int) -> None:
    """The other operand comes anything up to `late` frames later, and at the end is complete."""
    rng = np.random.default_rng(late)
    x = rng.integers(-99, 99, (FRAMES, 3))
    for depth in (late, late + 2) if late else (2,):
        ring = np.zeros((depth, 3), np.int64)
        parts, first = [], 0
        for a, b in pairwise(chunks(rng)):
            last = FRAMES if b == FRAMES else max(first, b - int(rng.integers(0, late + 1)))
            y = np.full((last - first, 3), 77)
            delay(x[a:b], a, first, ring, y)
            first = last
            parts.append(y)
            for frame in range(max(0, b - depth), b):
                assert np.array_equal(ring[frame % depth], x[frame])
        assert np.array_equal(np.concatenate(parts), x)
