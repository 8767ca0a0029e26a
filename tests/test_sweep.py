"""Sweeps from end to end: nothing twice, nothing lost, one failure stays one failure."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import dse.__main__
import dse.evaluate
import dse.work
from dse.axes import load_space
from dse.evaluate import network_file
from dse.golden import engine_board, engine_settings, find_point, write_golden
from dse.results import collect
from dse.store import Row, Store, locked
from dse.sweep import run_sweep
from fxp.bundle import attachment_of
from fxp.errors import InputError
from fxp.store import graph_hash, load_graph
from fxp.verify import verify_bundle
from hw_model.accelerator import Lanes, load_accelerator
from hw_model.rtl.request import Request
from hw_model.rtl.runs import Settings
from tests.golden import networks
from tests.sweeping import COST_SPACE, TRAINED_SPACE, sweep, write_space


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with training; tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    outcome = sweep(write_space(folder, TRAINED_SPACE), folder / "run")
    assert (outcome.points, outcome.evaluated, outcome.ok) == (8, 8, 8)
    return folder / "run"


def test_cost_alone_trains_nothing_and_refuses_what_cannot_run(tmp_path: Path) -> None:
    space = write_space(tmp_path, COST_SPACE)
    outcome = sweep(space, tmp_path / "run")
    assert (outcome.points, outcome.evaluated, outcome.failed) == (16, 16, 0)
    # 20-bit operands do not fit the array's 16-bit multipliers, on any of the networks
    refused = [row for row in rows(tmp_path / "run" / "results.csv") if row["status"] != "ok"]
    assert len(refused) == outcome.infeasible == 4
    assert {(row["accelerator"], row["activation_bits"]) for row in refused} == {
        ("array-8x8-16b", "20")
    }
    assert all("the multiplier takes 16 x 16" in row["reason"] for row in refused)
    assert not list((tmp_path / "run" / "topologies").iterdir())
    front = rows(tmp_path / "run" / "pareto.csv")
    assert [row["front"] for row in front] == [str(i + 1) for i in range(outcome.front)]
    assert [float(row["energy_uj"]) for row in front] == sorted(
        float(row["energy_uj"]) for row in front
    )


def test_a_second_run_evaluates_nothing_and_changes_no_table(tmp_path: Path) -> None:
    space = write_space(tmp_path, COST_SPACE)
    sweep(space, tmp_path / "run")
    names = ("results.csv", "pareto.csv", "sweep.json")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    assert sweep(space, tmp_path / "run").evaluated == 0
    assert {name: (tmp_path / "run" / name).read_bytes() for name in names} == before


def test_worker_processes_give_the_same_tables(tmp_path: Path) -> None:
    space = write_space(tmp_path, COST_SPACE)
    sweep(space, tmp_path / "one")
    sweep(space, tmp_path / "two", jobs=2)
    for name in ("results.csv", "pareto.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_wider_space_evaluates_only_what_is_new(tmp_path: Path) -> None:
    sweep(write_space(tmp_path, COST_SPACE), tmp_path / "run")
    wider = {**COST_SPACE, "accelerators": ["zu7ev", "array-8x8-16b", "pynq-z2"]}
    seen: list[str] = []
    outcome = sweep(
        write_space(tmp_path, wider),
        tmp_path / "run",
        watch=lambda step: seen.append(step.note),
    )
    assert (outcome.points, outcome.evaluated) == (24, 8)
    with Store(tmp_path / "run") as store:
        assert len(store.rows("networks")) == 8  # simulated once, priced again
    narrow = {**COST_SPACE, "accelerators": ["pynq-z2"]}
    outcome = sweep(write_space(tmp_path, narrow), tmp_path / "run")
    assert (outcome.points, outcome.evaluated) == (8, 0)
    assert len(rows(tmp_path / "run" / "results.csv")) == 8


def test_constraints_judge_rows_that_are_there(tmp_path: Path) -> None:
    sweep(write_space(tmp_path, COST_SPACE), tmp_path / "run")
    sizes = sorted(int(row["memory_bits"]) for row in rows(tmp_path / "run" / "results.csv"))
    limit = sizes[len(sizes) // 2]
    bound = {**COST_SPACE, "constraints": [f"memory_bits <= {limit}"]}
    outcome = sweep(write_space(tmp_path, bound), tmp_path / "run")
    assert outcome.evaluated == 0
    for row in rows(tmp_path / "run" / "results.csv"):
        if int(row["memory_bits"]) > limit:
            assert row["status"] == "infeasible"
            assert row["reason"].startswith(("memory_bits <= ", "embedding: operands"))
    assert sweep(write_space(tmp_path, COST_SPACE), tmp_path / "run").infeasible == 4


def test_accuracy_is_measured_and_kept_beside_the_floats(trained: Path) -> None:
    found = rows(trained / "results.csv")
    for row in found:
        for metric in ("frame_accuracy", "f1_10", "f1_25", "f1_50", "edit", "argmax_agreement"):
            assert 0 <= float(row[metric]) <= 100
            assert metric == "argmax_agreement" or 0 <= float(row[f"float_{metric}"]) <= 100
    by_network: dict[str, set[tuple[str, str]]] = {}
    for row in found:
        by_network.setdefault(row["network"], set()).add((row["frame_accuracy"], row["edit"]))
    assert len(by_network) == 4  # two topologies by two settings, each on two accelerators
    assert all(len(values) == 1 for values in by_network.values())
    with Store(trained) as store:
        assert len(store.rows("topologies")) == 2
        data = store.meta()["data"]
    assert data["synthetic"] is True
    assert (data["train"]["participants"], data["valid"]["frames"]) == ([1, 2], 360)


def test_kept_networks_are_those_of_the_rows(trained: Path) -> None:
    for row in rows(trained / "results.csv"):
        graph = load_graph(network_file(trained, row["network"]))
        assert graph_hash(graph) == row["graph_hash"]
        assert graph.meta["network"] == row["network"]
        assert graph.meta["measured"]["frame_accuracy"] == float(row["frame_accuracy"])


def test_a_lost_point_is_priced_again_without_training(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    before = (copy / "results.csv").read_bytes()
    with sqlite3.connect(copy / "results.sqlite") as store:
        store.execute("DELETE FROM points WHERE key = (SELECT min(key) FROM points)")
    store.close()
    shutil.rmtree(copy / "checkpoints")
    (copy / "networks" / ".cut-off.fxp.123.tmp").write_text("half")
    outcome = sweep(write_space(tmp_path, TRAINED_SPACE), copy)
    assert outcome.evaluated == 1
    assert not list((copy / "checkpoints").iterdir())
    assert not list(copy.glob("**/.*"))
    assert (copy / "results.csv").read_bytes() == before


def test_a_step_that_raises_fails_alone_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = write_space(tmp_path, COST_SPACE)
    evaluate = dse.evaluate.evaluate_design

    def broken(context: Any, design: Any) -> Any:
        if design.quant.label == "w4a8" and design.params["plan"] == "tiny":
            raise ZeroDivisionError("a bug")
        return evaluate(context, design)

    monkeypatch.setattr(dse.work, "evaluate_design", broken)
    outcome = sweep(space, tmp_path / "run")
    assert (outcome.points, outcome.failed) == (16, 2)
    failed = [row for row in rows(tmp_path / "run" / "results.csv") if row["status"] == "failed"]
    assert {row["reason"] for row in failed} == {"simulation: ZeroDivisionError: a bug"}
    assert "in broken" in (tmp_path / "run" / "failures.log").read_text()
    assert not any(row["front"] for row in failed)
    assert sweep(space, tmp_path / "run").evaluated == 0
    monkeypatch.undo()
    outcome = sweep(space, tmp_path / "run", retry=True)
    assert (outcome.evaluated, outcome.failed) == (2, 0)
    sweep(space, tmp_path / "clean")
    for name in ("results.csv", "pareto.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "clean" / name).read_bytes()


def test_a_failed_training_fails_its_points_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise InputError("loss is nan in epoch 0")

    monkeypatch.setattr(dse.work, "train_topology", broken)
    outcome = sweep(write_space(tmp_path, TRAINED_SPACE), tmp_path / "run")
    assert (outcome.failed, outcome.front) == (8, 0)
    reasons = {row["reason"] for row in rows(tmp_path / "run" / "results.csv")}
    assert reasons == {"training: loss is nan in epoch 0"}
    assert not (tmp_path / "run" / "failures.log").exists()  # wrong input needs no traceback


def test_points_are_found_by_hash_by_best_and_by_place(trained: Path) -> None:
    with Store(trained) as store:
        collected = collect(store)
    first = collected.front[0]
    assert find_point(collected, first["point"][:16]) == first
    assert find_point(collected, "front:1") == first
    cheapest = find_point(collected, "best:energy_uj")
    assert cheapest["energy_uj"] == min(r["energy_uj"] for r in collected.records)
    assert find_point(collected, "best:throughput_hz")["throughput_hz"] == max(
        r["throughput_hz"] for r in collected.records
    )
    for wrong, message in {
        "xyz": "is no point of this sweep",
        "": "is no point of this sweep",
        "best:speed": "unknown metric",
        "front:99": "the front has",
        "best:": "is no point of this sweep",
    }.items():
        with pytest.raises(InputError, match=message):
            find_point(collected, wrong)
    twin = type(collected)((first, {**first}), (), 0, collected.about)
    with pytest.raises(InputError, match="is the prefix of several points"):
        find_point(twin, first["point"][:8])


def test_golden_vectors_carry_the_point(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    manifest = write_golden(trained, "best:frame_accuracy", "0", out, frames=12)
    source = manifest["provenance"]
    row = next(r for r in rows(trained / "results.csv") if r["point"] == source["point"])
    assert source["metrics"]["frame_accuracy"] == float(row["frame_accuracy"])
    assert source["graph_hash"] == row["graph_hash"]
    assert (source["clip"], source["data"]["synthetic"]) == ("synthetic_03_00", True)
    assert source["space"]["data"]["generator"]["seed"] == 3
    assert verify_bundle(out).mismatches == ()
    by_name = write_golden(trained, "front:1", "synthetic_01_00", tmp_path / "other", frames=3)
    assert by_name["provenance"]["clip"] == "synthetic_01_00"


def test_golden_vectors_bring_the_engine_of_their_point(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    options = ("--clip", 0, "--frames", 2, "--out", out)
    done = command("golden", trained, "best:frame_accuracy", *options, "--no-stress")
    assert done.exit_code == 0, done.output
    about = attachment_of(out, "rtl")
    manifest = json.loads((out / "manifest.json").read_bytes())
    accelerator = load_accelerator(manifest["provenance"]["accelerator"])
    assert isinstance(accelerator.engine, Lanes)
    assert about["settings"]["lanes"] == accelerator.engine.lanes
    assert [run["name"] for run in about["runs"]] == ["main", "clips"]
    cycles = about["predicted_cycles"]["interval"]
    assert about["runs"][0]["frame_cycles"] == [cycles, cycles]
    assert f"RTL: {accelerator.engine.lanes} lanes, {cycles} cycles per frame" in done.output
    assert verify_bundle(out).mismatches == ()
    done = command("golden", trained, "best:frame_accuracy", *options, "--no-rtl")
    assert done.exit_code == 0 and not (out / "rtl").exists() and "RTL" not in done.output


def test_the_engine_has_the_lanes_of_a_preset_else_those_asked_for() -> None:
    graph = networks.dilated(np.random.default_rng(1))
    for of_point, given, lanes, paired in (
        ("zu7ev", None, 2 * 128, True),  # its multipliers pack two products of these widths
        ("array-8x8-16b", None, 3, False),
        ("mine", None, 3, False),
        ("mine", "xc7z020-rtl", 32, False),
    ):
        board = engine_board(of_point, given)
        assert engine_settings(graph, Request(), board, 3) == Settings(lanes, paired=paired)
    dense = load_accelerator("zu7ev").model_copy(update={"adjacency": "dense"})
    wanted = Settings(256, dense=True, paired=True, stress=False)
    assert engine_settings(graph, Request(stress=False), dense, 3) == wanted
    with pytest.raises(InputError, match="array-8x8-16b: `engine` must be lanes, got an array"):
        engine_board("zu7ev", "array-8x8-16b")
    assert engine_settings(graph, Request(paired=True), None, 4) == Settings(4, paired=True)
    with pytest.raises(InputError, match="`--lanes` must be even with `--paired`, got 3"):
        engine_settings(graph, Request(paired=True), None, 3)


def test_a_point_s_engine_has_weights_off_the_chip(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    options = ("--clip", 0, "--frames", 2, "--out", out, "--no-stress")
    done = command("golden", trained, "front:1", *options, "--off-chip", "classifier")
    assert done.exit_code == 0, done.output
    about = attachment_of(out, "rtl")
    assert about["settings"]["off_chip"] == ["classifier"]
    source = json.loads((out / "manifest.json").read_bytes())["provenance"]
    assert source["engine_accelerator"] == source["accelerator"]
    cycles = about["predicted_cycles"]["interval"]
    assert about["runs"][0]["frame_cycles"] == [cycles, cycles]
    assert "off the chip: weights of classifier (latency 1, " in done.output
    done = command("golden", trained, "front:1", *options, "--off-chip", "auto")
    assert done.exit_code == 0 and "off the chip: nothing" in done.output
    for wrong, message in {
        ("--off-chip", "x"): "`--off-chip` must be all, auto or convolutions of graph",
        ("--fetch-latency", "3"): "`--fetch-latency` is for weights off the chip",
        ("--no-rtl", "--off-chip", "all"): "are for the RTL engine",
        ("--paired",): "says by its `multiplier.packing` whether lanes are paired",
    }.items():
        done = command("golden", trained, "front:1", *options, *wrong)
        assert isinstance(done.exception, InputError) and message in str(done.exception)


def test_a_network_that_the_engine_cannot_do_goes_without(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise InputError("whole: runs every 0 frames")

    monkeypatch.setattr("dse.golden.rtl_attachment", refuses)
    out = tmp_path / "bundle"
    done = command("golden", trained, "front:1", "--clip", 0, "--frames", 2, "--out", out)
    assert done.exit_code == 0 and "without RTL: whole: runs every 0 frames" in done.output
    assert not (out / "rtl").exists() and verify_bundle(out).mismatches == ()


@pytest.mark.hugadb
def test_real_recordings_from_the_data_folder(hugadb_root: Path, tmp_path: Path) -> None:
    data = {
        "kind": "hugadb",
        "preparation": {"frames_per_step": 12, "shift": 5},
        "train": [7],
        "valid": [8],
    }
    space = {**TRAINED_SPACE, "data": data, "accelerators": ["zu7ev"]}
    base = {**TRAINED_SPACE["network"]["base"], "classes": 10}
    space["network"] = {"base": base, "channels": {"tiny": [4]}, "window": [3]}
    axes = load_space(write_space(tmp_path, space))
    outcome = run_sweep(axes, tmp_path / "run", data_root=hugadb_root, jobs=1)
    assert (outcome.points, outcome.ok) == (2, 2)
    for row in rows(tmp_path / "run" / "results.csv"):
        merged, plain = float(row["elevator_frame_accuracy"]), float(row["frame_accuracy"])
        assert merged >= plain > 0
    with pytest.raises(InputError, match="give --data FOLDER"):
        write_golden(tmp_path / "run", "front:1", "0", tmp_path / "bundle")
    out = tmp_path / "bundle"
    manifest = write_golden(tmp_path / "run", "front:1", "0", out, frames=4, data_root=hugadb_root)
    assert manifest["provenance"]["clip"].startswith("various_08_")
    assert manifest["provenance"]["data"]["synthetic"] is False


@pytest.mark.parametrize(
    ("clip", "options", "message"),
    [
        ("7", {}, r"clip '7': give an index 0..0 of the scored clips or a name"),
        ("0", {"frames": 121}, r"`--frames` must be 1..120 for synthetic_03_00, got 121"),
        ("0", {"data_root": Path("x")}, "this space reads no recordings"),
    ],
)
def test_golden_mistakes_are_one_line(
    trained: Path, tmp_path: Path, clip: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_golden(trained, "front:1", clip, tmp_path / "bundle", **options)
    assert not (tmp_path / "bundle").exists()


def test_the_store_says_what_a_foreign_point_lacks(tmp_path: Path) -> None:
    sweep(write_space(tmp_path, COST_SPACE), tmp_path / "run")
    with pytest.raises(InputError, match="explores cost alone"):
        write_golden(tmp_path / "run", "front:1", "0", tmp_path / "bundle")
    for file in (tmp_path / "run" / "networks").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"it has no integer network .*\.fxp is missing"):
        write_golden(tmp_path / "run", "front:1", "0", tmp_path / "bundle")


def command(*arguments: object) -> Any:
    return CliRunner().invoke(dse.__main__.app, [str(argument) for argument in arguments])


def test_a_second_sweep_into_the_directory_is_refused(tmp_path: Path) -> None:
    space = write_space(tmp_path, COST_SPACE)
    with locked(tmp_path / "run"):
        answer = command("sweep", space, "--out", tmp_path / "run", "--jobs", 1)
    assert isinstance(answer.exception, InputError)
    assert "another sweep is running in this directory" in str(answer.exception)
    assert not (tmp_path / "run" / "results.csv").exists()


@pytest.mark.parametrize("name", ["cache", "networks"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, name: str) -> None:
    space, out = write_space(tmp_path, COST_SPACE), tmp_path / "run"
    out.mkdir()
    (out / name).write_text("")
    answer = command("sweep", space, "--out", out, "--jobs", 1, "--cache", out / "cache")
    assert isinstance(answer.exception, InputError)
    assert str(answer.exception) == f"{out / name}: cannot be made (File exists)"
    assert answer.output == ""  # no progress bar beside the line
    assert not (out / "results.sqlite").exists()


def test_a_damaged_store_is_one_line(tmp_path: Path) -> None:
    space, out = write_space(tmp_path, COST_SPACE), tmp_path / "run"
    sweep(space, out)
    store = out / "results.sqlite"
    page = 4096
    data = bytearray(store.read_bytes())
    data[page:] = b"\xa5" * (len(data) - page)  # the first page, with the schema, stays
    store.write_bytes(data)
    answer = command("show", out)
    assert isinstance(answer.exception, InputError)
    assert str(answer.exception).startswith(f"{store}: ")
    assert "malformed" in str(answer.exception)


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    space, out = write_space(tmp_path, COST_SPACE), tmp_path / "run"
    answer = command("sweep", space, "--out", out, "--jobs", 1)
    assert answer.exit_code == 0, answer.output
    assert "16 of 16 points evaluated: 12 feasible, 4 infeasible, 0 failed" in answer.output
    for name in ("results.csv", "pareto.csv", "pareto.png", "memory.svg", "summary.md"):
        assert (out / name).is_file()
    answer = command("sweep", space, "--out", out, "--jobs", 1)
    assert "0 of 16 points evaluated, 16 were there already" in answer.output
    shown = command("show", out)
    assert "energy per frame" in shown.output and "4 infeasible" in shown.output
    front = json.loads(command("show", out, "--json").output)
    assert front["objectives"] == COST_SPACE["objectives"]
    assert [record["front"] for record in front["front"]] == list(range(1, len(front["front"]) + 1))


def test_a_failure_ends_with_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("too big")

    monkeypatch.setattr(dse.work, "price", broken)
    space = write_space(tmp_path, COST_SPACE)
    answer = command("sweep", space, "--out", tmp_path / "run", "--jobs", 1)
    assert answer.exit_code == 1, answer.output
    assert "0 feasible, 0 infeasible, 16 failed" in answer.output
    assert "cost: MemoryError: too big" in (tmp_path / "run" / "summary.md").read_text()


def test_a_store_of_another_front_is_shown_while_it_grows(tmp_path: Path) -> None:
    space = write_space(tmp_path, COST_SPACE)
    sweep(space, tmp_path / "run")
    with Store(tmp_path / "run", create=True) as store:
        meta = store.meta()
        store.set_plan([*store.plan(), "0" * 64], meta)
        assert collect(store).missing == 1
        store.write("points", Row("0" * 64, "n", {"topology": "t", "dilation": "1"}))
        assert collect(store).missing == 0
    assert "not evaluated" not in command("show", tmp_path / "run").output
