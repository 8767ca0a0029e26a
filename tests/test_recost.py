"""Kept networks priced again: equal while nothing changed, today's costs once something has."""

from __future__ import annotations

import csv
import dataclasses
import math
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import dse.__main__
import dse.evaluate
import dse.work
from dse.evaluate import evaluate_design
from dse.metrics import REFUSED
from dse.recost import Recosted, changes, moved, recost_sweep, write_recosted
from dse.store import Store, locked
from fxp.console import run
from hw_model.accelerator import load_accelerator
from hw_model.cost import Estimate, estimate
from reports.comparison_page import COSTS_OF_THEN
from tests.sweeping import COST_SPACE, sweep, write_space

TABLES = {"results.csv": "recosted.csv", "pareto.csv": "recosted_pareto.csv"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def command(*arguments: object) -> Any:
    return CliRunner().invoke(dse.__main__.app, ["recost", *map(str, arguments)])


def board(path: Path, **changed: object) -> Path:
    """An accelerator file: zu7ev, with some keys changed."""
    content = load_accelerator("zu7ev").model_dump(mode="json")
    path.write_text(yaml.safe_dump({**content, "name": "board", **changed}))
    return path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep for cost alone, four of its points infeasible; tests only read it."""
    folder = tmp_path_factory.mktemp("swept")
    assert sweep(write_space(folder, COST_SPACE), folder / "run").infeasible == 4
    return folder / "run"


@pytest.fixture
def copy(swept: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    shutil.copytree(swept, tmp_path / "run")
    return tmp_path / "run"


def test_where_nothing_changed_the_tables_are_the_sweeps(copy: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with locked(copy):  # as while a sweep is running
        answer = command(copy)
    assert answer.exit_code == 0, answer.output
    for old, new in TABLES.items():
        assert (copy / new).read_bytes() == (copy / old).read_bytes()
    assert {path: path.read_bytes() for path in before} == before
    added = {path.name for path in copy.rglob("*") if path.is_file()} - {p.name for p in before}
    assert added <= {*TABLES.values(), "results.sqlite-shm", "results.sqlite-wal"}
    front = len(rows(copy / "pareto.csv"))
    assert f"front of 16 points: {front} then, {front} now; 0 entered, 0 left" in answer.output
    assert "unchanged: energy_uj, latency_s," in answer.output
    assert "infeasible points: 4 then, 4 now" in answer.output
    assert "least %" not in answer.output and "without a kept network" not in answer.output


def test_a_changed_accelerator_costs_what_a_sweep_on_it_costs(tmp_path: Path) -> None:
    """Two files are changed: one is slower and has another name, one holds less."""
    one, two = board(tmp_path / "one.yaml"), board(tmp_path / "two.yaml", name="second")
    limit = "latency_cycles <= 620"
    content = {**COST_SPACE, "accelerators": [one.name, two.name], "constraints": [limit]}
    space = write_space(tmp_path, content)
    sweep(space, tmp_path / "run")
    dram = {"bytes_per_s": 1e9, "latency_s": 1e-6}
    board(one, name="slower", engine={"kind": "lanes", "lanes": 2}, clock_hz=1e8)
    memory = {"capacity_bits": 12_000, "ports": 8, "port_bits": 36}
    board(two, name="second", memory=memory, dram=dram)
    write_recosted(recost_sweep(tmp_path / "run"), tmp_path / "run")
    sweep(space, tmp_path / "again")
    for old, new in TABLES.items():
        ran, fresh = rows(tmp_path / "run" / new), rows(tmp_path / "again" / old)
        assert [{**row, "point": ""} for row in ran] == [{**row, "point": ""} for row in fresh]
    then, now = (rows(tmp_path / "run" / name) for name in ("results.csv", "recosted.csv"))
    assert [row["point"] for row in then] == [row["point"] for row in now]
    assert {row["accelerator"] for row in now} == {"slower", "second"}
    assert {row["status"] for row in now} == {"ok", "infeasible"}  # so both kinds are compared
    assert {row["dram_bytes"] for row in then} == {"0.0"} != {row["dram_bytes"] for row in now}


def test_one_accelerator_for_all(copy: Path) -> None:
    answer = command(copy, "--accelerator", "pynq-z2", "--by", "accelerator")
    assert answer.exit_code == 0, answer.output
    found = rows(copy / "recosted.csv")
    assert {row["accelerator"] for row in found} == {"pynq-z2"}
    assert all(row["design"].endswith(", pynq-z2") for row in found)
    assert "infeasible points: 4 then, 0 now" in answer.output  # the array took 16 bits
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert one["point"] != other["point"] and one["network"] == other["network"]
        assert one["latency_s"] == other["latency_s"]
    lines = [line.split()[:3] for line in answer.output.splitlines()]
    for name in ("zu7ev", "array-8x8-16b"):  # what the points had
        assert ["interval_cycles", name, "8"] in lines


def test_a_changed_model_shows_by_width_and_moves_the_front(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dearer(graph: Any, accelerator: Any, **options: Any) -> Estimate:
        """Narrow weights became dearer: all but those of 8 bits cost a hundred times as much."""
        cost = estimate(graph, accelerator, **options)
        factor = 100 if " w4" in graph.name else 1
        return dataclasses.replace(
            cost,
            energy_uj=cost.energy_uj * factor,
            memory_bits=cost.memory_bits * factor,
            latency_s=cost.latency_s * factor,
        )

    monkeypatch.setattr(dse.evaluate, "estimate", dearer)
    answer = command(copy)
    lines = [line.split() for line in answer.output.splitlines()]
    for cost in ("energy_uj", "memory_bits", "latency_s"):
        assert [cost, "all", "16", "0", "+4950.00", "+9900.00"] in lines
        assert [cost, "4", "8", "+9900.00", "+9900.00", "+9900.00"] in lines
        assert [cost, "8", "8", "0", "0", "0"] in lines
    assert not any(line[0] == "macs" for line in lines)
    by_plan = [line.split() for line in command(copy, "--by", "plan").output.splitlines()]
    assert ["energy_uj", "tiny", "8", "0", "+4950.00", "+9900.00"] in by_plan
    old, new = rows(copy / "pareto.csv"), rows(copy / "recosted_pareto.csv")
    assert {row["weight_bits"] for row in new} == {"8"} != {row["weight_bits"] for row in old}
    keys = [{row["point"] for row in front} for front in (old, new)]
    assert sum(line[0] == "entered:" for line in lines) == len(keys[1] - keys[0]) > 0
    assert sum(line[0] == "left:" for line in lines) == len(keys[0] - keys[1]) > 0


def test_points_without_a_network_are_named_and_left_out(copy: Path) -> None:
    lost, failed = rows(copy / "results.csv")[0], rows(copy / "results.csv")[-1]
    (copy / "networks" / f"{lost['network']}.fxp").unlink()
    with Store(copy, create=True) as store:
        store.set_status(failed["point"], "failed", "cost: a bug")
        store.set_plan([*store.plan(), "0" * 64], {})
        store.set_status(lost["point"], "infeasible", "a constraint")
    answer = command(copy)
    assert answer.exit_code == 0, answer.output
    assert "points without a kept network: 3\n" in answer.output  # one network, two accelerators
    assert f"  {lost['design']}: {lost['network']}.fxp is missing\n" in answer.output
    assert f"  {failed['design']}: failed: cost: a bug\n" in answer.output
    assert "points not evaluated yet: 1\n" in answer.output
    found = rows(copy / "recosted.csv")
    assert len(found) == 13 and lost["network"] not in {row["network"] for row in found}
    assert "front of 13 points:" in answer.output and "0 entered, 0 left" in answer.output


def test_a_design_that_was_never_built_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(context: Any, design: Any) -> Any:
        if design.quant.label == "w4a8":
            return {REFUSED: "a sum is too wide"}
        return evaluate_design(context, design)

    monkeypatch.setattr(dse.work, "evaluate_design", picky)
    sweep(write_space(tmp_path, COST_SPACE), tmp_path / "run")
    answer = command(tmp_path / "run")
    assert "points without a kept network: 4\n" in answer.output
    assert answer.output.count(": a sum is too wide\n") == 4
    assert len(rows(tmp_path / "run" / "recosted.csv")) == 12


def test_the_rate_of_the_recordings_is_asked_for(copy: Path) -> None:
    with Store(copy, create=True) as store:
        store.set_plan(store.plan(), {"data": {"step_rate_hz": 1e9}})
    recosted = recost_sweep(copy)
    assert not recosted.front and moved(recosted)[1]
    reasons = [record["reason"] for record in recosted.now]
    assert sum("frames/s are computed, 1e+09 come in" in reason for reason in reasons) == 12


def table(*values: tuple[int, float | None, float | None]) -> Recosted:
    """Points of so many weight bits with a cost then and now."""
    then = tuple({"weight_bits": bits, "seed": 1, "c": old} for bits, old, _ in values)
    now = tuple({"weight_bits": bits, "seed": 1, "c": new} for bits, _, new in values)
    about: Mapping[str, Any] = {"metrics": {"c": {"source": "cost"}, "f1": {"source": "integer"}}}
    return Recosted(then, now, (), (), 0, about)


def test_changes_are_percent_of_what_it_was() -> None:
    recosted = table((8, 50, 75), (4, 200, 100), (8, 10, 10), (4, None, 3), (5, 3, None))
    found = {change.group: change for change in changes(recosted, ["weight_bits"])}
    assert list(found) == ["all", "8", "4"]
    one = found["all"]
    assert (one.points, one.least, one.median, one.largest) == (3, -50, 0, 50)
    assert (found["8"].points, found["8"].median, found["4"].median) == (2, 25, -50)
    by = [change.group for change in changes(recosted, ["weight_bits", "seed"])]
    assert by == ["all", "8, 1", "4, 1"]
    (nothing, _) = changes(table((8, 0, 0), (8, 0.0, 2)), ["seed"])
    assert (nothing.least, nothing.largest) == (0, math.inf)
    assert not list(changes(table((8, None, None)), ["seed"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "bits"], "--by: must be one of model, family, "),
        (["--accelerator", "zu8"], "unknown accelerator 'zu8'"),
    ],
)
def test_a_mistake_is_one_line(
    swept: Path,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dse", "recost", str(swept), *options])
    with pytest.raises(SystemExit) as ended:
        run(dse.__main__.app)
    said = capsys.readouterr()
    assert ended.value.code == 2 and not said.out
    assert said.err.startswith(f"error: {message}") and said.err.count("\n") == 1
    assert not (swept / "recosted.csv").exists()


def test_what_cannot_be_read_is_named_and_nothing_written(copy: Path, tmp_path: Path) -> None:
    networks = [path for path in (copy / "networks").iterdir() if "tallies" not in path.name]
    networks[-1].write_bytes(networks[-1].read_bytes()[:-40])
    answer = command(copy)
    assert networks[-1].name in str(answer.exception)
    for path in networks:
        path.unlink()
    answer = command(copy)
    assert str(answer.exception) == f"{copy}: no evaluated point has a kept network"
    assert not any((copy / name).exists() for name in TABLES.values())
    assert "holds no results of a sweep" in str(command(tmp_path / "none").exception)


def test_a_lost_accelerator_file_needs_another(tmp_path: Path) -> None:
    mine = board(tmp_path / "mine.yaml")
    space = write_space(tmp_path, {**COST_SPACE, "accelerators": [mine.name]})
    sweep(space, tmp_path / "run")
    mine.unlink()
    said = str(command(tmp_path / "run").exception)
    assert "mine.yaml" in said and said.endswith("; `--accelerator` gives another for all")
    assert command(tmp_path / "run", "--accelerator", "zu7ev").exit_code == 0


def test_the_comparison_says_whose_costs_it_has() -> None:
    page = Path(__file__).parent.parent / "docs" / "comparison.md"
    assert page.read_text(encoding="utf-8").splitlines().count(COSTS_OF_THEN) == 1
