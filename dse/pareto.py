"""The exact set of non-dominated points for objectives of mixed direction.

A point is dominated if another is at least as good in every objective and better in one. So:

- equal points do not dominate each other: all duplicates of a front point are on the front;
- a point with a NaN in any objective was not measured: it is never on the front and dominates none;
- infinities are ordinary values.

Values are compared as float64, without any tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError

Direction = Literal["min", "max"]


def costs(
    values: npt.NDArray[np.float64], directions: Sequence[Direction]
) -> npt.NDArray[np.float64]:
    """`values` (points, objectives) with every `max` column negated, so that less is better.

    Raises:
        InputError: an unknown direction, or their number is not that of the columns.
    """
    if values.ndim != 2 or values.shape[1] != len(directions) or not directions:
        raise InputError(
            f"objectives: values of shape {values.shape} do not fit {len(directions)} directions"
        )
    for direction in directions:
        if direction not in ("min", "max"):
            raise InputError(f"objectives: direction must be min or max, got {direction!r}")
    sign = np.array([-1.0 if direction == "max" else 1.0 for direction in directions])
    table: npt.NDArray[np.float64] = values.astype(np.float64) * sign + 0.0  # no -0.0
    return table


def non_dominated(
    values: npt.NDArray[np.float64], directions: Sequence[Direction]
) -> npt.NDArray[np.bool_]:
    """Mask (points,) of the points that no other point dominates.

    Rows are visited in lexicographic order: whatever dominates a row comes before it, and
    whatever is dominated there is dominated by a member of the front found so far.

    Args:
        values: (points, objectives); NaN means not measured.
        directions: `min` or `max` for each objective.

    Raises:
        InputError: as `costs`.
    """
    table = costs(values, directions)
    mask = np.zeros(len(table), dtype=np.bool_)
    measured = ~np.isnan(table).any(axis=1)
    if not measured.any():
        return mask
    rows, inverse = np.unique(table[measured], axis=0, return_inverse=True)
    front = np.empty_like(rows)
    size = 0
    kept = np.zeros(len(rows), dtype=np.bool_)
    for index, row in enumerate(rows):
        if not (front[:size] <= row).all(axis=1).any():
            front[size] = row
            size += 1
            kept[index] = True
    mask[measured] = kept[inverse.reshape(-1)]
    return mask
