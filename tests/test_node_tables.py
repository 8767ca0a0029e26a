from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from fxp import node_tables
from fxp.elementary import ROOT_BITS, exponential
from fxp.errors import FormatError
from fxp.node_tables import (
    exp_tables,
    layer_norm_epsilon,
    reciprocal_root_seeds,
    worst_exp_error,
    worst_root_error,
    worst_share_error,
)
from fxp.qformat import QFormat


@pytest.mark.parametrize("entries", [3, 6, 48, 384, 3 << 16])
def test_seeds_are_the_roots_of_their_middles(entries: int) -> None:
    seeds = reciprocal_root_seeds(entries)
    assert seeds.dtype == np.int64
    assert seeds.shape == (entries,)
    for i in {0, 1, entries // 2, entries - 1}:
        middle = Fraction(1, 4) + Fraction(3, 4) * Fraction(2 * i + 1, 2 * entries)
        seed = Fraction(int(seeds[i]), 2**ROOT_BITS)
        assert seed**2 * middle <= 1 < (seed + Fraction(1, 2**ROOT_BITS)) ** 2 * middle


@pytest.mark.parametrize("entries", [0, 1, 4, 9, 3 << 17])
def test_other_table_sizes_are_refused(entries: int) -> None:
    with pytest.raises(FormatError, match=rf"^`entries` must be 3 \* 2\*\*j.*, got {entries}$"):
        reciprocal_root_seeds(entries)


def test_more_seeds_or_steps_are_nearer() -> None:
    errors = [
        max(map(abs, worst_root_error(reciprocal_root_seeds(entries), steps)))
        for entries, steps in ((48, 0), (96, 0), (48, 1), (48, 2))
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 1e-5 < errors[2]


def test_epsilon_in_units_of_the_variance() -> None:
    # 0.5 * 3**2 * 2**2 = 18, unbiased 0.5 * 3 * 2 * 2**2 = 12
    assert layer_norm_epsilon(0.5, 3, 1).tolist() == [18]
    assert layer_norm_epsilon(0.5, 3, 1, unbiased=True).tolist() == [12]
    # 0.5 * 1 * 2**0 = 1/2 rounds up; 0.25 down; fractional bits may be negative
    assert [layer_norm_epsilon(eps, 1, 0)[0] for eps in (0.5, 0.25, 0.0)] == [1, 0, 0]
    assert layer_norm_epsilon(40.0, 1, -2).tolist() == [3]  # 40 / 16 = 2.5


def test_impossible_epsilons_are_refused() -> None:
    for eps in (-1.0, float("nan"), float("inf")):
        with pytest.raises(FormatError, match="`eps` must be a number of at least 0"):
            layer_norm_epsilon(eps, 4, 0)
    with pytest.raises(FormatError, match="needs more than 62 bits at 40 `frac_bits`"):
        layer_norm_epsilon(1.0, 4, 40)


@pytest.mark.parametrize(
    ("fmt", "exp_bits"),
    [(QFormat(8, 4), 16), (QFormat(8, 7), 8), (QFormat(16, 11), 16), (QFormat(12, -2), 24)],
)
def test_entries_are_exponentials_rounded_half_up(fmt: QFormat, exp_bits: int) -> None:
    coarse, fine = exp_tables(fmt, exp_bits)
    assert coarse.dtype == fine.dtype == np.int64
    for table, step in ((fine, 1), (coarse, len(fine))):
        exact = np.exp(-np.ldexp(np.arange(len(table)) * 1.0 * step, -fmt.frac_bits))
        assert (np.abs(table - np.ldexp(exact, exp_bits)) < 0.5 + 1e-6).all()
    reach = len(coarse) * len(fine)
    assert coarse[-1] == 0 or reach >= 1 << fmt.word_bits  # no difference falls off the end


def test_one_table_where_it_is_small_two_where_it_is_not() -> None:
    assert [len(exp_tables(QFormat(8, frac))[1]) for frac in (0, 4, 8)] == [1, 1, 1]
    assert [len(exp_tables(QFormat(16, frac))[1]) for frac in (5, 6, 12)] == [1, 32, 256]


def test_impossible_exponentials_are_refused() -> None:
    for bits in (0, 25):
        with pytest.raises(FormatError, match=rf"^`exp_bits` must be 1..24, got {bits}$"):
            exp_tables(QFormat(8, 4), bits)
    with pytest.raises(FormatError, match="more than tables hold"):
        exp_tables(QFormat(32, 31))


@pytest.mark.parametrize("fmt", [QFormat(8, 4), QFormat(10, 3, signed=False), QFormat(12, 9)])
def test_worst_errors_are_those_of_the_definition(fmt: QFormat) -> None:
    coarse, fine = (table.tolist() for table in exp_tables(fmt, 12))
    powers = [exponential(d, coarse, fine, 12) for d in range(1 << fmt.word_bits)]
    exact = [math.exp(-d * 2.0**-fmt.frac_bits) for d in range(1 << fmt.word_bits)]
    worst = max(abs(p / 4096 - e) for p, e in zip(powers, exact, strict=True))
    assert worst_exp_error(fmt, 12) == pytest.approx(worst, rel=1e-9)
    shares = [
        abs((part << 10) // (4096 + p) / 1024 - ideal / (1 + e))
        for p, e in zip(powers, exact, strict=True)
        for part, ideal in ((p, e), (4096, 1.0))
    ]
    assert worst_share_error(fmt, 10, 12) == pytest.approx(max(shares), rel=1e-9)


def test_the_command_prints_the_worst_error(capsys: pytest.CaptureFixture[str]) -> None:
    node_tables.main()
    printed = capsys.readouterr().out
    assert "196608 mantissas: relative error -3.815e-06 to +9.452e-06" in printed
    assert "191 x 1 entries" in printed
    assert "all pairs: error 4.439e-05" in printed
