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


def scaled_fit(
    rows: Sequence[Mapping[str, float]],
    measured: Sequence[float],
    base: Mapping[str, float],
    groups: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """The prices of another target, each group of terms scaled as a whole.

    Terms that are in no group keep a price of their own. So few engines are enough.
    """
    together = {term for terms in groups.values() for term in terms}
    composed = []
    for row in rows:
        alone = {term: value for term, value in row.items() if term not in together}
        for name, terms in groups.items():
            alone[name] = sum(base.get(term, 0) * row[term] for term in terms)
        composed.append(alone)
    scales = fit(composed, measured)
    found = {term: price for term, price in scales.items() if term not in groups}
    for name, terms in groups.items():
        scale = scales.get(name, 0)
        found |= {t: _rounded(scale * base[t]) for t in terms if scale and base.get(t)}
    return found


def errors(estimated: Sequence[float], measured: Sequence[float]) -> tuple[float, float]:
    """Mean and worst relative error, in percent of the measured."""
    found = [abs(a - b) / b for a, b in zip(estimated, measured, strict=True)]
    return 100 * sum(found) / len(found), 100 * max(found)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
