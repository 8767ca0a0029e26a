"""HuGaDB as a data set: which recordings, which labels, joints in the skeleton's order.

Human gait of 18 people at 60 Hz from six body sensors (Chereshnev & Kertész-Farkas, "HuGaDB: Human
Gait Database for Activity Recognition from Wearable Inertial Sensor Networks", 2018). The folder is
the user's; nothing of it is part of this project. `docs/data.md` describes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from fxp.errors import InputError
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.hugadb_files import (
    ACTIVITIES,
    JOINT_OF_SENSOR,
    PACKED_NAME,
    SENSORS,
    TEXT_NAME,
    Labels,
    Recording,
    read_gyro_flags,
    read_packed,
    read_text,
)

RATE_HZ = 60.0
CHANNELS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")
VARIOUS_IDS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 11)  # what the "various" recordings hold
FLAG_FILE = "gyro_corruption.csv"

Ids = Literal["dense", "original"]
# position in the columns of each joint, in the skeleton's order
_SENSOR_OF_JOINT = sorted(range(len(SENSORS)), key=lambda i: JOINT_OF_SENSOR[SENSORS[i]])


def load_hugadb(
    root: Path | str,
    labels: Labels = "v2",
    subjects: Iterable[int] | None = None,
    ids: Ids = "dense",
) -> Dataset:
    """The "various" recordings under `root`, channels acc xyz, gyro xyz, joints as the skeleton's.

    `root` is an original text file, a folder of them, or a folder with packed copies (in itself or
    in `various/`; they come first where both are there). `labels` picks the original (v1) or the
    corrected (v2) ones. Class indices are dense, 0..9 for the ten activities, with the original
    ids in `meta["activity_ids"]`; with `ids="original"` the index is the activity id itself.
    Known gyroscope faults come from `gyro_corruption.csv` in `root` or in the folder above.

    Raises:
        InputError: the folder is missing or holds no recording, a participant is absent, or a file
            is malformed (one line naming the file, and the line of a text file).
    """
    root = Path(root)
    if labels not in ("v1", "v2"):
        raise InputError(f"`labels` must be v1 or v2, got {labels!r}")
    flag_file = _flag_file(root)
    flags = read_gyro_flags(flag_file) if flag_file else {}
    wanted = None if subjects is None else set(subjects)
    clips = tuple(
        _clip(recording, ids, flags.get(recording.name, ()))
        for recording in _recordings(root, labels, wanted)
    )
    used = tuple(ACTIVITIES) if ids == "original" else VARIOUS_IDS
    names = tuple(ACTIVITIES[activity] for activity in used)
    meta = {
        "source": "HuGaDB (Chereshnev & Kertész-Farkas, 2018)",
        "labels": labels,
        "channels": list(CHANNELS),
        "word_bits": 16,
        "activity_ids": [0, *used] if ids == "original" else list(used),
        "gyro_flags": flag_file.name if flag_file else None,
    }
    classes = ("unused", *names) if ids == "original" else names
    return Dataset("hugadb", "hugadb", classes, RATE_HZ, clips, synthetic=False, meta=meta)


def _flag_file(root: Path) -> Path | None:
    places = (root.parent,) if root.is_file() else (root, root.parent)
    return next((p / FLAG_FILE for p in places if (p / FLAG_FILE).is_file()), None)


def _recordings(root: Path, labels: Labels, subjects: set[int] | None) -> Iterator[Recording]:
    """The recordings under `root`, by participant and number; only wanted files are opened."""
    files = _files(root, labels)
    present = sorted({subject for subject, _ in files})
    for subject in sorted((subjects or set()) - set(present)):
        have = ", ".join(map(str, present))
        raise InputError(f"{root}: participant {subject} is absent (present: {have})")
    for subject, path in files:
        if subjects is not None and subject not in subjects:
            continue
        if path.suffix == ".npz":
            yield from read_packed(path, labels)
        else:
            recording, version = read_text(path)
            if version != labels:
                raise InputError(f"{path}: labels are {version}, but {labels} are asked for")
            yield recording


def _files(root: Path, labels: Labels) -> list[tuple[int, Path]]:
    """(participant, file), sorted; packed copies win over text files."""
    if root.is_file():
        named = TEXT_NAME.fullmatch(root.name) or PACKED_NAME.fullmatch(root.name)
        if not named:
            raise InputError(f"{root}: neither a text file HuGaDB_*.txt nor a packed copy")
        return [(int(named.groups()[-1]), root)]
    if not root.is_dir():
        raise InputError(f"{root}: no such file or folder (HuGaDB recordings are needed)")
    for folder in (root / "various", root):
        if packed := [(int(m[1]), p) for p, m in _named(folder, PACKED_NAME)]:
            return sorted(packed)
    texts = [(m, p) for p, m in _named(root, TEXT_NAME) if m[2].startswith("various_")]
    found = sorted((int(m[3]), p) for m, p in texts if m[1] == labels)
    if not found:
        raise InputError(
            f"{root}: no recordings (HuGaDB_{labels}_various_*.txt, or hugadb_various_p*.npz here"
            " or in various/)"
        )
    return found


def _named(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if matched := pattern.fullmatch(path.name):
                yield path, matched


def _clip(recording: Recording, ids: Ids, flagged: tuple[int, ...]) -> Clip:
    words = recording.imu.reshape(-1, len(SENSORS), len(CHANNELS))  # (T, V, C), columns' order
    x = np.ascontiguousarray(words[:, _SENSOR_OF_JOINT].transpose(0, 2, 1), dtype=np.int32)
    labels = recording.activity.astype(np.int64)
    if ids == "dense":
        table = np.full(max(ACTIVITIES) + 1, -1, dtype=np.int64)
        table[list(VARIOUS_IDS)] = np.arange(len(VARIOUS_IDS))
        if (table[labels] < 0).any():
            activity = int(labels[np.argmax(table[labels] < 0)])
            name = ACTIVITIES.get(activity, "unknown")
            raise InputError(
                f"recording {recording.name}: activity {activity} ({name}) is none of the ten of"
                " the various recordings"
            )
        labels = table[labels]
    return Clip(recording.name, recording.subject, x, labels, labels, flagged=flagged)
