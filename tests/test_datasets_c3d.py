"""Marker recordings in C3D: small files written byte by byte, events, gaps, faults."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.datasets.c3d import (
    MSGCN_MARKERS,
    MarkerSpec,
    held_places,
    load_c3d,
    open_c3d,
    read_c3d,
)
from tests.originals import FloatArray, write_c3d


def metres(seed: int, frames: int = 50, markers: int = 9) -> FloatArray:
    """On a grid of 1/4096 metres: exact in single precision and as words."""
    return np.random.default_rng(seed).integers(-8192, 8192, (frames, markers, 3)) / 4096


def test_words_are_the_files(tmp_path: Path) -> None:
    xyz = metres(0)
    order = (3, 0, 1, 2, 4, 8, 7, 6, 5)
    names = [f"Patient:{MSGCN_MARKERS[index]}" for index in order]
    more = np.concatenate((xyz[:, list(order)], xyz[:, :1]), axis=1)
    write_c3d(tmp_path / "P03" / "walk1.c3d", [*names, "HEAD"], more, unit="m", rate_hz=120.0)
    ds = load_c3d(tmp_path)
    clip = ds.clips[0]
    assert (clip.x == xyz.transpose(0, 2, 1) * 4096).all()
    assert (clip.name, clip.subject) == ("P03/walk1", 3) and not clip.labels.any()
    assert (ds.skeleton, ds.rate_hz, ds.classes) == ("tpvicon", 120.0, ("no freezing", "freezing"))
    assert ds.meta["frac_bits"] == [12, 12, 12] and ds.meta["reader"]["markers"][0] == "SACR"


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1000.0), ("cm", 100.0)])
def test_units(tmp_path: Path, unit: str, scale: float) -> None:
    xyz = metres(1)
    write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, scale * xyz, unit=unit)
    words = load_c3d(tmp_path / "a.c3d").clips[0].x  # one file
    assert (words == xyz.transpose(0, 2, 1) * 4096).all()


def test_hidden_markers_keep_their_place(tmp_path: Path) -> None:
    xyz = metres(2, frames=6)
    shown = xyz.copy()
    shown[:2, 4], shown[3:5, 4], shown[2, 0] = np.nan, np.nan, np.nan
    write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, shown, unit="m")
    (take,) = open_c3d(tmp_path).takes
    words = xyz * 4096
    assert not take.clip.x[:2, :, 4].any()
    assert (take.clip.x[[2, 3, 4, 5], :, 4] == words[[2, 2, 2, 5], 4]).all()
    assert (take.clip.x[2, :, 0] == words[1, 0]).all()
    assert np.argwhere(take.lost).tolist() == [[0, 4], [1, 4], [2, 0], [3, 4], [4, 4]]
    assert take.persons == 1


def test_held_places_without_any() -> None:
    places = np.full((3, 2, 3), np.nan)
    assert not held_places(places, np.isnan(places).any(axis=2)).any()


def test_events(tmp_path: Path) -> None:
    events = [("FOGs", 0.2), ("Foot Strike", 0.21), ("FOGe", 0.3), ("FOGs", 0.45), ("FOGe", 99.0)]
    write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, metres(3), events, unit="m")
    labels = load_c3d(tmp_path).clips[0].labels
    assert np.flatnonzero(labels).tolist() == [*range(20, 30), *range(45, 50)]
    spec = MarkerSpec(background="rest", intervals={"turn": ("T0", "T1"), "walk": ("W0", "W1")})
    events = [("W0", 0.1), ("T0", 0.3), ("W1", 0.2), ("T1", 0.35)]
    write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, metres(3), events, unit="m")
    ds = load_c3d(tmp_path, spec)
    assert ds.classes == ("rest", "turn", "walk")
    assert np.flatnonzero(ds.clips[0].labels == 2).tolist() == list(range(10, 20))
    assert np.flatnonzero(ds.clips[0].labels == 1).tolist() == list(range(30, 35))


def test_events_after_a_minute(tmp_path: Path) -> None:
    xyz = np.zeros((620, 9, 3))
    write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, xyz, [("FOGs", 60.5), ("FOGe", 61.0)], "m", 10.0)
    assert np.flatnonzero(load_c3d(tmp_path).clips[0].labels).tolist() == list(range(605, 610))


def test_a_cut_recording_keeps_the_time_of_its_session(tmp_path: Path) -> None:
    events = [("FOGs", 1.0), ("FOGe", 1.2)]
    write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, metres(3), events, "m", first_frame=91)
    assert np.flatnonzero(load_c3d(tmp_path).clips[0].labels).tolist() == list(range(10, 30))


def test_events_out_of_turn(tmp_path: Path) -> None:
    for events in ([("FOGs", 0.1)], [("FOGe", 0.1), ("FOGs", 0.2)]):
        write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, metres(4), events, unit="m")
        with pytest.raises(InputError, match=r"a\.c3d: events FOGs and FOGe must come in turn"):
            load_c3d(tmp_path)


def test_label_files(tmp_path: Path) -> None:
    """Other marker data, as timed-up-and-go: any skeleton, an id per frame beside the recording."""
    spec = MarkerSpec(
        skeleton="hugadb",
        markers=("RTHI", "RTIB", "RTOE", "LTHI", "LTIB", "LTOE"),
        classes=("sit", "stand up", "walk"),
    )
    write_c3d(tmp_path / "tug.c3d", spec.markers, metres(5, 4, 6), unit="m")
    (tmp_path / "tug.csv").write_text("0\n1\n2\n2\n")
    ds = load_c3d(tmp_path, spec)
    assert (ds.skeleton, ds.classes[2]) == ("hugadb", "walk")
    assert ds.clips[0].labels.tolist() == [0, 1, 2, 2]
    (tmp_path / "tug.csv").write_text("0\n1\n2\n")
    with pytest.raises(InputError, match=r"tug\.csv: 3 labels for 4 frames"):
        load_c3d(tmp_path, spec)
    (tmp_path / "tug.csv").unlink()
    with pytest.raises(InputError, match=r"tug\.csv: cannot be read"):
        load_c3d(tmp_path, spec)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, metres(0), unit="m")
    monkeypatch.setitem(sys.modules, "c3d", None)
    with pytest.raises(InputError) as caught:
        load_c3d(tmp_path)
    assert str(caught.value) == (
        f'{tmp_path}/a.c3d: reading C3D needs the package c3d: pip install "stgcn-codesign[c3d]"'
    )


def test_truncated(tmp_path: Path) -> None:
    path = write_c3d(tmp_path / "a.c3d", MSGCN_MARKERS, metres(0, frames=400), unit="m")
    content = path.read_bytes()
    for size in (0, 1, 200, 512, 1500, len(content) // 2, len(content) - 700):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"a\.c3d: (truncated|not a readable C3D|no frame)"):
            read_c3d(path, MSGCN_MARKERS)


def test_not_c3d(tmp_path: Path) -> None:
    path = tmp_path / "a.c3d"
    for content in (b"hello world\n" * 100, bytes(4096)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.c3d: not a readable C3D file \("):
            load_c3d(tmp_path)
    with pytest.raises(InputError, match="no C3D files here"):
        load_c3d(tmp_path / "gone")


def test_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.c3d"
    write_c3d(path, MSGCN_MARKERS[1:], metres(0, markers=8), unit="m")
    with pytest.raises(InputError, match=r"marker SACR is missing \(found: LASI, LKNE"):
        load_c3d(tmp_path)
    write_c3d(path, MSGCN_MARKERS, metres(0), unit="inch")
    with pytest.raises(InputError, match="unit must be one of m, dm, cm, mm, got 'inch'"):
        load_c3d(tmp_path)
    write_c3d(path, MSGCN_MARKERS, metres(0), unit="m")
    write_c3d(tmp_path / "b.c3d", MSGCN_MARKERS, metres(0), unit="m", rate_hz=50.0)
    with pytest.raises(InputError, match=r"b\.c3d: rate is 50 Hz, the first file's 100 Hz"):
        load_c3d(tmp_path)
    (tmp_path / "b.c3d").unlink()
    write_c3d(path, MSGCN_MARKERS, 10 * metres(0), unit="m")
    with pytest.raises(InputError, match=r"a\.c3d: frame 0: coordinates must be -8\.\."):
        load_c3d(tmp_path)
    with pytest.raises(InputError, match="`markers`: skeleton coco has 17 joints, got 9 markers"):
        load_c3d(tmp_path, MarkerSpec(skeleton="coco"))
