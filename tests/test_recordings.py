"""Every set of the catalogue as a network reads it: parts, participants, settings, features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.data_check import check
from stgcn_ref.datasets.clips import Dataset, dataset_hash
from stgcn_ref.datasets.lara import SEGMENTS
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.features import FeatureSpec, featured
from stgcn_ref.preparation import PreparationSpec, prepare
from stgcn_ref.recordings import TRAIN, VALID, Reading, read, read_raw, read_sides
from tests.originals import (
    kinetics_body,
    places,
    write_kinetics,
    write_lara,
    write_ntu,
    write_pkummd,
    write_trials,
)


def names(ds: Any) -> list[str]:
    return [clip.name for clip in ds.clips]


def ntu(root: Path) -> Path:
    body = places(0, 25, 3)
    for name in ("S001C001P001R001A002", "S001C002P003R001A001", "S001C003P005R001A002"):
        write_ntu(root, name, [[body], [body]])
    return root


def lara(root: Path) -> Path:
    for number in (7, 14):
        table = np.random.default_rng(number).normal(0.0, 50.0, (8, 22, 6))
        write_lara(root, f"L01_S{number:02d}_R02", SEGMENTS, table, [0, 0, 7, 7, 7, 7, 1, 1])
    return root


def kinetics(root: Path) -> Path:
    frames = [{"frame_index": 0, "skeleton": [kinetics_body(0, 0.5)]}]
    write_kinetics(root, "train", {"a": (0, "x", frames), "b": (1, "y", frames)})
    return write_kinetics(root, "val", {"c": (1, "y", frames)})


def trials(root: Path) -> Path:
    for part, name in (("train", "S03_a"), ("val", "S04_b")):
        write_trials(root, {name: (places(0, 3, 4, 4, 2), [0, 0, 1, 1])}, part=part)
    return root


def test_synthetic_is_the_default() -> None:
    ds = read(None, Reading(), frozenset({3}))
    assert isinstance(ds, Dataset) and ds.synthetic and {c.subject for c in ds.clips} == {3}
    train, valid = read_sides(None, Reading(), None, None, None)
    assert {clip.subject for clip in train.clips} == TRAIN
    assert {clip.subject for clip in valid.clips} == VALID


def test_ntu_by_split_and_by_participants(tmp_path: Path) -> None:
    root = ntu(tmp_path)
    how = Reading(reader={"frames": 4})
    train, valid = read_sides(root, how, None, None, "xsub")
    assert names(train) == ["S001C001P001R001A002", "S001C003P005R001A002"]
    assert names(valid) == ["S001C002P003R001A001"]
    assert isinstance(train, RecognitionSet) and train.clips[0].x.shape == (4, 3, 25, 2)
    train, valid = read_sides(root, how, None, None, "xview")
    assert (names(train)[0][4:8], names(valid)[0][4:8]) == ("C002", "C001")
    train, valid = read_sides(root, how, frozenset({1}), frozenset({3, 5}), None)
    assert len(names(train)) == 1 and len(names(valid)) == 2
    assert len(names(read(root, how))) == 3
    for arguments, error in (
        ((frozenset({1}), frozenset({1, 3}), None), "participant 1 is in both train and valid"),
        ((frozenset({1}), frozenset({9}), None), r"participant 9 is absent \(present: 1, 3, 5\)"),
        ((frozenset({1}), None, None), "give both --train and --valid"),
        ((None, None, None), "NTU RGB\\+D is divided by participants or by --split"),
        ((None, None, "xsab"), "reader settings of .*: key `split`: Input should be 'xsub'"),
    ):
        with pytest.raises(InputError, match=error):
            read_sides(root, how, *arguments)


def test_sets_in_parts(tmp_path: Path) -> None:
    root = kinetics(tmp_path / "kinetics")
    train, valid = read_sides(root, Reading(reader={"frames": 2}), None, None, None)
    assert (names(train), names(valid)) == (["a", "b"], ["c"])
    assert train.classes == valid.classes == ("x", "y")
    with pytest.raises(InputError, match="kinetics-skeleton does not name participants"):
        read(root, Reading(), frozenset({1}))
    with pytest.raises(InputError, match="Kinetics-skeleton has parts and no further split"):
        read(root, Reading(), None, "xsub")
    root = trials(tmp_path / "trials")
    train, valid = read_sides(root, Reading(), None, None, None)
    assert (names(train), names(valid)) == (["train/S03_a"], ["val/S04_b"])
    assert names(read(root, Reading(), frozenset({4}))) == ["val/S04_b"]
    assert names(read(root, Reading(), None, None, "train")) == ["train/S03_a"]
    with pytest.raises(InputError, match="this data set has no published split, got 'xsub'"):
        read(root, Reading(), None, "xsub")
    alone = write_trials(tmp_path / "flat", {"x": (places(0, 3, 4, 4, 1), [0, 0, 1, 1])})
    with pytest.raises(InputError, match="flat: no train with features/: choose participants"):
        read_sides(alone, Reading(), None, None, None)
    with pytest.raises(InputError, match="flat: the files name no participants"):
        read(alone, Reading(), frozenset({1}))


def test_pkummd_by_a_split_file(tmp_path: Path) -> None:
    root = tmp_path / "pku"
    for name in ("0002-L", "0003-M"):
        write_pkummd(root, name, places(0, 6, 2, 25, 3), [(2, 1, 3, 1)])
    split = tmp_path / "split.txt"
    split.write_text("Training videos:\n0002-L\nValidation videos:\n0003-M\n")
    train, valid = read_sides(root, Reading(), None, None, str(split))
    assert (names(train), names(valid)) == (["0002-L"], ["0003-M"])
    assert names(read(root, Reading(), None, str(split), "valid")) == ["0003-M"]
    with pytest.raises(InputError, match="divided by a split file of its authors"):
        read_sides(root, Reading(), None, None, None)
    with pytest.raises(InputError, match="pkummd does not name participants"):
        read(root, Reading(), frozenset({2}))


def test_settings_of_the_reader(tmp_path: Path) -> None:
    root = lara(tmp_path)
    assert names(read(root, Reading(), frozenset({14}))) == ["L01_S14_R02"]
    plain = read(root, Reading())
    every = read(root, Reading(reader={"every": 4}))
    assert (len(plain.clips[0].x), len(every.clips[0].x), every.rate_hz) == (8, 2, 50.0)
    known = Reading(known_reader=every.meta["reader"])  # as a network remembers
    assert dataset_hash(read_raw(root, known)) == dataset_hash(every_raw(root))
    over = Reading(known_reader=every.meta["reader"], reader={"every": 2})
    assert read(root, over).rate_hz == 100.0
    other = Reading(known_reader={"split": None, "part": "train", "frames": 300})  # NTU's
    assert read(root, other).rate_hz == 200.0
    for reader, error in (
        ({"evry": 4}, "reader settings of .*: key `evry` is unknown"),
        ({"every": 0}, "reader settings of .*: key `every`: Input should be greater"),
        ({"part": "train"}, "reader settings of .*: `part` is an option of the command"),
    ):
        with pytest.raises(InputError, match=error):
            read(root, Reading(reader=reader))
    assert check(root, reader={"every": 4}).frames == 4
    with pytest.raises(InputError, match="synthetic recordings: no reader settings, got every"):
        read(None, Reading(reader={"every": 4}))
    with pytest.raises(InputError, match="synthetic recordings: no published split"):
        read(None, Reading(), None, "xsub")


def every_raw(root: Path) -> Dataset:
    ds = read_raw(root, Reading(reader={"every": 4}))
    assert isinstance(ds, Dataset)
    return ds


def test_words_of_trials_keep_their_scale(tmp_path: Path) -> None:
    """Whether arrays hold words is told by the first one: a network must not read others anew."""
    words = write_trials(
        tmp_path / "words", {"S1": (np.round(places(0, 3, 4, 4, 1)), [0, 0, 1, 1])}
    )
    ds = read_raw(words, Reading())
    assert ds.meta["reader"]["frac_bits"] == 0
    metres = write_trials(tmp_path / "metres", {"S1": (places(0, 3, 4, 4, 1), [0, 0, 1, 1])})
    again = read_raw(metres, Reading(reader={"skeleton": None, "frac_bits": 9}))
    known = Reading(known_reader=again.meta["reader"])
    assert read_raw(metres, known).meta["frac_bits"] == [9, 9, 9]


def test_features_then_preparation(tmp_path: Path) -> None:
    root, features = lara(tmp_path), FeatureSpec(reference=9)
    steps = PreparationSpec(frames_per_step=2)
    found = read(root, Reading(steps, features))
    raw = read_raw(root, Reading())
    assert isinstance(raw, Dataset) and isinstance(found, Dataset)
    assert dataset_hash(found) == dataset_hash(prepare(featured(raw, features), steps))
    with pytest.raises(InputError, match="single actions take no features and no preparation"):
        read(ntu(tmp_path / "ntu"), Reading(features=features))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: no such file or folder"):
        read(tmp_path / "gone", Reading())
    with pytest.raises(InputError, match="no data set recognised here"):
        read(tmp_path, Reading())


@pytest.mark.hugadb
def test_hugadb(hugadb_root: Path) -> None:
    train, valid = read_sides(hugadb_root, Reading(), frozenset({1}), frozenset({8}), None)
    assert {clip.subject for clip in train.clips} == {1}
    assert {clip.subject for clip in valid.clips} == {8}
    assert read(hugadb_root, Reading(ids="original"), frozenset({1})).classes[0] == "unused"


def test_synthetic_equals_the_generator() -> None:
    raw = read_raw(None, Reading())
    assert isinstance(raw, Dataset) and dataset_hash(raw) == dataset_hash(generate_synthetic())
