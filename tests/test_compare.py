"""A comparison: what is measured, that it goes on where it stopped, and what its page says."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from dse.__main__ import app
from dse.compare import COMPARISON, run_comparison
from dse.comparison import load_comparison
from dse.data import load_data
from dse.evaluate import network_file
from fxp.calibrate import calibrate
from fxp.errors import InputError
from fxp.floatnet import load_floatnet
from fxp.lower import lower
from fxp.spec import QuantSpec
from fxp.store import load_graph
from hw_model.accelerator import load_accelerator
from hw_model.cost import estimate
from reports.comparison import (
    accuracy_table,
    clips_table,
    cost_table,
    load_compared,
    published_table,
)
from reports.comparison_figure import marks
from reports.comparison_page import write_comparison
from stgcn_ref.datasets.actions import cut_actions
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.networks import open_network
from stgcn_ref.preparation import prepare
from stgcn_ref.scoring import class_scores_integers, score_steps
from tests.families import graph
from tests.originals import write_hugadb
from tests.published_states import msgcn_state
from tests.sweeping import TRAINED_SPACE, write_space

BASE = TRAINED_SPACE["network"]["base"]
SPACE: dict[str, Any] = {
    **{key: value for key, value in TRAINED_SPACE.items() if key != "network"},
    "networks": {
        "causal": {"arch": {**BASE, "channels": [4], "window": 3}},
        "wide": {"arch": {**BASE, "channels": [8], "window": 3}, "training": {"epochs": 1}},
    },
    "seeds": [0, 1],
    "accelerators": ["zu7ev", "pynq-z2"],
}


def write(tmp_path: Path, **over: Any) -> Path:
    write_space(tmp_path, SPACE)
    path = tmp_path / "comparison.yaml"
    content = {"space": "space.yaml", "baseline": "causal", "speed_frames": 64, **over}
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return path


CLIPS = {"arch": "clips.yaml", "training": "clips-recipe.yaml", "steps": 12}
STGCN = {
    "family": "stgcn",
    "skeleton": "hugadb",
    "in_channels": 6,
    "channels": [4, 8],
    "window": 3,
    "stride": [1, 2],
    "classes": 8,
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished comparison."""
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "clips.yaml").write_text(yaml.safe_dump(STGCN))
    (folder / "clips-recipe.yaml").write_text("epochs: 2\nbatch: 4\nsegment: 12\n")
    comparison = load_comparison(write(folder, clips=CLIPS), None)
    run_comparison(comparison, folder / "out", data_root=None, jobs=1)
    return folder / "out"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_network_stands_in_the_tables_in_float_and_in_integers(compared: Path) -> None:
    found = load_compared(compared)
    assert (found.models, found.settings) == (["causal", "wide"], ["w8a8", "w4a6s10"])
    accuracy = [cells(line) for line in accuracy_table(found)][2:]
    settings = ["float", "w8a8", "w4a6s10"]
    assert [row[:2] for row in accuracy] == [[m, s] for m in found.models for s in settings]
    records = found.of("wide", "w8a8")
    assert {record["seed"] for record in records} == {"0", "1"}
    assert {record["accelerator"] for record in records} == {"zu7ev"}
    mean = np.mean([float(record["frame_accuracy"]) for record in records])
    own = np.mean([float(record["float_frame_accuracy"]) for record in records])
    base = np.mean([float(r["float_frame_accuracy"]) for r in found.of("causal", "w8a8")])
    row = accuracy[4]
    assert row[2] == f"{mean:.2f}"
    assert [gap.split(" / ")[0] for gap in row[6:]] == [f"{mean - own:+.2f}", f"{mean - base:+.2f}"]
    assert accuracy[0][5:] == ["", "", ""]  # the baseline in float, against itself


def test_costs_are_the_models(compared: Path) -> None:
    found = load_compared(compared)
    rows = {tuple(cells(line)[:2]): cells(line)[2:] for line in cost_table(found)}
    record = found.of("wide", "w4a6s10")[0]
    net = load_graph(network_file(compared, record["network"]))
    cost = estimate(net, load_accelerator("zu7ev"))
    row = rows["wide", "w4a6s10"]
    assert row[1:3] == [f"{cost.macs:,}", f"{cost.memory_words:,}"]
    assert row[4:6] == ["0", f"{cost.interval_cycles:,}"]
    # input norm 2 * 36, embedding 4 * 7, conv 24 * 5, importance 108, norm 16, residual 40 + 16,
    # classifier 8 * 9
    assert row[0] == str(72 + 28 + 120 + 108 + 16 + 56 + 72)


def test_the_clock_ran_for_every_network(compared: Path) -> None:
    speed = load_compared(compared).about["speed"]
    assert set(speed) == {f"{m}, {s}" for m in ("causal", "wide") for s in ("w8a8", "w4a6s10")}
    for pair in speed.values():
        for kind in ("integer", "float"):
            assert 0 < pair[kind]["least"] <= pair[kind]["median"] <= pair[kind]["most"]


def test_whole_clips_in_float_and_in_integers(compared: Path) -> None:
    rows = load_compared(compared).about["clips"]
    assert [row["setting"] for row in rows] == ["float", "w8a8", "w4a6s10"]
    comparison = load_comparison(compared.parent / "comparison.yaml", None)
    data = load_data(comparison.axes.space, comparison.source, None)
    assert data is not None
    actions = cut_actions(data.valid, 12)
    assert (rows[0]["clips"], rows[0]["steps"]) == (len(actions.clips), 12)
    (kept,) = (path for path in (compared / "clips").glob("*.fxp") if "-scores" not in path.name)
    graph = lower(load_floatnet(kept), calibrate(load_floatnet(kept), QuantSpec()))
    labels = np.array([clip.label for clip in actions.clips])
    right = class_scores_integers(graph, actions).argmax(axis=1) == labels
    assert rows[1]["top_1"] == pytest.approx(100 * right.mean())
    table = [cells(line) for line in clips_table(rows)][2:]
    assert table[0][0] == "float" and table[1][1] == f"{rows[1]['top_1']:.2f}"


def test_page_and_figure(compared: Path, tmp_path: Path) -> None:
    page, *figures = write_comparison(compared, tmp_path / "page.md", tmp_path)
    text = page.read_text()
    assert "**synthetic** recordings" in text and "](comparison.png)" in text
    assert "Trained on participants 1, 2" in text and "scored on 3" in text
    assert [figure.name for figure in figures] == ["comparison.png", "comparison.svg"]
    drawn = marks(load_compared(compared))
    assert [(mark.model, mark.setting) for mark in drawn][:3] == [
        ("causal", "float"),
        ("causal", "w8a8"),
        ("causal", "w4a6s10"),
    ]
    assert "## Whole clips: the original task" in text
    assert all(mark.least <= mark.value <= mark.most for mark in drawn)


def test_nothing_is_measured_twice(compared: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in compared.rglob("*.fxp")}
    comparison = load_comparison(compared.parent / "comparison.yaml", None)
    run_comparison(comparison, compared, data_root=None, jobs=1)
    assert before and before == {p: p.stat().st_mtime_ns for p in compared.rglob("*.fxp")}


def recordings(folder: Path) -> Path:
    """Made-up HuGaDB recordings of three participants, written as text; labels in runs."""
    rng = np.random.default_rng(5)
    folder.mkdir()
    for subject in (1, 2, 3):
        words = rng.integers(-3000, 3000, (240, 36))
        activity = np.repeat(rng.choice([1, 5, 8], 6), 40)
        rows = np.column_stack([words, np.full((240, 2), 120), activity])
        write_hugadb(folder / f"HuGaDB_v2_various_{subject:02}_00.txt", rows.tolist())
    return folder


@pytest.fixture(scope="module")
def with_published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a comparison with a (random) released network, on made-up recordings."""
    folder = tmp_path_factory.mktemp("published")
    state = msgcn_state(graph("hugadb-msgcn"), 2, 1, channels=6, classes=12)
    torch.save(state, folder / "net.model")
    entry = {"checkpoint": "net.model", "family": "msgcn", "participants": [1, 3], "bits": [16, 6]}
    path = write(folder, published={"Released": entry})
    networks = {"causal": {"arch": {**BASE, "classes": 10, "channels": [4], "window": 3}}}
    data = {"kind": "hugadb", "train": [1, 2], "valid": [3]}
    one = {"networks": networks, "data": data, "seeds": [0], "accelerators": ["zu7ev"]}
    write_space(folder, {**SPACE, **one})
    compare(path, folder)
    return folder


def compare(path: Path, folder: Path) -> None:
    data = folder / "data"
    if not data.exists():
        recordings(data)
    run_comparison(load_comparison(path, folder), folder / "out", data_root=data, jobs=1)


def test_released_networks_in_float_and_in_integers(with_published: Path) -> None:
    rows = load_compared(with_published / "out").about["published"]["Released"]
    assert [row["setting"] for row in rows] == ["float", "w16a16", "w6a6s12"]
    ds = load_hugadb(with_published / "data", "v2", {1, 3}, "original")
    opened = open_network(with_published / "net.model", "msgcn")
    ds = opened.fitted(prepare(ds, opened.preparation))
    expected = asdict(score_steps(ds, opened.predict(ds), drop_last=True))
    assert {key: rows[0][key] for key in expected} == expected
    assert (rows[0]["recordings"], rows[0]["frames"]) == (2, 2 * 239)
    assert rows[1]["argmax_agreement"] > 98
    table = [cells(line) for line in published_table(rows)][2:]
    assert [row[0] for row in table] == ["float", "w16a16", "w6a6s12"]
    assert table[1][5] == f"{rows[1]['argmax_agreement']:.2f}"


def test_released_rows_are_kept(with_published: Path) -> None:
    kept = with_published / "out" / "published"
    before = {path: path.read_bytes() for path in kept.iterdir()}
    times = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    next(kept.glob("*-6.json")).unlink()
    compare(with_published / "comparison.yaml", with_published)
    assert {path: path.read_bytes() for path in kept.iterdir()} == before
    again = {path for path in kept.iterdir() if path.stat().st_mtime_ns != times[path]}
    assert [path.name.rpartition("-")[2] for path in again] == ["6.json"]


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"baseline": "casual"}, "key `baseline`: must be one of causal, wide, got 'casual'"),
        ({"space": "lost.yaml"}, "lost.yaml: "),
        ({"speed_frames": 0}, "key `speed_frames`: "),
        ({"clips": {**CLIPS, "arch": "lost.yaml"}}, "lost.yaml: "),
        ({"clips": {**CLIPS, "arch": "rt.yaml"}}, "key `clips.arch`: must be of family stgcn"),
        (
            {"published": {"m": {"checkpoint": "m.model", "family": "msgcn"}}},
            "key `published`: needs a space of HuGaDB recordings",
        ),
        ({"published": {"m": {"checkpoint": "m.model", "family": "gcn"}}}, "family"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, over: dict[str, Any], words: str) -> None:
    (tmp_path / "rt.yaml").write_text(yaml.safe_dump({**BASE, "channels": [4], "window": 3}))
    path = write(tmp_path, **over)
    answer = CliRunner().invoke(app, ["compare", str(path), "--out", str(tmp_path / "out")])
    assert isinstance(answer.exception, InputError)
    assert words in str(answer.exception) and "\n" not in str(answer.exception)
    assert not (tmp_path / "out").exists()


def test_a_space_without_names_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    write_space(tmp_path, TRAINED_SPACE)
    with pytest.raises(InputError, match="must train `networks` by name"):
        load_comparison(path, None)


def test_a_directory_without_a_comparison(compared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished sweep"):
        load_compared(tmp_path)
    (tmp_path / COMPARISON).write_text(json.dumps({"speed": {}}))
    for name in ("results.csv", "sweep.json"):
        (tmp_path / name).write_bytes((compared / name).read_bytes())
    with pytest.raises(InputError, match="is not of a comparison"):
        load_compared(tmp_path)
