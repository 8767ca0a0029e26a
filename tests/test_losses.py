"""Losses and their intervals: equal to scores taken anew, and a bootstrap that covers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dse.axes import load_space
from dse.losses import LOSSES, SCORES, broken, flat, losses_of, scores_of, write_losses
from dse.sweep import run_sweep
from dse.tallies import COLUMNS, load_tallies, save_tallies, tallies_file, tally
from fxp.errors import InputError
from reports.losses import budget_table, load_losses, loss_table
from reports.losses_page import write_losses_page
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.metrics import argmax_agreement
from stgcn_ref.scoring import score_steps

SPACE = """
name: losses
data:
  kind: synthetic
  generator: {subjects: 4, clips_per_subject: 3, frames_per_clip: 240}
  preparation: {frames_per_step: 3, shift: 3}
  train: [1, 2]
  valid: [3]
  test: [4]
network:
  base: {skeleton: hugadb, in_channels: 6, embedding: 4, classes: 8}
  window: [3]
  channels: {tiny: [4]}
training: {epochs: 1, batch: 4, segment: 64}
seeds: [0, 1]
quant:
  designs:
    - {weight_bits: 8, activation_bits: 8, budget: {frame_accuracy: 100, argmax_agreement: 1}}
    - {weight_bits: 3, activation_bits: 3, budget: {argmax_agreement: 100}}
  methods:
    max: {calibrator: max}
    best: {repair: {choose: true}}
    trained: {training: {epochs: 1, batch: 4, segment: 64}}
accelerators: [zu7ev]
objectives: {f1_50: max, energy_uj: min}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with a test side and three methods."""
    folder = tmp_path_factory.mktemp("losses")
    path = folder / "space.yaml"
    path.write_text(SPACE)
    outcome = run_sweep(load_space(path), folder / "out", data_root=None, jobs=1)
    assert (outcome.ok, outcome.failed, outcome.infeasible) == (12, 0, 0)
    return folder / "out"


def test_tallies_add_up_to_the_scores() -> None:
    ds = generate_synthetic(seed=3, subjects=2, clips_per_subject=2, frames_per_clip=200)
    rng = np.random.default_rng(0)

    def spoilt(labels: np.ndarray) -> np.ndarray:
        return np.where(rng.random(len(labels)) < 0.05, rng.integers(8, size=len(labels)), labels)

    own, floats = ([spoilt(clip.labels) for clip in ds.clips] for _ in range(2))
    counts = tally(ds, own, floats)
    assert counts.shape == (4, len(COLUMNS))
    integers, real = scores_of(counts.sum(axis=0))
    for found, labels in ((integers, own), (real, floats)):
        wanted = score_steps(ds, labels)
        assert found["frame_accuracy"] == pytest.approx(wanted.frame_accuracy, abs=1e-12)
        assert found["f1_50"] == pytest.approx(wanted.f1_50, abs=1e-12)
    assert integers["argmax_agreement"] == pytest.approx(argmax_agreement(own, floats), abs=1e-12)


def test_tallies_come_back(tmp_path: Path) -> None:
    counts = np.arange(22).reshape(2, 11)
    save_tallies(counts, tmp_path / "x.fxp")
    assert np.array_equal(load_tallies(tmp_path / "x.fxp"), counts)


def test_rows_hold_the_means_of_the_sweep(swept: Path) -> None:
    rows = losses_of(swept)
    assert [(row.width, row.method) for row in rows] == [
        (width, method) for width in ("w8a8", "w3a3") for method in ("max", "best", "trained")
    ]
    import pandas as pd

    table = pd.read_csv(swept / "results.csv")
    for row in rows:
        own = table[(table["quant"] == f"{row.width} {row.method}")]
        assert len(own) == row.seeds == 2 and row.recordings == 3
        for name in SCORES:
            assert row.integers[name] == pytest.approx(own[name].mean(), abs=1e-9)
        change = row.change["frame_accuracy"]
        apart = own["frame_accuracy"] - own["float_frame_accuracy"]
        assert change.mean == pytest.approx(apart.mean(), abs=1e-9)
        assert (change.least, change.most) == pytest.approx((apart.min(), apart.max()), abs=1e-9)
        assert change.low <= change.mean <= change.high
    by_name = {(row.width, row.method): row for row in rows}
    assert by_name["w8a8", "max"].held is True
    broken = by_name["w3a3", "max"]
    assert broken.held is False and flat(broken)["broken"] == "argmax_agreement"


def test_trained_designs_differ_from_calibrated_ones(swept: Path) -> None:
    import pandas as pd

    table = pd.read_csv(swept / "results.csv")
    by_method = table.groupby("method")["graph_hash"].agg(set)
    assert not by_method["trained"] & by_method["max"]
    assert set(table["method"]) == {"max", "best", "trained"}


def test_equal_networks_have_no_interval() -> None:
    from dse.losses import _loss

    rng = np.random.default_rng(1)
    counts = rng.integers(50, 100, (2, 9, len(COLUMNS)))
    part = {name: index for index, name in enumerate(COLUMNS)}
    for name in ("right", "found", "extra", "missed"):
        counts[..., part[f"float_{name}"]] = counts[..., part[name]]
    counts[..., part["same"]] = counts[..., part["steps"]]
    row = _loss("net", "w8a8", "max", counts, {"f1_50": 0.0}, 1.0)
    for name in SCORES:
        change = row.change[name]
        assert (change.mean, change.low, change.high) == (0, 0, 0)
    assert row.held is True


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Recordings drawn at random: about 95 % of the intervals hold the true mean change."""
    from dse.losses import _loss

    rng = np.random.default_rng(2)
    part = {name: index for index, name in enumerate(COLUMNS)}
    covered = 0
    for _ in range(60):
        counts = np.ones((1, 60, len(COLUMNS)), np.int64)
        counts[..., part["frames"]] = 1000
        counts[..., part["float_right"]] = 800
        counts[..., part["right"]] = rng.binomial(1000, 0.8, (1, 60))
        change = _loss("net", "w", "m", counts, {}, 1.0).change["frame_accuracy"]
        covered += change.low <= 0 <= change.high
    assert 51 <= covered <= 60


def test_page_tables_and_figure(swept: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`python -m dse losses` writes it"):
        load_losses(tmp_path)
    write_losses(losses_of(swept), swept / LOSSES)
    losses = load_losses(swept)
    assert (losses.widths, losses.methods) == (("w8a8", "w3a3"), ("max", "best", "trained"))
    budgets = list(budget_table(losses))
    assert budgets[2].startswith("| w8a8 | accuracy 100, agree 1 % | max | kept |")
    assert "agrees" in budgets[5]
    assert len(list(loss_table(losses, losses.models[0]))) == 2 + 6
    page, *figures = write_losses_page(swept, tmp_path / "losses.md", tmp_path)
    text = page.read_text()
    assert "scored on 4 (3 recordings" in text and "chosen on 3, whose" in text
    assert "**synthetic**" in text and all(path.stat().st_size > 1000 for path in figures)


def test_a_gate_names_what_is_broken(swept: Path) -> None:
    rows = losses_of(swept)
    (line,) = broken(rows, "max")
    assert line.startswith("Γ3 tiny, w3a3, max: argmax_agreement changed by -")
    with pytest.raises(InputError, match="method must be one of max, best, trained, got 'qat'"):
        broken(rows, "qat")
    free = [replace(row, verdicts={}) for row in rows]
    with pytest.raises(InputError, match="no design has a `budget`"):
        broken(free, "max")
    command = [sys.executable, "-m", "dse", "losses", str(swept), "--gate", "max"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("budget broken: Γ3 tiny, w3a3, max")
    assert "w8a8" in done.stdout


def test_counts_that_are_gone_are_named(swept: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(swept, copy)
    for path in (copy / "networks").glob("*-tallies.fxp"):
        path.unlink()
    with pytest.raises(InputError, match=r"-tallies\.fxp"):
        losses_of(copy)


def test_where_tallies_lie() -> None:
    assert tallies_file(Path("x"), "abc") == Path("x/networks/abc-tallies.fxp")
