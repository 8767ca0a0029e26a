"""The strip: its runs against a frame-by-frame definition, and the picture's pixels."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from fxp.errors import InputError
from stgcn_ref.strip import Run, class_colours, draw_strip, strip_of


def test_runs_by_hand() -> None:
    strip = strip_of([0, 0, 1, 1, 2], [0, 0, 0, 1, 1], 2.0)
    assert strip.truth == (Run(0, 0.0, 1.5), Run(1, 1.5, 1.0))
    assert strip.found == (Run(0, 0.0, 1.0), Run(1, 1.0, 1.0), Run(2, 2.0, 0.5))
    assert strip.errors == (Run(1, 1.0, 0.5), Run(1, 2.0, 0.5))
    assert (strip.duration_s, strip.labels) == (2.5, (0, 1, 2))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_runs_are_the_frames(pairs: list[tuple[int, int]]) -> None:
    found, truth = np.array(pairs).T
    strip = strip_of(found, truth, 1.0)
    for runs, labels in ((strip.found, found), (strip.truth, truth)):
        assert [run.label for run in runs for _ in range(int(run.duration_s))] == labels.tolist()
        assert all(a.label != b.label for a, b in pairwise(runs))
    wrong = {int(run.start_s) + i for run in strip.errors for i in range(int(run.duration_s))}
    assert wrong == set(np.flatnonzero(found != truth).tolist())


def test_wrong_lengths() -> None:
    for found, truth in (([0], [0, 1]), ([], [])):
        with pytest.raises(InputError, match="a strip needs as many labels as truths"):
            strip_of(found, truth, 1.0)


@pytest.mark.parametrize("count", [2, 10, 12, 52, 120])
def test_colours_tell_apart(count: int) -> None:
    colours = np.array(class_colours(count))
    assert colours.shape == (count, 3) and colours.min() >= 0 and colours.max() <= 1
    apart = np.abs(colours[:, None] - colours[None]).max(axis=2) + np.eye(count)
    assert apart.min() > (0.1 if count <= 20 else 0.02)


def test_the_picture_shows_the_runs(tmp_path: Path) -> None:
    truth = np.repeat([0, 1], 50)
    found = np.repeat([0, 1], (25, 75))
    classes, path = ("walking", "running"), tmp_path / "strip.png"
    draw_strip(strip_of(found, truth, 10.0), classes, "a title", path)
    pixels = np.round(imread(path)[..., :3] * 255).astype(int)
    colours = np.round(np.array(class_colours(2)) * 255).astype(int)
    shares = [(np.abs(pixels - colour).max(axis=2) <= 2).mean(axis=1) for colour in colours]
    whole = shares[0] + shares[1]
    rows = np.flatnonzero(whole > 0.8 * whole.max())  # two thick rows across the picture
    halves = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    assert len(halves) == 2 and min(map(len, halves)) > 30
    for half, share in zip(halves, (0.5, 0.25), strict=True):
        found_share = shares[0][half].mean() / whole[half].mean()
        assert abs(found_share - share) < 0.01
    black = (pixels.max(axis=2) < 10).mean(axis=1)
    assert (black[halves[1][-1] :] > 0.2 * whole.max()).sum() > 5  # errors, a quarter of the time
