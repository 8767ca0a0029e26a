"""Every planted bug of the RTL engine is found by a run of the network's own bundle.

And none by those before the run that the list names: it takes all kinds of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from hw_model.rtl import simulators
from hw_model.rtl.bench_files import hardware_files
from hw_model.rtl.bench_log import Run
from hw_model.rtl.runs import CLIPS, MAIN, Place, Settings, plan_runs
from hw_model.rtl.simulators import sources
from tests.rtl_bugs import BUGS
from tests.rtl_cases import need
from tests.rtl_networks import special_network
from tests.rtl_planting import Bug
from tests.rtl_runs import written

# the others' first runs are those of tests/test_rtl_random.py
NETWORKS = sorted({bug.network for bug in BUGS.values() if bug.found_by in ("clips", "stress")})
# bugs that so many kinds of runs find, of all there are
ALONE = {
    "argmax takes the last of equals": {"words", "stalls", "clips", "stress"},
    "pass one cycle longer": {"cycles", "clips", "stress"},
    "stall drops a word": {"stalls"},
    "running sum of the clip before": {"clips"},
    "running sum one bit too narrow": {"stress"},
}


@dataclass(frozen=True)
class Bench:
    """A network's runs by name, their hardware and folders, and the includes of each hardware."""

    runs: dict[str, tuple[Place, Path]]
    includes: dict[Place, Path]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    need("icarus")

    @cache
    def made(name: str) -> Bench:
        return bench_of(name, tmp_path_factory.mktemp(name))

    return made


def bench_of(name: str, root: Path) -> Bench:
    """The runs of a special network, in a folder."""
    network = special_network(name)
    planned = plan_runs(network.graph, network.clip, Settings(network.lanes))
    folders = {
        run.name: (run.hardware, written(root / run.name, run.bench.files)) for run in planned.runs
    }
    includes = {
        place: written(root / "includes" / place, hardware_files(design))
        for place, design in planned.hardware.items()
    }
    return Bench(folders, includes)


def planted(bug: Bug, folder: Path) -> Path:
    """Sources of the engine and its bench with the bug in them."""
    texts = {path.name: path.read_text() for path in sources()}
    for edit in bug.edits:
        assert texts[edit.file].count(edit.old) == 1, edit
        texts[edit.file] = texts[edit.file].replace(edit.old, edit.new)
    return written(folder, {name: text.encode() for name, text in texts.items()})


def complaints(bug: Bug, bench: Bench, folder: Path) -> Iterator[str]:
    """What the runs that find the bug say, one after another, as the list of bugs puts it."""
    files = sources(planted(bug, folder / "planted"))
    for name, (place, path) in bench.runs.items():
        built = simulators.build("icarus", files, bench.includes[place], cache=folder / "built")
        for stall in (False, True) if name == MAIN else (False,):
            done = simulators.run(built, path, stall=stall)
            assert done.passed or done.differences, done.log
            if not done.passed:
                kinds = {MAIN: "stalls" if stall else _differing(done), CLIPS: "clips"}
                yield kinds.get(name, "stress")


def _differing(done: Run) -> str:
    ports = {"cycles" if each.port == "cycles" else "words" for each in done.differences}
    return " ".join(sorted(ports, reverse=True))


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_found(name: str, bench: Callable[[str], Bench], tmp_path: Path) -> None:
    bug = BUGS[name]
    assert next(complaints(bug, bench(bug.network), tmp_path), "nothing") == bug.found_by


@pytest.mark.parametrize("network", NETWORKS)
def test_without_a_bug_nothing_is_found(
    network: str, bench: Callable[[str], Bench], tmp_path: Path
) -> None:
    assert not list(complaints(Bug(network, "words", ()), bench(network), tmp_path))


def test_every_kind_of_run_finds_what_those_before_do_not() -> None:
    assert {bug.found_by for bug in BUGS.values()} >= {
        "words",
        "cycles",
        "stalls",
        "clips",
        "stress",
    }
    assert sum(bug.found_by == "stress" for bug in BUGS.values()) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kinds"), ALONE.items())
def test_one_kind_of_run_alone_is_not_enough(
    name: str, kinds: set[str], bench: Callable[[str], Bench], tmp_path: Path
) -> None:
    bug = BUGS[name]
    assert set(complaints(bug, bench(bug.network), tmp_path)) == kinds
