"""One block of bytes for all values of a chunk: what is not alive together lies in one place."""

from __future__ import annotations

import math
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

    A value gets a cache line more than its size: vector code reads, and never uses, a few bytes
    behind a row.
    """
    offsets: dict[str, int] = {}
    total = 0
    for name, life in lives.items():
        taken = sorted(
            (offsets[other], offsets[other] + _room(lives[other].size))
            for other in offsets
            if lives[other].first <= life.last and life.first <= lives[other].last
        )
        start = 0
        for begin, end in taken:
            if start + _room(life.size) <= begin:
                break
            start = max(start, end)
        offsets[name] = start
        total = max(total, start + _room(life.size))
    return offsets, total


def _room(size: int) -> int:
    return (size + 2 * ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
