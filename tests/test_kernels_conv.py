from __future__ import annotations

import numpy as np
import pytest

from fxp.kernels.conv import conv, multiply_add


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("rows", range(6))
@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5, 7, 8, 13])
def test_every_remainder_of_the_blocks(dtype: type, rows: int, inputs: int) -> None:
    rng = np.random.default_rng(rows + 10 * inputs)
    for outputs in (1, 2, 17):
        x = rng.integers(-99, 99, (rows, inputs))
        weight = rng.integers(-99, 99, (inputs, outputs))
        bias = rng.integers(-9999, 9999, outputs)
        y = np.full((rows, outputs), 77, dtype)
        conv(x.astype(dtype), weight.astype(dtype), bias.astype(dtype), y)
        assert np.array_equal(y, x @ weight + bias)
        multiply_add(x.astype(dtype), weight.astype(dtype), y)
        assert np.array_equal(y, 2 * (x @ weight) + bias)


def test_sums_that_wrap_on_the_way_are_exact() -> None:
    x = np.array([[2**31 - 1, 2**31 - 1, -(2**31)]], np.int32)
    weight = np.array([[3], [-3], [1]], np.int32)
    y = np.empty((1, 1), np.int32)
    conv(x, weight, np.array([5], np.int32), y)
    assert y[0, 0] == 5 - 2**31


def test_32_bit_operands_enter_64_bit_sums() -> None:
    x = np.full((3, 5), -(2**31), np.int32)
    weight = np.full((5, 2), 2**27 - 1, np.int64)
    y = np.empty((3, 2), np.int64)
    conv(x, weight, np.zeros(2, np.int64), y)
    assert (y == -5 * 2**31 * (2**27 - 1)).all()
