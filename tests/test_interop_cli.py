"""`python -m fxp export` and `python -m fxp portability`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.__main__ import app
from fxp.console import run
from fxp.interop.tool_rules import Tool
from fxp.store import graph_hash, save_graph
from tests.foreign import golden_cases

DILATED, SHARES = golden_cases(["dilated", "shares"])


@pytest.fixture
def net(tmp_path: Path) -> Path:
    save_graph(DILATED.graph, tmp_path / "net.fxp")
    np.save(tmp_path / "clip.npy", DILATED.clip)
    return tmp_path / "net.fxp"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*args: object) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["fxp", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            run(app)
        return caught.value.code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    "options",
    [
        ["qdq"],
        ["qdq", "--form", "integer", "--tap", "block0.sum"],
        ["qdq", "--approximate"],
        ["qonnx", "--frames", "9"],
        ["c"],
        ["sv", "--lanes", "4"],
    ],
    ids=" ".join,
)
def test_export(command: Any, net: Path, options: list[str]) -> None:
    if options[0] in ("qdq", "qonnx"):
        pytest.importorskip("onnx", reason="the package onnx is not installed")
    out = net.parent / "out"
    code, text, _ = command("export", net, "--to", *options, "--out", out)
    assert (code, text) == (0, f"{out}: 20 nodes, graph {graph_hash(DILATED.graph)[:12]}\n")
    assert out.is_dir() == (options[0] == "c")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["qonnx"], "`--to qonnx` needs `--frames`: its readers want fixed shapes"),
        (["c", "--frames", "3"], "`--frames` has no meaning for `--to c`"),
        (["sv", "--form", "integer"], "`--form` has no meaning for `--to sv`"),
        (["qdq", "--lanes", "2"], "`--lanes` has no meaning for `--to qdq --form qdq`"),
        (
            ["qdq", "--form", "integer", "--approximate"],
            "`--approximate` has no meaning for `--to qdq --form integer`",
        ),
        (["sv", "--tap", "input"], "`--tap` has no meaning for `--to sv`"),
        (["sv", "--lanes", "0"], "`lanes` must be 1..1024, got 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_without_a_meaning(
    command: Any, net: Path, options: list[str], message: str
) -> None:
    out = net.parent / "out"
    assert command("export", net, "--to", *options, "--out", out) == (2, "", f"error: {message}\n")
    assert not out.exists()


def test_refusals_leave_nothing(command: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    save_graph(SHARES.graph, tmp_path / "net.fxp")
    out = tmp_path / "out.onnx"
    for options in (["qdq"], ["qonnx", "--frames", "2"]):
        code, text, error = command("export", tmp_path / "net.fxp", "--to", *options, "--out", out)
        assert (code, text) == (2, "")
        assert error.startswith("error: node `stage0.share`: ")
        assert error.count("\n") == 1
    code, _, error = command(
        "export",
        tmp_path / "net.fxp",
        "--to",
        "qdq",
        "--tap",
        "no",
        "--form",
        "integer",
        "--out",
        out,
    )
    assert (code, error) == (
        2,
        "error: `--tap` 'no' is no node of graph `shares` behind its input\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.fxp"]


def test_without_the_package(command: Any, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hide(monkeypatch)
    out = net.parent / "out.onnx"
    assert command("export", net, "--to", "qdq", "--out", out) == (
        2,
        "",
        "error: ONNX export needs the package `onnx`: pip install 'stgcn-codesign[onnx]'\n",
    )
    assert not out.exists()


def test_c_and_verilog_need_no_package(
    command: Any, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide(monkeypatch)
    assert command("export", net, "--to", "c", "--out", net.parent / "c")[0] == 0
    assert command("export", net, "--to", "sv", "--out", net.parent / "pkg.sv")[0] == 0
    assert command("portability", net)[0] == 0


def test_portability_as_text(command: Any, net: Path) -> None:
    code, text, _ = command("portability", net, "--clip", net.parent / "clip.npy")
    lines = text.splitlines()
    assert code == 0
    assert lines[0].split() == ["node", "kind", "bits", *Tool]
    assert lines[9].split()[:2] == ["block0.graph", "GraphProduct"]
    assert "= equal, (=) equal as exported here, /= may differ, - absent" in lines
    rows = [line.split() for line in lines]
    assert ["qdq", "no", "words", "of", "s12", "2", "embedding.stream"] in rows
    counts = [line.split() for line in lines if line.startswith(("logits, ", "label, "))]
    assert [row[:3] for row in counts] == [
        ["logits,", "alone", "27"],
        ["logits,", "all", "casts"],
        ["label,", "all", "casts"],
    ]


def test_portability_as_json(command: Any, net: Path) -> None:
    code, text, _ = command("portability", net, "--json")
    data = json.loads(text)
    assert code == 0
    assert data["graph_hash"] == graph_hash(DILATED.graph)
    assert [entry["node"] for entry in data["nodes"]] == [n.name for n in DILATED.graph.nodes]
    assert set(data["nodes"][0]["tools"]) == set(Tool)
    assert "half_to_even" not in data
    with_clip = ("portability", net, "--json", "--clip", net.parent / "clip.npy")
    counted = json.loads(command(*with_clip)[1])["half_to_even"]
    assert counted["frames"] == 9
    assert counted["together"]["logits"]["words"] == 27
    np.save(net.parent / "bad.npy", DILATED.clip[:, :1])
    code, _, error = command("portability", net, "--clip", net.parent / "bad.npy")
    assert code == 2
    assert error.startswith(f"error: {net.parent}/bad.npy: clip for input `input`")


def _hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if none of the optional packages were installed."""
    for name in ("onnx", "onnx.helper", "onnxruntime", "qonnx", "pyslang"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    "options",
    [["qdq"], ["qdq", "--form", "integer"], ["qonnx", "--frames", "9"], ["c"]],
    ids=" ".join,
)
def test_check(command: Any, net: Path, options: list[str]) -> None:
    for package in ("onnx", "onnxruntime") if options[0] != "c" else ():
        pytest.importorskip(package, reason=f"the package {package} is not installed")
    if options[0] == "qonnx":
        pytest.importorskip("qonnx", reason="the package qonnx is not installed")
    out, clip = net.parent / "out", net.parent / "clip.npy"
    code, text, _ = command("export", net, "--to", *options, "--out", out, "--check", clip)
    words = 3 * 9 + 9 if options[0] != "c" else sum(v.size for v in DILATED.expected.values())
    assert (code, text.splitlines()[-1].split()) == (0, ["all", str(words), "0"])


def test_check_finds_what_differs(command: Any, net: Path) -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"the package {package} is not installed")
    out, clip = net.parent / "out", net.parent / "clip.npy"
    options = ("--approximate", "--check", clip, "--tap", "block0.norm.q")
    code, text, _ = command("export", net, "--to", "qdq", "--out", out, *options)
    name, words, differing = text.splitlines()[-1].split()
    assert (code, name, int(words)) == (1, "all", 36 + 9 * 12)
    assert 0 < int(differing) < 36 + 9 * 12


def test_check_of_other_lengths(command: Any, net: Path) -> None:
    clip = net.parent / "clip.npy"
    options = ("--out", net.parent / "out", "--check", clip)
    assert command("export", net, "--to", "qonnx", "--frames", "8", *options)[2] == (
        f"error: {clip}: has 9 frames, `--frames` is 8\n"
    )
    assert (
        "`--check` has no meaning for `--to sv`"
        in command("export", net, "--to", "sv", *options)[2]
    )
    assert not (net.parent / "out").exists()
