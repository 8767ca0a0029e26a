"""Cross-layer equalisation: channels of unequal range between two layers are scaled to one another.

Between two linear layers, with a ReLU or nothing in the middle, channel c may be multiplied by any
`s > 0` in the first and divided in the second (Nagel et al., "Data-free quantization through weight
equalization and bias correction", 2019, section 4.1, equation 11). Here s is a power of two, so the
float network stays exactly what it was.

Two places of the family have such a pair: the graph convolution (its norm folded in) and the
temporal convolution behind it, and the input norm with the embedding. A residual stream between two
layers is none: all that reads it would have to be scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fxp.cast import FloatArray, IntArray
from fxp.draft import INPUT_NORM
from fxp.floatnet import FloatNet
from fxp.outline import outline

MOST_BITS = 3  # of a factor: more would only chase channels that are next to dead


@dataclass(frozen=True)
class Pair:
    """Two layers and the channels between them.

    `rows` are parameters multiplied by the factors along their first axis (partition-major ones
    once per partition), `columns` the weight divided along its second axis.
    """

    rows: tuple[str, ...]
    columns: str


def pairs(net: FloatNet) -> Iterator[Pair]:
    """The pairs that `net` has, in graph order."""
    names = {node.name for node in outline(net.arch).nodes}
    if "embedding" in names and f"{INPUT_NORM}.scale" in net.params:
        yield Pair((f"{INPUT_NORM}.scale", f"{INPUT_NORM}.bias"), "embedding.weight")
    for i in range(len(net.arch.channels)):
        block = f"block{i}"
        if {f"{block}.conv", f"{block}.norm", f"{block}.tconv"} <= names:
            rows: tuple[str, ...] = ("conv.weight", "conv.bias", "norm.bias")
            if net.meta["fold"] == "affine":  # the norm's own scale stands behind the convolution
                rows = ("norm.scale", "norm.bias")
            yield Pair(tuple(f"{block}.{row}" for row in rows), f"{block}.tconv.weight")


def equalise(net: FloatNet) -> tuple[FloatNet, bool]:
    """The same float network with equalised pairs, and whether anything was changed.

    Observations are of the network as it was: they must be taken anew.
    """
    params = dict(net.params)
    changed = False
    for pair in pairs(net):
        exponents = _exponents(params, pair)
        changed |= bool(exponents.any())
        for key in pair.rows:
            params[key] = _scaled(params[key], exponents)
        params[pair.columns] = _shifted(params[pair.columns], -exponents, axis=1)
    return replace(net, params=params), changed


def _exponents(params: dict[str, FloatArray], pair: Pair) -> IntArray:
    """The power of two of each channel's factor: the square root of the ratio of its ranges."""
    columns = params[pair.columns]
    channels = columns.shape[1]
    second = np.abs(columns).max(axis=tuple(i for i in range(columns.ndim) if i != 1))
    weight = params[pair.rows[0]].reshape(-1, channels, *params[pair.rows[0]].shape[1:])
    first = np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != 1))
    alive = (first > 0) & (second > 0)
    ratio = np.where(alive, second, 1.0) / np.where(alive, first, 1.0)
    relative = np.log2(ratio) / 2
    level = np.median(relative[alive]) if alive.any() else 0.0  # a factor of all changes nothing
    whole = np.rint(relative - level).clip(-MOST_BITS, MOST_BITS)
    return np.where(alive, whole, 0).astype(np.int64)


def _scaled(values: FloatArray, exponents: IntArray) -> FloatArray:
    """Rows times `2**exponents`; several partitions of rows one behind the other."""
    parts = values.reshape(-1, len(exponents), *values.shape[1:])
    return _shifted(parts, exponents, axis=1).reshape(values.shape)


def _shifted(values: FloatArray, exponents: IntArray, axis: int) -> FloatArray:
    shape = [1] * values.ndim
    shape[axis] = -1
    return np.asarray(np.ldexp(values, exponents.reshape(shape)))
