"""PKU-MMD: small files in the original formats of both phases, splits, labels, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.datasets.pkummd import PkuMmdSpec, load_pkummd, open_pkummd, read_labels, read_split
from tests.originals import FloatArray, places, write_pkummd

NAMES = ("0002-L", "0002-M", "0017-R", "A03N12-M")


def bodies(seed: int, frames: int = 6) -> FloatArray:
    return places(seed, frames, 2, 25, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_pkummd(tmp_path / "pku", name, bodies(seed), [(1 + seed, 1, 3, 2)])
    return tmp_path / "pku"


def names(ds: Dataset) -> list[str]:
    return [clip.name for clip in ds.clips]


def test_words_are_the_files(tmp_path: Path) -> None:
    xyz = bodies(0)
    write_pkummd(tmp_path, "0364-R", xyz, [(51, 0, 2, 2), (3, 4, 6, 1)])
    for person in (0, 1):
        ds = load_pkummd(tmp_path, PkuMmdSpec(person=person))
        clip = ds.clips[0]
        assert clip.x.shape == (6, 3, 25)
        assert (clip.x == xyz[:, person].transpose(0, 2, 1) * 1024).all()
    assert clip.labels.tolist() == [51, 51, 0, 0, 3, 3] and clip.subject == 364
    assert (ds.skeleton, ds.rate_hz, len(ds.classes)) == ("pkummd", 30.0, 52)
    assert [ds.classes[k] for k in (0, 1, 51)] == ["background", "bow", "writing"]


def test_both_phases_and_numbers(folder: Path) -> None:
    ds = load_pkummd(folder)
    assert names(ds) == list(NAMES)
    assert [clip.subject for clip in ds.clips] == [2, 2, 17, 312]


def test_other_folder_names(folder: Path, tmp_path: Path) -> None:
    (folder / "skeleton").rename(tmp_path / "moved")
    (folder / "Data").mkdir()
    (tmp_path / "moved").rename(folder / "Data" / "PKU_Skeleton_Renew")
    (folder / "label").rename(folder / "Train_Label_PKU_final")
    assert names(load_pkummd(folder)) == list(NAMES)


def split_file(path: Path, train: str, valid: str) -> Path:
    path.write_text(f"Training videos: \n{train}\n\nValidataion videos: \n{valid}\n")
    return path


def test_split(folder: Path, tmp_path: Path) -> None:
    split = split_file(tmp_path / "cross-view.txt", "0002-L, 0017-R, 0099-M", "0002-M,A03N12-M, ")
    train = load_pkummd(folder, PkuMmdSpec(split=split))
    assert names(train) == ["0002-L", "0017-R"] and train.meta["absent"] == 1
    valid = load_pkummd(folder, PkuMmdSpec(split=split, part="valid"))
    assert names(valid) == ["0002-M", "A03N12-M"] and valid.meta["absent"] == 0
    assert valid.meta["split"] == "cross-view.txt" and str(tmp_path) not in str(valid.meta)
    split_file(split, "0100-L", "0100-M")
    with pytest.raises(InputError, match="no recording of the 1 wanted is here"):
        load_pkummd(folder, PkuMmdSpec(split=split))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Training videos:\n0002-L\n", "a title `Training videos:`, names, a title, names"),
        ("videos:\n0002-L\nothers:\n0002-M\n", "a title `Training videos:`"),
        ("Training videos:\n2-L\nValidation videos:\n0002-M\n", "'2-L' is no recording name"),
        ("", "the file is empty"),
    ],
)
def test_malformed_split(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "split.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=error):
        read_split(path)


def test_gaps_and_persons(tmp_path: Path) -> None:
    xyz = bodies(0)
    xyz[:, 1] = 0.0
    xyz[2:4, 0] = 0.0
    write_pkummd(tmp_path, "0002-L", xyz, [(1, 0, 6, 2)])
    (take,) = open_pkummd(tmp_path).takes
    assert take.persons == 1
    assert take.lost.all(axis=1).tolist() == [False, False, True, True, False, False]
    xyz[3, 1] = 1.0
    xyz[4, 1] = 1.0
    write_pkummd(tmp_path, "0002-L", xyz, [(1, 0, 6, 2)])
    (take,) = open_pkummd(tmp_path).takes
    assert take.persons == 2 and take.lost[3].all()  # the second body does not stand in


def test_later_lines_count_and_ends_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "0002-L.txt"
    path.write_text("5,0,4,2\n7,2,99,1\n")
    assert read_labels(path, 5).tolist() == [5, 5, 7, 7, 7]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("52,0,2,2\n", r"line 1: action must be 1\.\.51, got 52"),
        ("0,0,2,2\n", r"line 1: action must be 1\.\.51, got 0"),
        ("1,0,2,2\n1,3,3,2\n", r"line 2: frames 3\.\.3 are no interval .* of 6 frames"),
        ("1,-1,2,2\n", r"line 1: frames -1\.\.2 are no interval"),
        ("1,6,8,2\n", r"line 1: frames 6\.\.8 are no interval"),
        ("1,4,2,2\n", r"line 1: frames 4\.\.2 are no interval"),
        ("1,0,2\n", "line 1: 4 numbers are needed, got 3"),
        ("1,0,2.5,1\n", "line 1: action,start,end,confidence must be integers"),
        ("1,0,nan,1\n", "line 1: 'nan' is not a finite number"),
        ("bow,0,2,1\n", "line 1: 'bow' is not a number"),
        ("1,0,2,1\n\n1,0,2,1\n", "line 2: 4 numbers are needed, got 1"),
        ("", "the file is empty"),
    ],
)
def test_malformed_labels(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "0002-L.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"0002-L\.txt: {error}"):
        read_labels(path, 6)


def test_malformed_skeletons(folder: Path) -> None:
    path = folder / "skeleton" / "0002-L.txt"
    lines = path.read_text().splitlines()
    for text, error in (
        ("\n".join(lines)[:-400], "line 6: 150 numbers are needed, got 1[0-9]{2}"),
        ("\n".join([*lines[:2], lines[2] + " 1", *lines[3:]]), "line 3: 150 .* got 151"),
        ("\n".join([lines[0].rsplit(" ", 1)[0] + " nan"]), "line 1: 'nan' is not a finite"),
        ("\n".join([lines[0].rsplit(" ", 1)[0] + " 99"]), "frame 0: coordinates must be -32"),
        ("", "the file is empty"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"0002-L\.txt: {error}"):
            load_pkummd(folder, PkuMmdSpec(person=1))


def test_missing_folders_and_labels(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no PKU-MMD skeleton files \(0017-M\.txt or"):
        load_pkummd(tmp_path / "nowhere")
    (folder / "label" / "0017-R.txt").unlink()
    with pytest.raises(InputError, match=r"0017-R\.txt: no label file .*label/0017-R\.txt"):
        load_pkummd(folder)
    for path in (folder / "label").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no PKU-MMD label files"):
        load_pkummd(folder)


def test_stray_files_are_passed_over(folder: Path) -> None:
    (folder / "skeleton" / "readme.txt").write_text("hello")
    assert names(load_pkummd(folder)) == list(NAMES)
    assert np.unique([len(clip.x) for clip in load_pkummd(folder).clips]).tolist() == [6]
