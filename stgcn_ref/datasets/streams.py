"""Data sets file by file: what a reader yields, and the sets that are made of it.

A reader opens its folder (names, classes and splits are checked then) and reads one file whenever
the next clip is asked for, so looking through a large set needs the memory of one clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fxp.skeleton import Skeleton
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet

ClipT = TypeVar("ClipT", Clip, RecognitionClip)
ClipT_co = TypeVar("ClipT_co", Clip, RecognitionClip, covariant=True)


@dataclass(frozen=True, eq=False)
class Take(Generic[ClipT_co]):
    """A clip, and what its file says besides.

    `lost` bool (T, V), recorded frames only: no measurement of that joint (of the main person);
    a row of True is a frame without a body. `persons` is the most bodies seen in one frame.
    """

    clip: ClipT_co
    lost: npt.NDArray[np.bool_]
    persons: int


@dataclass(frozen=True, eq=False)
class ClipStream(Generic[ClipT_co]):
    """An opened data set: fields as `Dataset`, its clips still to be read, once, in order."""

    name: str
    skeleton: Skeleton
    classes: tuple[str, ...]
    rate_hz: float
    meta: Mapping[str, Any]
    takes: Iterator[Take[ClipT_co]]


def collect(stream: ClipStream[Clip]) -> Dataset:
    """Read all clips.

    Raises:
        InputError: a malformed file, or clips that make no data set.
    """
    clips = tuple(take.clip for take in stream.takes)
    return Dataset(
        stream.name,
        stream.skeleton.name,
        stream.classes,
        stream.rate_hz,
        clips,
        synthetic=False,
        meta=dict(stream.meta),
    )


def collect_recognition(stream: ClipStream[RecognitionClip]) -> RecognitionSet:
    """Read all clips.

    Raises:
        InputError: a malformed file, or clips that make no data set.
    """
    clips = tuple(take.clip for take in stream.takes)
    return RecognitionSet(
        stream.name,
        stream.skeleton.name,
        stream.classes,
        stream.rate_hz,
        clips,
        synthetic=False,
        meta=dict(stream.meta),
    )
