"""Compiled loops behind the trained network: what torch would take many passes over memory for.

All work on float arrays, float32 or float64, flat and contiguous; conventions as in
`fxp.kernels.jit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fxp.kernels.jit import kernel

Reals = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@kernel
def floor_clamp(
    x: Reals,
    scale: float,
    offset: float,
    ends: tuple[float, float],
    relu: bool,
    y: Reals,
    kept: Flags,
) -> None:
    """`y = clamp(floor(x * scale + offset), ends) / scale`, and where neither end was met.

    With `relu` no y is below zero, and what was not above zero before counts as not kept.
    """
    t = y.dtype.type
    up, down, half = t(scale), t(1.0 / scale), t(offset)
    low, high = t(ends[0]), t(ends[1])
    least = max(low, t(0.0)) if relu else low
    start = t(0.0) if relu else t(-np.inf)
    for i in range(x.size):
        word = np.floor(x[i] * up + half)
        kept[i] = (word >= low) & (word <= high) & (x[i] > start)
        y[i] = min(max(word, least), high) * down


@kernel
def keep(x: Reals, kept: Flags, y: Reals) -> None:
    """`y = x` where kept, else 0."""
    for i in range(x.size):
        y[i] = x[i] if kept[i] else y.dtype.type(0.0)


@kernel
def edge_products(x: Reals, grad: Reals, target: Indices, source: Indices, y: Reals) -> None:
    """`y[e, c] = sum_t x[t, source[e] + c] * grad[t, target[e], c]`.

    Shapes: x (T, F), grad (T, V, C), target and source (E,), y (E, C) zeros.
    """
    channels = y.shape[1]
    for f in range(len(x)):
        for e in range(len(y)):
            a, b, into = x[f, source[e] : source[e] + channels], grad[f, target[e]], y[e]
            for c in range(channels):
                into[c] += a[c] * b[c]
