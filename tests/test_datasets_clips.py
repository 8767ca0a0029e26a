"""Clips and data sets as values: rules, splits, held predictions, statistics, hashes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.datasets.clips import (
    Clip,
    Dataset,
    dataset_hash,
    held,
    input_statistics,
    merged,
    select,
    split,
    subjects_of,
)


def clip(name: str = "a", subject: int = 1, frames: int = 4, hold: int = 1, tail: int = 0) -> Clip:
    x = np.arange(frames * 6, dtype=np.int32).reshape(frames, 3, 2)
    labels = np.zeros(frames, dtype=np.int64)
    truth = labels if hold == 1 else np.zeros(frames * hold + tail, dtype=np.int64)
    return Clip(name, subject, x, labels, truth, hold)


def dataset(*clips: Clip) -> Dataset:
    return Dataset("set", "hugadb", ("p", "q"), 60.0, clips, synthetic=True, meta={"k": [1]})


FOUR = dataset(clip("a", 1), clip("b", 1), clip("c", 3), clip("d", 2))


def test_select_and_split() -> None:
    assert subjects_of(FOUR) == (1, 2, 3)
    assert [c.name for c in select(FOUR, [3, 1]).clips] == ["a", "b", "c"]
    train, valid = split(FOUR, (1, 3), (2,))
    assert [c.name for c in train.clips] == ["a", "b", "c"]
    assert [c.name for c in valid.clips] == ["d"]
    assert train.meta == FOUR.meta and train.classes == FOUR.classes


def test_bad_splits() -> None:
    with pytest.raises(InputError, match=r"participant 9 is absent \(present: 1, 2, 3\)"):
        split(FOUR, (1,), (9,))
    with pytest.raises(InputError, match="participant 2 is in both train and valid"):
        split(FOUR, (1, 2), (2, 3))
    with pytest.raises(InputError, match="no participant selected"):
        split(FOUR, (), (1,))


@given(st.integers(1, 5), st.integers(1, 6), st.data())
def test_held_repeats_and_covers_the_tail(hold: int, steps: int, data: st.DataObject) -> None:
    one = clip(frames=steps, hold=hold, tail=data.draw(st.integers(0, hold - 1)))
    frames = held(one, range(steps)).tolist()
    assert len(frames) == len(one.frame_labels)
    assert frames == [min(t // hold, steps - 1) for t in range(len(frames))]


def test_held_wants_one_prediction_a_step() -> None:
    with pytest.raises(InputError, match=r"clip a: 4 predictions are needed, got \(3,\)"):
        held(clip(), [0, 0, 0])


def test_bad_clips() -> None:
    good = clip()
    wrong = [
        ({"x": good.x.astype(np.int64)}, r"`x` must be int32 \(T, C, V\), got int64"),
        ({"x": good.x[:, 0]}, r"`x` must be int32 \(T, C, V\), got int32 \(4, 2\)"),
        ({"x": good.x[:0]}, "at least one frame is needed"),
        ({"labels": good.labels[:3]}, "4 frames, but 3 labels"),
        ({"labels": good.labels.astype(np.int32)}, "`labels` must be int64"),
        ({"frame_labels": good.labels[:3]}, "3 frame labels do not fit 4 steps of 1 frames"),
        ({"hold": 2}, "4 frame labels do not fit 4 steps of 2 frames"),
        ({"flagged": (2,)}, r"`flagged` must be 0\.\.1"),
    ]
    for change, message in wrong:
        with pytest.raises(InputError, match="clip a: " + message):
            replace(good, **change)


def test_bad_datasets() -> None:
    with pytest.raises(InputError, match="data set set: no clips"):
        dataset()
    with pytest.raises(InputError, match="clip a: a second clip of that name"):
        dataset(clip(), clip())
    other = replace(clip("b"), x=np.zeros((4, 3, 5), dtype=np.int32))
    with pytest.raises(InputError, match=r"clip b: \(C, V\) is \(3, 5\), the others' \(3, 2\)"):
        dataset(clip(), other)
    with pytest.raises(InputError, match=r"clip a: labels must be 0\.\.1 \(2 classes\)"):
        dataset(replace(clip(), labels=np.full(4, 2), frame_labels=np.full(4, 2)))


def test_merge() -> None:
    classes = ("walking", "standing", "up_by_elevator", "down_by_elevator")
    assert merged(classes, "elevator").tolist() == [0, 1, 1, 1]
    with pytest.raises(InputError, match="unknown merge 'stairs', allowed: elevator"):
        merged(classes, "stairs")
    with pytest.raises(InputError, match="class 'up_by_elevator' is not in walking, standing"):
        merged(classes[:2], "elevator")


def test_input_statistics_by_hand() -> None:
    x = np.zeros((4, 1, 2), dtype=np.int32)
    x[:, 0, 0] = [1, 3, 5, 7]
    one = Clip("a", 1, x[:3], np.zeros(3, np.int64), np.zeros(3, np.int64))
    two = Clip("b", 1, x[3:], np.zeros(1, np.int64), np.zeros(1, np.int64))
    mean, std = input_statistics(dataset(one, two))
    assert mean.tolist() == [[4.0, 0.0]]
    assert std.tolist() == [[np.sqrt(5.0), 1.0]]  # a constant word keeps scale 1


def test_hash_sees_every_part() -> None:
    other_x = clip().x.copy()
    other_x[3, 2, 1] += 1
    changed = [
        replace(FOUR, name="other"),
        replace(FOUR, skeleton="ntu"),
        replace(FOUR, classes=("p", "r")),
        replace(FOUR, rate_hz=20.0),
        replace(FOUR, synthetic=False),
        replace(FOUR, meta={"k": [2]}),
        replace(FOUR, clips=FOUR.clips[:3]),
        replace(FOUR, clips=(replace(FOUR.clips[0], name="z"), *FOUR.clips[1:])),
        replace(FOUR, clips=(replace(FOUR.clips[0], subject=2), *FOUR.clips[1:])),
        replace(FOUR, clips=(replace(FOUR.clips[0], x=other_x), *FOUR.clips[1:])),
        replace(FOUR, clips=(replace(FOUR.clips[0], labels=np.ones(4, np.int64)), *FOUR.clips[1:])),
        replace(FOUR, clips=(replace(FOUR.clips[0], flagged=(1,)), *FOUR.clips[1:])),
    ]
    hashes = [dataset_hash(ds) for ds in (FOUR, *changed)]
    assert len(set(hashes)) == len(hashes)
    again = dataset(clip("a", 1), clip("b", 1), clip("c", 3), clip("d", 2))
    assert dataset_hash(again) == hashes[0]
