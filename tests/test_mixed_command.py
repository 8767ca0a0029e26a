"""`python -m dse mix` from files to files: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from dse.__main__ import app
from dse.mixed.bench import Bench, key_of
from dse.mixed.widths import Part
from fxp.console import run
from fxp.floatnet import FloatNet, save_floatnet
from fxp.spec import QuantSpec, load_spec
from fxp.store import graph_hash, load_graph
from stgcn_ref.checkpoints import save_checkpoint
from stgcn_ref.export import export
from stgcn_ref.preparation import PreparationSpec
from stgcn_ref.recordings import Reading, read
from tests import commands
from tests.networks import random_model
from tests.qat_toys import ARCH

Shell = pytest.MonkeyPatch
Printed = pytest.CaptureFixture[str]
STEPS = {"frames_per_step": 8}


def call(shell: Shell, printed: Printed, *arguments: str) -> tuple[int, str, str]:
    shell.setattr(sys, "argv", ["dse", *arguments])
    with pytest.raises(SystemExit) as end:
        run(app)
    text = printed.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, text.out, text.err


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A checkpoint for the synthetic recordings, a base and a recipe."""
    texts = {
        "quant": "input_bits: 19\nrepair: {rounding: gptq, bias: true}\n"
        "layers: {input_norm: {activation_bits: 8}}\n",
        "recipe": "budget: {divergence: 0.05}\nweights: [4, 8]\noperands: [8]\n"
        "streams: [12]\ncalibration_clips: 2\nselection_clips: 2\nknapsacks: 2\n"
        "evaluations: 2\nproxy_clips: 1\n",
    }
    found = {"out": tmp_path / "out", "net": tmp_path / "net.ckpt"}
    for name, text in texts.items():
        found[name] = tmp_path / f"{name}.yaml"
        found[name].write_text(text)
    arch = ARCH.model_copy(update={"classes": 8})
    about = {"data": {"train": {"preparation": STEPS}}}
    save_checkpoint(random_model(arch), arch, found["net"], about)
    return found


def command(files: dict[str, Path], **other: object) -> list[str]:
    given = {"quant": files["quant"], "recipe": files["recipe"], "out": files["out"]}
    given |= {"train": "1,2", **other}
    return ["mix", str(files["net"]), *(f"--{key}={value}" for key, value in given.items())]


def test_everything_is_written(files: dict[str, Path], monkeypatch: Shell, capsys: Printed) -> None:
    code, out, err = call(monkeypatch, capsys, *command(files, score=3, select=4))
    assert (code, err) == (0, "")
    found = json.loads((files["out"] / "mixed.json").read_text())
    trials = {trial["key"]: trial for trial in found["trials"]}
    kept = {path.stem for path in (files["out"] / "trials").iterdir()}
    assert kept == set(trials) and f"{len(trials)} designs measured, 0 of them refused" in out
    best, uniform = trials[found["best"]], trials[found["best_uniform"]]
    percents = [saving["percent"] for saving in found["savings"]]
    assert f"on the selection recordings: {min(percents):.1f} to {max(percents):.1f} % less" in out
    for name in ("divergence", "agreement", "frame accuracy", "F1@50"):
        assert out.count(f"at equal {name} on participants 3: ") == 1
    assert best["divergence"] <= 0.05 and best["cost"] <= uniform["cost"] <= 1
    assert uniform["key"] in found["uniform"]
    for key in found["mixed_front"]:
        assert not any(
            other["cost"] <= trials[key]["cost"] and other["divergence"] < trials[key]["divergence"]
            for other in trials.values()
        )
    with (files["out"] / "mixed.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert [row["key"] for row in rows] == list(trials)
    assert "block0.weights" in rows[0] and "embedding.weights" in rows[0]
    assert set(found["proxy_correlation"]) >= {"all", "weights", "same_width"}
    assert found["scored"]["participants"] == [3]
    people = [int(name.split("_")[1]) for name in found["selection"]]
    assert set(people) == {1, 2, 4}
    assert set(found["scored"]["designs"]) >= {*found["uniform_front"], *found["mixed_front"]}
    assert {"frame_accuracy", "f1_50"} <= found["scored"]["float"].keys()
    assert (files["out"] / "front.png").is_file() and (files["out"] / "widths.svg").is_file()


def test_export_of_the_widths_is_the_network_that_was_kept(
    files: dict[str, Path], monkeypatch: Shell, capsys: Printed, tmp_path: Path
) -> None:
    code, out, _ = call(monkeypatch, capsys, *command(files))
    assert code == 0 and "on participants" not in out
    spec = load_spec(QuantSpec, files["out"] / "best.yaml")
    assert spec.layers["input_norm"].activation_bits == 8 and spec.repair.bias
    given = [f"--quant={files['out'] / 'best.yaml'}", "--subjects=1,2", "--clips=2"]
    done = commands.call("export", str(files["net"]), *given, f"--out={tmp_path / 'again.fxp'}")
    assert done.code == 0, done.err
    graphs = [load_graph(path) for path in (tmp_path / "again.fxp", files["out"] / "best.fxp")]
    assert graph_hash(graphs[0]) == graph_hash(graphs[1])


def test_an_interrupted_run_goes_on(
    files: dict[str, Path], monkeypatch: Shell, capsys: Printed
) -> None:
    rows = []
    measure = Bench._row

    def stopping(bench: Bench, design: dict[Part, int]) -> dict[str, object]:
        if len(rows) == 4:
            raise KeyboardInterrupt
        rows.append(key_of(design))
        return measure(bench, design)

    with monkeypatch.context() as shell:
        shell.setattr(Bench, "_row", stopping)
        assert call(shell, capsys, *command(files))[0] == 130
    first = {path.stem for path in (files["out"] / "trials").iterdir()}
    assert first == set(rows) and len(first) == 4
    rows.append("one more than it stops at")
    with monkeypatch.context() as shell:
        shell.setattr(Bench, "_row", stopping)
        code, out, _ = call(shell, capsys, *command(files))
    assert code == 0 and len(rows) == len(set(rows))  # none was measured twice
    once = (files["out"] / "mixed.json").read_text()
    code, again, _ = call(monkeypatch, capsys, *command(files))
    assert (code, again) == (0, out) and (files["out"] / "mixed.json").read_text() == once


def test_of_a_float_network_in_a_file(
    files: dict[str, Path], monkeypatch: Shell, capsys: Printed, tmp_path: Path
) -> None:
    files["net"] = tmp_path / "float.fxp"
    save_floatnet(float_network(), files["net"])
    files["recipe"].write_text(files["recipe"].read_text().replace("proxy_clips: 1", ""))
    with files["recipe"].open("a") as text:
        text.write("proxy_clips: 0\ncost: {energy_uj: 2.0, interval_cycles: 1.0}\n")
    code, out, err = call(monkeypatch, capsys, *command(files))
    assert (code, err) == (0, "") and "rank correlation" not in out
    found = json.loads((files["out"] / "mixed.json").read_text())
    assert found["cost_unit"] == "" and set(found["cost_unit_of_1"]) == set(found["cost"])
    one = found["trials"][-1]
    unit = found["cost_unit_of_1"]
    shares = 2 * one["energy_uj"] / unit["energy_uj"]
    shares += one["interval_cycles"] / unit["interval_cycles"]
    assert one["cost"] == pytest.approx(shares / 3)


def float_network() -> FloatNet:
    arch = ARCH.model_copy(update={"classes": 8})
    ds = read(None, Reading(PreparationSpec.model_validate(STEPS)), frozenset({1, 2}))
    return export(random_model(arch), arch, ds.clips, {"preparation": STEPS})


def test_mistakes_are_one_line_and_nothing_is_made(
    files: dict[str, Path], monkeypatch: Shell, capsys: Printed, tmp_path: Path
) -> None:
    recipe = tmp_path / "other.yaml"
    recipe.write_text("budget: {divergence: 0.1}\ncost: {speed: 1}\n")
    wide = tmp_path / "wide.yaml"
    wide.write_text(
        "budget: {divergence: 0.1}\ncalibration_clips: 2\n"
        "weights: [8]\noperands: [8]\nstreams: [8]\n"
    )
    all_used = tmp_path / "used.yaml"
    all_used.write_text("budget: {divergence: 0.1}\ncalibration_clips: 99\n")
    cases = {
        "other.yaml: key `cost`: unknown cost 'speed'": {"recipe": recipe},
        "no layer's width is left open": {"recipe": wide},
        "`calibration_clips` must leave some to select by": {"recipe": all_used},
        "--train: participants as `1,5,6` are needed, got 'x'": {"train": "x"},
        "participant 1 is in both --train and --select": {"select": "1"},
        "participant 3 is in both --select and --score": {"select": "3", "score": "3"},
        "participant 2 is in both --train and --score": {"score": "2,3"},
    }
    for message, keys in cases.items():
        code, out, err = call(monkeypatch, capsys, *command(files, **keys))
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1
        assert not files["out"].exists()


def test_a_folder_of_another_network_is_refused(
    files: dict[str, Path], monkeypatch: Shell, capsys: Printed
) -> None:
    files["out"].mkdir()
    (files["out"] / "about.json").write_text(json.dumps({"network": "another"}))
    code, _, err = call(monkeypatch, capsys, *command(files))
    assert code == 2 and "holds results of another `network`" in err


def test_an_integer_network_is_refused(
    files: dict[str, Path], monkeypatch: Shell, capsys: Printed
) -> None:
    assert call(monkeypatch, capsys, *command(files))[0] == 0
    files["net"] = files["out"] / "best.fxp"
    code, _, err = call(monkeypatch, capsys, *command(files))
    assert code == 2 and "an integer network already" in err
