"""Kinetics-skeleton: small JSON files in the original format, the feeder's preparation, faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.datasets.kinetics import KineticsSpec, load_kinetics, open_kinetics, prepared
from tests.originals import kinetics_body, write_kinetics

Frame = dict[str, Any]


def frame(index: int, *bodies: Frame) -> Frame:
    return {"frame_index": index, "skeleton": list(bodies)}


def write(root: Path, frames: list[Frame]) -> Path:
    return write_kinetics(root, "train", {"a": (1, "juggling", frames)})


def test_words_are_the_files(tmp_path: Path) -> None:
    low, high = kinetics_body(0, 0.25), kinetics_body(1, 0.75)
    low["score"][4] = 0.0  # that joint was not found
    ds = load_kinetics(write(tmp_path, [frame(0, low), frame(2, low, high)]))
    clip = ds.clips[0]
    assert clip.x.shape == (300, 3, 18, 2) and clip.frames == 3
    for index, body, person in ((0, low, 0), (2, high, 0), (2, low, 1)):
        for joint in range(18):
            x, y, score = clip.x[index, :, joint, person].tolist()
            found = body["score"][joint]
            assert score == found * 2**14
            for word, place in ((x, body["pose"][2 * joint]), (y, body["pose"][2 * joint + 1])):
                assert word == (np.floor((place - 0.5) * 2**14 + 0.5) if found else 0)
    assert not clip.x[1].any() and not clip.x[3:].any() and not clip.x[0, ..., 1].any()
    assert (ds.skeleton, ds.rate_hz, ds.classes) == ("openpose", 30.0, ("class 0", "juggling"))
    assert clip.label == 1 and ds.meta["frac_bits"] == [14, 14, 14]


def test_five_persons_are_seen_and_the_best_two_kept(tmp_path: Path) -> None:
    scores = [0.125, 0.5, 0.375, 0.5, 0.25, 0.875]
    bodies = [kinetics_body(seed, score) for seed, score in enumerate(scores)]
    root = write(tmp_path, [frame(0, *bodies), frame(1, *bodies[::-1])])
    ds = load_kinetics(root)
    kept = (ds.clips[0].x[:2, 2, 0] / 2**14).tolist()
    assert kept == [[0.5, 0.5], [0.875, 0.5]]  # the sixth body of a frame is not seen
    first = ds.clips[0].x[0, 0, :, 0].tolist()  # of equals, the file's first
    assert first == [np.floor((x - 0.5) * 2**14 + 0.5) for x in bodies[1]["pose"][0::2]]
    wide = load_kinetics(root, KineticsSpec(persons_seen=6, persons=7, frames=2))
    assert (wide.clips[0].x[0, 2, 0] / 2**14).tolist() == [*sorted(scores)[::-1], 0.0]
    (take,) = open_kinetics(root).takes
    assert take.persons == 6


def test_prepared_sorts_each_frame_by_itself() -> None:
    values = np.zeros((2, 3, 18, 3))
    values[:, 2] = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])[:, None]
    values[:, :2] = 0.75
    out = prepared(values, 2)
    assert out[:, 2, 0].tolist() == [[3.0, 2.0], [3.0, 2.0]]
    assert (out[:, :2] == 0.25).all() and (values[:, :2] == 0.75).all()


def test_gaps(tmp_path: Path) -> None:
    partly = kinetics_body(0, 0.5)
    partly["score"][17] = 0.0
    (take,) = open_kinetics(write(tmp_path, [frame(1, partly), frame(3, partly), frame(2)])).takes
    assert take.lost.shape == (4, 18)
    assert take.lost.all(axis=1).tolist() == [True, False, True, False]
    assert np.flatnonzero(take.lost[1]).tolist() == [17]


def test_parts_and_clips_without_skeleton(tmp_path: Path) -> None:
    body = kinetics_body(0, 0.5)
    write_kinetics(tmp_path, "train", {"b": (0, "x", [frame(0, body)]), "a": (2, "z", [])})
    write_kinetics(tmp_path, "val", {"c": (1, "y", [frame(0, body)])})
    both = load_kinetics(tmp_path)
    assert [clip.name for clip in both.clips] == ["b", "c"] and both.classes == ("x", "y", "z")
    assert both.meta["left_out"] == 1
    assert [c.name for c in load_kinetics(tmp_path, KineticsSpec(part="val")).clips] == ["c"]
    with pytest.raises(InputError, match=r"no Kinetics-skeleton here \(kinetics_train/, kinetics_"):
        load_kinetics(tmp_path / "kinetics_train")


def test_nothing_with_a_skeleton(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip with a skeleton"):
        load_kinetics(write(tmp_path, []))


def body_with(**change: object) -> Frame:
    return {**kinetics_body(0, 0.5), **change}


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([frame(300, body_with())], r"data\[0\]: `frame_index` must be 0\.\.299, got 300"),
        ([frame(0), frame(-1)], r"data\[1\]: `frame_index` must be 0\.\.299, got -1"),
        ([{"frame_index": 0}], r"data\[0\]: needs `frame_index` and a list `skeleton`"),
        ([{"skeleton": []}], r"data\[0\]: needs `frame_index` and a list `skeleton`"),
        (["x"], r"data\[0\]: needs `frame_index` and a list `skeleton`"),
        ([frame(0, body_with(pose=[0.0] * 34))], "skeleton 0: `pose`: 36 numbers .* got 34"),
        ([frame(0, body_with(score=None))], "skeleton 0: `score`: 18 numbers .* got none"),
        ([frame(0, body_with(score=["1"] * 18))], "`score`: every cell must be a finite"),
        ([frame(0, body_with(score=[True] * 18))], "`score`: every cell must be a finite"),
        ([frame(0, body_with(pose=[float("nan")] * 36))], "`pose`: every cell must be a finite"),
        ([frame(0, body_with(pose=[10**400] * 36))], "`pose`: every cell must be a finite"),
        ([frame(0, body_with(pose=[3.0] * 36))], r"frame 0: coordinates must be -2\.\.1\.99"),
        ([frame(0, ["x"])], "skeleton 0: `pose` and `score` are needed"),  # type: ignore[arg-type]
    ],
)
def test_malformed_frames(tmp_path: Path, frames: list[Frame], error: str) -> None:
    root = write(tmp_path, frames)
    with pytest.raises(InputError, match=rf"kinetics_train/a\.json: .*{error}"):
        load_kinetics(root)


def test_malformed_files(tmp_path: Path) -> None:
    root = write(tmp_path, [frame(0, body_with())])
    clip, labels = root / "kinetics_train" / "a.json", root / "kinetics_train_label.json"
    good, entries = clip.read_text(), json.loads(labels.read_text())
    for text, error in (
        (good[:200], r"a\.json: line 1: not valid JSON"),
        ("", r"a\.json: the file is empty"),
        ("[]", r"a\.json: a JSON object is needed, got list"),
        ('{"label_index": 1}', r"a\.json: key `data`: a list of one or more frames"),
        (good.replace('"label_index": 1', '"label_index": 0'), "`label_index` is 0, the label fi"),
    ):
        clip.write_text(text)
        with pytest.raises(InputError, match=error):
            load_kinetics(root)
    clip.write_text(good)
    for change, error in (
        ({"a": {"label": "x", "has_skeleton": True}}, "key 'a': needs `label_index`"),
        ({"a": {**entries["a"], "label_index": -1}}, "key 'a': needs `label_index`"),
        ({"b": entries["a"]}, "'a' has no entry in kinetics_train_label"),
        ({}, "no entry"),
    ):
        labels.write_text(json.dumps(change))
        with pytest.raises(InputError, match=error):
            load_kinetics(root)
