"""Clips with one class each and several persons, as action recognition has them.

The counterpart of `clips` for NTU RGB+D and Kinetics-skeleton: words in `x` int32 (T, C, V, M), M
persons, all clips of a set of one shape, so that they stack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from stgcn_ref.datasets.clips import LabelArray

PersonWords = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class RecognitionClip:
    """One action. `x` int32 (T, C, V, M): words, persons who are not there zero.

    `label` is the class index, `frames` how many of the T frames were recorded (the rest is
    padding). `subject`, `camera` and `setup` are the set's own numbers, 0 where it has none.

    Raises:
        InputError: a shape, a type or a number that breaks these rules.
    """

    name: str
    subject: int
    x: PersonWords
    label: int
    frames: int
    camera: int = 0
    setup: int = 0

    def __post_init__(self) -> None:
        where = f"clip {self.name}"
        if self.x.ndim != 4 or self.x.dtype != np.int32 or not self.x.size:
            raise InputError(
                f"{where}: `x` must be int32 (T, C, V, M), got {self.x.dtype} {self.x.shape}"
            )
        if not 1 <= self.frames <= len(self.x):
            raise InputError(f"{where}: `frames` must be 1..{len(self.x)}, got {self.frames}")


@dataclass(frozen=True, eq=False)
class RecognitionSet:
    """Recognition clips of one layout; fields as `stgcn_ref.datasets.clips.Dataset`.

    Raises:
        InputError: no clips, clips of different shapes, a label outside the classes, or two clips
            of one name.
    """

    name: str
    skeleton: str
    classes: tuple[str, ...]
    rate_hz: float
    clips: tuple[RecognitionClip, ...]
    synthetic: bool
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.clips:
            raise InputError(f"data set {self.name}: no clips")
        layout, names = self.clips[0].x.shape[1:], set[str]()
        for clip in self.clips:
            where = f"data set {self.name}: clip {clip.name}"
            if clip.x.shape[1:] != layout:
                raise InputError(f"{where}: (C, V, M) is {clip.x.shape[1:]}, the others' {layout}")
            if not 0 <= clip.label < len(self.classes):
                raise InputError(
                    f"{where}: label must be 0..{len(self.classes) - 1}, got {clip.label}"
                )
            if clip.name in names:
                raise InputError(f"{where}: a second clip of that name")
            names.add(clip.name)


def recognition_hash(ds: RecognitionSet) -> str:
    """SHA-256 (hex) of everything in the data set: two equal hashes mean the same data."""
    head = {
        "name": ds.name,
        "skeleton": ds.skeleton,
        "classes": ds.classes,
        "rate_hz": ds.rate_hz,
        "synthetic": ds.synthetic,
        "meta": ds.meta,
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for clip in ds.clips:
        numbers = [clip.subject, clip.label, clip.frames, clip.camera, clip.setup]
        digest.update(json.dumps([clip.name, *numbers, clip.x.shape]).encode())
        digest.update(np.ascontiguousarray(clip.x, dtype="<i4").tobytes())
    return digest.hexdigest()


def stacked(clips: Iterable[RecognitionClip]) -> tuple[PersonWords, LabelArray]:
    """A batch: words int32 (N, C, T, V, M) and labels int64 (N,).

    Raises:
        InputError: no clip, or clips of different lengths.
    """
    chosen = tuple(clips)
    if not chosen or len({clip.x.shape for clip in chosen}) > 1:
        raise InputError("a batch needs clips of one shape: read them with a number of `frames`")
    x = np.stack([clip.x for clip in chosen]).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(x), np.array([clip.label for clip in chosen], dtype=np.int64)
