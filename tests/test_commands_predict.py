"""`predict`, `evaluate` and `info` on float and integer networks: files against scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from stgcn_ref.checkpoints import save_checkpoint
from stgcn_ref.datasets.ntu import NtuSpec, load_ntu
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.metrics import score
from stgcn_ref.models.build import build
from stgcn_ref.networks import open_network
from stgcn_ref.predictions import CLIP_COLUMNS, FRAME_COLUMNS
from stgcn_ref.preparation import PreparationSpec, prepare
from tests.commands import ARCH, arch_of, call
from tests.families import graph
from tests.originals import places, write_ntu
from tests.published_states import rtstgcn_state

STGCN = (
    "family: stgcn\nskeleton: ntu\nin_channels: 3\nchannels: [4, 8]\nwindow: 3\nstride: [1, 2]\n"
    "persons: 2\nclasses: 60\n"
)
STEPS = PreparationSpec(frames_per_step=6)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An untrained network that reads synthetic recordings, as float and as integers."""
    folder = tmp_path_factory.mktemp("networks")
    arch = arch_of(ARCH, folder)
    torch.manual_seed(0)
    ds = prepare(generate_synthetic(), STEPS)
    data = {"train": {"preparation": STEPS.model_dump(), "rate_hz": ds.rate_hz}}
    floats, integers = folder / "net.ckpt", folder / "net.fxp"
    save_checkpoint(build(arch), arch, floats, {"data": data, "seed": 0})
    done = call("export", str(floats), "--out", str(integers), "--clips", "3", "--bits", "12")
    assert done.code == 0 and done.err == ""
    return floats, integers


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["float", "integer"])
def test_predictions_are_the_networks(
    networks: tuple[Path, Path], kind: str, tmp_path: Path
) -> None:
    network = networks[kind == "integer"]
    out = tmp_path / "out"
    wanted = ("synthetic_02_01", "synthetic_02_00")
    done = call(
        "predict",
        str(network),
        "--out",
        str(out),
        "--recordings",
        ",".join(wanted),
        "--subjects",
        "2",
    )
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"{out}: 2 recordings of synthetic-gait (synthetic)\n")
    index = json.loads((out / "predictions.json").read_text())
    assert (index["kind"], index["synthetic"], tuple(index["recordings"])) == (kind, True, wanted)
    assert len(list(out.iterdir())) == 5
    opened = open_network(network)
    ds = prepare(generate_synthetic(), STEPS)
    clips = {clip.name: clip for clip in ds.clips}
    for name in wanted:
        clip, table = clips[name], rows(out / f"{name}.csv")
        assert tuple(table[0]) == FRAME_COLUMNS and len(table) == len(clip.frame_labels)
        assert [float(row["time_s"]) for row in table[:3]] == [0.0, 0.0167, 0.0333]
        assert [int(row["truth"]) for row in table] == clip.frame_labels.tolist()
        assert all(ds.classes[int(row["label"])] == row["class"] for row in table)
        assert all(ds.classes[int(row["truth"])] == row["truth_class"] for row in table)
        found = np.array([int(row["label"]) for row in table])
        one = opened.predict(ds)[ds.clips.index(clip)]
        assert found[::6][: len(one)].tolist() == one.tolist()
        scores = score([found], [clip.frame_labels])
        assert index["recordings"][name]["frame_accuracy"] == scores.frame_accuracy
        assert imread(out / f"{name}.png").shape[1] > 1000


def test_folders_that_hold_something_else_stay(networks: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("predict", str(networks[1]), "--out", str(out), "--no-pictures")
    assert call(*command, "--subjects", "1").code == 0
    assert call(*command, "--recordings", "synthetic_01_00").code == 0  # ours: replaced
    assert sorted(path.name for path in out.iterdir()) == [
        "predictions.json",
        "synthetic_01_00.csv",
    ]
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    for place, error in (
        (other, f"{other}: is not empty and holds no predictions"),
        (other / "letter.txt", "letter.txt: is a file; a folder is needed"),
        (tmp_path / "no" / "where", "where: cannot be written (No such file or directory)"),
    ):
        done = call("predict", str(networks[1]), "--out", str(place))
        assert (done.code, done.out) == (2, "") and error in done.err and done.err.count("\n") == 1
    assert [path.name for path in other.iterdir()] == ["letter.txt"]
    done = call(*command, "--recordings", "synthetic_01_00,nobody")
    assert done.code == 2 and "--recordings: 'nobody' is none of the 32 of synthetic" in done.err
    assert (out / "synthetic_01_00.csv").is_file()  # what was there is not touched


def test_confusion_threads_and_recall(networks: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "confusion.csv"
    command = ("evaluate", str(networks[1]), "--subjects", "1,2", "--json")
    one = json.loads(call(*command).out)
    done = json.loads(call(*command, "--threads", "3", "--confusion", str(table)).out)
    recall = done.pop("recall")
    assert one == done  # threads change no word
    found = rows(table)
    counts = np.array([[int(row[name]) for name in recall] for row in found])
    assert [row["truth"] for row in found] == list(recall) and counts.sum() == done["frames"]
    assert abs(100 * np.trace(counts) / counts.sum() - done["frame_accuracy"]) < 1e-9
    for row, truth, values in zip(found, recall, counts, strict=True):
        share = 100 * values[list(recall).index(truth)] / values.sum()
        assert row["recall_percent"] == f"{share:.2f}" and abs(recall[truth] - share) < 1e-9
    assert -1 <= done["mcc"] <= 1
    printed = call("evaluate", str(networks[1]), "--subjects", "1,2").out
    assert f"mcc {done['mcc']:.4f}\n" in printed


def test_info_of_float_and_integer_networks(networks: tuple[Path, Path]) -> None:
    floats, integers = (json.loads(call("info", str(path), "--json").out) for path in networks)
    assert (floats["kind"], integers["kind"]) == ("checkpoint", "integer")
    for facts in (floats, integers):
        assert facts["arch"]["channels"] == [8] and facts["receptive_field_steps"] == 5
        assert facts["preparation"]["frames_per_step"] == 6
        assert (facts["latency_steps"], facts["latency_ms"], facts["rate_hz"]) == (0, 0.0, 10.0)
    assert integers["synthetic"] is True and integers["checkpoint"] == "net.ckpt"
    assert integers["quant"]["weight_bits"] == 12 and 12 in integers["constant_word_bits"]
    assert len(integers["classes"]) == 8 and len(integers["sha256"]) == 64
    text = call("info", str(networks[1])).out
    assert "\nreceptive_field_steps 5\n" in text and text.startswith("kind integer\n")


def test_latency_of_a_network_that_looks_ahead(tmp_path: Path) -> None:
    arch = arch_of("family: costgcn\n" + ARCH, tmp_path)
    path, out = tmp_path / "net.ckpt", tmp_path / "net.fxp"
    about = {"data": {"train": {"rate_hz": 10.0}}}
    save_checkpoint(build(arch), arch, path, about)
    assert call("export", str(path), "--out", str(out), "--clips", "1").code == 0
    for network in (path, out):
        facts = json.loads(call("info", str(network), "--json").out)
        assert (facts["receptive_field_steps"], facts["latency_steps"]) == (5, 2)
    assert json.loads(call("info", str(path), "--json").out)["latency_ms"] == 200.0


@pytest.fixture(scope="module")
def actions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A tiny NTU RGB+D folder, and an untrained ST-GCN for it, as float and as integers."""
    folder = tmp_path_factory.mktemp("actions")
    for number in range(1, 7):
        body = places(number, 25, 3)
        write_ntu(
            folder / "ntu", f"S001C001P{number:03d}R001A{number:03d}", [[body], [body], [body]]
        )
    (folder / "reader.yaml").write_text("frames: 16\n")
    arch = arch_of(STGCN, folder)
    torch.manual_seed(0)
    floats, integers = folder / "net.ckpt", folder / "net.fxp"
    data = {"train": {"reader": {"frames": 16, "split": "xsub"}, "rate_hz": 30.0}}
    save_checkpoint(build(arch), arch, floats, {"data": data})
    out = ("--out", str(integers), "--bits", "16")
    done = call("export", str(floats), "--data", str(folder / "ntu"), *out)
    assert done.code == 0 and done.err == ""
    return folder / "ntu", floats, integers


def test_clips_of_single_actions(actions: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, *networks = actions
    for network in networks:
        out = tmp_path / network.name
        done = call("predict", str(network), "--data", str(data), "--out", str(out))
        assert (done.code, done.err) == (0, "")
        opened = open_network(network)
        ds = load_ntu(data, NtuSpec(frames=16))
        table, scores = rows(out / "clips.csv"), opened.class_scores(ds)
        assert tuple(table[0]) == CLIP_COLUMNS and len(table) == 6
        for row, clip, values in zip(table, ds.clips, scores.tolist(), strict=True):
            best = sorted(range(60), key=lambda k, values=values: (-values[k], k))[:5]
            assert [int(label) for label in row["top_5"].split()] == best
            assert (row["clip"], int(row["truth"]), int(row["label"])) == (
                clip.name,
                clip.label,
                best[0],
            )
            assert bool(int(row["in_top_5"])) == (clip.label in best)
        found = json.loads(call("evaluate", str(network), "--data", str(data), "--json").out)
        assert found["top_1"] == 100 * sum(row["label"] == row["truth"] for row in table) / 6
        assert found["top_5"] == 100 * sum(row["in_top_5"] == "1" for row in table) / 6
        assert (found["recordings"], found["frames"]) == (6, 18)
        index = json.loads((out / "predictions.json").read_text())
        assert (index["mcc"], index["data"]) == (found["mcc"], "ntu60")
        one = call("evaluate", str(network), "--data", str(data), "--split", "xsub", "--json")
        assert json.loads(one.out)["recordings"] == 2  # performers 3 and 6 are for testing
        facts = json.loads(call("info", str(network), "--json").out)
        assert facts["latency"] == "the whole clip"
        done = call("evaluate", str(network), "--data", str(data), "--drop-last")
        assert done.code == 2 and "--drop-last: ntu60 has one label a clip" in done.err
        done = call("evaluate", str(network))
        assert done.code == 2 and done.err.count("\n") == 1


def test_a_published_network_with_what_its_tensors_do_not_tell(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(rtstgcn_state(graph(), (4, 6), (1, 1), "batch"), path)
    command = ("info", str(path), "--family", "rtstgcn", "--skeleton", "hugadb", "--json")
    done = call(*command)
    assert done.code == 2 and "`window` is needed: no tensor tells it" in done.err
    config = tmp_path / "told.yaml"
    config.write_text("window: 9\ndilations: [1, 1]\n")
    facts = json.loads(call(*command, "--config", str(config)).out)
    assert (facts["arch"]["window"], facts["arch"]["dilation"]) == ([9, 9], [1, 1])
    facts = json.loads(call(*command, "--config", str(config), "--window", "5,7").out)
    assert facts["arch"]["window"] == [5, 7] and facts["receptive_field_steps"] == 1 + 4 + 6


def test_training_on_single_actions(tmp_path: Path) -> None:
    config = tmp_path / "train.yaml"
    arch = STGCN.replace("skeleton: ntu", "skeleton: hugadb").replace("classes: 60", "classes: 8")
    arch = arch.replace("in_channels: 3", "in_channels: 6").strip().replace("\n", ", ")
    config.write_text(
        f"arch: {{{arch}}}\nrecipe: {{epochs: 1, segment: 32}}\ntrain: [1, 2]\nvalid: 3\n"
        "out: net.ckpt\ndevice: cpu\n"
    )
    done = call("train", "--config", str(config))
    assert (done.code, done.err) == (0, "") and (tmp_path / "net.ckpt").is_file()
    assert done.out.startswith("data synthetic-gait-clips (synthetic), valid on participants 3\n")
    found = call("evaluate", str(tmp_path / "net.ckpt"), "--subjects", "3").out
    for line in done.out.splitlines():
        if line.startswith("top_"):
            assert line in found.splitlines()
