"""Recognition clips, sets of them, and streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet, stacked
from stgcn_ref.datasets.streams import ClipStream, Take, collect, collect_recognition


def clip(name: str, label: int = 0, frames: int = 4) -> RecognitionClip:
    x = np.full((frames, 3, 18, 2), label, dtype=np.int32)
    return RecognitionClip(name, 1, x, label, frames)


def recognition_set(*clips: RecognitionClip) -> RecognitionSet:
    return RecognitionSet("made up", "openpose", ("a", "b"), 30.0, clips, synthetic=True)


def test_stacked() -> None:
    x, labels = stacked([clip("one", 1), clip("two", 0)])
    assert x.shape == (2, 3, 4, 18, 2) and x.dtype == np.int32 and x.flags.c_contiguous
    assert labels.tolist() == [1, 0] and (x[0] == 1).all() and not x[1].any()
    for wrong in ([], [clip("one"), clip("two", frames=5)]):
        with pytest.raises(InputError, match="a batch needs clips of one shape"):
            stacked(wrong)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"x": np.zeros((4, 3, 18), np.int32)}, r"`x` must be int32 \(T, C, V, M\)"),
        ({"x": np.zeros((4, 3, 18, 2), np.int64)}, r"got int64 \(4, 3, 18, 2\)"),
        ({"x": np.zeros((0, 3, 18, 2), np.int32)}, r"got int32 \(0, 3, 18, 2\)"),
        ({"frames": 0}, r"clip one: `frames` must be 1\.\.4, got 0"),
        ({"frames": 5}, r"`frames` must be 1\.\.4, got 5"),
    ],
)
def test_clip_rules(change: dict[str, object], error: str) -> None:
    with pytest.raises(InputError, match=error):
        replace(clip("one"), **change)  # type: ignore[arg-type]


def test_set_rules() -> None:
    assert len(recognition_set(clip("one"), clip("two", 1, frames=7)).clips) == 2
    with pytest.raises(InputError, match="data set made up: no clips"):
        recognition_set()
    with pytest.raises(InputError, match=r"clip two: label must be 0\.\.1, got 2"):
        recognition_set(clip("one"), clip("two", 2))
    with pytest.raises(InputError, match="clip one: a second clip of that name"):
        recognition_set(clip("one"), clip("one"))
    other = replace(clip("two"), x=np.zeros((4, 3, 25, 2), dtype=np.int32))
    with pytest.raises(InputError, match=r"clip two: \(C, V, M\) is \(3, 25, 2\), the others'"):
        recognition_set(clip("one"), other)


def test_streams_are_read_as_asked_for() -> None:
    read: list[int] = []

    def takes() -> Iterator[Take[Clip]]:
        for number in range(3):
            read.append(number)
            labels = np.zeros(2, dtype=np.int64)
            words = np.zeros((2, 6, 6), dtype=np.int32)
            one = Clip(f"clip {number}", number, words, labels, labels)
            yield Take(one, np.zeros((2, 6), dtype=np.bool_), 1)

    def opened() -> ClipStream[Clip]:
        return ClipStream("s", load_skeleton("hugadb"), ("a",), 60.0, {"k": 1}, takes())

    stream = opened()
    assert not read
    assert next(stream.takes).clip.name == "clip 0" and read == [0]
    ds = collect(opened())
    assert (ds.name, ds.skeleton, len(ds.clips), ds.meta) == ("s", "hugadb", 3, {"k": 1})
    assert not ds.synthetic


def test_collect_recognition() -> None:
    take = Take(clip("one"), np.zeros((4, 18), dtype=np.bool_), 2)
    stream = ClipStream("k", load_skeleton("openpose"), ("a",), 30.0, {}, iter([take]))
    ds = collect_recognition(stream)
    assert ds.clips[0] is take.clip and ds.skeleton == "openpose"
