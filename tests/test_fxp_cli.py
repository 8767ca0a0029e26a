import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.__main__ import app
from fxp.console import run
from fxp.golden import bundle_files
from fxp.ir import Graph, IntArray
from fxp.oracle import evaluate
from fxp.store import graph_hash, save_graph
from tests.golden.networks import CASES, make

GRAPH, CLIP = make(CASES["ragged"])


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A network and a clip on disk."""
    save_graph(GRAPH, tmp_path / "net.fxp")
    np.save(tmp_path / "clip.npy", CLIP.astype(np.uint8))
    return str(tmp_path / "net.fxp"), str(tmp_path / "clip.npy")


class Command:
    """Runs a command line in this process; gives its exit code, and keeps what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.out = self.err = ""

    def __call__(self, *args: str | Path) -> int:
        self.monkeypatch.setattr(sys, "argv", ["fxp", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            run(app)
        self.out, self.err = self.capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    def refused(self, *args: str | Path) -> str:
        """The one line of a command that ends with exit code 2."""
        assert self(*args) == 2
        assert self.out == ""
        assert self.err.count("\n") == 1
        return self.err.removeprefix("error: ").rstrip()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def one_off(graph: Graph, clip: IntArray) -> dict[str, Any]:
    """A definition gone wrong at one node."""
    values = evaluate(graph, clip)
    return {**values, "pool": values["pool"] + 1}


def test_info(command: Command, files: tuple[str, str]) -> None:
    assert command("info", files[0]) == 0
    lines = command.out.splitlines()
    assert lines[0].split() == [
        *("node", "kind", "reads", "shape", "word", "frac_bits", "accumulator_bits", "hash"),
    ]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1 : len(GRAPH.nodes) + 1]}
    assert list(rows) == [node.name for node in GRAPH.nodes]
    assert rows["block0.conv"][:-1] == ["Conv", "input", "10x3", "s15", "10..11", "15"]
    assert rows["block0.conv.q"][:-1] == ["Requantise", "block0.conv", "10x3", "s8", "4"]
    assert len(rows["block0.conv"][-1]) == 12
    assert f"hash {graph_hash(GRAPH)}" in lines
    assert "latency_frames 1" in lines
    assert "outputs logits label" in lines


def test_run(command: Command, files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    assert command("run", *files, "--out", out) == 0
    expected = evaluate(GRAPH, CLIP)
    with np.load(out) as found:
        for name in GRAPH.outputs:
            assert np.array_equal(found[name], expected[name])
    assert [line.split()[:2] for line in command.out.splitlines()[1:]] == [
        ["logits", "9x3x1"],
        ["label", "9x1x1"],
    ]


def test_golden_and_verify(command: Command, files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    assert command("golden", *files, "--out", out, "--lanes", "4", "--note", "ragged, seed 43") == 0
    count = len(set(bundle_files(out)))
    assert command.out.startswith(f"{out}: {count} files, 890 words, 9 frames, graph ")
    assert command("verify", out) == 0
    expected = f"{out}: {count} files, 890 words: all right by the simulator and the oracle\n"
    assert command.out == expected
    assert command("verify", out, "--no-oracle") == 0
    assert command.out.endswith("all right by the simulator\n")


def test_golden_options(command: Command, files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    options = ["--frames", "4", "--tap", "logits", "--tap", "label", "--snapshot", "2"]
    assert command("golden", *files, "--out", out, *options) == 0
    found = set(bundle_files(out))
    assert {file for file in found if file.startswith("values/")} == {
        "values/input.hex",
        "values/logits.hex",
        "values/label.hex",
    }
    assert {file.split(".t")[-1] for file in found if file.startswith("state/")} == {"2.hex"}
    assert (out / "values/label.hex").read_text().count("\n") == 4


def test_verify_tells_a_mismatch_from_damage(
    command: Command, files: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    assert command("golden", *files, "--out", out) == 0
    with monkeypatch.context() as patch:
        patch.setattr("fxp.trace.evaluate", one_off)
        assert command("verify", out) == 1
    assert command.out.startswith(f"{out}: values/pool.hex line 1: node pool (value), frame 0, ")
    assert ", the oracle finds 0x" in command.out
    (out / "values/pool.hex").unlink()
    assert command.refused("verify", out) == f"{out}/values/pool.hex: file is missing"


def test_bad_networks(command: Command, files: tuple[str, str], tmp_path: Path) -> None:
    clip = files[1]
    out = tmp_path / "out"
    for args in (["info", clip], ["run", clip, clip, "--out", out]):
        assert command.refused(*args).startswith(f"{clip}: not a readable model file")
    missing = tmp_path / "no.fxp"
    assert command.refused("golden", missing, clip, "--out", out) == f"{missing}: no such file"
    assert not out.exists()


def test_bad_clips(command: Command, files: tuple[str, str], tmp_path: Path) -> None:
    net, clip = files
    path = tmp_path / "bad.npy"
    cases = {
        "integers are needed, got float64": np.full(CLIP.shape, np.nan),
        "shape must be (frames, 3, 3), got (9, 3, 2)": CLIP[:, :, :2],
        "word 256 is outside 0..255": CLIP + 256 - CLIP.min(),
        "not a readable .npy file": np.array([None]),
    }
    for message, words in cases.items():
        np.save(path, words)
        for name in ("run", "golden"):
            line = command.refused(name, net, path, "--out", tmp_path / "out")
            assert line.startswith(f"{path}: ")
            assert message in line
    whole = Path(clip).read_bytes()
    for data in (b"", whole[:40], whole[:-1], b"PK\x03\x04" + whole):
        path.write_bytes(data)
        line = command.refused("run", net, path, "--out", tmp_path / "out")
        assert line.startswith(f"{path}: not a readable .npy file (")
    path.unlink()
    assert command.refused("run", net, path, "--out", tmp_path / "out") == f"{path}: no such file"
    assert not (tmp_path / "out").exists()


def test_bad_options(command: Command, files: tuple[str, str], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    clip = files[1]
    for options, message in (
        (["--frames", "10"], f"{clip}: `--frames` must be 1..9, got 10"),
        (["--frames", "0"], f"{clip}: `--frames` must be 1..9, got 0"),
        (["--lanes", "0"], "`lanes` must be 1..1024, got 0"),
        (["--tap", "nothing"], "`taps`: 'nothing' is no node of graph `ragged`"),
        (["--snapshot", "9"], "`snapshots`: frames must be 0..8, got 9"),
    ):
        assert command.refused("golden", *files, *out, *options) == message
    assert "No such command" in command.refused("paint")
    assert "Missing option '--out'" in command.refused("run", *files)
    assert not (tmp_path / "out").exists()


def test_the_module_runs_and_loads_no_torch(files: tuple[str, str]) -> None:
    code = "import fxp.__main__, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "fxp", "info", files[1]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {files[1]}: not a readable model file")
    assert done.stderr.count("\n") == 1
