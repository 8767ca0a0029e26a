"""Options of every command: command line over file over default, and one line for what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer

from fxp.console import run
from fxp.errors import InputError
from fxp.spec import ArchSpec
from stgcn_ref.commands.check import CheckSettings
from stgcn_ref.commands.evaluate import EvaluateSettings
from stgcn_ref.commands.export import ExportSettings
from stgcn_ref.commands.info import InfoSettings
from stgcn_ref.commands.predict import PredictSettings
from stgcn_ref.commands.settings import Settings, add_command, keys_of, settings_of
from stgcn_ref.commands.train import TrainSettings
from stgcn_ref.preparation import PreparationSpec
from stgcn_ref.recipe import TrainRecipe

SettingsT = TypeVar("SettingsT", bound=Settings)
ARCH = "skeleton: hugadb\nin_channels: 6\nembedding: 4\nchannels: [8]\nwindow: 5\nclasses: 8\n"
NEEDED: dict[type[Settings], str] = {
    TrainSettings: "arch: arch.yaml\nout: file.ckpt\n",
    ExportSettings: "network: net.ckpt\nout: file.fxp\n",
    EvaluateSettings: "network: net.ckpt\n",
    PredictSettings: "network: net.ckpt\nout: there\n",
    InfoSettings: "network: net.ckpt\n",
    CheckSettings: "path: here\n",
}


def parsed(
    model: type[SettingsT], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> SettingsT:
    """What the command receives for a command line."""
    app, found = typer.Typer(), list[SettingsT]()
    add_command(app, "command", model, found.append)
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    with pytest.raises(SystemExit) as end:
        run(app)
    assert end.value.code == 0
    return found[0]


# key, its default, what the file says, what that gives, the command line, what that gives
LEVELS: list[tuple[type[Settings], str, Any, str, Any, list[str], Any]] = [
    (TrainSettings, "seed", 0, "3", 3, ["--seed", "4"], 4),
    (TrainSettings, "train", None, "[1, 2]", {1, 2}, ["--train", "3,4"], {3, 4}),
    (TrainSettings, "valid", None, "'7'", {7}, ["--valid", "8"], {8}),
    (TrainSettings, "labels", "v2", "v1", "v1", ["--labels", "v2"], "v2"),
    (ExportSettings, "bits", None, "6", 6, ["--bits", "12"], 12),
    (ExportSettings, "stream_bits", None, "9", 9, ["--stream-bits", "10"], 10),
    (ExportSettings, "fold", None, "affine", "affine", ["--fold", "weights"], "weights"),
    (ExportSettings, "clips", 16, "2", 2, ["--clips", "5"], 5),
    (EvaluateSettings, "json", False, "true", True, ["--no-json"], False),
    (EvaluateSettings, "drop_last", False, "true", True, ["--no-drop-last"], False),
    (EvaluateSettings, "threads", 1, "2", 2, ["--threads", "3"], 3),
    (EvaluateSettings, "subjects", None, "5", {5}, ["--subjects", "6"], {6}),
    (PredictSettings, "recordings", None, "[a, b]", ("a", "b"), ["--recordings", "c"], ("c",)),
    (PredictSettings, "pictures", True, "false", False, ["--pictures"], True),
    (InfoSettings, "json", False, "true", True, ["--no-json"], False),
    (CheckSettings, "json", False, "true", True, ["--no-json"], False),
    (CheckSettings, "labels", "v2", "v1", "v1", ["--labels", "v2"], "v2"),
]


@pytest.mark.parametrize(("model", "key", "default", "text", "filed", "line", "given"), LEVELS)
def test_command_line_over_file_over_default(
    model: type[Settings],
    key: str,
    default: Any,
    text: str,
    filed: Any,
    line: list[str],
    given: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "arch.yaml").write_text(ARCH)
    needed, more = tmp_path / "needed.yaml", tmp_path / "more.yaml"
    needed.write_text(NEEDED[model])
    more.write_text(f"{NEEDED[model]}{key}: {text}\n")
    name = next(n for n, info in model.model_fields.items() if key in (n, info.alias))
    for file, arguments, wanted in (
        (needed, [], default),
        (more, [], filed),
        (more, line, given),
        (needed, line, given),
    ):
        found = parsed(model, [*arguments, "--config", str(file)], monkeypatch)
        assert getattr(found, name) == wanted


def test_each_command_is_here() -> None:
    assert {row[0] for row in LEVELS} == set(NEEDED)


@pytest.mark.parametrize("model", NEEDED)
def test_every_key_of_the_file_is_an_option(
    model: type[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()
    add_command(app, "command", model, lambda _: None)
    monkeypatch.setattr(sys, "argv", ["program", "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        run(app)
    shown = capsys.readouterr().out
    for key in keys_of(model):
        positional = key in ("arch", "network", "path")
        assert (key.upper() if positional else f"--{key.replace('_', '-')} ") in shown


def test_nested_specs_inline_or_as_files(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "net.yaml").write_text(ARCH)
    config = folder / "run.yaml"
    config.write_text(
        "arch: net.yaml\nrecipe: {epochs: 3}\npreparation: {frames_per_step: 6}\nout: x.ckpt\n"
        "data: recordings\n"
    )
    found = settings_of(TrainSettings, {}, config)
    assert found.arch.channels == (8,) and found.recipe == TrainRecipe(epochs=3)
    assert found.preparation == PreparationSpec(frames_per_step=6)
    assert (found.out, found.data) == (folder / "x.ckpt", folder / "recordings")
    other = tmp_path / "recipe.yaml"
    other.write_text("epochs: 7\n")
    found = settings_of(TrainSettings, {"recipe": other, "out": Path("here.ckpt")}, config)
    assert found.recipe == TrainRecipe(epochs=7) and found.out == Path("here.ckpt")
    config.write_text(f"arch: {{{ARCH.strip().replace(chr(10), ', ')}}}\nout: x.ckpt\n")
    assert isinstance(settings_of(TrainSettings, {}, config).arch, ArchSpec)


def test_options_that_exclude_each_other(tmp_path: Path) -> None:
    config, quant = tmp_path / "run.yaml", tmp_path / "quant.yaml"
    config.write_text(NEEDED[ExportSettings] + "quant: {weight_bits: 4}\n")
    quant.write_text("weight_bits: 5\n")
    found = settings_of(ExportSettings, {"bits": 6}, config)
    assert (found.bits, found.quant) == (6, None)
    config.write_text(NEEDED[ExportSettings] + "bits: 4\n")
    found = settings_of(ExportSettings, {"quant": quant}, config)
    assert found.bits is None and found.quant is not None and found.quant.weight_bits == 5
    for given in ({"bits": 6, "quant": quant}, {"fold": "affine", "quant": quant}):
        with pytest.raises(InputError, match=r"^give --quant, or --bits and --stream-bits and"):
            settings_of(ExportSettings, given, None)
    config.write_text(NEEDED[ExportSettings] + "bits: 4\nquant: {weight_bits: 4}\n")
    with pytest.raises(InputError, match=r"^give --quant, or --bits"):
        settings_of(ExportSettings, {}, config)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sed: 1", r"run\.yaml: key `sed` is unknown \(allowed here: data, labels, "),
        ("seed: high", "run.yaml: key `seed`: Input should be a valid integer, got 'high'"),
        ("seed: 1.5", "run.yaml: key `seed`: Input should be a valid integer, got '1.5'"),
        ("seed: true", "run.yaml: key `seed`: Input should be a valid integer, got 'True'"),
        ("seed: .nan", "run.yaml: key `seed`: Input should be a valid integer, got 'nan'"),
        ("seed: -1", "run.yaml: key `seed`: Input should be greater than or equal to 0, got '-1'"),
        ("seed: [1]", r"run.yaml: key `seed`: Input should be a valid integer, got '\[1\]'"),
        ("train: [1, x]", "run.yaml: key `train`: participants as `1,5,6` are needed, got"),
        ("train: 1.5", "run.yaml: key `train`: participants as `1,5,6` are needed, got '1.5'"),
        ("train: []", r"run.yaml: key `train`: participants as `1,5,6` are needed, got '\[\]'"),
        ("labels: v3", "run.yaml: key `labels`: Input should be 'v1' or 'v2', got 'v3'"),
        ("out: 7", "run.yaml: key `out`: Input is not a valid path for .*, got '7'"),
        ("recipe: {lr: .nan}", "run.yaml: recipe: key `lr`: .*, got 'nan'"),
        ("recipe: {lr: -1}", "run.yaml: recipe: key `lr`: Input should be greater than 0, got"),
        ("recipe: 7", "run.yaml: recipe: a mapping of keys is needed, got int"),
        ("recipe: gone.yaml", r"gone.yaml: cannot be read \(No such file or directory\)"),
        ("recipe: .", r"cannot be read \(Is a directory\)"),
        ("preparation: {shift: 9}", "run.yaml: preparation: key `shift`: Input should be less"),
        ("features: {refrence: 1}", "run.yaml: features: key `refrence` is unknown"),
        ("seed: 1\nseed: 2", r"run.yaml: not valid YAML at line \d \(key `seed` is there twice"),
        ("seed: !!python/object/apply:os.getcwd []", "run.yaml: not valid YAML at line"),
        ("seed: &a [*a]", "run.yaml: nested too deep, or a value contains itself"),
        ("1: 2", "run.yaml: key `1` is unknown"),
        ("seed: {a: b", "run.yaml: not valid YAML"),
    ],
)
def test_wrong_files_of_settings(text: str, error: str, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    (tmp_path / "arch.yaml").write_text(ARCH)
    lines = NEEDED[TrainSettings] if not text.startswith("out") else "arch: arch.yaml\n"
    config.write_text(f"{lines}{text}\n")
    with pytest.raises(InputError, match=error) as raised:
        settings_of(TrainSettings, {}, config)
    assert "\n" not in str(raised.value)


def test_the_line_says_where_the_value_came_from(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("network: a\nsubjects: [0, -1]\n")
    with pytest.raises(InputError, match=r"run.yaml: key `subjects`: participants as"):
        settings_of(EvaluateSettings, {}, config)
    with pytest.raises(InputError, match=r"^--subjects: participants as `1,5,6` are needed, got"):
        settings_of(EvaluateSettings, {"subjects": "1;2"}, config)
    for content in ("[1, 2]", "text"):
        config.write_text(content)
        with pytest.raises(InputError, match=r"run.yaml: a mapping of keys is needed, got "):
            settings_of(EvaluateSettings, {}, config)
    config.write_text("# nothing\n")
    with pytest.raises(InputError, match=r"^NETWORK is needed"):
        settings_of(EvaluateSettings, {}, config)
    with pytest.raises(InputError, match=r"^--out is needed .*, or as `out` in --config"):
        settings_of(ExportSettings, {"network": Path("a")}, None)
