"""The integer network as data: a small graph of nodes, without methods and without behaviour.

Nodes are exact: the output is the mathematical sum or product of the operands, as wide as it needs
to be (an *accumulator*). Only `ClipMean`, `LayerNorm` and `Softmax` divide, and round as they
state. The one node that narrows is `Requantise`, which casts an accumulator into a stored format.
One accumulator may feed several of them: the residual stream and the operand read from it are two
casts of one value, never a cast of a cast.

Values are named after the node that makes them and have the shape `(C, V)` per frame (channels,
joints). A value is *stored* when it comes from `Input`, `Requantise`, or a `TemporalSum` or
`Flatten` of a stored value: it then has one `frac_bits` for all channels. Operands of multiplying
nodes (`Conv`, `GraphProduct`, `TemporalConv`, `Affine`, `JointMean`, `LayerNorm`) and of
`ClipMean`, `Softmax` and `Flatten` must be stored.

What a node computes is defined by `fxp.oracle`, in plain Python integers. Names are dotted
(`block3.conv`); the part before the last dot, or the whole name without one, is the node's *layer*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from fxp.qformat import Cast, QFormat

IntArray = npt.NDArray[np.int64]
# Of a field younger than the file formats: files and hashes leave it out where it has its default.
LEFT_OUT = MappingProxyType({"left_out": True})


@dataclass(frozen=True, eq=False)
class Weights:
    """Constant operand: raw integers, the width that holds them, and where the binary point is.

    `frac_bits` has one entry for the whole tensor, or one per index of the first axis (per output
    channel, or per partition of an adjacency). Values are signed, in `word_bits` bits.
    """

    raw: IntArray
    word_bits: int
    frac_bits: tuple[int, ...]


@dataclass(frozen=True)
class Input:
    """The network's input, shape `(channels, joints)`, words in `fmt`."""

    name: str
    channels: int
    joints: int
    fmt: QFormat


@dataclass(frozen=True, eq=False)
class Conv:
    """1x1 convolution: `y[o, v] = bias[o] + sum_i weight[o, i] * x[i, v]`.

    weight `(Cout, Cin)`, bias `(Cout,)` in raw units of the accumulator: `frac_bits` of output
    channel o is `F_x + F_weight[o]`.
    """

    name: str
    x: str
    weight: Weights
    bias: IntArray


@dataclass(frozen=True, eq=False)
class GraphProduct:
    """`y[c, w] = sum_p sum_v x[p * C + c, v] * adjacency[p, v, w]`, x partition-major `(P*C, V)`.

    adjacency `(P, V, V)`; the accumulator has `F_x + max(F_adjacency)` fractional bits and the
    products of coarser partitions are shifted left to it, exactly.
    """

    name: str
    x: str
    adjacency: Weights


@dataclass(frozen=True)
class TemporalSum:
    """`y_t = sum_{k < window} x_{t - k * dilation}`, `x_{<0} = 0`: a FIFO and an accumulator."""

    name: str
    x: str
    window: int
    dilation: int = 1


@dataclass(frozen=True, eq=False)
class TemporalConv:
    """`y_t[o] = bias[o] + sum_{i,k} weight[o, i, k] * x_{s(t, k)}[i]`, taps over time.

    weight `(Cout, Cin, taps)`, tap k reads frame `s = t + lookahead - (taps - 1 - k) * dilation`
    (the last tap is the newest frame, as in a torch convolution); frames outside the clip are zero.
    Symmetric padding is `lookahead = (taps - 1) * dilation // 2`; a causal one is 0. A streaming
    implementation emits frame t once `lookahead` further frames have come; the delay lines that
    keep other paths in step follow from that and are no nodes of their own (`lookaheads`).

    With a `stride` the value has every `stride`-th of those frames, from frame 0 on: of T frames
    it makes `ceil(T / stride)`, and frame u is that of `t = u * stride`.
    """

    name: str
    x: str
    weight: Weights
    bias: IntArray
    dilation: int = 1
    lookahead: int = 0
    stride: int = field(default=1, metadata=LEFT_OUT)


@dataclass(frozen=True, eq=False)
class Affine:
    """`y[c, v] = scale[c, v] * x[c, v] + bias[c, v]`; scale and bias `(C, 1)` or `(C, V)`.

    The bias is in raw units of the accumulator, `F_x + F_scale[c]`. A scale whose raws are all the
    same power of two costs no multiplier.
    """

    name: str
    x: str
    scale: Weights
    bias: IntArray


@dataclass(frozen=True)
class Add:
    """`y = a + b`, both aligned to the larger `frac_bits`, exactly."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Flatten:
    """`y[v * C + c, 0] = x[c, v]`: all joints of a frame as one vector, no arithmetic.

    `(C, V)` becomes `(V * C, 1)`, the channels of a joint side by side, as
    `torch.flatten(x, 2)` of x `(N, T, V, C)` has them. Words and format stay as they are.
    """

    name: str
    x: str


@dataclass(frozen=True)
class JointMean:
    """`y[c] = multiplier * sum_v x[c, v]` with `F_x + shift` fractional bits; one joint is left.

    `multiplier / 2**shift` is the stated reciprocal of the joint count.
    """

    name: str
    x: str
    multiplier: int
    shift: int


@dataclass(frozen=True)
class ClipMean:
    """The mean over all T frames of a clip, once, at its end: one frame per clip is left.

    `y[c, v] = floor((2 * (S << shift) + T) / (2 * T))` with `S = sum_t x_t[c, v]`, that is half up,
    with `F_x + shift` fractional bits. T counts frames of x and is at most `max_frames`.
    """

    name: str
    x: str
    shift: int
    max_frames: int


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Frame by frame `y[c, v] = (N * x[c, v] - S0) / sqrt(N * S1 - S0**2 + epsilon)`, N = C * V.

    S0 and S1 are the sums of all words and of their squares. The reciprocal square root is taken by
    table and Newton's iteration, to the bit as `fxp.elementary` defines it: `seeds` `(3 * 2**j,)`
    holds the first guess for each interval of mantissas, `newton_steps` iterations refine it. The
    result is rounded half up to `frac_bits`; it is an accumulator, scaled by an `Affine` behind its
    cast. `epsilon` `(1,)` is in raw units of the variance, `2 * F_x` fractional bits times `N**2`
    (`fxp.node_tables.layer_norm_epsilon`).
    """

    name: str
    x: str
    epsilon: IntArray
    seeds: IntArray
    newton_steps: int
    frac_bits: int


@dataclass(frozen=True, eq=False)
class Softmax:
    """Over channels, joint by joint: `y[c] = floor((e[c] << frac_bits) / sum(e))`.

    `e[c]` stands for `exp(x[c] - max(x))`, from two tables with `exp_bits` fractional bits: with
    `d = max(x) - x[c]` it is the product of `fine[d % len(fine)]` and `coarse[d // len(fine)]` (the
    last entry of `coarse` beyond its end), rounded half up to `exp_bits`. `coarse` `(n,)` and
    `fine` `(2**j,)` are made for one `frac_bits` of x (`fxp.node_tables.exp_tables`); both begin
    with `2**exp_bits`.
    """

    name: str
    x: str
    coarse: IntArray
    fine: IntArray
    exp_bits: int
    frac_bits: int


@dataclass(frozen=True)
class Requantise:
    """Cast an accumulator into a stored format: round, overflow, then (if asked) ReLU."""

    name: str
    x: str
    cast: Cast
    relu: bool = False


@dataclass(frozen=True)
class Argmax:
    """Index of the largest channel, joint by joint; ties go to the lowest index."""

    name: str
    x: str


Node = (
    Input
    | Conv
    | GraphProduct
    | TemporalSum
    | TemporalConv
    | Affine
    | Add
    | Flatten
    | JointMean
    | ClipMean
    | LayerNorm
    | Softmax
    | Requantise
    | Argmax
)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order, the first and only `Input` in front.

    `outputs` names the values a caller wants (for a segmentation network `logits` and `label`).
    `accumulator_bits` is the width that no accumulator may exceed; `fxp.ranges.certify` refuses a
    graph that could, over all inputs. `meta` is JSON data kept with the network (class names, input
    preparation, provenance); it never changes what the graph computes.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    accumulator_bits: int = 48
    meta: Mapping[str, Any] = field(default_factory=dict)


def operands(node: Node) -> tuple[str, ...]:
    """Names of the values a node reads."""
    match node:
        case Input():
            return ()
        case Add(a=a, b=b):
            return (a, b)
        case _:
            return (node.x,)


@dataclass(frozen=True, slots=True)
class Timing:
    """When the frames of a value come.

    It has one frame for every `period` frames of the input, and its frame u is complete once frame
    `u * period + lookahead` of the input has been read. With a period of 0 (behind a `ClipMean`) it
    has one frame, complete at the end of the clip.
    """

    period: int
    lookahead: int


def period_after(node: Node, period: int) -> int:
    """Frames of the input per frame of a node's value, from that of what it reads."""
    match node:
        case TemporalConv(stride=stride):
            return period * stride
        case ClipMean():
            return 0
        case _:
            return period


def timings(graph: Graph) -> dict[str, Timing]:
    """The timing of every value: strides multiply along a path, lookaheads add up."""
    found: dict[str, Timing] = {}
    for node in graph.nodes:
        x = [found[name] for name in operands(node)]
        period = x[0].period if x else 1  # an Add's operands have the same
        own = period * node.lookahead if isinstance(node, TemporalConv) else 0
        ahead = own + max((timing.lookahead for timing in x), default=0)
        found[node.name] = Timing(period_after(node, period), ahead)
    return found


def complete_frames(timing: Timing, seen: int, ended: bool) -> int:
    """How many frames of a value are complete when `seen` frames of the input were read.

    When the clip has `ended` there, frames that would have needed later ones are complete too.
    """
    if timing.period == 0:
        return int(ended and seen > 0)
    return max(0, -((timing.lookahead * (not ended) - seen) // timing.period))


def delay_frames(node: Add, found: Mapping[str, Timing]) -> tuple[int, int]:
    """How many frames of its operands a and b an `Add` has to keep until the other one comes."""
    latest, period = found[node.name].lookahead, found[node.name].period
    if period == 0:  # both come at the end
        return 0, 0
    a, b = (-((found[x].lookahead - latest) // period) for x in (node.a, node.b))
    return a, b


def lookaheads(graph: Graph) -> dict[str, int]:
    """Frames of the future that each value needs: the sum of lookaheads along its longest path.

    Counted in frames of the input. The largest over the outputs is the streaming latency. Where an
    `Add` joins paths of unequal lookahead, the earlier operand waits in a delay line.
    """
    return {name: timing.lookahead for name, timing in timings(graph).items()}


def layer_of(name: str) -> str:
    """The layer a node belongs to: `block3.conv.q` and `block3.sum` are both of `block3`."""
    return name.split(".", 1)[0]
