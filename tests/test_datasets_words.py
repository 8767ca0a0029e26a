"""Coordinates as words: the rounding, the range, and what the metadata says of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.datasets.words import HIGHEST, LOWEST, to_values, to_words, word_meta


def test_rounds_half_up() -> None:
    values = np.array([0.0, 0.49999999999999994, 0.5, 1.5, 2.5, -0.5, -1.5, -0.51])
    assert to_words(values, 0, "here").tolist() == [0, 0, 1, 2, 3, 0, -1, -1]
    halves = [1 / 2048, -1 / 2048, 3 / 2048, -3 / 2048, 1 / 1024]
    assert to_words(halves, 10, "here").tolist() == [1, 0, 2, -1, 1]


@given(st.integers(LOWEST, HIGHEST), st.integers(0, 15))
def test_words_on_the_grid_are_exact(word: int, frac_bits: int) -> None:
    found = to_words([word / 2**frac_bits], frac_bits, "here")
    assert found.dtype == np.int32 and found.tolist() == [word]


@pytest.mark.parametrize("value", [32.0, -32.001, 1e300, -1e300])
def test_out_of_range(value: float) -> None:
    values = np.zeros((3, 2, 2))
    values[2, 1, 0] = value
    with pytest.raises(InputError, match=r"^f\.txt: frame 2: coordinates must be -32\.\.31\.999"):
        to_words(values, 10, "f.txt")


def test_range_ends_belong_to_it() -> None:
    assert to_words([-32.0, 32767 / 1024, 32767.4 / 1024], 10, "f").tolist() == [
        -32768,
        32767,
        32767,
    ]
    with pytest.raises(InputError, match="frame 0"):
        to_words([32767.5 / 1024], 10, "f")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value: float) -> None:
    with pytest.raises(InputError, match="f: frame 1: coordinates must be finite numbers, got"):
        to_words([[0.0], [value]], 10, "f")


def test_values_per_channel() -> None:
    for shape in ((4, 2, 3), (4, 2, 3, 2)):
        words = np.random.default_rng(0).integers(LOWEST, HIGHEST, shape, dtype=np.int32)
        values = to_values(words, (10, 0))
        assert (values[:, 0] == words[:, 0] / 1024).all() and (values[:, 1] == words[:, 1]).all()
        assert (to_words(values[:, 0], 10, "") == words[:, 0]).all()


def test_meta() -> None:
    meta = word_meta("a set", ("x", "score"), ("m", "1"), (10, 14))
    assert meta == {
        "source": "a set",
        "channels": ["x", "score"],
        "units": ["m", "1"],
        "frac_bits": [10, 14],
        "word_bits": 16,
    }
