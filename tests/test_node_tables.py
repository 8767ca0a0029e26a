from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fxp import node_tables
from fxp.elementary import ROOT_BITS
from fxp.errors import FormatError
from fxp.node_tables import layer_norm_epsilon, reciprocal_root_seeds, worst_root_error


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


def test_the_command_prints_the_worst_error(capsys: pytest.CaptureFixture[str]) -> None:
    node_tables.main()
    assert "196608 mantissas: relative error -3.815e-06 to +9.452e-06" in capsys.readouterr().out
