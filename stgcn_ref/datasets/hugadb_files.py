"""HuGaDB's files: the original text, packed copies with the same arrays, the list of faults.

Human gait of 18 people at 60 Hz from six body sensors (Chereshnev & Kertész-Farkas, "HuGaDB: Human
Gait Database for Activity Recognition from Wearable Inertial Sensor Networks", 2018). The folder is
the user's; nothing of it is part of this project. `docs/data.md` describes the files.
"""

from __future__ import annotations

import csv
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError

SENSORS = ("rf", "rs", "rt", "lf", "ls", "lt")  # order of the columns: right foot, shin, thigh, ...
JOINT_OF_SENSOR = {"rt": 0, "rs": 1, "rf": 2, "lt": 3, "ls": 4, "lf": 5}  # order of the skeleton
COLUMNS = (
    *(
        f"{kind}_{sensor}_{axis}"
        for sensor in SENSORS
        for kind in ("acc", "gyro")
        for axis in "xyz"
    ),
    "EMG_r",
    "EMG_l",
    "act",
)
ACTIVITIES = {
    1: "walking",
    2: "running",
    3: "going_up",
    4: "going_down",
    5: "sitting",
    6: "sitting_down",
    7: "standing_up",
    8: "standing",
    9: "bicycling",
    10: "up_by_elevator",
    11: "down_by_elevator",
    12: "sitting_in_car",
}
HEADER = ("#Activity", "#ActivityID", "#Date")

Labels = Literal["v1", "v2"]
TEXT_NAME = re.compile(r"HuGaDB_(v[12])_([a-z_]+_(\d+)_\d+)\.txt")
PACKED_NAME = re.compile(r"hugadb_various_p(\d+)\.npz")
_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, lzma.LZMAError, zlib.error)


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording as it is stored: imu int16 (T, 36), emg uint8 (T, 2), activity uint8 (T,)."""

    name: str
    subject: int
    imu: npt.NDArray[np.int16]
    emg: npt.NDArray[np.uint8]
    activity: npt.NDArray[np.uint8]


def read_text(path: Path) -> tuple[Recording, str]:
    """An original text file, and the version of its labels (`v1` or `v2`, from its name).

    Raises:
        InputError: foreign name, missing header, wrong column count, a cell that is no integer or
            out of its type's range, or an incomplete last line.
    """
    named = TEXT_NAME.fullmatch(path.name)
    if not named:
        raise InputError(f"{path}: name must be HuGaDB_v2_<kind>_<participant>_<recording>.txt")
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error.__class__.__name__})") from None
    lines = text.splitlines()
    for number, key in enumerate(HEADER, start=1):
        if len(lines) < number or lines[number - 1].split(maxsplit=1)[:1] != [key]:
            raise InputError(f"{path}: line {number}: header line `{key}` is missing")
    if len(lines) < 4 or tuple(lines[3].split("\t")) != COLUMNS:
        raise InputError(f"{path}: line 4: the names of the {len(COLUMNS)} columns are missing")
    if len(lines) == 4:
        raise InputError(f"{path}: line 5: no frame follows the header")
    if not text.endswith("\n"):
        raise InputError(f"{path}: line {len(lines)}: truncated (the last line is incomplete)")
    rows = np.array(list(_rows(path, lines)), dtype=np.int64)
    imu, emg, activity = rows[:, :36], rows[:, 36:38], rows[:, 38]
    _in_range(path, "an inertial word", imu, -(2**15), 2**15 - 1)
    _in_range(path, "an EMG word", emg, 0, 255)
    _in_range(path, "an activity id", activity[:, None], 1, max(ACTIVITIES))
    recording = Recording(
        named[2],
        int(named[3]),
        imu.astype(np.int16),
        emg.astype(np.uint8),
        activity.astype(np.uint8),
    )
    return recording, named[1]


def _rows(path: Path, lines: list[str]) -> Iterator[list[int]]:
    for number, line in enumerate(lines[4:], start=5):
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise InputError(
                f"{path}: line {number}: {len(COLUMNS)} columns are needed, got {len(cells)}"
            )
        try:
            yield [int(cell) for cell in cells]
        except ValueError:
            wrong = next(cell for cell in cells if not re.fullmatch(r"\s*[+-]?\d+\s*", cell))
            raise InputError(f"{path}: line {number}: {wrong!r} is not an integer") from None


def _in_range(path: Path, what: str, values: npt.NDArray[np.int64], low: int, high: int) -> None:
    bad = np.argwhere((values < low) | (values > high))
    if bad.size:
        row, column = bad[0]
        found = values[row, column]
        raise InputError(f"{path}: line {row + 5}: {what} must be {low}..{high}, got {found}")


def read_packed(path: Path, labels: Labels = "v2") -> tuple[Recording, ...]:
    """A packed copy of one participant (npz; keys `<recording>/imu`, `/emg`, `/act_v1`, `/act_v2`).

    Raises:
        InputError: not such a file, or an array is missing or of the wrong type or shape.
    """
    named = PACKED_NAME.fullmatch(path.name)
    if not named:
        raise InputError(f"{path}: name must be hugadb_various_p<participant>.npz")
    try:
        with path.open("rb") as file:
            packed = np.load(file, allow_pickle=False)
            if not isinstance(packed, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            arrays = {key: packed[key] for key in packed.files}
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable npz file ({error.__class__.__name__})") from None
    if not arrays:
        raise InputError(f"{path}: holds no recording")
    names = sorted({key.rpartition("/")[0] for key in arrays})
    return tuple(_unpack(path, name, int(named[1]), arrays, labels) for name in names)


def _unpack(
    path: Path, name: str, subject: int, arrays: dict[str, npt.NDArray[np.generic]], labels: Labels
) -> Recording:
    parts: list[npt.NDArray[np.generic]] = []
    shapes = {"imu": (np.int16, (36,)), "emg": (np.uint8, (2,)), f"act_{labels}": (np.uint8, ())}
    for key, (dtype, shape) in shapes.items():
        found = arrays.get(f"{name}/{key}")
        if found is None:
            raise InputError(f"{path}: array {name}/{key} is missing")
        length = len(parts[0]) if parts else found.size // 36
        if found.dtype != dtype or found.shape != (length, *shape):
            raise InputError(f"{path}: array {name}/{key} is {found.dtype} {found.shape}")
        parts.append(found)
    imu, emg, activity = parts
    ids = activity.astype(np.int64)
    if not ids.size or ids.min() < 1 or ids.max() > max(ACTIVITIES):
        raise InputError(f"{path}: array {name}/act_{labels} must hold ids 1..{max(ACTIVITIES)}")
    return Recording(
        name, subject, imu.astype(np.int16), emg.astype(np.uint8), activity.astype(np.uint8)
    )


def read_gyro_flags(path: Path) -> dict[str, tuple[int, ...]]:
    """Joints (skeleton order) with a corrupted gyroscope, by recording name; absent means none.

    The file has the columns `recording`, then one per sensor, with 1 where the gyroscope's output
    is amplified ten times and clips.

    Raises:
        InputError: the columns or a cell are not of that form.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error.__class__.__name__})") from None
    if not rows or rows[0] != ["recording", *SENSORS]:
        raise InputError(f"{path}: line 1: columns must be recording,{','.join(SENSORS)}")
    flags = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 1 + len(SENSORS) or not set(row[1:]) <= {"0", "1"}:
            raise InputError(f"{path}: line {number}: a name and six flags 0 or 1 are needed")
        marked = (
            JOINT_OF_SENSOR[s] for s, flag in zip(SENSORS, row[1:], strict=True) if flag == "1"
        )
        flags[row[0]] = tuple(sorted(marked))
    return flags
