"""A look at a folder of recordings before anything is trained on it: what is there, and what not.

`check` recognises the data set by its files, reads every recording and counts; `as_text` and
`as_json` print the counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fxp.skeleton import load_skeleton
from stgcn_ref.data_report import (
    ClassCount,
    Flagged,
    Gap,
    Report,
    SubjectCount,
    as_json,
    as_text,
)
from stgcn_ref.datasets.catalogue import has_hugadb
from stgcn_ref.datasets.clips import Clip, Dataset, subjects_of
from stgcn_ref.datasets.hugadb_files import Labels
from stgcn_ref.recordings import Reading, open_stream, read_raw
from stgcn_ref.survey import survey

__all__ = [
    "ClassCount",
    "Flagged",
    "Gap",
    "Report",
    "SubjectCount",
    "as_json",
    "as_text",
    "check",
    "describe",
]

SHORTEST_GAP = 3  # frames; noise alone repeats a sensor's six words for one or two


def check(
    path: Path | str, labels: Labels = "v2", reader: Mapping[str, Any] | None = None
) -> Report:
    """Read every recording under `path` and count.

    `labels` is of HuGaDB alone; `reader` are settings of the other sets' readers.

    Raises:
        InputError: no data set recognised, or as its reader (a malformed file, a setting that it
            does not have).
    """
    place, how = Path(path), Reading(reader=reader or {}, labels=labels)
    if has_hugadb(place):
        ds = read_raw(place, how)
        assert isinstance(ds, Dataset)
        return describe(ds, str(path))
    return survey(open_stream(place, how), str(path))


def describe(ds: Dataset, path: str) -> Report:
    """The report of a data set that is not prepared yet (one step a frame)."""
    truth = np.concatenate([clip.labels for clip in ds.clips])
    counts = np.bincount(truth, minlength=len(ds.classes)).tolist()
    joints = load_skeleton(ds.skeleton).joints
    return Report(
        path=path,
        data_set=ds.name,
        synthetic=ds.synthetic,
        labels=str(ds.meta.get("labels", "")),
        rate_hz=ds.rate_hz,
        clips=len(ds.clips),
        frames=len(truth),
        duration_s=len(truth) / ds.rate_hz,
        classes=tuple(
            ClassCount(name, frames, 100.0 * frames / len(truth))
            for name, frames in zip(ds.classes, counts, strict=True)
        ),
        subjects=tuple(_subject(ds, subject) for subject in subjects_of(ds)),
        gaps=tuple(gap for clip in ds.clips for gap in _gaps(clip, joints)),
        gyro_flags=ds.meta.get("gyro_flags"),
        flagged=tuple(
            Flagged(clip.name, tuple(joints[joint] for joint in clip.flagged))
            for clip in ds.clips
            if clip.flagged
        ),
    )


def _subject(ds: Dataset, subject: int) -> SubjectCount:
    clips = [clip for clip in ds.clips if clip.subject == subject]
    numbers = {int(clip.name.rpartition("_")[2]) for clip in clips}
    missing = tuple(sorted(set(range(max(numbers))) - numbers))
    frames = sum(len(clip.x) for clip in clips)
    return SubjectCount(subject, len(clips), frames, frames / ds.rate_hz, missing)


def _gaps(clip: Clip, joints: tuple[str, ...]) -> Iterator[Gap]:
    """The files carry no time, so a gap shows only as a sensor that repeats itself."""
    repeats = (clip.x[1:] == clip.x[:-1]).all(axis=1)  # (T - 1, V)
    for joint, repeated in zip(joints, repeats.T, strict=True):
        edges = np.flatnonzero(np.diff(repeated, prepend=False, append=False))
        starts, lengths = edges[::2] + 1, edges[1::2] - edges[::2]  # edges: start, end in turn
        long = lengths >= SHORTEST_GAP
        if long.any():
            longest = int(lengths.argmax())
            first, frames = int(starts[longest]), int(lengths[longest])
            yield Gap(clip.name, joint, int(long.sum()), first, frames)
