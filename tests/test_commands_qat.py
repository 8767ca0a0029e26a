"""`python -m stgcn_ref qat`: what it prints and writes, how it goes on, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from fxp.accumulators import accumulators, by_layer
from fxp.console import run
from fxp.ir import Conv
from fxp.spec import Repair
from fxp.store import graph_hash, load_graph
from stgcn_ref.__main__ import app
from stgcn_ref.checkpoints import Watch, save_checkpoint
from stgcn_ref.models.build import build
from stgcn_ref.qat.session import quantise
from tests.families import graph
from tests.published_states import msgcn_state
from tests.qat_toys import ARCH, COARSE, RECIPE, learnt, toy

Shell = pytest.MonkeyPatch
Printed = pytest.CaptureFixture[str]


def call(shell: Shell, printed: Printed, *arguments: str) -> tuple[int, str, str]:
    shell.setattr(sys, "argv", ["stgcn_ref", *arguments])
    with pytest.raises(SystemExit) as end:
        run(app)
    text = printed.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, text.out, text.err


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A checkpoint for the synthetic recordings, formats and a recipe."""
    arch = ARCH.model_copy(update={"classes": 8})
    texts = {
        "quant": "weight_bits: 4\nactivation_bits: 6\ninput_bits: 19\n",
        "recipe": "epochs: 1\nbatch: 4\nsegment: 200\nsearch_sweeps: 1\nsearch_frames: 100\n",
    }
    found = {"out": str(tmp_path / "net.fxp"), "net": str(tmp_path / "net.ckpt")}
    for name, text in texts.items():
        found[name] = str(tmp_path / f"{name}.yaml")
        Path(found[name]).write_text(text)
    torch.manual_seed(0)
    about = {"data": {"train": {"preparation": {"frames_per_step": 6}}}}
    save_checkpoint(build(arch), arch, Path(found["net"]), about)
    return found


def command(files: dict[str, str]) -> list[str]:
    options = [part for key in ("out", "quant", "recipe") for part in (f"--{key}", files[key])]
    return ["qat", files["net"], *options, "--train", "1,2", "--valid", "3", "--clips", "2"]


def test_network_and_table(files: dict[str, str], monkeypatch: Shell, capsys: Printed) -> None:
    code, out, err = call(monkeypatch, capsys, *command(files))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "trained on synthetic-gait (synthetic), scored on 4 recordings"
    assert [line.split()[0] for line in lines[1:-2]] == [
        *("network", "float", "calibrated", "repaired", "trained")
    ]
    assert lines[2].split()[-1] == "100.00" and lines[-1] == f"network {files['out']}"
    graph = load_graph(Path(files["out"]))
    assert graph.meta["qat"]["recipe"]["epochs"] == 1 and graph.meta["qat"]["epoch"] in (-1, 0)
    assert graph.meta["quant"]["weight_bits"] == 4
    assert graph.meta["preparation"]["frames_per_step"] == 6
    assert sorted(p.name for p in Path(files["out"]).parent.iterdir()) == [
        *("net.ckpt", "net.fxp", "quant.yaml", "recipe.yaml")
    ]
    code, found, _ = call(monkeypatch, capsys, "evaluate", files["out"], "--subjects", "3")
    accuracy = dict(line.split(" ", 1) for line in found.splitlines())["frame_accuracy"]
    assert code == 0 and accuracy == lines[5].split()[1]


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("quant", "weight_bits: 1\n", "quant.yaml: key `weight_bits`"),
        ("recipe", "distillation: 2\n", "recipe.yaml: key `distillation`"),
        ("quant", "accumulator_bits: 12\ninput_bits: 19\n", "`accumulator_bits` is 12"),
        ("quant", "overflow: WRAP\ninput_bits: 19\n", "SAT or SAT_SYM, got WRAP"),
    ],
)
def test_refused_files(
    key: str, text: str, message: str, files: dict[str, str], monkeypatch: Shell, capsys: Printed
) -> None:
    Path(files[key]).write_text(text)
    code, out, err = call(monkeypatch, capsys, *command(files))
    assert (code, out) == (2, "") and not Path(files["out"]).exists()
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_an_integer_network_is_refused(
    files: dict[str, str], monkeypatch: Shell, capsys: Printed
) -> None:
    assert call(monkeypatch, capsys, *command(files))[0] == 0
    files["net"] = files["out"]
    code, _, err = call(monkeypatch, capsys, *command(files))
    assert code == 2 and "net.fxp: an integer network already" in err


@pytest.mark.parametrize("chosen", [False, True])
def test_an_interrupted_session_goes_on(chosen: bool, tmp_path: Path) -> None:
    sets = toy(1), toy(2)
    recipe = RECIPE.model_copy(update={"search_sweeps": 1, "search_frames": 60})

    repair = Repair(rounding="gptq", bias=True, choose=chosen)
    quant = COARSE.model_copy(update={"repair": repair})
    calibration = sets[0].clips[:1]

    def session(watch: Watch | None = None) -> str:
        found = quantise(learnt(), quant, *sets, calibration, recipe, 0, partial, watch=watch)
        assert ("choice" in found.graph.meta) == chosen
        return graph_hash(found.graph)

    partial = tmp_path / "net.partial"
    whole = session()
    assert not partial.exists()

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session(Watch(on_epoch=stop))
    assert partial.exists()
    seen: list[int] = []
    resumed = session(Watch(on_epoch=lambda epoch: seen.append(epoch.number)))
    assert seen == [1, 2]
    assert resumed == whole
    partial.write_bytes(b"damaged")
    assert session() == whole


def test_a_published_checkpoint(files: dict[str, str], monkeypatch: Shell, capsys: Printed) -> None:
    torch.save(msgcn_state(graph(), 2, 1, channels=6, classes=8), files["net"])
    Path(files["recipe"]).write_text("epochs: 1\nsegment: 400\nlearn_binary_points: {lr: 0.3}\n")
    code, _, err = call(monkeypatch, capsys, *command(files))
    assert code == 2 and "net.ckpt" in err and err.count("\n") == 1
    given = [*command(files), "--family", "msgcn"]
    code, out, err = call(monkeypatch, capsys, *given)
    assert (code, err) == (0, "")
    found = load_graph(Path(files["out"]))
    assert found.meta["ids"] == "original" and found.meta["arch"]["family"] == "msgcn"
    assert found.meta["preparation"]["frames_per_step"] == 1
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["float", "calibrated", "trained"]


def test_widths_of_accumulators(files: dict[str, str], monkeypatch: Shell, capsys: Printed) -> None:
    recipe = Path(files["recipe"])
    plain = recipe.read_text()
    recipe.write_text(f"{plain}accumulators: {{classifier: 8, embedding: 9}}\n")
    assert call(monkeypatch, capsys, *command(files))[0] == 0
    graph = load_graph(Path(files["out"]))
    bits = {layer.layer: layer.bits for layer in by_layer(accumulators(graph))}
    assert bits["classifier"] <= 8 and bits["embedding"] <= 9
    points = graph.meta["qat"]["frac_bits"]
    for node in graph.nodes:
        if isinstance(node, Conv):
            assert points[f"{node.name}.weight"] == list(node.weight.frac_bits)
    Path(files["out"]).unlink()
    for given, said in (
        ("16", "error: node `input_norm`: 16 bits leave none of its weights but zeros"),
        ("{pool: 16}", "error: node `pool`: the accumulator needs"),
        ("{pol: 16}", "error: key `accumulators`: 'pol' matches no layer (layers: input_norm,"),
    ):
        recipe.write_text(f"{plain}accumulators: {given}\n")
        code, out, err = call(monkeypatch, capsys, *command(files))
        assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith(said)
        assert not list(recipe.parent.glob("net.fxp*"))
