"""One block of bytes for all values of a chunk: what is not alive together lies in one place."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # bytes of a cache line, and of a vector


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros that begin with a cache line, and have one more behind them.

    A vector that lies across two lines costs two accesses, and vector code reads, but never uses, a
    few bytes behind a row.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 2 * ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


@dataclass(frozen=True)
class Lifetime:
    """Bytes that are in use from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


def place(lives: Mapping[str, Lifetime]) -> tuple[dict[str, int], int]:
    """Offsets in bytes, each at the first gap that fits, and the size of the whole.

    `lives` begin one after the other. A value gets a cache line more than its size: vector code
    reads, and never uses, a few bytes behind a row.
    """
    offsets: dict[str, int] = {}
    taken: list[tuple[int, int, int]] = []  # beginning, end, last step of those that are in use
    total = 0
    for name, life in lives.items():
        taken = [each for each in taken if each[2] >= life.first]
        start, room = 0, _room(life.size)
        for begin, end, _ in taken:
            if start + room <= begin:
                break
            start = max(start, end)
        insort(taken, (start, start + room, life.last))
        offsets[name] = start
        total = max(total, start + room)
    return offsets, total


def _room(size: int) -> int:
    return (size + 2 * ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
