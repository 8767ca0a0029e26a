"""LARa: logistics work in marker-based motion capture, 22 body segments at 200 Hz, 8 activities.

F. Niemann et al., "LARa: Creating a Dataset for Human Activity Recognition in Logistics Using
Semantic Attributes" (2020). The folder is the user's; nothing of it is part of this project.
`docs/datasets.md` describes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from fxp.spec import Spec
from stgcn_ref.datasets.clips import Clip, Dataset, FloatArray, LabelArray
from stgcn_ref.datasets.streams import ClipStream, Take, collect
from stgcn_ref.datasets.text_files import read_table, read_text
from stgcn_ref.datasets.words import MARKER_FRAC_BITS, FracBits, to_words, word_meta

RATE_HZ = 200.0
CLASSES = (
    "standing",
    "walking",
    "cart",
    "handling (upwards)",
    "handling (centred)",
    "handling (downwards)",
    "synchronization",
    "none",
)
ATTRIBUTES = 19
# The file's order. The authors' code calls segment 11 the lower back and names it in no header.
SEGMENTS = (
    *("head", "head_end", "L_collar", "L_elbow", "L_femur", "L_foot", "L_humerus", "L_tibia"),
    *("L_toe", "L_wrist", "L_wrist_end", "lower_back", "R_collar", "R_elbow", "R_femur"),
    *("R_foot", "R_humerus", "R_tibia", "R_toe", "R_wrist", "R_wrist_end", "root"),
)
# The 19 joints of the skeleton `lara`. Its source numbers them only: a pelvis with two legs of
# four, and above it the back with an arm of four, the head, and an arm of four. Left comes first
# here, as in the same source's marker set; the three end points of the chains are left out.
JOINTS = (
    *("root", "L_femur", "L_tibia", "L_foot", "L_toe", "R_femur", "R_tibia", "R_foot", "R_toe"),
    *("lower_back", "L_collar", "head", "L_humerus", "L_elbow", "L_wrist"),
    *("R_collar", "R_humerus", "R_elbow", "R_wrist"),
)
AXES = ("RX", "RY", "RZ", "TX", "TY", "TZ")  # degrees, then millimetres
ANGLE_FRAC_BITS = 5  # 1/32 degree, +-1024 degrees
LABEL_SUFFIX, DATA_SUFFIX = "_labels", "_norm_data"
NAME = re.compile(r"(?:.*_)?S(\d+)_.*R\d+.*")
HEADER_LINES = 5  # at most


class LaraSpec(Spec):
    """How the recordings are read.

    - `centre`: rotation and position relative to the lower back's (the `norm_data` files are
      already, and do not change).
    - `every`: one frame in so many is kept (MS-GCN: 4, which is 50 Hz).
    - `frac_bits`: a word of a position is `2**-frac_bits` metres; of an angle 1/32 degree.
    """

    centre: bool = True
    every: Annotated[int, Field(ge=1, le=1000)] = 1
    frac_bits: FracBits = MARKER_FRAC_BITS


def load_lara(root: Path | str, spec: LaraSpec | None = None) -> Dataset:
    """The recordings under `root`, all in memory. Errors as `open_lara`, and of every file."""
    return collect(open_lara(root, spec))


def open_lara(root: Path | str, spec: LaraSpec | None = None) -> ClipStream[Clip]:
    """The recordings in a folder and the folders in it, by name; each has a `_labels.csv` file.

    Channels: rotation x, y, z, position x, y, z. Joints: the 19 of the skeleton `lara`.

    Raises:
        InputError: no recording here, one without labels, or a foreign name.
    """
    spec, root = spec or LaraSpec(), Path(root)
    files = {path.stem: path for path in sorted(root.rglob("*.csv"))}
    pairs = []
    for stem, path in files.items():
        if stem.endswith(LABEL_SUFFIX):
            continue
        base = stem.removesuffix(DATA_SUFFIX)
        named = NAME.fullmatch(base)
        if not named:
            raise InputError(f"{path}: name must be [Lnn_]Snn_Rnn[_Ann_Nnn][_norm_data].csv")
        if base + LABEL_SUFFIX not in files:
            raise InputError(f"{path}: no label file {base + LABEL_SUFFIX}.csv")
        pairs.append((path, files[base + LABEL_SUFFIX], int(named[1])))
    if not pairs:
        raise InputError(f"{root}: no LARa recordings here (L01_S01_R01....csv, ..._labels.csv)")
    meta = word_meta(
        "LARa (Niemann et al., 2020)",
        ("rot_x", "rot_y", "rot_z", "x", "y", "z"),
        ("degree",) * 3 + ("m",) * 3,
        (ANGLE_FRAC_BITS,) * 3 + (spec.frac_bits,) * 3,
    )
    meta["reader"] = spec.model_dump(mode="json")
    return ClipStream(
        "lara", load_skeleton("lara"), CLASSES, RATE_HZ / spec.every, meta, _takes(pairs, spec)
    )


def _takes(pairs: list[tuple[Path, Path, int]], spec: LaraSpec) -> Iterator[Take[Clip]]:
    for path, label_file, subject in pairs:
        values, labels = read_segments(path), read_labels(label_file)
        if len(labels) != len(values):
            raise InputError(
                f"{label_file}: {len(labels)} labels for {len(values)} frames of {path.name}"
            )
        values, labels = values[:: spec.every], labels[:: spec.every]
        if spec.centre:
            values = values - values[:, [JOINTS.index("lower_back")]]
        angles = to_words(values[..., :3], ANGLE_FRAC_BITS, str(path))
        places = to_words(values[..., 3:] / 1000, spec.frac_bits, str(path))
        x = np.concatenate((angles, places), axis=2).transpose(0, 2, 1)  # (T, C, V)
        name = path.stem.removesuffix(DATA_SUFFIX)
        clip = Clip(name, subject, np.ascontiguousarray(x), labels, labels)
        yield Take(clip, np.zeros(values.shape[:2], dtype=np.bool_), 1)


def read_segments(path: Path) -> FloatArray:
    """Degrees and millimetres float64 (T, 19, 6), joints as `JOINTS`, axes as `AXES`.

    A file has up to five header lines and 6 columns per segment, with up to two more (sample,
    label) before them. If a header line names the columns (`head_RX`, ...), segments are found by
    name; else there must be 22, in the authors' order.

    Raises:
        InputError: a segment is missing, or a line is not of that form.
    """
    lines = read_text(path).splitlines()
    skip = next((i for i, line in enumerate(lines) if _is_row(line)), len(lines))
    if skip > HEADER_LINES or skip == len(lines):
        raise InputError(f"{path}: no row of numbers in the first {HEADER_LINES + 1} lines")
    width = len(lines[skip].split(","))
    segments = _segments(f"{path}: line {skip + 1}", lines[:skip], width)
    order = [_position(path, segments, joint) for joint in JOINTS]
    table = read_table(path, width, ",", skip)[:, width % len(AXES) :]
    return table.reshape(len(table), -1, len(AXES))[:, order]


def _segments(where: str, header: list[str], width: int) -> tuple[str, ...]:
    """Names of the segments in rows of `width` columns."""
    leading = width % len(AXES)
    if leading > 2:
        raise InputError(
            f"{where}: 6 columns a segment are needed (and up to 2 before them), got {width}"
        )
    named = next((line for line in header if "_RX" in line), None)
    if named is None:
        if width - leading != len(SEGMENTS) * len(AXES):
            raise InputError(
                f"{where}: {len(SEGMENTS)} segments are needed where no header names them, got"
                f" {width // len(AXES)}"
            )
        return SEGMENTS
    cells = [cell.strip().strip('"') for cell in named.split(",")]
    if len(cells) != width:
        raise InputError(f"{where}: {len(cells)} columns are named, got {width}")
    return _named_segments(where, cells[leading:])


def _is_row(line: str) -> bool:
    try:
        return bool([float(cell) for cell in line.split(",")])
    except ValueError:
        return False


def _named_segments(where: str, names: list[str]) -> tuple[str, ...]:
    """Segment names of the header's columns, six columns each in the order of `AXES`."""
    segments = []
    for start in range(0, len(names), len(AXES)):
        group = names[start : start + len(AXES)]
        segment = group[0].removesuffix("_RX")
        wanted = [f"{segment}_{axis}" for axis in AXES]
        if group != wanted:
            raise InputError(
                f"{where}: columns must be {', '.join(wanted)}, got {', '.join(group)}"
            )
        segments.append(segment)
    return tuple(segments)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _position(path: Path, segments: tuple[str, ...], joint: str) -> int:
    """Where `joint` stands; the lower back may bear a name of its own, if no other segment does."""
    known = {_plain(segment) for segment in SEGMENTS}
    names = [_plain(segment) for segment in segments]
    if _plain(joint) in names:
        return names.index(_plain(joint))
    unknown = [place for place, name in enumerate(names) if name not in known]
    if joint == "lower_back" and len(unknown) == 1:
        return unknown[0]
    raise InputError(f"{path}: segment {joint} is missing (found: {', '.join(segments)})")


def read_labels(path: Path) -> LabelArray:
    """The class of every frame, int64 (T,).

    After one header line a row holds the class id 0..7 and 19 attributes, or the eight classes as
    0 or 1 and the attributes; a row without a class is `none`.

    Raises:
        InputError: a line of another form, an id out of range, or two classes at once.
    """
    lines = read_text(path).splitlines()
    width = len(lines[0].split(","))
    if width not in (1 + ATTRIBUTES, len(CLASSES) + ATTRIBUTES):
        raise InputError(
            f"{path}: line 1: {1 + ATTRIBUTES} or {len(CLASSES) + ATTRIBUTES} columns are needed,"
            f" got {width}"
        )
    table = read_table(path, width, ",", skip=1)
    classes = table[:, :-ATTRIBUTES]
    if width == 1 + ATTRIBUTES:
        labels, wrong = classes[:, 0], ~np.isin(classes[:, 0], np.arange(len(CLASSES)))
    else:
        labels = np.where(classes.any(axis=1), classes.argmax(axis=1), len(CLASSES) - 1)
        wrong = ~np.isin(classes, (0, 1)).all(axis=1) | (classes.sum(axis=1) > 1)
    if wrong.any():
        first = int(np.argmax(wrong))
        found = ", ".join(f"{cell:g}" for cell in classes[first])
        raise InputError(
            f"{path}: line {first + 2}: one class 0..{len(CLASSES) - 1} is needed, got {found}"
        )
    return labels.astype(np.int64)
