"""Least squares of an area over its terms, without negative prices, by relative error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DIGITS = 4


def fit(rows: Sequence[Mapping[str, float]], measured: Sequence[float]) -> dict[str, float]:
    """The prices with the least sum of squared relative errors; none is negative.

    A term that would get a negative price is left out, the most negative first, until none is.
    """
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    weights = 1 / np.array(measured, dtype=np.float64)
    while True:
        matrix = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
        scaled: Floats = matrix * weights[:, None]
        sizes = np.sqrt((scaled**2).sum(axis=0))  # columns of one size: else tiny ones drown
        prices = np.linalg.lstsq(scaled / sizes, np.ones(len(rows)), rcond=None)[0] / sizes
        if (prices >= 0).all():
            return {n: _rounded(float(x)) for n, x in zip(names, prices, strict=True) if x}
        del names[int(np.argmin(prices * sizes))]


def errors(estimated: Sequence[float], measured: Sequence[float]) -> tuple[float, float]:
    """Mean and worst relative error, in percent of the measured."""
    found = [abs(a - b) / b for a, b in zip(estimated, measured, strict=True)]
    return 100 * sum(found) / len(found), 100 * max(found)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
