"""PKU-MMD, both phases: long recordings of 51 actions and background, 25 Kinect v2 joints, 30 Hz.

C. Liu, Y. Hu, Y. Li, S. Song, J. Liu, "PKU-MMD: A Large Scale Benchmark for Continuous Multi-Modal
Human Action Understanding" (2017). The folder is the user's; nothing of it is part of this project.
`docs/datasets.md` describes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from fxp.spec import Spec
from stgcn_ref.datasets.class_names import PKU_MMD
from stgcn_ref.datasets.clips import Clip, Dataset, LabelArray
from stgcn_ref.datasets.streams import ClipStream, Take, collect
from stgcn_ref.datasets.text_files import numbers, read_table, read_text
from stgcn_ref.datasets.words import CAMERA_FRAC_BITS, FracBits, to_words, word_meta

RATE_HZ = 30.0
JOINTS, PERSONS = 25, 2
CLASSES = ("background", *PKU_MMD)
NAME = re.compile(r"(?:(\d{4})|A(\d\d)N(\d\d))-([LMR])")  # phase 1 0017-M, phase 2 A01N02-M
# Where the archives unpack to, and what the published loaders call the folders.
SKELETON_FOLDERS = (
    "skeleton",
    "skeletons",
    "features",
    "Skeleton",
    "PKU_Skeleton_Renew",
    "Data/PKU_Skeleton_Renew",
    "Data/Skeleton",
    "Data",
)
LABEL_FOLDERS = (
    "label",
    "labels",
    "Label",
    "Train_Label_PKU_final",
    "Label/Train_Label_PKU_final",
    "Data/Label",
)


class PkuMmdSpec(Spec):
    """Which recordings are read, and how.

    - `split`, `part`: a split file of the authors (cross-subject or cross-view) and the side of
      it; without a file every recording is read.
    - `person`: which of the two bodies of a line.
    - `frac_bits`: a word is `2**-frac_bits` metres.
    """

    split: Path | None = None
    part: Literal["train", "valid"] = "train"
    person: Annotated[int, Field(ge=0, le=PERSONS - 1)] = 0
    frac_bits: FracBits = CAMERA_FRAC_BITS


def load_pkummd(root: Path | str, spec: PkuMmdSpec | None = None) -> Dataset:
    """The recordings under `root`, all in memory. Errors as `open_pkummd`, and of every file."""
    return collect(open_pkummd(root, spec))


def open_pkummd(root: Path | str, spec: PkuMmdSpec | None = None) -> ClipStream[Clip]:
    """The recordings of a folder with skeleton files and label files, by name.

    `Clip.subject` is the recording's number, the same for its three views: the files do not name
    the performer, so divide by `split`.

    Raises:
        InputError: a folder is missing, a recording has no label file, an unreadable split file,
            or nothing left to read.
    """
    spec, root = spec or PkuMmdSpec(), Path(root)
    skeletons, labels = (
        _folder(root, names, what)
        for names, what in ((SKELETON_FOLDERS, "skeleton"), (LABEL_FOLDERS, "label"))
    )
    files = {path.stem: path for path in sorted(skeletons.glob("*.txt")) if _named(path)}
    wanted = set(files)
    if spec.split:
        wanted = read_split(spec.split)[spec.part]
    chosen = [(path, labels / path.name) for name, path in files.items() if name in wanted]
    if not chosen:
        raise InputError(f"{skeletons}: no recording of the {len(wanted)} wanted is here")
    for path, label_file in chosen:
        if not label_file.is_file():
            raise InputError(f"{path}: no label file {label_file}")
    meta = word_meta(
        "PKU-MMD (Liu et al., 2017)", ("x", "y", "z"), ("m",) * 3, (spec.frac_bits,) * 3
    )
    meta["reader"] = spec.model_dump(mode="json", exclude={"split"})
    meta["split"] = spec.split.name if spec.split else None
    meta["absent"] = len(wanted) - len(chosen)
    return ClipStream(
        "pkummd", load_skeleton("pkummd"), CLASSES, RATE_HZ, meta, _takes(chosen, spec)
    )


def recordings(root: Path) -> Iterator[Path]:
    """The skeleton files of this set in the folders under `root` that may hold them."""
    for name in SKELETON_FOLDERS:
        yield from (path for path in (root / name).glob("*.txt") if _named(path))


def _named(path: Path) -> re.Match[str] | None:
    return NAME.fullmatch(path.stem)


def _folder(root: Path, names: tuple[str, ...], what: str) -> Path:
    for name in names:
        folder = root / name
        if folder.is_dir() and any(_named(path) for path in folder.glob("*.txt")):
            return folder
    raise InputError(
        f"{root}: no PKU-MMD {what} files (0017-M.txt or A01N02-M.txt in {', '.join(names)})"
    )


def read_split(path: Path) -> dict[str, set[str]]:
    """Recording names by part, `train` and `valid`, of a split file of the authors.

    Raises:
        InputError: not two lists of recording names under a title each, `Training ...` first.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if len(lines) != 4 or not lines[0].lower().startswith("training"):
        raise InputError(f"{path}: a title `Training videos:`, names, a title, names are needed")
    parts = {}
    for part, line in (("train", lines[1]), ("valid", lines[3])):
        names = {name.strip() for name in line.split(",") if name.strip()}
        for name in sorted(names):
            if not NAME.fullmatch(name):
                raise InputError(f"{path}: {name!r} is no recording name (0017-M, A01N02-M)")
        parts[part] = names
    return parts


def _takes(recordings: list[tuple[Path, Path]], spec: PkuMmdSpec) -> Iterator[Take[Clip]]:
    for path, label_file in recordings:
        table = read_table(path, PERSONS * JOINTS * 3)
        xyz = table.reshape(-1, PERSONS, JOINTS, 3)
        x = to_words(xyz[:, spec.person].transpose(0, 2, 1), spec.frac_bits, str(path))
        labels = read_labels(label_file, len(x))
        present = np.asarray(xyz.any(axis=(2, 3)), dtype=np.bool_)  # (T, persons)
        lost = np.repeat(~present[:, [spec.person]], JOINTS, axis=1)
        clip = Clip(path.stem, _number(path), x, labels, labels)
        yield Take(clip, lost, int(present.sum(axis=1).max()))


def _number(path: Path) -> int:
    named = _named(path)
    assert named is not None  # _folder and open_pkummd chose it by its name
    return int(named[1]) if named[1] else 100 * int(named[2]) + int(named[3])


def read_labels(path: Path, frames: int) -> LabelArray:
    """A label per frame, int64 (frames,): 0 background, else the action's id.

    Lines `action,start,end,confidence` name frames start..end-1, counted from 0 as the published
    preparations do; what reaches past the last frame is cut, and of two actions at once the later
    line counts.

    Raises:
        InputError: a line of another form, an action that is not 1..51, or an empty interval.
    """
    labels = np.zeros(frames, dtype=np.int64)
    for number, line in enumerate(read_text(path).rstrip().splitlines(), start=1):
        where = f"{path}: line {number}"
        cells = numbers(line.split(","), 4, where)
        if not all(cell.is_integer() for cell in cells):
            raise InputError(f"{where}: action,start,end,confidence must be integers")
        action, start, end, _ = (int(cell) for cell in cells)
        if not 1 <= action < len(CLASSES):
            raise InputError(f"{where}: action must be 1..{len(CLASSES) - 1}, got {action}")
        if not 0 <= start < min(end, frames):
            raise InputError(
                f"{where}: frames {start}..{end} are no interval of a recording of {frames} frames"
            )
        labels[start:end] = action
    return labels
