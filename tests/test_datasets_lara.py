"""LARa: small CSV files in the original format, with and without named columns, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from stgcn_ref.datasets.lara import (
    CLASSES,
    JOINTS,
    SEGMENTS,
    LaraSpec,
    load_lara,
    read_labels,
    read_segments,
)
from tests.originals import AXES, FloatArray, write_lara

NAME = "L01_S07_R03_A17_N01"


def values(seed: int, frames: int = 5, segments: int = 22) -> FloatArray:
    """Degrees on a grid of 1/32, millimetres that are whole 1/4096 metres: exact as words."""
    rng = np.random.default_rng(seed)
    angles = rng.integers(-320, 320, (frames, segments, 3)) / 32
    return np.concatenate((angles, rng.integers(-512, 512, (frames, segments, 3)) * 125 / 512), 2)


def write(
    root: Path, segments: tuple[str, ...] = SEGMENTS, header: bool = True, frames: int = 5
) -> FloatArray:
    table = values(0, frames, len(segments))
    write_lara(root, NAME, segments, table, [index % 8 for index in range(frames)], header)
    return table


@pytest.mark.parametrize("header", [True, False])
def test_words_are_the_files(tmp_path: Path, header: bool) -> None:
    table = write(tmp_path / "S07", header=header)
    ds = load_lara(tmp_path, LaraSpec(centre=False))
    clip = ds.clips[0]
    assert clip.x.shape == (5, 6, 19)
    for joint, name in enumerate(JOINTS):
        columns = table[:, SEGMENTS.index(name)]
        assert (clip.x[:, :3, joint] == columns[:, :3] * 32).all()
        assert (clip.x[:, 3:, joint] == columns[:, 3:] / 1000 * 4096).all()
    assert (clip.name, clip.subject, clip.labels.tolist()) == (NAME, 7, [0, 1, 2, 3, 4])
    assert (ds.skeleton, ds.rate_hz, ds.classes) == ("lara", 200.0, CLASSES)
    assert ds.meta["frac_bits"] == [5, 5, 5, 12, 12, 12] and ds.meta["units"][2:4] == [
        "degree",
        "m",
    ]


def test_joints_fit_the_skeleton() -> None:
    """Each edge of the skeleton joins body parts that hang together."""
    parents = {
        **{"lower_back": "root", "L_collar": "lower_back", "R_collar": "lower_back"},
        **{"head": "lower_back"},
        **{f"{side}_femur": "root" for side in "LR"},
    }
    for below, above in (("tibia", "femur"), ("foot", "tibia"), ("toe", "foot")):
        parents |= {f"{side}_{below}": f"{side}_{above}" for side in "LR"}
    for below, above in (("humerus", "collar"), ("elbow", "humerus"), ("wrist", "elbow")):
        parents |= {f"{side}_{below}": f"{side}_{above}" for side in "LR"}
    skeleton = load_skeleton("lara")
    assert len(JOINTS) == len(skeleton.joints) == len(set(JOINTS)) and set(JOINTS) <= set(SEGMENTS)
    edges = {frozenset(JOINTS[joint] for joint in edge) for edge in skeleton.edges}
    assert edges == {frozenset(edge) for edge in parents.items()}
    assert JOINTS[skeleton.center] == "root"


def test_centre_is_the_lower_back(tmp_path: Path) -> None:
    write(tmp_path)
    plain = load_lara(tmp_path, LaraSpec(centre=False)).clips[0].x
    back = JOINTS.index("lower_back")
    assert (load_lara(tmp_path).clips[0].x == plain - plain[:, :, [back]]).all()


def test_every(tmp_path: Path) -> None:
    write(tmp_path, frames=9)
    ds, all_of_it = load_lara(tmp_path, LaraSpec(every=4)), load_lara(tmp_path)
    assert ds.rate_hz == 50.0 and ds.clips[0].labels.tolist() == [0, 4, 0]
    assert (ds.clips[0].x == all_of_it.clips[0].x[::4]).all()


def test_named_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    """19 to 22 segments, found by their names; the lower back under a name of its own."""
    shuffled = (*JOINTS[10:], *JOINTS[:10])
    for segments in (shuffled, (*shuffled, "head_end"), (*shuffled[3:], *shuffled[:3])):
        renamed = tuple("LowerBack_x" if name == "lower_back" else name for name in segments)
        table = write(tmp_path, renamed)
        found = read_segments(tmp_path / f"{NAME}_norm_data.csv")
        for joint, name in enumerate(JOINTS):
            assert (found[:, joint] == table[:, segments.index(name)]).all()


def test_leading_columns_and_header_lines(tmp_path: Path) -> None:
    table = write(tmp_path)
    path = tmp_path / f"{NAME}_norm_data.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    for leading, lines in ((0, 1), (1, 5), (2, 0)):
        text = [",".join(row[2 - leading :]) for row in rows]
        head = ["made up"] * (lines - 1) + text[:1] if lines else []
        path.write_text("\n".join([*head, *text[1:]]) + "\n")
        found = read_segments(path)
        assert (found[:, 0] == table[:, SEGMENTS.index("root")]).all()


def test_one_hot_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    rows = [[int(k == label) for k in range(8)] + [1] * 19 for label in (2, 7, 0)]
    rows.append([0] * 27)  # no class
    header = ",".join(f"column {index}" for index in range(27))
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    assert read_labels(path).tolist() == [2, 7, 0, 7]
    path.write_text(header + "\n" + ",".join(["1", "1", *["0"] * 25]))
    with pytest.raises(InputError, match=r"line 2: one class 0\.\.7 is needed, got 1, 1, 0"):
        read_labels(path)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("8" + ",0" * 19, r"line 3: one class 0\.\.7 is needed, got 8"),
        ("-1" + ",0" * 19, r"line 3: one class 0\.\.7 is needed, got -1"),
        ("0.5" + ",0" * 19, r"line 3: one class 0\.\.7 is needed, got 0\.5"),
        ("nan" + ",0" * 19, "line 3: 'nan' is not a finite number"),
        ("1" + ",0" * 18, "line 3: 20 numbers are needed, got 19"),
        ("walking" + ",0" * 19, "line 3: 'walking' is not a number"),
    ],
)
def test_wrong_labels(tmp_path: Path, row: str, error: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("Class" + ",a" * 19 + "\n0" + ",0" * 19 + f"\n{row}\n")
    with pytest.raises(InputError, match=rf"labels\.csv: {error}"):
        read_labels(path)


def test_label_columns(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("Class,a\n0,0\n")
    with pytest.raises(InputError, match="line 1: 20 or 27 columns are needed, got 2"):
        read_labels(path)
    path.write_text("Class" + ",a" * 19 + "\n")
    with pytest.raises(InputError, match="line 2: no row follows the header"):
        read_labels(path)


def test_malformed_recordings(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / f"{NAME}_norm_data.csv"
    lines = path.read_text().splitlines()
    narrow = [",".join(line.split(",")[:-6]) for line in lines]
    for text, error in (
        (lines[:1], "no row of numbers in the first 6 lines"),
        (["made up"] * 6 + lines[1:], "no row of numbers in the first 6 lines"),
        ([*lines[:3], lines[3][:-30], *lines[4:]], "line 4: 134 numbers are needed, got 13"),
        ([*lines[:3], lines[3] + "x"], "line 4: '.*x' is not a number"),
        ([*lines[:2], lines[2].rsplit(",", 1)[0] + ",nan"], "line 3: 'nan' is not a finite"),
        (
            [*lines[:2], lines[2].rsplit(",", 1)[0] + ",9000", *lines[3:]],
            "frame 1: coordinates must be -8",
        ),
        (narrow, r"segment root is missing \(found: head, head_end, L_collar"),
        (narrow[1:], "line 1: 22 segments are needed where no header names them, got 21"),
        ([lines[0], lines[1][:-90]], "line 2: 134 columns are named, got 1"),
        ([line + ",1" for line in lines[1:]], "line 1: 6 columns a segment are needed .* got 135"),
        ([lines[0].replace("head_RY", "head_TX"), *lines[1:]], "line 2: columns must be head_RX, "),
        ([], "the file is empty"),
    ):
        path.write_text("\n".join(text))
        with pytest.raises(InputError, match=rf"norm_data\.csv: {error}"):
            load_lara(tmp_path, LaraSpec(centre=False))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no LARa recordings here"):
        load_lara(tmp_path)
    write(tmp_path)
    labels = tmp_path / f"{NAME}_labels.csv"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]))
    with pytest.raises(InputError, match=r"labels\.csv: 4 labels for 5 frames of L01_S07"):
        load_lara(tmp_path)
    labels.unlink()
    with pytest.raises(InputError, match=rf"no label file {NAME}_labels\.csv"):
        load_lara(tmp_path)
    (tmp_path / "notes.csv").write_text("1\n")
    (tmp_path / f"{NAME}_norm_data.csv").unlink()
    with pytest.raises(InputError, match=r"notes\.csv: name must be \[Lnn_\]Snn_Rnn"):
        load_lara(tmp_path)


def test_axes_of_the_writer_are_the_readers() -> None:
    from stgcn_ref.datasets import lara

    assert lara.AXES == AXES
