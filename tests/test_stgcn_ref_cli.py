"""The commands of `python -m stgcn_ref`: what they print, and how they end on wrong input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fxp.console import run
from fxp.spec import ArchSpec, QuantSpec, load_spec
from fxp.store import load_graph, save_graph
from hw_model.blueprint import blueprint
from stgcn_ref.__main__ import app
from stgcn_ref.checkpoints import save_checkpoint
from stgcn_ref.models.build import build

ARCH = "skeleton: hugadb\nin_channels: 6\nembedding: 4\nchannels: [8]\nwindow: 5\nclasses: 8\n"
ACTIONS = (
    "family: stgcn\nskeleton: hugadb\nin_channels: 6\nchannels: [4, 8]\nwindow: 3\nstride: [1, 2]\n"
    "persons: 2\nclasses: 8\n"
)
RECIPE = "epochs: 2\nbatch: 4\nsegment: 256\n"


def _call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["stgcn_ref", *arguments])
    with pytest.raises(SystemExit) as end:
        run(app)
    printed = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, printed.out, printed.err


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    texts = {"empty": "{}", "arch": ARCH, "recipe": RECIPE, "preparation": "frames_per_step: 6\n"}
    paths = {}
    for name, text in texts.items():
        paths[name] = str(tmp_path / f"{name}.yaml")
        Path(paths[name]).write_text(text)
    return paths | {"out": str(tmp_path / "made" / "net.ckpt")}


def _train(files: dict[str, str], *more: str) -> list[str]:
    options = [
        part for key in ("out", "recipe", "preparation") for part in (f"--{key}", files[key])
    ]
    return ["train", files["arch"], *options, "--train", "1,2", "--valid", "3", *more]


def test_train_evaluate_info(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _call(monkeypatch, capsys, *_train(files))
    assert (code, err) == (0, "")  # no progress bar where stderr is no terminal
    assert out.startswith("data synthetic-gait (synthetic), valid on participants 3\n")
    lines = dict(line.split(" ", 1) for line in out.splitlines())
    assert lines["checkpoint"] == files["out"]

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("trained twice")

    monkeypatch.setattr("stgcn_ref.checkpoints.train", forbidden)
    again = _call(monkeypatch, capsys, *_train(files))
    assert again == (0, out, "")

    code, found, _ = _call(
        monkeypatch, capsys, "evaluate", files["out"], "--subjects", "3", "--json"
    )
    scores = json.loads(found)
    assert code == 0 and scores["synthetic"] is True and scores["recordings"] == 4
    for name in ("frame_accuracy", "f1_50", "edit"):
        assert f"{scores[name]:.2f}" == lines[name]

    code, found, _ = _call(monkeypatch, capsys, "info", files["out"], "--json")
    facts = json.loads(found)
    assert code == 0
    assert facts["receptive_field_steps"] == 5 and facts["seed"] == 0
    assert facts["data"]["train"]["preparation"]["frames_per_step"] == 6
    # embedding 6*4+4, norm 2*36, three partitions (4+1)*8, importance 3*36, norm and residual
    assert facts["parameters"] == 28 + 72 + 120 + 108 + 16 + 40 + 16 + 72
    code, found, _ = _call(monkeypatch, capsys, "info", files["out"])
    assert code == 0 and "parameters 472\n" in found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--train", "1;2"), "--train: participants as `1,5,6` are needed, got '1;2'"),
        (("--valid", "2"), "participant 2 is in both train and valid"),
        (("--valid", "99"), "participant 99 is absent"),
        (("--data", "nowhere"), "nowhere: no such file or folder"),
        (("--seed", str(2**63)), "Invalid value for '--seed'"),
        (("--cache", "/dev/null"), "/dev/null: cannot be made (File exists)"),
        (("--out", "."), ".: cannot be written (is a folder; the name of a file is needed)"),
    ],
)
def test_wrong_options(
    more: tuple[str, ...],
    message: str,
    files: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = _call(monkeypatch, capsys, *_train(files, *more))
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not Path(files["out"]).exists()


def test_wrong_files_end_in_one_line(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(files["recipe"]).write_text("epochs: 0\n")
    code, _, err = _call(monkeypatch, capsys, *_train(files))
    assert code == 2 and "recipe.yaml: key `epochs`" in err and err.count("\n") == 1
    for command in ("evaluate", "info"):
        code, out, err = _call(monkeypatch, capsys, command, files["arch"])
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {files['arch']}: ") and err.count("\n") == 1


def test_data_that_the_network_cannot_read(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(files["arch"]).write_text(ARCH.replace("classes: 8", "classes: 9"))
    code, _, err = _call(monkeypatch, capsys, *_train(files))
    assert code == 2 and "`classes` of the network is 9, of the data 8" in err
    Path(files["arch"]).write_text(ACTIONS.replace("persons: 2", "persons: 1"))
    code, _, err = _call(monkeypatch, capsys, *_train(files, "--preparation", files["empty"]))
    assert code == 2 and "one label a clip of 1 persons" in err
    assert not (Path(files["out"]).parent / "cache").exists()


def test_export_and_evaluate_an_integer_network(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call(monkeypatch, capsys, *_train(files))[0] == 0
    net = files["out"] + ".fxp"
    code, out, err = _call(
        monkeypatch, capsys, "export", files["out"], "--bits", "12", "--clips", "4", "--out", net
    )
    assert (code, err) == (0, "")
    assert out.startswith(
        "calibrated on 4 recordings of synthetic-gait (synthetic)\n"
        "weights 12 bits, operands 12 bits\nstreams 12 bits\naccumulators "
    )
    found = {}
    for name in (files["out"], net):
        code, out, _ = _call(monkeypatch, capsys, "evaluate", name, "--subjects", "3", "--json")
        found[name] = json.loads(out)
        assert code == 0 and found[name]["recordings"] == 4
    ours, theirs = found.values()
    assert ours["frames"] == theirs["frames"]
    assert abs(ours["frame_accuracy"] - theirs["frame_accuracy"]) < 3
    code, out, _ = _call(monkeypatch, capsys, "evaluate", net, "--subjects", "3", "--drop-last")
    assert code == 0 and f", 4 recordings, {ours['frames'] - 4} frames\n" in out

    Path(files["recipe"]).write_text("weight_bits: 4\nstream_bits: 9\ninput_bits: 19\n")
    code, out, _ = _call(
        monkeypatch, capsys, "export", files["out"], "--quant", files["recipe"], "--out", net
    )
    assert code == 0 and "weights 4 bits, operands 8 bits\nstreams 9 bits\n" in out

    plain = load_graph(Path(net))
    more = ("--bits", "8", "--repair", "gptq,bias", "--clips", "4")
    code, out, _ = _call(monkeypatch, capsys, "export", files["out"], *more, "--out", net)
    assert code == 0 and '"rounding": "gptq", "bias": true}\n' in out
    mended = load_graph(Path(net)).meta["quant"]["repair"]
    assert mended == {"equalise": False, "search": 0, "rounding": "gptq", "bias": True}
    assert plain.meta["quant"]["repair"]["rounding"] == "nearest"

    more = ("--bits", "6", "--repair", "best", "--clips", "2")
    code, out, _ = _call(monkeypatch, capsys, "export", files["out"], *more, "--out", net)
    choice = load_graph(Path(net)).meta["choice"]
    least = min(choice["losses"].values())
    (line,) = [line for line in out.splitlines() if line.startswith("chosen ")]
    assert code == 0 and f"(loses {least:.4g})" in line.split(";")[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--bits", "8", "--quant", "q.yaml"), "give --quant, or --bits and --stream-bits"),
        (("--bits", "1"), "--bits 1: key `weight_bits`"),
        (("--bits", "8", "--repair", "gptq,glue"), "--repair: must be of equalise, search, gptq"),
        (("--bits", "8", "--repair", "gptq,adaround"), "'adaround' does not go with what stands"),
        (("--family", "msgcn"), "net.fxp: not a torch file"),
        (("--skeleton", "hugadb"), "`--skeleton` is for published checkpoints"),
        ((), "net.fxp: an integer network already"),
    ],
)
def test_wrong_exports(
    more: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    net, text = tmp_path / "net.fxp", tmp_path / "arch.yaml"
    text.write_text(ARCH)
    arch = load_spec(ArchSpec, text)
    if "--bits" in more:
        save_checkpoint(build(arch), arch, net, {})
    else:
        save_graph(blueprint(arch, QuantSpec()), net)
    out = str(tmp_path / "out.fxp")
    code, printed, err = _call(monkeypatch, capsys, "export", str(net), "--out", out, *more)
    assert (code, printed) == (2, "") and not Path(out).exists()
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


@pytest.mark.hugadb
def test_data_check(
    hugadb_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = next(iter(hugadb_root.glob("*.txt")))
    code, out, _ = _call(monkeypatch, capsys, "data", "check", str(text), "--json")
    assert code == 0 and json.loads(out)["clips"] == 1
    code, out, _ = _call(monkeypatch, capsys, "data", "check", str(text))
    assert code == 0 and "1 recordings" in out
