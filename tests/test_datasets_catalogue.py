"""Every set is told by its files, and its look reports what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.data_check import as_json, as_text, check
from stgcn_ref.data_report import SHOWN, WHOLE_BODY, ClassCount, Flagged, Gap, SubjectCount
from stgcn_ref.datasets.c3d import MSGCN_MARKERS
from stgcn_ref.datasets.catalogue import has_hugadb, load_recordings
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.datasets.lara import SEGMENTS
from tests.originals import (
    kinetics_body,
    places,
    write_c3d,
    write_kinetics,
    write_lara,
    write_ntu,
    write_pkummd,
    write_trials,
)


def ntu(root: Path) -> Path:
    body = places(0, 25, 3)
    write_ntu(root, "S001C001P005R001A002", [[body], [], [], [body, body], []])
    write_ntu(root, "S001C002P005R001A060", [[body]])
    write_ntu(root, "S001C003P001R001A002", [[body], [body]])
    return root


def kinetics(root: Path) -> Path:
    body = kinetics_body(0, 0.5)
    body["score"][5] = 0.0
    frames = [{"frame_index": index, "skeleton": [body]} for index in (0, 2)]
    return write_kinetics(root, "val", {"a": (0, "x", frames), "b": (1, "y", [])})


def pkummd(root: Path) -> Path:
    write_pkummd(root, "0002-L", places(0, 6, 2, 25, 3), [(2, 1, 3, 1)])
    return write_pkummd(root, "A01N01-M", places(1, 4, 2, 25, 3), [(51, 0, 4, 1)])


def lara(root: Path) -> Path:
    table = np.random.default_rng(0).normal(0.0, 50.0, (6, 22, 6))
    return write_lara(root, "L01_S14_R02", SEGMENTS, table, [0, 0, 7, 7, 7, 7])


def c3d(root: Path) -> Path:
    xyz = places(0, 40, 9, 3)
    xyz[:, 3], xyz[5:7, 4], xyz[30:39, 4] = np.nan, np.nan, np.nan
    write_c3d(root / "P01" / "walk.c3d", MSGCN_MARKERS, xyz, [("FOGs", 0.1), ("FOGe", 0.2)], "m")
    return root


def trials(root: Path) -> Path:
    trial = places(0, 3, 4, 4, 2)
    trial[:, 2] = 0.0
    return write_trials(root, {"S03_a": (trial, [0, 0, 1, 1])}, part="train")


WRITERS = {
    "ntu60": ntu,
    "kinetics-skeleton": kinetics,
    "pkummd": pkummd,
    "lara": lara,
    "c3d": c3d,
    "set": trials,
}


@pytest.mark.parametrize("name", WRITERS)
def test_recognised(tmp_path: Path, name: str) -> None:
    write: Callable[[Path], Path] = WRITERS[name]
    report = check(write(tmp_path / "set"))
    assert report.data_set == name and not report.synthetic and report.clips >= 1
    assert sum(row.frames for row in report.classes) == report.frames
    assert sum(row.frames for row in report.subjects) == report.frames
    assert as_text(report).startswith(f"{tmp_path}/set: {name}, labels as recorded\n")
    assert f'"data_set": "{name}"' in as_json(report)


def test_single_files(tmp_path: Path) -> None:
    path = ntu(tmp_path) / "S001C002P005R001A060.skeleton"
    assert (check(path).clips, check(path).frames) == (1, 1)
    assert check(c3d(tmp_path) / "P01" / "walk.c3d").data_set == "c3d"


def test_nothing_known(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    for path in (tmp_path, notes):
        for read in (check, load_recordings):
            with pytest.raises(
                InputError, match=rf"^{path}: no data set recognised here \(known: "
            ):
                read(path)
    for read in (check, load_recordings):
        with pytest.raises(InputError, match=rf"^{tmp_path}/gone: no such file or folder$"):
            read(tmp_path / "gone")


@pytest.mark.parametrize("name", WRITERS)
def test_load_recordings(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path / "set")
    if name in ("ntu60", "kinetics-skeleton"):
        with pytest.raises(InputError, match="set: holds single actions, and long recordings are"):
            load_recordings(root)
    else:
        ds = load_recordings(root)
        assert ds.name == name and isinstance(ds.clips[0], Clip)


def test_hugadb_is_told_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "various").mkdir()
    assert not has_hugadb(tmp_path)
    for path in (
        tmp_path / "various" / "hugadb_various_p01.npz",
        tmp_path / "HuGaDB_v2_various_01_00.txt",
    ):
        path.touch()
        assert has_hugadb(tmp_path) and has_hugadb(path)
        with pytest.raises(InputError, match=path.name):  # and read as such
            check(path)
        path.unlink()


@pytest.mark.parametrize("name", WRITERS)
def test_cut_files_are_reported_or_refused(tmp_path: Path, name: str) -> None:
    """Whatever is cut off: a report, or one line that names the folder or a file in it."""
    root = WRITERS[name](tmp_path / "set")
    refused = 0
    for path in sorted(file for file in root.rglob("*") if file.is_file()):
        content = path.read_bytes()
        for part in range(8):
            path.write_bytes(content[: len(content) * part // 8])
            try:
                assert check(root).frames > 0
            except InputError as error:
                refused += 1
                assert str(error).startswith(f"{root}") and "\n" not in str(error)
        path.write_bytes(content)
    assert refused >= 8 and check(root).frames > 0


def test_recognition_counts(tmp_path: Path) -> None:
    report = check(ntu(tmp_path))
    assert (report.task, report.clips, report.frames, report.persons) == ("recognition", 3, 8, 2)
    assert report.bodiless_frames == 3 and report.duration_s == 8 / 30
    assert report.classes[1] == ClassCount("eat meal/snack", 7, 87.5)
    assert report.subjects == (
        SubjectCount(1, 1, 2, 2 / 30, ()),
        SubjectCount(5, 2, 6, 6 / 30, ()),
    )
    assert report.gaps == (Gap("S001C001P005R001A002", WHOLE_BODY, 2, first_frame=1, frames=2),)
    text = as_text(report)
    rows = [f"{'walking apart from each other':<31}{1:>9}{12.5:>8.2f}%", "58 further classes"]
    assert f"\n{rows[0]}\n{rows[1]} without a frame\n" in text
    assert "3 recordings, 8 frames at 30 Hz, 0.3 s, up to 2 persons in a frame\n" in text
    assert "joints with gaps, by recording: 1; frames without a body: 3\n" in text
    assert "recordings with joints never measured: none" in text


def test_gaps_of_joints_and_joints_never_measured(tmp_path: Path) -> None:
    report = check(c3d(tmp_path))
    assert (report.task, report.persons, report.bodiless_frames) == ("segmentation", 1, 0)
    assert report.gaps == (
        Gap("P01/walk", "joint_3", 1, first_frame=0, frames=40),
        Gap("P01/walk", "joint_4", 2, first_frame=30, frames=9),
    )
    assert report.flagged == (Flagged("P01/walk", ("joint_3",)),)
    assert report.classes == (ClassCount("no freezing", 30, 75.0), ClassCount("freezing", 10, 25.0))
    assert "  P01/walk: joint_4, 2 times, at most 9 frames (from frame 30)" in as_text(report)
    found = check(kinetics(tmp_path / "kinetics"))
    assert found.flagged == (Flagged("a", ("left_shoulder",)),) and found.bodiless_frames == 1


def test_long_lists_are_cut_in_the_text_alone(tmp_path: Path) -> None:
    for number in range(SHOWN + 3):
        write_ntu(tmp_path, f"S001C001P001R001A{number % 60 + 1:03d}", [[]])
        write_ntu(tmp_path, f"S001C001P{number + 2:03d}R001A001", [[], [places(0, 25, 3)]])
    report = check(tmp_path)
    text = as_text(report).splitlines()
    assert len(report.gaps) > SHOWN
    assert f"  and {len(report.gaps) - SHOWN} more (see --json)" in text
    assert sum(line.startswith("  S001") for line in text) == SHOWN


def test_a_malformed_file_is_named(tmp_path: Path) -> None:
    path = ntu(tmp_path) / "S001C002P005R001A060.skeleton"
    path.write_text("3\n1\n")
    with pytest.raises(InputError, match=rf"^{path}: line 2: truncated"):
        check(tmp_path)
