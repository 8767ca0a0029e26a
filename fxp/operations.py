"""What the node-by-node engine does for each kind of node; constants as the kernels want them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from fxp.ir import IntArray
from fxp.kernels.casting import Clamp, Recast


@dataclass(frozen=True)
class Read:
    """The frames of the clip, as given."""


@dataclass(frozen=True, eq=False)
class Multiply:
    """1x1 convolution: weight (Cin, Cout), bias (Cout,)."""

    weight: IntArray
    bias: IntArray


@dataclass(frozen=True, eq=False)
class Aggregate:
    """Product with a sparse adjacency: edges sorted by target joint (see `graph_product`)."""

    first: IntArray
    source: IntArray
    factor: IntArray


@dataclass(frozen=True)
class Window:
    """Running sum with a FIFO of `depth` frames and one accumulator per phase of `dilation`."""

    depth: int
    dilation: int


@dataclass(frozen=True, eq=False)
class Taps:
    """Temporal convolution: weight (taps, Cin, Cout), bias (Cout,), a ring of `depth` frames.

    One result for every `stride` frames.
    """

    weight: IntArray
    bias: IntArray
    dilation: int
    lookahead: int
    stride: int
    depth: int


@dataclass(frozen=True, eq=False)
class Scale:
    """Affine: scale and bias per position of a frame (V * C,)."""

    scale: IntArray
    bias: IntArray


@dataclass(frozen=True, eq=False)
class Join:
    """Addition: the power of two per position that aligns each operand, and each one's delay."""

    factors: tuple[IntArray, IntArray]
    delays: tuple[int, int]


@dataclass(frozen=True)
class Unfold:
    """All joints of a frame as channels of one: the operand's own words under another shape."""


@dataclass(frozen=True)
class Mean:
    """Sum over joints, times `multiplier`."""

    multiplier: int


@dataclass(frozen=True)
class Average:
    """Sum over all frames of a clip, shifted left and divided by their number at its end."""

    shift: int


@dataclass(frozen=True, eq=False)
class Normalise:
    """Layer norm over a frame: see `fxp.kernels.norm.layer_norm`."""

    epsilon: int
    seeds: IntArray
    newton_steps: int
    frac_bits: int


@dataclass(frozen=True, eq=False)
class Share:
    """Softmax over channels: see `fxp.kernels.norm.softmax`."""

    coarse: IntArray
    fine: IntArray
    exp_bits: int
    frac_bits: int


@dataclass(frozen=True, eq=False)
class Pick:
    """Argmax over channels, `left[c]` aligning their binary points."""

    left: IntArray


Operation: TypeAlias = (
    Read
    | Multiply
    | Aggregate
    | Window
    | Taps
    | Scale
    | Join
    | Unfold
    | Mean
    | Average
    | Normalise
    | Share
    | Clamp
    | Recast
    | Pick
)
