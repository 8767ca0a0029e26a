"""Labels per frame and class names, as trial folders and published conversions keep them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from fxp.errors import InputError
from stgcn_ref.datasets.clips import LabelArray
from stgcn_ref.datasets.text_files import read_text

NUMBERED = re.compile(r"(\d+)[\s,]+(\S.*)")


def read_frame_labels(path: Path, classes: int, frames: int) -> LabelArray:
    """The class ids of a recording, int64 (frames,): one a line, in the first column, no header.

    Integers may be written as floats (`2.000e+00`), which is how numpy saves them.

    Raises:
        InputError: a line that is no class id, or not one line per frame.
    """
    labels = np.empty(frames, dtype=np.int64)
    lines = read_text(path).rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        cell = line.split(",")[0].strip()
        try:
            value = float(cell)
        except ValueError:
            value = -1.0
        if not (value.is_integer() and 0 <= value < classes):
            raise InputError(
                f"{path}: line {number}: a class id 0..{classes - 1} is needed, got {cell!r}"
            )
        if number <= frames:
            labels[number - 1] = int(value)
    if len(lines) != frames:
        raise InputError(f"{path}: {len(lines)} labels for {frames} frames")
    return labels


def read_actions(path: Path) -> tuple[str, ...]:
    """Class names by id of an `actions.txt` or `mapping.txt`: `id name` lines, or a name a line.

    Ids that the file skips are named `unused <id>`.

    Raises:
        InputError: an empty file, an id twice, or only some lines with an id.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    numbered = [NUMBERED.fullmatch(line) for line in lines]
    if not any(numbered):
        return tuple(lines)
    names: dict[int, str] = {}
    for line, match in zip(lines, numbered, strict=True):
        if match is None:
            raise InputError(f"{path}: every line must be `id name`, got {line!r}")
        key = int(match[1])
        if key in names or key > 10_000:
            raise InputError(f"{path}: id {key} is there twice or above 10000")
        names[key] = match[2]
    return tuple(names.get(key, f"unused {key}") for key in range(max(names) + 1))
