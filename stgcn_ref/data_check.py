"""A look at a folder of recordings before anything is trained on it: what is there, and what not.

`check` reads HuGaDB recordings (a text file, a folder of them, or packed copies) and counts;
`as_text` and `as_json` print the counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fxp.skeleton import load_skeleton
from stgcn_ref.datasets.clips import Clip, Dataset, subjects_of
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.hugadb_files import Labels

SHORTEST_GAP = 3  # frames; noise alone repeats a sensor's six words for one or two


@dataclass(frozen=True)
class ClassCount:
    """Frames of one class; `share` in percent of all."""

    name: str
    frames: int
    share: float


@dataclass(frozen=True)
class SubjectCount:
    """One participant's recordings. `missing` are recording numbers left out below the highest."""

    subject: int
    clips: int
    frames: int
    duration_s: float
    missing: tuple[int, ...]


@dataclass(frozen=True)
class Gap:
    """Stretches of a recording in which one sensor repeats all its words: data were lost there.

    `count` of them have `SHORTEST_GAP` repeated frames or more; `frames` is the longest.
    """

    clip: str
    joint: str
    count: int
    first_frame: int
    frames: int


@dataclass(frozen=True)
class Flagged:
    """A recording with corrupted gyroscopes, and on which joints."""

    clip: str
    joints: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What a folder of recordings holds. `gyro_flags` is the list of faults, None if none came."""

    path: str
    data_set: str
    synthetic: bool
    labels: str
    rate_hz: float
    clips: int
    frames: int
    duration_s: float
    classes: tuple[ClassCount, ...]
    subjects: tuple[SubjectCount, ...]
    gaps: tuple[Gap, ...]
    gyro_flags: str | None
    flagged: tuple[Flagged, ...]


def check(path: Path | str, labels: Labels = "v2") -> Report:
    """Read every recording under `path` and count.

    Raises:
        InputError: as `load_hugadb` (missing folder, malformed file).
    """
    return describe(load_hugadb(path, labels), str(path))


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


def as_json(report: Report) -> str:
    """The report as one JSON object, keys as the fields of `Report`."""
    return json.dumps(asdict(report), indent=2)


def as_text(report: Report) -> str:
    """The report for a terminal."""
    kind = " (synthetic)" if report.synthetic else ""
    lines = [
        f"{report.path}: {report.data_set}{kind}, labels {report.labels or 'as generated'}",
        f"{report.clips} recordings, {report.frames} frames at {report.rate_hz:g} Hz,"
        f" {report.duration_s:.1f} s",
        "",
        f"{'class':<18}{'frames':>9}{'share':>9}",
    ]
    lines += [f"{row.name:<18}{row.frames:>9}{row.share:>8.2f}%" for row in report.classes]
    lines += ["", "participant  recordings    frames  duration  recordings missing below the last"]
    for row in report.subjects:
        missing = ", ".join(f"{number:02d}" for number in row.missing) or "none"
        lines.append(
            f"{row.subject:>11}{row.clips:>12}{row.frames:>10}{row.duration_s:>8.1f} s  {missing}"
        )
    lines += ["", f"sensors with lost data (words repeated): {len(report.gaps) or 'none'}"]
    lines += [
        f"  {gap.clip}: {gap.joint}, {gap.count} times, at most {gap.frames} frames"
        f" (from frame {gap.first_frame})"
        for gap in report.gaps
    ]
    if report.gyro_flags is None:
        lines.append("corrupted gyroscopes: unknown (no gyro_corruption.csv beside the recordings)")
    else:
        lines.append(f"recordings with corrupted gyroscopes: {len(report.flagged) or 'none'}")
    lines += [f"  {row.clip}: {', '.join(row.joints)}" for row in report.flagged]
    return "\n".join(lines)
