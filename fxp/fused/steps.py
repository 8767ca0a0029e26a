"""What a fused plan consists of: steps as data. Each computes one or two values from others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

from fxp.fused.tiers import Tier
from fxp.ir import IntArray

Words: TypeAlias = npt.NDArray[Any]  # integers of any width


@dataclass(frozen=True)
class ReadStep:
    """The frames of the clip, as given."""

    name: str


@dataclass(frozen=True, eq=False)
class ProductStep:
    """A 1x1 convolution (one tap), with the casts of its sums if there are any.

    `operand` is the dtype it multiplies, `weight` and `constants` as `fxp.kernels.products` wants
    them, `nodes` all that it computes, `results` those of them that others read. Where 32
    bits do not hold its sums, these are carried after every `carry` groups of operands, which are
    lowered by `centre`, constants are of 64 bits (`fxp.kernels.carried`), and there are `narrow`
    ones if 32 bits are enough for the casts.
    """

    name: str
    x: str
    nodes: tuple[str, ...]
    results: tuple[str, ...]
    tier: Tier
    operand: npt.DTypeLike
    weight: Words
    constants: Words
    groups: int
    even: tuple[bool, ...]
    carry: int = 0
    centre: int = 0
    narrow: Words | None = None


@dataclass(frozen=True, eq=False)
class TapsStep:
    """A temporal convolution, as a product whose taps read different frames of a ring."""

    product: ProductStep
    taps: int
    dilation: int
    lookahead: int
    stride: int


@dataclass(frozen=True, eq=False)
class CrossedStep:
    """A 1x1 convolution of words and weights in two digits, as three products of these.

    `product` is that of the high digits, with the casts of it all and the words' `centre`; `low`
    and `both` are the weights of the others, `low_bits` the bits of a low digit
    (`fxp.kernels.crossed`).
    """

    product: ProductStep
    low: Words
    both: Words
    low_bits: int


@dataclass(frozen=True, eq=False)
class WideStep:
    """A 1x1 convolution of digits: `sum_ij (x_i @ w_j) << places_ij`, in 64 bits.

    Operands are split into digits of `digit_bits`, balanced ones below the highest; `passes` name
    the operand's digit, the weights of the other, and how far their product moves left.
    """

    name: str
    x: str
    tier: Tier
    digit_bits: int
    digits: int
    passes: tuple[tuple[int, Words, int], ...]
    constants: Words
    groups: int
    bias: IntArray


@dataclass(frozen=True, eq=False)
class RowsStep:
    """A chain of nodes as one pass over frames: see `fxp.kernels.rows`.

    `edges` are (V, 2), joints and the first edge into each, and (E, 3): words before the source
    row, factor, whether others into the same joint follow. `fifo` is the `TemporalSum` in it,
    `other` the second operand of an `Add`; `kinds` what its four casts do,
    `needs` how many bits the values on the way need and which of them needs the most.
    """

    nodes: tuple[str, ...]
    results: tuple[str, ...]
    source: str
    other: str | None
    fifo: str | None
    depth: int
    dilation: int
    affine: bool
    kinds: tuple[int, int, int, int]
    lanes_bits: int
    joints: int
    channels: int
    edges: tuple[IntArray, IntArray] | None
    constants: Words
    needs: tuple[int, str]


@dataclass(frozen=True)
class DelayStep:
    """An `Add`'s operand, kept until the other one comes; `name` is that of the delay line."""

    name: str
    x: str
    add: str
    side: int


@dataclass(frozen=True)
class ViewStep:
    """A `Flatten`: the operand's own words."""

    name: str
    x: str


@dataclass(frozen=True, eq=False)
class PickStep:
    """An `Argmax`."""

    name: str
    x: str
    left: IntArray


@dataclass(frozen=True)
class SingleStep:
    """A node for which there is no pass: run by the kernel of its own."""

    name: str
    reads: tuple[str, ...]


Step: TypeAlias = (
    ReadStep
    | ProductStep
    | TapsStep
    | CrossedStep
    | WideStep
    | RowsStep
    | DelayStep
    | ViewStep
    | PickStep
    | SingleStep
)
