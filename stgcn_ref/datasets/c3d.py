"""Marker recordings in C3D files, with labels from their events or from a file beside them.

C3D is the format of motion-capture laboratories (www.c3d.org); reading it needs the package `c3d`
(`pip install "stgcn-codesign[c3d]"`). The defaults are the freezing-of-gait protocol of MS-GCN:
nine markers at sacrum and legs, `FOGs` and `FOGe` events around each freeze. `docs/datasets.md`
describes the files.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from fxp.spec import Spec
from stgcn_ref.datasets.clips import Clip, Dataset, FloatArray, LabelArray
from stgcn_ref.datasets.label_files import read_frame_labels
from stgcn_ref.datasets.streams import ClipStream, Take, collect
from stgcn_ref.datasets.words import MARKER_FRAC_BITS, FracBits, to_words, word_meta

MSGCN_MARKERS = ("SACR", "LASI", "LKNE", "LANK", "LTOE", "RASI", "RKNE", "RANK", "RTOE")
METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001}


class MarkerSpec(Spec):
    """Which markers are the joints, and what the labels are.

    - `skeleton`, `markers`: the marker of each joint, in the skeleton's order. A prefix that names
      the subject (`Patient:LASI`) is ignored.
    - `background`: the class outside every interval.
    - `intervals`: the other classes, each with the events that start and end it.
    - `classes`: names of the ids in label files (`<recording>.csv` beside the `.c3d`, an id per
      frame); with them events are not looked at.
    - `frac_bits`: a word is `2**-frac_bits` metres.
    """

    skeleton: str = "tpvicon"
    markers: tuple[str, ...] = MSGCN_MARKERS
    background: str = "no freezing"
    intervals: dict[str, tuple[str, str]] = Field(default={"freezing": ("FOGs", "FOGe")})
    classes: tuple[str, ...] = ()
    frac_bits: FracBits = MARKER_FRAC_BITS


@dataclass(frozen=True, eq=False)
class Recording:
    """A C3D file: positions in metres float64 (T, V, 3), NaN where a marker was not seen.

    `events` are (label, frame) in time order, frames counted from the file's first.
    """

    places: FloatArray
    rate_hz: float
    events: tuple[tuple[str, int], ...]


def load_c3d(root: Path | str, spec: MarkerSpec | None = None) -> Dataset:
    """The recordings under `root`, all in memory. Errors as `open_c3d`, and of every file."""
    return collect(open_c3d(root, spec))


def open_c3d(root: Path | str, spec: MarkerSpec | None = None) -> ClipStream[Clip]:
    """The `.c3d` files in a folder and the folders in it (or one file), by path.

    A marker that is not seen keeps its last word (zero before it is first seen) and is reported as
    lost. `Clip.subject` is the first number in the path below `root`.

    Raises:
        InputError: no such file, the package `c3d` is not installed, or the markers are not as many
            as the skeleton's joints.
    """
    spec, root = spec or MarkerSpec(), Path(root)
    files = sorted(root.rglob("*.c3d")) if root.is_dir() else [root]
    if not files or not files[0].is_file():
        raise InputError(f"{root}: no C3D files here (*.c3d)")
    skeleton = load_skeleton(spec.skeleton)
    if len(spec.markers) != len(skeleton.joints):
        raise InputError(
            f"`markers`: skeleton {spec.skeleton} has {len(skeleton.joints)} joints, got"
            f" {len(spec.markers)} markers"
        )
    rate_hz = read_c3d(files[0], spec.markers).rate_hz
    meta = word_meta("C3D", ("x", "y", "z"), ("m",) * 3, (spec.frac_bits,) * 3)
    meta["reader"] = spec.model_dump(mode="json")
    base = root if root.is_dir() else root.parent
    classes = spec.classes or (spec.background, *spec.intervals)
    return ClipStream("c3d", skeleton, classes, rate_hz, meta, _takes(files, base, rate_hz, spec))


def _takes(files: list[Path], base: Path, rate_hz: float, spec: MarkerSpec) -> Iterator[Take[Clip]]:
    for path in files:
        recording = read_c3d(path, spec.markers)
        if recording.rate_hz != rate_hz:
            raise InputError(
                f"{path}: rate is {recording.rate_hz:g} Hz, the first file's {rate_hz:g} Hz"
            )
        lost = np.asarray(np.isnan(recording.places).any(axis=2), dtype=np.bool_)  # (T, V)
        x = to_words(held_places(recording.places, lost), spec.frac_bits, str(path))
        if spec.classes:
            labels = read_frame_labels(path.with_suffix(".csv"), len(spec.classes), len(x))
        else:
            labels = _interval_labels(path, recording, spec.intervals)
        place = path.relative_to(base).with_suffix("")
        number = re.search(r"\d+", str(place))
        clip = Clip(
            place.as_posix(),
            int(number[0]) if number else 0,
            np.ascontiguousarray(x.transpose(0, 2, 1)),
            labels,
            labels,
        )
        yield Take(clip, lost, 1)


def held_places(places: FloatArray, lost: npt.NDArray[np.bool_]) -> FloatArray:
    """Places (T, V, 3) with lost markers at their last one, or at zero before the first."""
    frames = np.arange(len(places))[:, None]
    last = np.maximum.accumulate(np.where(lost, -1, frames), axis=0)  # (T, V)
    held = np.take_along_axis(places, np.maximum(last, 0)[:, :, None], axis=0)
    return np.where(last[:, :, None] < 0, 0.0, held)


def _interval_labels(
    path: Path, recording: Recording, intervals: Mapping[str, tuple[str, str]]
) -> LabelArray:
    """Class ids (T,): start frame..end frame - 1 of each pair of events, else 0."""
    labels = np.zeros(len(recording.places), dtype=np.int64)
    for label, (first, last) in enumerate(intervals.values(), start=1):
        bounds = [event for event in recording.events if event[0] in (first, last)]
        names = [name for name, _ in bounds]
        if names != [first, last] * (len(names) // 2):
            raise InputError(
                f"{path}: events {first} and {last} must come in turn, got {', '.join(names)}"
            )
        for (_, start), (_, end) in zip(bounds[::2], bounds[1::2], strict=True):
            labels[max(start, 0) : max(end, 0)] = label
    return labels


def read_c3d(path: Path, markers: tuple[str, ...]) -> Recording:
    """The named markers of a C3D file.

    Raises:
        InputError: the package `c3d` is not installed; not a C3D file, truncated, without frames,
            in an unknown unit, or without one of the markers.
    """
    try:
        import c3d  # an extra: only this reader needs it
    except ImportError:
        raise InputError(
            f'{path}: reading C3D needs the package c3d: pip install "stgcn-codesign[c3d]"'
        ) from None
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of truncation, which is told from the number of frames
        try:
            reader = c3d.Reader(file)
            frames = [points[:, :4] for _, points, _ in reader.read_frames(camera_sum=False)]
            about = _About(
                int(reader.first_frame),
                int(reader.last_frame),
                float(reader.point_rate),
                tuple(str(label) for label in reader.point_labels),
                _first_text(reader.get("POINT:UNITS")) or "mm",
                _events(reader),
            )
        except Exception as error:  # whatever a foreign parser trips over in a foreign file
            reason = " ".join(str(error).split())[:80] or "no reason given"
            raise InputError(
                f"{path}: not a readable C3D file ({error.__class__.__name__}: {reason})"
            ) from None
    return _recording(path, about, frames, markers)


@dataclass(frozen=True)
class _About:
    """What a C3D file's header and parameters say; frames are numbered from 1."""

    first_frame: int
    last_frame: int
    rate_hz: float
    labels: tuple[str, ...]
    unit: str
    events: tuple[tuple[str, float], ...]  # label, seconds


def _first_text(parameter: Any) -> str:
    return str(parameter.string_array.ravel()[0]).strip() if parameter is not None else ""


def _events(reader: Any) -> tuple[tuple[str, float], ...]:
    """Labels and times in seconds, in time order, of the parameters in group EVENT."""
    labels, times = reader.get("EVENT:LABELS"), reader.get("EVENT:TIMES")
    if labels is None or times is None or not labels.num_elements or not times.num_elements:
        return ()
    names = [str(label).strip() for label in labels.string_array.ravel()]
    pairs = np.asarray(times.float_array, dtype=np.float64).reshape(-1, 2)  # minutes, seconds
    seconds = (60 * pairs[:, 0] + pairs[:, 1]).tolist()
    return tuple(sorted(zip(names, seconds, strict=False), key=lambda event: event[1]))


def _recording(
    path: Path, about: _About, frames: list[FloatArray], markers: tuple[str, ...]
) -> Recording:
    stated = about.last_frame - about.first_frame + 1
    if stated < 1:
        raise InputError(f"{path}: no frame of marker positions")
    if len(frames) < stated:
        raise InputError(f"{path}: truncated ({len(frames)} of {stated} frames are there)")
    if about.unit not in METRES:
        raise InputError(f"{path}: unit must be one of {', '.join(METRES)}, got {about.unit!r}")
    if not 0 < about.rate_hz < 1e6:
        raise InputError(f"{path}: the frame rate must be positive, got {about.rate_hz:g}")
    names = [label.rpartition(":")[2].strip() for label in about.labels]
    for marker in markers:
        if marker not in names:
            raise InputError(f"{path}: marker {marker} is missing (found: {', '.join(names)})")
    points = np.array(frames, dtype=np.float64)[:, [names.index(marker) for marker in markers]]
    places = np.where(points[:, :, 3:] < 0, np.nan, points[:, :, :3] * METRES[about.unit])
    # the session's first frame is at time 0, and bears the number 1
    first = about.first_frame - 1
    events = tuple(
        (label, math.floor(seconds * about.rate_hz + 0.5) - first)
        for label, seconds in about.events
        if math.isfinite(seconds)
    )
    return Recording(places, about.rate_hz, events)
