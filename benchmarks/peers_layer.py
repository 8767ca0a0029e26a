"""The one layer that the toolkit and its peers compute, and what its words must be.

A 1x1 convolution 64 -> 192 channels over the rows of 64 frames of 25 joints, signed 8-bit words and
weights, bias at the scale of the 32-bit accumulator, then one cast to 8 bits: a rounding shift and
saturation (docs/arithmetic.md). `reference` is numpy in int64 and the judge of every candidate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fxp.ir import Conv, Graph, Input, IntArray, Requantise, Weights
from fxp.qformat import Cast, QFormat
from fxp.simulate import compile_graph
from fxp.stream import Block

# A tie goes up, or to the even word. Nothing else is claimed by a candidate.
Ties = Literal["up", "even"]

WORD_FRAC, WEIGHT_FRAC, OUT_FRAC = 4, 7, 2  # fractional bits: scales are powers of two
SHIFT = WORD_FRAC + WEIGHT_FRAC - OUT_FRAC
HALF = 1 << (SHIFT - 1)
LOW, HIGH = -128, 127


@dataclass(frozen=True, eq=False)
class Layer:
    """Raw integers: words (T, V, Cin) and weight (Cout, Cin) in int8, bias (Cout,) in int32."""

    words: npt.NDArray[np.int8]
    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]

    @property
    def rows(self) -> npt.NDArray[np.int8]:
        """The words as a matrix (T * V, Cin)."""
        return self.words.reshape(-1, self.words.shape[2])


@dataclass(frozen=True, eq=False)
class Candidate:
    """A prepared layer: `call` is what is timed, `words` reads its result.

    `call` starts from operands in whatever form the candidate likes best and ends with 8-bit words
    in whatever form it makes them; `words` turns that into raw integers (rows, Cout), untimed.
    """

    call: Callable[[], Any]
    words: Callable[[Any], IntArray]
    version: str
    ties: Ties = "up"


def random_layer(
    frames: int = 64, joints: int = 25, inputs: int = 64, outputs: int = 192, seed: int = 0
) -> Layer:
    """Uniform words and weights over all of 8 bits; about an eighth of the results saturates."""
    rng = np.random.default_rng(seed)
    return Layer(
        rng.integers(LOW, HIGH + 1, (frames, joints, inputs), dtype=np.int8),
        rng.integers(LOW, HIGH + 1, (outputs, inputs), dtype=np.int8),
        rng.integers(-(1 << 14), 1 << 14, outputs, dtype=np.int32),
    )


def accumulators(layer: Layer) -> IntArray:
    """Exact sums (rows, Cout)."""
    return layer.rows.astype(np.int64) @ layer.weight.astype(np.int64).T + layer.bias


def reference(layer: Layer, ties: Ties = "up") -> IntArray:
    """The layer's words (rows, Cout)."""
    acc = accumulators(layer)
    rounded = (acc + HALF) >> SHIFT
    if ties == "even":
        rounded -= is_tie(layer) & (rounded & 1)
    return np.asarray(np.clip(rounded, LOW, HIGH))


def is_tie(layer: Layer) -> npt.NDArray[np.bool_]:
    """Where an accumulator lies in the middle between two words, (rows, Cout)."""
    return np.asarray((accumulators(layer) & (2 * HALF - 1)) == HALF)


def toolkit_graph(layer: Layer) -> Graph:
    """The layer in this toolkit's IR."""
    _, joints, inputs = layer.words.shape
    return Graph(
        "layer",
        (
            Input("x", inputs, joints, QFormat(8, WORD_FRAC)),
            Conv(
                "conv",
                "x",
                Weights(layer.weight.astype(np.int64), 8, (WEIGHT_FRAC,)),
                layer.bias.astype(np.int64),
            ),
            Requantise("y", "conv", Cast(QFormat(8, OUT_FRAC))),
        ),
        ("y",),
        accumulator_bits=32,
    )


def toolkit(layer: Layer) -> Candidate:
    """This toolkit's simulator in its own layout, as every peer is in its own."""
    frames, _, outputs = *layer.words.shape[:2], len(layer.weight)
    block = Block(compile_graph(toolkit_graph(layer)), frames)
    block.input[:] = layer.words
    return Candidate(
        call=lambda: block.advance(frames)["y"],
        words=lambda y: y.reshape(-1, outputs),  # (T, V, C) -> (T * V, C)
        version="",
    )
