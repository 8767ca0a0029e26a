"""Values whose channels or joints stand in another order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fxp.ir import IntArray

MOST_NAMED = 6  # places of an order without a shorter name


def swapped(expected: IntArray, found: IntArray) -> str | None:
    """In which order the channels or joints of `found` stand, both `(T, C, V)`.

    None where no order of one of the two axes makes both equal, nor the two axes exchanged.
    """
    channels, joints = expected.shape[1:]
    exchanged = expected.transpose(0, 2, 1).reshape(expected.shape)
    if channels > 1 and joints > 1 and np.array_equal(found, exchanged):
        return "channels and joints are exchanged: joint-major words read channel-major"
    for axis, what in ((1, "channels"), (2, "joints")):
        if (order := _order(np.moveaxis(expected, axis, 0), np.moveaxis(found, axis, 0))) is None:
            continue
        return f"the {what} are {_described(order)}"
    return None


def _order(expected: npt.NDArray[np.int64], found: npt.NDArray[np.int64]) -> list[int] | None:
    """For each row of `found` the row of `expected` that it is, every row used once."""
    free: dict[bytes, list[int]] = {}
    rows = [row.tobytes() for row in np.ascontiguousarray(expected)]
    for index, row in enumerate(rows):
        free.setdefault(row, []).append(index)
    order = [-1] * len(rows)
    looked_for = [row.tobytes() for row in np.ascontiguousarray(found)]
    for index, row in enumerate(looked_for):  # equal rows, such as dead channels, stay in place
        if row == rows[index]:
            order[index] = index
            free[row].remove(index)
    for index, row in enumerate(looked_for):
        if order[index] < 0:
            if not free.get(row):
                return None
            order[index] = free[row].pop(0)
    return order


def _described(order: list[int]) -> str:
    size = len(order)
    if order == list(range(size))[::-1]:
        return "reversed"
    for step in range(1, size):
        if order == [(index + step) % size for index in range(size)]:
            return f"rotated: place 0 holds {step}"
    moved = [(index, source) for index, source in enumerate(order) if index != source]
    named = ", ".join(f"place {index} holds {source}" for index, source in moved[:MOST_NAMED])
    more = ", …" if len(moved) > MOST_NAMED else ""
    return f"in another order: {named}{more}"
