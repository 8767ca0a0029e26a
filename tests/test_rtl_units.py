"""Units of the RTL engine alone: every word they give is the definition's, in its cycle."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from fxp.elementary import LEAST_MANTISSA, MANTISSA_BITS
from fxp.qformat import QFormat
from tests.rtl_cases import need
from tests.rtl_sweeps import share_case
from tests.rtl_unit_cases import (
    NAMES,
    every_distance,
    every_division,
    every_sum,
    share_graph,
    unit_case,
)
from tests.rtl_units import log_of, root_case


@pytest.fixture(autouse=True)
def icarus() -> None:
    """Skipped where it is missing, unless it must be there."""
    need("icarus")


@pytest.mark.parametrize("name", NAMES)
def test_every_word(name: str, tmp_path: Path) -> None:
    log = log_of(unit_case(name), tmp_path)
    assert "PASS: " in log, log


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [9, 31])
def test_the_root_of_every_mantissa(pairs: int, tmp_path: Path) -> None:
    """At the exponent where it is the whole variance, and at the largest."""
    mantissas = range(LEAST_MANTISSA, 1 << MANTISSA_BITS)
    shift = 2 * pairs - MANTISSA_BITS
    log = log_of(root_case([m << shift for m in mantissas], 48, 2, pairs), tmp_path)
    assert "PASS: 196608 words" in log, log


@pytest.mark.slow
def test_the_shares_of_every_distance(tmp_path: Path) -> None:
    graph = share_graph(QFormat(16, 10), (2, 1024), 16, 15)
    log = log_of(share_case(graph, every_distance(16, 1024), 2, 1), tmp_path)
    assert "PASS: " in log, log


@pytest.mark.slow
def test_the_shares_of_every_three_words(tmp_path: Path) -> None:
    """Of four bits: all 4096 of them, the quotients of 30 bits."""
    graph = share_graph(QFormat(4, 1), (3, 1024), 24, 30)
    words = np.array(list(product(range(-8, 8), repeat=3)))  # (words, C)
    clip = words.reshape(4, 1024, 3).transpose(0, 2, 1)
    log = log_of(share_case(graph, clip, 2, 1), tmp_path)
    assert "PASS: " in log, log


def test_all_there_is_is_all_there_is() -> None:
    divisions = list(every_division(3, 2))
    assert len({repr(each) for each in divisions}) == len(divisions) == 28 * 7 + 3 * 7
    fmt = QFormat(4, 0)
    for frames in (1, 2, 7):
        clip = every_sum(fmt, frames)
        assert clip.min() == -8 and clip.max() == 7
        assert clip.sum(axis=0)[0].tolist() == list(range(-8 * frames, 7 * frames + 1))
