from __future__ import annotations

import numpy as np
import pytest

from fxp.kernels.pointwise import add, affine, argmax

NARROW_AND_WIDE = pytest.mark.parametrize("dtype", [np.int32, np.int64])


@NARROW_AND_WIDE
def test_affine(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-99, 99, (5, 19))
    scale, bias = rng.integers(-99, 99, (2, 19))
    y = np.full(x.shape, 77, dtype)
    affine(x.astype(np.int32), scale.astype(dtype), bias.astype(dtype), y)
    assert np.array_equal(y, scale * x + bias)


@NARROW_AND_WIDE
def test_add(dtype: type) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(-99, 99, (2, 5, 19))
    left_a, left_b = 1 << rng.integers(0, 9, (2, 19))
    y = np.full(a.shape, 77, dtype)
    add(a.astype(np.int32), b.astype(dtype), left_a.astype(dtype), left_b.astype(dtype), y)
    assert np.array_equal(y, left_a * a + left_b * b)


def picked(x: list[list[int]], left: list[int]) -> list[int]:
    frames = np.array(x)[:, None, :]  # (T, 1, C)
    y = np.full((len(x), 1, 1), 77)
    argmax(frames, np.array(left), y)
    return y[:, 0, 0].tolist()


def test_argmax_takes_the_lowest_of_equals() -> None:
    assert picked([[3, 5, 5], [5, 5, 1], [-4, -4, -4], [-9, -8, -7]], [0, 0, 0]) == [1, 0, 0, 2]


@pytest.mark.parametrize("left", [[0, 0], [0, 3], [3, 0], [5, 4], [0, 62], [90, 0], [0, 63]])
def test_argmax_compares_numbers_at_different_binary_points(left: list[int]) -> None:
    edges = [0, 1, 7, 8, 9, 15, 16, 17, 2**31, 2**62 - 1]
    words = sorted({*edges, *(-word for word in edges), -(2**62)})
    pairs = [[a, b] for a in words for b in words]
    expected = [int(b << left[1] > a << left[0]) for a, b in pairs]
    assert picked(pairs, left) == expected
