"""The HuGaDB reader, on files written here in its formats, and on the real ones where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from stgcn_ref.datasets.clips import Dataset, dataset_hash, subjects_of
from stgcn_ref.datasets.hugadb import CHANNELS, load_hugadb
from stgcn_ref.datasets.hugadb_files import (
    ACTIVITIES,
    SENSORS,
    read_gyro_flags,
    read_packed,
    read_text,
)
from tests.originals import write_hugadb


def row(frame: int, activity: int = 1) -> list[int]:
    """Words that tell where they belong: 1000 a frame, 10 a sensor, one a channel."""
    words = [frame * 1000 + sensor * 10 + channel for sensor in range(6) for channel in range(6)]
    return [*words, 120, 128, activity]


def pack(path: Path, name: str, rows: list[list[int]], v1: list[int] | None = None) -> Path:
    table = np.array(rows)
    labels = table[:, 38].astype(np.uint8)
    arrays = {
        f"{name}/imu": table[:, :36].astype(np.int16),
        f"{name}/emg": table[:, 36:38].astype(np.uint8),
        f"{name}/act_v1": labels if v1 is None else np.array(v1, dtype=np.uint8),
        f"{name}/act_v2": labels,
    }
    np.savez(path, **arrays)
    return path


def same(a: Dataset, b: Dataset) -> bool:
    return all(
        x.name == y.name and (x.x == y.x).all() and (x.labels == y.labels).all()
        for x, y in zip(a.clips, b.clips, strict=True)
    )


def test_channels_and_joints_are_the_skeletons(tmp_path: Path) -> None:
    path = write_hugadb(tmp_path / "HuGaDB_v2_various_03_07.txt", [row(0), row(1, 11), row(2, 8)])
    ds = load_hugadb(path)
    clip = ds.clips[0]
    assert (clip.name, clip.subject, clip.hold) == ("various_03_07", 3, 1)
    assert clip.x.shape == (3, 6, 6) and clip.x.dtype == np.int32
    full = {"r": "right", "l": "left", "t": "thigh", "s": "shin", "f": "foot"}
    for joint, name in enumerate(load_skeleton(ds.skeleton).joints):
        sensor = [f"{full[side]}_{full[part]}" for side, part in SENSORS].index(name)
        for channel in range(len(CHANNELS)):
            assert clip.x[:, channel, joint].tolist() == [
                frame * 1000 + sensor * 10 + channel for frame in range(3)
            ]
    assert clip.labels.tolist() == [0, 9, 7]
    assert [ds.classes[k] for k in clip.labels] == ["walking", "down_by_elevator", "standing"]
    assert ds.rate_hz == 60.0 and not ds.synthetic and ds.meta["labels"] == "v2"


def test_original_ids(tmp_path: Path) -> None:
    path = write_hugadb(tmp_path / "HuGaDB_v2_various_03_07.txt", [row(0, 10), row(1, 12)])
    ds = load_hugadb(path, ids="original")
    assert ds.clips[0].labels.tolist() == [10, 12]
    assert len(ds.classes) == 13
    assert all(ds.classes[key] == name for key, name in ACTIVITIES.items())
    with pytest.raises(InputError, match=r"various_03_07: activity 12 \(sitting_in_car\) is none"):
        load_hugadb(path)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=36, max_size=36), min_size=1))
def test_text_round_trip(tmp_path: Path, words: list[list[int]]) -> None:
    rows = [[*imu, 0, 255, 1 + i % 8] for i, imu in enumerate(words)]
    found, version = read_text(write_hugadb(tmp_path / "HuGaDB_v1_running_12_34.txt", rows))
    assert (found.name, found.subject, version) == ("running_12_34", 12, "v1")
    assert found.imu.dtype == np.int16 and found.emg.dtype == found.activity.dtype == np.uint8
    table = np.column_stack([found.imu.astype(int), found.emg, found.activity])
    assert table.tolist() == rows


def test_folder_of_text_equals_packed_copies(tmp_path: Path) -> None:
    text, packed = tmp_path / "text", tmp_path / "packed"
    text.mkdir()
    (packed / "various").mkdir(parents=True)
    for subject in (2, 10):
        rows = [row(frame, 1 + frame) for frame in range(subject)][:6]
        write_hugadb(text / f"HuGaDB_v2_various_{subject:02d}_00.txt", rows)
        pack(
            packed / "various" / f"hugadb_various_p{subject:02d}.npz",
            f"various_{subject:02d}_00",
            rows,
        )
    write_hugadb(text / "HuGaDB_v2_bicycling_04_00.txt", [row(0, 9)])  # of another kind: left out
    write_hugadb(text / "HuGaDB_v1_various_05_00.txt", [row(0)])  # of the other labels: left out
    a, b, c = load_hugadb(text), load_hugadb(packed), load_hugadb(packed / "various")
    assert subjects_of(a) == (2, 10)
    assert same(a, b) and dataset_hash(b) == dataset_hash(c)
    assert same(load_hugadb(text, subjects=[10]), load_hugadb(packed, subjects=[10]))
    with pytest.raises(InputError, match=r"participant 3 is absent \(present: 2, 10\)"):
        load_hugadb(packed, subjects=[2, 3])


def test_both_versions_of_labels(tmp_path: Path) -> None:
    pack(tmp_path / "hugadb_various_p01.npz", "various_01_00", [row(0, 1), row(1, 1)], v1=[1, 2])
    assert load_hugadb(tmp_path, "v1").clips[0].labels.tolist() == [0, 1]
    assert load_hugadb(tmp_path, "v2").clips[0].labels.tolist() == [0, 0]
    text = write_hugadb(tmp_path / "HuGaDB_v1_various_01_00.txt", [row(0)])
    with pytest.raises(InputError, match="labels are v1, but v2 are asked for"):
        load_hugadb(text)
    with pytest.raises(InputError, match="`labels` must be v1 or v2, got 'v3'"):
        load_hugadb(text, "v3")  # type: ignore[arg-type]


def test_flags_reach_the_clips(tmp_path: Path) -> None:
    pack(tmp_path / "hugadb_various_p01.npz", "various_01_00", [row(0)])
    assert load_hugadb(tmp_path).meta["gyro_flags"] is None
    listed = tmp_path / "gyro_corruption.csv"
    listed.write_text("recording,rf,rs,rt,lf,ls,lt\nvarious_01_00,1,0,1,0,0,1\n")
    ds = load_hugadb(tmp_path)
    assert ds.clips[0].flagged == (0, 2, 3)  # right thigh, right foot, left thigh
    assert ds.meta["gyro_flags"] == "gyro_corruption.csv"
    for text, message in (
        ("name,rf\n", "line 1: columns must be recording,rf,rs"),
        ("recording,rf,rs,rt,lf,ls,lt\nx,1,0,1,0,0\n", "line 2: a name and six flags"),
        ("recording,rf,rs,rt,lf,ls,lt\nx,1,0,1,0,0,2\n", "line 2: a name and six flags"),
    ):
        listed.write_text(text)
        with pytest.raises(InputError, match=f"gyro_corruption.csv: {message}"):
            read_gyro_flags(listed)


def broken(lines: list[str], change: str) -> list[str]:
    """The lines of a good file after one kind of damage."""
    first, second = lines[4], lines[5]
    cells = second.split("\t")
    match change:
        case "no header":
            return lines[3:]
        case "no columns":
            return lines[:3] + lines[4:]
        case "no frames":
            return lines[:4]
        case "column missing":
            return [*lines[:4], first, "\t".join(cells[:-1])]
        case "column too many":
            return [*lines[:4], first, second + "\t7"]
        case "empty line":
            return [*lines[:4], first, "", second]
        case "letter" | "decimal" | "empty cell" | "too large" | "EMG" | "activity":
            where, cell = {
                "letter": (3, "x7"),
                "decimal": (3, "1.5"),
                "empty cell": (3, ""),
                "too large": (3, "32768"),
                "EMG": (37, "256"),
                "activity": (38, "13"),
            }[change]
            cells[where] = cell
            return [*lines[:4], first, "\t".join(cells)]
    raise AssertionError(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no header", "line 1: header line `#Activity` is missing"),
        ("no columns", "line 4: the names of the 39 columns are missing"),
        ("no frames", "line 5: no frame follows the header"),
        ("column missing", "line 6: 39 columns are needed, got 38"),
        ("column too many", "line 6: 39 columns are needed, got 40"),
        ("empty line", "line 6: 39 columns are needed, got 1"),
        ("letter", "line 6: 'x7' is not an integer"),
        ("decimal", "line 6: '1.5' is not an integer"),
        ("empty cell", "line 6: '' is not an integer"),
        ("too large", "line 6: an inertial word must be -32768..32767, got 32768"),
        ("EMG", "line 6: an EMG word must be 0..255, got 256"),
        ("activity", "line 6: an activity id must be 1..12, got 13"),
    ],
)
def test_malformed_text(tmp_path: Path, change: str, message: str) -> None:
    path = write_hugadb(tmp_path / "HuGaDB_v2_various_01_00.txt", [row(0), row(1)])
    lines = path.read_text().splitlines()
    path.write_text("\n".join(broken(lines, change)) + "\n")
    with pytest.raises(InputError) as caught:
        load_hugadb(path)
    assert str(caught.value) == f"{path}: {message}"


def test_truncated_and_foreign_text(tmp_path: Path) -> None:
    path = write_hugadb(tmp_path / "HuGaDB_v2_various_01_00.txt", [row(0), row(1, 10)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])  # "10" became "1": only the missing line end tells
    with pytest.raises(InputError, match="line 6: truncated"):
        load_hugadb(path)
    path.write_bytes(whole + b"\xff\xfe\n")
    with pytest.raises(InputError, match=r"cannot be read \(UnicodeDecodeError\)"):
        load_hugadb(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="line 1: header line"):
        load_hugadb(path)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    assert load_hugadb(path).clips[0].labels.tolist() == [0, 8]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = write_hugadb(tmp_path / "HuGaDB_v2_various_01_00.txt", [row(0), row(1, 10)])
    whole = path.read_bytes()
    after_first_row = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length == after_first_row:  # a file of one whole frame
            assert len(load_hugadb(path).clips[0].x) == 1
        else:
            with pytest.raises(InputError, match=f"^{path}: line "):
                load_hugadb(path)


def test_malformed_packed(tmp_path: Path) -> None:
    path = pack(tmp_path / "hugadb_various_p01.npz", "various_01_00", [row(0), row(1)])
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a zip"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"p01\.npz: not a readable npz file"):
            read_packed(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"p01\.npz: not a readable npz file"):
        read_packed(path)
    imu, act = np.zeros((2, 36), np.int16), np.ones(2, np.uint8)
    emg = np.zeros((2, 2), np.uint8)
    for arrays, message in (
        ({"r/imu": imu, "r/emg": emg}, "array r/act_v2 is missing"),
        ({"r/imu": imu.astype(np.int32), "r/emg": emg, "r/act_v2": act}, "r/imu is int32"),
        ({"r/imu": imu[:, :35], "r/emg": emg, "r/act_v2": act}, r"r/imu is int16 \(2, 35\)"),
        ({"r/imu": imu, "r/emg": emg, "r/act_v2": act[:1]}, r"r/act_v2 is uint8 \(1,\)"),
        ({"r/imu": imu, "r/emg": emg, "r/act_v2": act * 13}, r"r/act_v2 must hold ids 1\.\.12"),
        ({"r/imu": imu[:0], "r/emg": emg[:0], "r/act_v2": act[:0]}, "must hold ids"),
        ({}, "holds no recording"),
        ({"r/imu": np.int16(3), "r/emg": emg, "r/act_v2": act}, r"r/imu is int16 \(\)"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=message):
            read_packed(path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        load_hugadb(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no recordings"):
        load_hugadb(tmp_path)
    other = tmp_path / "notes.txt"
    other.write_text("x")
    with pytest.raises(InputError, match=r"notes\.txt: neither a text file"):
        load_hugadb(other)


@pytest.mark.hugadb
def test_the_original_text_equals_the_packed_copy(hugadb_root: Path) -> None:
    text, version = read_text(hugadb_root / "HuGaDB_v2_various_01_00.txt")
    packed = read_packed(hugadb_root / "various" / "hugadb_various_p01.npz")[0]
    assert version == "v2" and (text.name, text.subject) == (packed.name, packed.subject)
    for key in ("imu", "emg", "activity"):
        a, b = getattr(text, key), getattr(packed, key)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    alone = load_hugadb(hugadb_root / "HuGaDB_v2_various_01_00.txt").clips[0]
    among = load_hugadb(hugadb_root, subjects=[1]).clips[0]
    np.testing.assert_array_equal(alone.x, among.x)
    np.testing.assert_array_equal(alone.labels, among.labels)


@pytest.mark.hugadb
def test_the_whole_folder(hugadb: Dataset) -> None:
    ds = hugadb
    assert subjects_of(ds) == (1, 5, 6, 7, 8, 9, 10, 11, 18)
    assert (len(ds.clips), sum(len(clip.x) for clip in ds.clips)) == (188, 617217)
    per_class = np.bincount(np.concatenate([clip.labels for clip in ds.clips]))
    assert len(per_class) == 10 and per_class.min() > 0
    assert {clip.subject for clip in ds.clips if not clip.flagged} >= {1, 6, 8, 10}
