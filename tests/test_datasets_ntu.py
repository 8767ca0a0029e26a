"""NTU RGB+D: small `.skeleton` files in the original format, splits, preparation, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.datasets.bodies import centred, turned
from stgcn_ref.datasets.ntu import NtuSpec, load_ntu, open_ntu
from stgcn_ref.datasets.ntu_files import parse_name, read_bodies, read_missing
from stgcn_ref.datasets.recognition import RecognitionSet, stacked
from stgcn_ref.datasets.words import to_words
from tests.originals import ntu_lines, places, write_ntu

RAW = {"frames": None, "pad": "zero", "centre": "none", "rotate": False}
NAMES = (
    "S001C001P001R001A001",
    "S001C002P003R002A050",
    "S002C003P008R001A060",
    "S017C001P040R001A007",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_ntu(tmp_path / "ntu", name, [[body] for body in places(seed, 3, 25, 3)])
    return tmp_path / "ntu"


def names(ds: RecognitionSet) -> list[str]:
    return [clip.name for clip in ds.clips]


def test_words_are_the_files(tmp_path: Path) -> None:
    a, b = places(0, 4, 25, 3), places(1, 4, 25, 3)
    frames = [[a[0]], [a[1], b[1] / 4], [], [a[3], b[3] / 4]]
    write_ntu(tmp_path, "S002C003P008R001A060", frames)
    ds = load_ntu(tmp_path, NtuSpec.model_validate(RAW))
    clip = ds.clips[0]
    assert (clip.name, clip.subject, clip.camera, clip.setup) == ("S002C003P008R001A060", 8, 3, 2)
    assert (clip.label, ds.classes[clip.label]) == (59, "walking apart from each other")
    assert clip.x.shape == (4, 3, 25, 2) and clip.frames == 4
    for frame in range(4):
        for person, body in enumerate((a, b / 4)):
            there = frame != 2 and (person == 0 or frame != 0)
            expected = np.floor(body[frame].T * 1024 + 0.5) if there else np.zeros((3, 25))
            assert (clip.x[frame, :, :, person] == expected).all()
    assert (ds.name, ds.skeleton, len(ds.classes), ds.rate_hz) == ("ntu60", "ntu", 60, 30.0)
    assert ds.meta["frac_bits"] == [10, 10, 10] and not ds.synthetic


def test_gaps_and_persons(tmp_path: Path) -> None:
    body = places(0, 25, 3)
    lines = ntu_lines([[body, body / 2], [], [body]])
    row = lines[-1].rsplit(" ", 1)[0]
    lines[-1] = f"{row} 0"  # the last joint of the last frame is not tracked
    (tmp_path / "S001C001P001R001A001.skeleton").write_text("\n".join(lines))
    (take,) = open_ntu(tmp_path).takes
    assert take.persons == 2 and take.lost.shape == (3, 25)
    assert take.lost.all(axis=1).tolist() == [False, True, False]
    assert np.flatnonzero(take.lost[2]).tolist() == [24] and not take.lost[0].any()


def test_a_file_without_a_body_is_counted(tmp_path: Path) -> None:
    write_ntu(tmp_path, NAMES[0], [[], []])
    (take,) = open_ntu(tmp_path).takes
    assert take.lost.all() and take.persons == 0 and not take.clip.x.any()


def test_more_bodies_than_slots(tmp_path: Path) -> None:
    bodies = [places(seed, 25, 3) for seed in range(5)]
    write_ntu(tmp_path, NAMES[0], [bodies])
    found = read_bodies(tmp_path / f"{NAMES[0]}.skeleton")
    assert found.count.tolist() == [5] and found.xyz.shape == (4, 1, 25, 3)
    assert all((found.xyz[slot, 0] == bodies[slot]).all() for slot in range(4))


def test_the_published_preparation(tmp_path: Path) -> None:
    """Padded by repeating, centred on the spine of every frame, turned: 300 frames."""
    xyz = places(5, 2, 7, 25, 3)
    write_ntu(tmp_path, NAMES[0], [[xyz[0, t], xyz[1, t] / 2] for t in range(7)])
    clip = load_ntu(tmp_path).clips[0]
    assert clip.x.shape == (300, 3, 25, 2) and clip.frames == 7
    order = (xyz[0], xyz[1] / 2)
    repeated = np.stack([body[np.arange(300) % 7] for body in order])
    expected = to_words(turned(centred(repeated, "frame")).transpose(1, 3, 2, 0), 10, "")
    assert (clip.x == expected).all()
    assert not clip.x[:, :, 1, 0].any()  # the middle of the first person's spine


@pytest.mark.parametrize(
    ("split", "part", "kept"),
    [
        ("xsub", "train", (0, 2)),
        ("xsub", "test", (1, 3)),
        ("xview", "train", (1, 2)),
        ("xview", "test", (0, 3)),
        ("xsub120", "train", (0, 2)),
        ("xset120", "train", (2,)),
        ("xset120", "test", (0, 1, 3)),
    ],
)
def test_splits(folder: Path, split: str, part: str, kept: tuple[int, ...]) -> None:
    ds = load_ntu(folder, NtuSpec.model_validate({"split": split, "part": part}))
    assert names(ds) == [NAMES[index] for index in kept]
    assert len(ds.classes) == (120 if split.endswith("120") else 60)


def test_split_sizes_are_the_published_ones() -> None:
    from stgcn_ref.datasets.ntu import XSET120_SETUPS, XSUB120_PERFORMERS, XSUB_PERFORMERS

    assert (len(XSUB_PERFORMERS), len(XSUB120_PERFORMERS), len(XSET120_SETUPS)) == (20, 53, 16)
    assert len(set(XSUB120_PERFORMERS)) == 53 and max(XSUB120_PERFORMERS) <= 106


def test_missing_list(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "missing.txt"
    listed.write_text(f"2 of the samples have missing data.\n\n{NAMES[1]}\n{NAMES[3]}.skeleton\n")
    assert read_missing(listed) == {NAMES[1], NAMES[3]}
    ds = load_ntu(folder, NtuSpec(missing=listed))
    assert names(ds) == [NAMES[0], NAMES[2]] and ds.meta["left_out"] == 2
    assert str(tmp_path) not in str(ds.meta)  # equal data have equal metadata, wherever they lie
    listed.write_text("nothing here\n")
    with pytest.raises(InputError, match=r"missing\.txt: no sample name of the form SsssCccc"):
        load_ntu(folder, NtuSpec(missing=listed))


def test_ntu120_is_told_by_its_actions(tmp_path: Path) -> None:
    write_ntu(tmp_path, "S018C001P041R001A120", [[places(0, 25, 3)]])
    ds = load_ntu(tmp_path / "S018C001P041R001A120.skeleton")  # one file
    assert (ds.name, len(ds.classes), ds.clips[0].label) == ("ntu120", 120, 119)


def test_stacked(folder: Path) -> None:
    x, labels = stacked(load_ntu(folder).clips)
    assert x.shape == (4, 3, 300, 25, 2) and labels.tolist() == [0, 49, 59, 6]


def edited(tmp_path: Path, at: int, line: str | None) -> Path:
    """A file of two frames, one body each, with a line changed or everything from it on cut."""
    lines = ntu_lines([[places(0, 25, 3)], [places(1, 25, 3)]])
    lines = lines[:at] if line is None else [*lines[:at], line, *lines[at + 1 :]]
    path = tmp_path / f"{NAMES[0]}.skeleton"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("at", "line", "error"),
    [
        (0, "0", "line 1: the number of frames must be an integer from 1, got '0'"),
        (0, "two", "line 1: the number of frames must be an integer from 1, got 'two'"),
        (0, "1", "line 30: more lines follow the last of 1 frames"),
        (0, "3", r"line 58: truncated \(the number of bodies of frame 2 is missing\)"),
        (1, "-1", "line 2: the number of bodies of frame 0 must be an integer from 0, got '-1'"),
        (2, "1 2 3", "line 3: 10 numbers are needed, got 3"),
        (3, "20", "line 4: a body has 25 joints, got 20"),
        (4, "1 2", "line 5: 12 numbers are needed, got 2"),
        (28, "nan 0 0 0 0 0 0 0 0 0 0 2", "line 29: 'nan' is not a finite number"),
        (28, "1e300 0 0 0 0 0 0 0 0 0 0 2", r"line 29: '1e300' is beyond 1e\+06"),
        (28, "x 0 0 0 0 0 0 0 0 0 0 2", "line 29: 'x' is not a number"),
        (40, None, r"line 40: truncated \(a body needs 27 lines\)"),
        (30, None, r"line 30: truncated \(a body needs 27 lines\)"),
    ],
)
def test_malformed_files(tmp_path: Path, at: int, line: str | None, error: str) -> None:
    path = edited(tmp_path, at, line)
    with pytest.raises(InputError, match=f"^{path}: {error}$"):
        load_ntu(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    for at in range(56):
        with pytest.raises(InputError, match=r"truncated|empty"):
            read_bodies(edited(tmp_path, at, None))


def test_untracked_orientation_may_be_nan(tmp_path: Path) -> None:
    """Only positions and tracking states are read of a joint's line."""
    path = edited(tmp_path, 4, "0.5 0.25 2 nan nan nan nan nan nan nan nan 2")
    assert read_bodies(path).xyz[0, 0, 0].tolist() == [0.5, 0.25, 2.0]


def test_foreign_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no NTU RGB"):
        load_ntu(tmp_path)
    with pytest.raises(InputError, match="no NTU RGB"):
        load_ntu(tmp_path / "gone.skeleton")
    with pytest.raises(InputError, match="name must be SsssCccc"):
        parse_name(Path("walking.skeleton"))
    with pytest.raises(InputError, match=r"action must be A001\.\.A120, got A121"):
        parse_name(Path("S001C001P001R001A121.skeleton"))
    write_ntu(tmp_path, NAMES[0], [[places(0, 25, 3)]])
    with pytest.raises(InputError, match=r"no sample left of 1 \(`split` xsub, `part` test"):
        load_ntu(tmp_path, NtuSpec(split="xsub", part="test"))


def test_coordinates_out_of_range(tmp_path: Path) -> None:
    write_ntu(tmp_path, NAMES[0], [[places(0, 25, 3)], [np.full((25, 3), 40.0)]])
    with pytest.raises(InputError, match=r"A001\.skeleton: frame 1: coordinates must be -32\.\."):
        load_ntu(tmp_path, NtuSpec.model_validate(RAW))
