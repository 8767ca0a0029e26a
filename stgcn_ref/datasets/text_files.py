"""Text, JSON and tables of numbers in files, refused with the line that is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from fxp.errors import InputError
from stgcn_ref.datasets.clips import FloatArray

HUGE = 1e9  # nothing measured is larger, and sums and squares of what is smaller are finite


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be read, is not text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        InputError: as `read_text`, or not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not valid JSON ({error.msg})") from None
    except (RecursionError, ValueError) as error:  # nested, or digits, without end
        raise InputError(f"{path}: not valid JSON ({error.__class__.__name__})") from None


def read_table(path: Path, columns: int, separator: str | None = None, skip: int = 0) -> FloatArray:
    """Numbers float64 (rows, columns); `separator` None is any white space.

    `skip` lines of a header come first; blank lines at the end are none.

    Raises:
        InputError: no row, or a row that has not `columns` numbers within 1e9 of zero (its line is
            named).
    """
    lines = read_text(path).rstrip().splitlines()
    if len(lines) <= skip:
        raise InputError(f"{path}: line {len(lines) + 1}: no row follows the header")
    try:
        table: FloatArray = np.loadtxt(
            lines, delimiter=separator, skiprows=skip, comments=None, ndmin=2, dtype=np.float64
        )
    except ValueError:  # a row of another length, or a cell that is no number
        table = np.empty((0, 0))
    # loadtxt passes over blank lines
    if table.shape != (len(lines) - skip, columns) or not (np.abs(table) < HUGE).all():
        raise _fault(path, lines, columns, separator, skip)
    return table


def numbers(cells: list[str], count: int, where: str, limit: float = math.inf) -> list[float]:
    """The cells of one line as finite numbers.

    Raises:
        InputError: not `count` of them, or one that is no number within `limit` of zero.
    """
    if len(cells) != count:
        raise InputError(f"{where}: {count} numbers are needed, got {len(cells)}")
    values = []
    for cell in cells:
        try:
            value = float(cell)
        except ValueError:
            raise InputError(f"{where}: {cell.strip()!r} is not a number") from None
        if not math.isfinite(value):
            raise InputError(f"{where}: {cell.strip()!r} is not a finite number")
        if abs(value) >= limit:
            raise InputError(f"{where}: {cell.strip()!r} is beyond {limit:g}")
        values.append(value)
    return values


def _fault(
    path: Path, lines: list[str], columns: int, separator: str | None, skip: int
) -> InputError:
    """The error of the first line that is wrong; found slowly, once reading has failed."""
    for number, line in enumerate(lines[skip:], start=skip + 1):
        try:
            numbers(line.split(separator), columns, f"{path}: line {number}", HUGE)
        except InputError as error:
            return error
    return InputError(f"{path}: not a table of {columns} numbers a line")
