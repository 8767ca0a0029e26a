"""The report of a data set that is read file by file: the memory of one clip, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from stgcn_ref.data_report import (
    WHOLE_BODY,
    ClassCount,
    Flagged,
    Gap,
    Report,
    SubjectCount,
    Task,
)
from stgcn_ref.datasets.catalogue import AnyStream, AnyTake
from stgcn_ref.datasets.clips import LabelArray
from stgcn_ref.datasets.recognition import RecognitionClip

BoolArray = npt.NDArray[np.bool_]


@dataclass
class _Tally:
    """Counts so far; `frames` are recorded ones."""

    frames: LabelArray  # (K,), by class
    clips_of: dict[int, int] = field(default_factory=dict)
    frames_of: dict[int, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    flagged: list[Flagged] = field(default_factory=list)
    task: Task = "segmentation"
    persons: int = 0
    bodiless: int = 0


def survey(stream: AnyStream, path: str) -> Report:
    """The report of an opened data set, which is read to its end; `path` is what it is called.

    Raises:
        InputError: a malformed file, or no clip at all.
    """
    tally = _Tally(np.zeros(len(stream.classes), dtype=np.int64))
    for take in stream.takes:
        _add(tally, take, stream.skeleton.joints)
    if not tally.clips_of:
        raise InputError(f"{path}: no clip")
    total = int(tally.frames.sum())
    return Report(
        path=path,
        data_set=stream.name,
        synthetic=False,
        labels="as recorded",
        rate_hz=stream.rate_hz,
        clips=sum(tally.clips_of.values()),
        frames=total,
        duration_s=total / stream.rate_hz,
        classes=tuple(
            ClassCount(name, frames, 100.0 * frames / total)
            for name, frames in zip(stream.classes, tally.frames.tolist(), strict=True)
        ),
        subjects=tuple(
            SubjectCount(key, tally.clips_of[key], frames, frames / stream.rate_hz, missing=())
            for key, frames in sorted(tally.frames_of.items())
        ),
        gaps=tuple(tally.gaps),
        gyro_flags=None,
        flagged=tuple(tally.flagged),
        task=tally.task,
        persons=tally.persons,
        bodiless_frames=tally.bodiless,
    )


def _add(tally: _Tally, take: AnyTake, joints: tuple[str, ...]) -> None:
    clip, frames = take.clip, len(take.lost)
    if isinstance(clip, RecognitionClip):
        tally.task = "recognition"
        tally.frames[clip.label] += frames
    else:
        tally.frames += np.bincount(clip.labels, minlength=len(tally.frames))
    tally.clips_of[clip.subject] = tally.clips_of.get(clip.subject, 0) + 1
    tally.frames_of[clip.subject] = tally.frames_of.get(clip.subject, 0) + frames
    tally.persons = max(tally.persons, take.persons)
    empty = np.asarray(take.lost.all(axis=1), dtype=np.bool_)
    tally.bodiless += int(empty.sum())
    alone = take.lost & ~empty[:, None]  # (T, V): not measured while the body is there
    tally.gaps += _gaps(clip.name, empty, alone, joints)
    if not empty.all():
        never = np.flatnonzero(alone[~empty].all(axis=0))
        if never.size:
            tally.flagged.append(Flagged(clip.name, tuple(joints[joint] for joint in never)))


def _gaps(clip: str, empty: BoolArray, alone: BoolArray, joints: tuple[str, ...]) -> Iterator[Gap]:
    for name, lost in ((WHOLE_BODY, empty), *zip(joints, alone.T, strict=True)):
        edges = np.flatnonzero(np.diff(lost, prepend=False, append=False))
        if edges.size:
            starts, lengths = edges[::2], edges[1::2] - edges[::2]  # edges: start, end in turn
            longest = int(lengths.argmax())
            yield Gap(clip, name, len(starts), int(starts[longest]), int(lengths[longest]))
