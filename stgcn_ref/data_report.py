"""What a look at a folder of recordings found, as values, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Task = Literal["body sensors", "segmentation", "recognition"]
WHOLE_BODY = "(whole body)"  # in a gap's place of a joint
MANY_CLASSES = 20
SHOWN = 100  # recordings listed in the text; the JSON has all


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
    """Stretches of a recording without data of one joint, or of `WHOLE_BODY`.

    There are `count` of them; `frames` is the longest. The files of body sensors do not say where
    data were lost: there a stretch is three or more frames in which a sensor repeats its words.
    """

    clip: str
    joint: str
    count: int
    first_frame: int
    frames: int


@dataclass(frozen=True)
class Flagged:
    """A recording with corrupted sensors, and on which joints.

    Of body sensors, those listed with the recordings as corrupted; otherwise joints that are never
    measured, though the body is there.
    """

    clip: str
    joints: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What a folder of recordings holds.

    `gyro_flags` is the list of faults that came with body sensors, None if none did. `persons` is
    the most bodies in one frame, `bodiless_frames` how many frames have none.
    """

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
    task: Task = "body sensors"
    persons: int = 1
    bodiless_frames: int = 0


def as_json(report: Report) -> str:
    """The report as one JSON object, keys as the fields of `Report`."""
    return json.dumps(asdict(report), indent=2)


def as_text(report: Report) -> str:
    """The report for a terminal."""
    kind = " (synthetic)" if report.synthetic else ""
    lines = [
        f"{report.path}: {report.data_set}{kind}, labels {report.labels or 'as generated'}",
        f"{report.clips} recordings, {report.frames} frames at {report.rate_hz:g} Hz,"
        f" {report.duration_s:.1f} s{_people(report)}",
        "",
        *_class_rows(report),
    ]
    lines += ["", "participant  recordings    frames  duration  recordings missing below the last"]
    for row in report.subjects:
        missing = ", ".join(f"{number:02d}" for number in row.missing) or "none"
        lines.append(
            f"{row.subject:>11}{row.clips:>12}{row.frames:>10}{row.duration_s:>8.1f} s  {missing}"
        )
    lines += ["", _gap_title(report)]
    lines += _shown(
        f"  {gap.clip}: {gap.joint}, {gap.count} times, at most {gap.frames} frames"
        f" (from frame {gap.first_frame})"
        for gap in report.gaps
    )
    lines.append(_fault_title(report))
    lines += _shown(f"  {row.clip}: {', '.join(row.joints)}" for row in report.flagged)
    return "\n".join(lines)


def _class_rows(report: Report) -> list[str]:
    """The table of classes; of many, those without a frame are only counted."""
    few = len(report.classes) <= MANY_CLASSES
    rows = [row for row in report.classes if few or row.frames]
    wide = max(18, *(len(row.name) + 2 for row in rows))
    lines = [f"{'class':<{wide}}{'frames':>9}{'share':>9}"]
    lines += [f"{row.name:<{wide}}{row.frames:>9}{row.share:>8.2f}%" for row in rows]
    if len(rows) < len(report.classes):
        lines.append(f"{len(report.classes) - len(rows)} further classes without a frame")
    return lines


def _people(report: Report) -> str:
    return "" if report.task == "body sensors" else f", up to {report.persons} persons in a frame"


def _gap_title(report: Report) -> str:
    found = len(report.gaps) or "none"
    if report.task == "body sensors":
        return f"sensors with lost data (words repeated): {found}"
    return (
        f"joints with gaps, by recording: {found}; frames without a body: {report.bodiless_frames}"
    )


def _fault_title(report: Report) -> str:
    if report.task != "body sensors":
        return f"recordings with joints never measured: {len(report.flagged) or 'none'}"
    if report.gyro_flags is None:
        return "corrupted gyroscopes: unknown (no gyro_corruption.csv beside the recordings)"
    return f"recordings with corrupted gyroscopes: {len(report.flagged) or 'none'}"


def _shown(rows: Iterable[str]) -> list[str]:
    listed = list(rows)
    more = len(listed) - SHOWN
    return listed if more <= 0 else [*listed[:SHOWN], f"  and {more} more (see --json)"]
