"""Labels per frame and class names in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.datasets.label_files import read_actions, read_frame_labels


def test_labels_as_numpy_saves_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    np.savetxt(path, np.array([0, 2, 1]), delimiter=",")
    assert read_frame_labels(path, 3, 3).tolist() == [0, 2, 1]
    path.write_text("1,extra\n0,\n")
    labels = read_frame_labels(path, 3, 2)
    assert labels.tolist() == [1, 0] and labels.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("0\n3\n", r"line 2: a class id 0\.\.2 is needed, got '3'"),
        ("-1\n0\n", r"line 1: a class id 0\.\.2 is needed, got '-1'"),
        ("0.5\n0\n", r"line 1: a class id .* got '0\.5'"),
        ("nan\n0\n", "line 1: a class id .* got 'nan'"),
        ("0\n\n1\n", "line 2: a class id .* got ''"),
        ("walk\n0\n", "line 1: a class id .* got 'walk'"),
        ("0\n", "1 labels for 2 frames"),
        ("0\n1\n2\n", "3 labels for 2 frames"),
        ("", "the file is empty"),
    ],
)
def test_wrong_labels(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=error):
        read_frame_labels(path, 3, 2)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0 rest\n1 walk up\n", ("rest", "walk up")),
        ("1 walk\n0 rest\n", ("rest", "walk")),
        ("1 walk\n3 run\n", ("unused 0", "walk", "unused 2", "run")),
        ("0,rest\n1,walk\n", ("rest", "walk")),
        ("rest\nwalk up\n\n", ("rest", "walk up")),
    ],
)
def test_actions(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    path = tmp_path / "actions.txt"
    path.write_text(text)
    assert read_actions(path) == names


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("0 rest\nwalk\n", "every line must be `id name`, got 'walk'"),
        ("0 rest\n0 walk\n", "id 0 is there twice"),
        ("99999 walk\n", "id 99999 is there twice or above 10000"),
    ],
)
def test_wrong_actions(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "actions.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=error):
        read_actions(path)
