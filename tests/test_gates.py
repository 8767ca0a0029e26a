"""Accuracy-regression gates, and that a gate can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gates import baseline
from tests.gates.measure import PARTS, Measured, hugadb


@pytest.mark.parametrize("part", sorted(PARTS))
def test_no_figure_fell_behind_the_baseline(part: str) -> None:
    found = baseline.compare(part, baseline.load(), PARTS[part]())
    assert not [str(d) for d in found if d.regression]


@pytest.mark.hugadb
def test_no_figure_on_recordings_fell_behind_the_baseline(hugadb_root: Path) -> None:
    found = baseline.compare("hugadb", baseline.load(), hugadb(hugadb_root))
    assert not [str(d) for d in found if d.regression]


def _stored(**gates: tuple[Any, float | None]) -> dict[str, Any]:
    table = {name: {"value": v, "tolerance": t} for name, (v, t) in gates.items()}
    return {"parts": {"p": {"data_hash": "h", "gates": table}}}


def test_a_tolerant_figure_may_fall_by_its_tolerance_and_no_further() -> None:
    stored = _stored(a=(90.0, 2.0))
    assert not baseline.compare("p", stored, Measured({"a": 90.0}, "h"))
    (at_bound,) = baseline.compare("p", stored, Measured({"a": 88.0}, "h"))
    (below,) = baseline.compare("p", stored, Measured({"a": 87.9}, "h"))
    (better,) = baseline.compare("p", stored, Measured({"a": 99.0}, "h"))
    assert [d.regression for d in (at_bound, below, better)] == [False, True, False]
    assert str(below) == "REGRESSION: p/a: baseline 90.0, now 87.9 (may fall by 2.0)"


def test_an_exact_figure_may_not_move_either_way() -> None:
    stored = _stored(macs=(100, None))
    for now in (99, 101):
        (difference,) = baseline.compare("p", stored, Measured({"macs": now}, "h"))
        assert difference.regression


def test_missing_new_and_foreign_figures_fail() -> None:
    stored = _stored(a=(1.0, 2.0))
    assert baseline.compare("p", stored, Measured({}, "h"))[0].regression
    assert baseline.compare("p", stored, Measured({"a": 1.0, "b": 2}, "h"))[0].regression
    (foreign,) = baseline.compare("p", stored, Measured({"a": 1.0}, "other data"))
    assert foreign.regression and "data hash" in str(foreign)
    assert baseline.compare("never stored", stored, Measured({"a": 1.0}, "h"))[0].regression


def test_a_new_baseline_keeps_the_parts_not_measured() -> None:
    stored = _stored(a=(1.0, None))
    new = baseline.rebaselined(stored, {"q": Measured({"x/f1_50": 5.0, "x/macs": 3}, "k")})
    assert new["parts"]["p"] == stored["parts"]["p"]
    assert new["parts"]["q"]["gates"] == {
        "x/f1_50": {"value": 5.0, "tolerance": 8.0},
        "x/macs": {"value": 3, "tolerance": None},
    }
    assert not baseline.compare("q", new, Measured({"x/f1_50": 5.0, "x/macs": 3}, "k"))
