"""Bringing the rows of a weight matrix under an accumulator's width, with words as the measure.

A row makes one sum, `bias + sum_j q_j x_j`, of words q and operands between `-down_j` and `up_j`.
Its largest value is `bias + sum_j |q_j| * cost_j`, where a positive word costs `up` and a negative
one `down`; its smallest is minus the same with the two exchanged. Each is a weighted L1 norm, and
the nearest point with less of it subtracts `theta * cost_j` from every magnitude (soft threshold;
Duchi et al. 2008, Colbert et al. 2023, A2Q, use the norm alone). The smallest theta is found on the
rounded words themselves, so that no rounding can break the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fxp.cast import FloatArray

_HALVINGS = 60  # of the interval that holds theta: to the last bit of a float64


@dataclass(frozen=True, eq=False)
class Rows:
    """Weights as rows of one sum each: `raw` (R, n), in lsbs, not yet rounded.

    `up`, `down` (R or 1, n) are how far each operand goes to both sides of zero, in lsbs of the
    sum; `word_bits` the width of a weight.
    """

    raw: FloatArray
    up: FloatArray
    down: FloatArray
    word_bits: int


def round_half_up(raw: FloatArray) -> FloatArray:
    """The nearest whole numbers; not `floor(x + 1/2)`, which is wrong just below a half."""
    floor = np.floor(raw)
    found: FloatArray = floor + (raw - floor >= 0.5)
    return found


def words_of(raw: FloatArray, word_bits: int) -> FloatArray:
    """Words as `fxp.lower` makes them of numbers in lsbs: half up, saturated."""
    high = float((1 << (word_bits - 1)) - 1)
    return np.clip(round_half_up(raw), -high - 1, high)


def constrained(rows: Rows, bias_low: FloatArray, bias_high: FloatArray, bits: int) -> FloatArray:
    """The rows, shrunk until no sum of any operands leaves `bits` bits.

    Args:
        rows: the weights.
        bias_low, bias_high: the smallest and the largest bias of each row, whole numbers (R,) that
            fit `bits` bits themselves.
        bits: width of the sums, at most 48: whole numbers of float64 then are exact.

    Returns:
        `raw`, (R, n); what fits already is untouched.
    """
    limit = 1 << (bits - 1)
    positive = rows.raw >= 0
    for high, room in ((True, limit - 1 - bias_high), (False, limit + bias_low)):
        cost = np.where(positive == high, rows.up, rows.down)
        rows = Rows(_shrunk(rows, cost, room), rows.up, rows.down, rows.word_bits)
    return rows.raw


def _shrunk(rows: Rows, cost: FloatArray, room: FloatArray) -> FloatArray:
    """Magnitudes less `theta * cost`, with the least theta whose words cost at most `room`."""

    def shrink(raw: FloatArray, cost: FloatArray, theta: FloatArray) -> FloatArray:
        return np.copysign(np.maximum(np.abs(raw) - theta[:, None] * cost, 0.0), raw)

    def spent(raw: FloatArray, cost: FloatArray) -> FloatArray:
        total: FloatArray = (np.abs(words_of(raw, rows.word_bits)) * cost).sum(axis=1)
        return total

    over = spent(rows.raw, cost) > room
    if not over.any():
        return rows.raw
    raw, cost, room = rows.raw[over], cost[over], room[over]
    enough = np.max(np.abs(raw) / np.where(cost > 0, cost, np.inf), axis=1)
    short = np.zeros_like(enough)
    for _ in range(_HALVINGS):
        middle = (short + enough) / 2
        fits = spent(shrink(raw, cost, middle), cost) <= room
        short, enough = np.where(fits, short, middle), np.where(fits, middle, enough)
    result = rows.raw.copy()
    result[over] = shrink(raw, cost, enough)
    return result
