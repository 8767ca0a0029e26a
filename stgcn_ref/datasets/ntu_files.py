"""The `.skeleton` files of NTU RGB+D, and its list of samples with missing skeletons.

A text file per sample: the number of frames; per frame the number of bodies; per body a line of ten
numbers, the number of joints, and a line of twelve numbers per joint (x, y, z in metres from the
camera, then image positions, orientation and tracking state). Read as by `read_skeleton_file.m` of
github.com/shahroudy/NTURGB-D.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from stgcn_ref.datasets.clips import FloatArray
from stgcn_ref.datasets.text_files import numbers, read_text

JOINTS = 25
SLOTS = 4  # bodies a frame may name; further ones are left out, as the published readers do
BODY_NUMBERS, JOINT_NUMBERS = 10, 12
FAR = 1e6  # metres; what is farther is no measurement
SAMPLE = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")


@dataclass(frozen=True)
class SampleName:
    """`SsssCcccPpppRrrrAaaa`: setup, camera, performer, replication, action, all from 1."""

    text: str
    setup: int
    camera: int
    performer: int
    replication: int
    action: int


@dataclass(frozen=True, eq=False)
class Bodies:
    """What a file holds, by slot: the order in which a frame lists its bodies.

    `xyz` float64 (SLOTS, T, 25, 3) metres, zero where nobody is; `tracked` bool (SLOTS, T, 25),
    False also for joints whose tracking state is 0; `count` int64 (T,), bodies in each frame.
    """

    xyz: FloatArray
    tracked: npt.NDArray[np.bool_]
    count: npt.NDArray[np.int64]


def parse_name(path: Path) -> SampleName:
    """The sample a file holds.

    Raises:
        InputError: a name of another form.
    """
    named = SAMPLE.match(path.name)
    if not named:
        raise InputError(f"{path}: name must be SsssCcccPpppRrrrAaaa.skeleton")
    setup, camera, performer, replication, action = (int(group) for group in named.groups())
    if not 1 <= action <= 120:
        raise InputError(f"{path}: action must be A001..A120, got A{action:03d}")
    return SampleName(named[0], setup, camera, performer, replication, action)


def read_bodies(path: Path) -> Bodies:
    """All frames of a `.skeleton` file.

    Raises:
        InputError: truncated, a count or a number out of place (the line is named).
    """
    lines = read_text(path).rstrip().splitlines()
    frames = _count(path, lines, 0, "the number of frames", at_least=1)
    xyz = np.zeros((SLOTS, frames, JOINTS, 3))
    tracked = np.zeros((SLOTS, frames, JOINTS), dtype=np.bool_)
    count = np.zeros(frames, dtype=np.int64)
    at = 1
    for frame in range(frames):
        count[frame] = _count(path, lines, at, f"the number of bodies of frame {frame}")
        at += 1
        for slot in range(count[frame]):
            block = _body(path, lines, at)
            if slot < SLOTS:
                xyz[slot, frame] = block[:, :3]
                tracked[slot, frame] = block[:, -1] != 0
            at += 2 + JOINTS
    if at != len(lines):
        raise InputError(f"{path}: line {at + 1}: more lines follow the last of {frames} frames")
    return Bodies(xyz, tracked, count)


def _count(path: Path, lines: list[str], at: int, what: str, at_least: int = 0) -> int:
    where = f"{path}: line {at + 1}"
    if at >= len(lines):
        raise InputError(f"{where}: truncated ({what} is missing)")
    if not lines[at].strip().isdecimal() or int(lines[at]) < at_least:
        raise InputError(f"{where}: {what} must be an integer from {at_least}, got {lines[at]!r}")
    return int(lines[at])


def _body(path: Path, lines: list[str], at: int) -> FloatArray:
    """x, y, z and tracking state of the body whose lines start at index `at`, float64 (25, 4)."""
    if at + 2 + JOINTS > len(lines):
        raise InputError(f"{path}: line {len(lines)}: truncated (a body needs {2 + JOINTS} lines)")
    numbers(lines[at].split(), BODY_NUMBERS, f"{path}: line {at + 1}")
    joints = _count(path, lines, at + 1, "the number of joints")
    if joints != JOINTS:
        raise InputError(f"{path}: line {at + 2}: a body has {JOINTS} joints, got {joints}")
    picked = []
    for number, line in enumerate(lines[at + 2 : at + 2 + JOINTS], start=at + 3):
        cells = line.split()
        if len(cells) != JOINT_NUMBERS:
            raise InputError(
                f"{path}: line {number}: {JOINT_NUMBERS} numbers are needed, got {len(cells)}"
            )
        picked.append([*cells[:3], cells[-1]])
    try:
        block = np.array(picked, dtype=np.float64)
    except ValueError:
        block = np.full((1, 1), np.nan)
    if not (np.abs(block) < FAR).all():  # false for NaN too
        for number, cells in enumerate(picked, start=at + 3):
            numbers(cells, 4, f"{path}: line {number}", FAR)
    return block


def read_missing(path: Path) -> frozenset[str]:
    """Sample names of a published list: one a line, prose around them is skipped.

    Raises:
        InputError: unreadable, or without a single sample name.
    """
    stripped = (line.strip().removesuffix(".skeleton") for line in read_text(path).splitlines())
    names = frozenset(line for line in stripped if SAMPLE.fullmatch(line))
    if not names:
        raise InputError(f"{path}: no sample name of the form SsssCcccPpppRrrrAaaa in it")
    return names
