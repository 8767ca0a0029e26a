"""Every planted bug of a unit is found by the case of its own bench that the list names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl_bugs_units import UNIT_BUGS
from tests.rtl_cases import need
from tests.rtl_planting import Bug
from tests.rtl_unit_cases import unit_case
from tests.rtl_units import log_of
from tests.test_rtl_bugs import bench_of, complaints


@pytest.fixture(autouse=True)
def icarus() -> None:
    """Skipped where it is missing, unless it must be there."""
    need("icarus")


HIDDEN = [name for name, bug in UNIT_BUGS.items() if bug.network is not None]


@pytest.mark.parametrize("name", UNIT_BUGS)
def test_planted_bug_is_found(name: str, tmp_path: Path) -> None:
    bug = UNIT_BUGS[name]
    log = log_of(unit_case(bug.case), tmp_path, bug.edits)
    assert "FAIL: " in log


@pytest.mark.slow
@pytest.mark.parametrize("name", HIDDEN)
def test_no_run_of_the_network_finds_it(name: str, tmp_path: Path) -> None:
    bug = UNIT_BUGS[name]
    assert bug.network is not None
    bench = bench_of(bug.network, tmp_path / "runs")
    assert not list(complaints(Bug(bug.network, "words", bug.edits), bench, tmp_path))
