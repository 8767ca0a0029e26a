"""The integer network in torch: every word that of the simulator, and a gradient through it.

`evaluate` walks the nodes of a graph. Values are real numbers on their grids (`Words`), channels
last, `(N, T, V, C)`. Constants come from the graph, or from *masters*: trained float64 tensors by
the keys of `FloatNet`, rounded on the way in exactly as `fxp.lower` rounds them. So a graph lowered
from the masters in the same formats computes the same words. Real binary points may be
given beside them: they change no word, and get the gradient of the graph's `frac_bits`.

Sums are exact in any order (`stgcn_ref.qat.words`), and so are matrix products, of which no
Winograd or Strassen variant may be used: a convolution over time is one product per tap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    Graph,
    GraphProduct,
    Input,
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Weights,
    operands,
)
from fxp.ranges import cast_range
from stgcn_ref.models.window import window_sum
from stgcn_ref.qat.aggregate import aggregate
from stgcn_ref.qat.casts import cast, constant
from stgcn_ref.qat.tables import clip_mean, layer_norm, softmax
from stgcn_ref.qat.words import Words, exact_dtype, scales, wider

Masters = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class _Given:
    """Constants in place of the graph's own, and real binary points behind its `frac_bits`."""

    masters: Masters
    points: Masters


def evaluate(
    graph: Graph,
    words: Tensor,
    masters: Masters | None = None,
    lengths: Tensor | None = None,
    points: Masters | None = None,
) -> dict[str, Words]:
    """Every value of the graph for a batch of clips of one length.

    Args:
        graph: a valid graph (`fxp.validate.describe`).
        words: raw input words `(N, T, V, C)`, whole numbers of any dtype, within the input format.
        masters: float64 constants in place of the graph's own, by `<node>.<field>`.
        lengths: int64 `(N,)`, where each clip ends; what follows is padding, and a temporal
            convolution reads zeros there (graphs without strides).
        points: float64 by name of a cast `(1,)` or key of a master, one entry, or one per index of
            its first axis; only their gradient counts (`stgcn_ref.qat.casts`).

    Returns:
        Name to value; a label is a value of whole numbers without gradient.

    Raises:
        GraphError: a sum that floats cannot carry, see `stgcn_ref.qat.words.exact_dtype`.
    """
    given = _Given(masters or {}, points or {})
    values: dict[str, Words] = {}
    for node in graph.nodes:
        x = [values[name] for name in operands(node)]
        if isinstance(node, Input):
            values[node.name] = _input(node, words)
        elif isinstance(node, TemporalConv) and lengths is not None:
            values[node.name] = _node(node, [_ended(x[0], lengths)], given)
        else:
            values[node.name] = _node(node, x, given)
    return values


def _node(node: Node, x: list[Words], given: _Given) -> Words:
    match node:
        case Input():
            raise AssertionError("an Input has no operands")
        case Conv():
            return _conv(node, x[0], given)
        case GraphProduct():
            return _graph_product(node, x[0], given)
        case TemporalSum():
            reach = node.window * x[0].reach
            y = _carried(node, x[0], reach, x[0].frac_bits)
            return Words(window_sum(y, node.window, node.dilation), reach, x[0].frac_bits)
        case TemporalConv():
            return _temporal_conv(node, x[0], given)
        case Affine():
            return _affine(node, x[0], given)
        case Add():
            return _add(node, x[0], x[1])
        case Flatten():
            return replace(x[0], x=x[0].x.flatten(2).unsqueeze(2))
        case JointMean():
            return _joint_mean(node, x[0])
        case ClipMean():
            return clip_mean(node, x[0])
        case LayerNorm():
            return layer_norm(node, x[0])
        case Softmax():
            return softmax(node, x[0])
        case Requantise():
            return _requantise(node, x[0], given)
        case Argmax():
            channels = x[0].x.shape[-1]
            return Words(x[0].x.detach().argmax(dim=-1, keepdim=True).double(), channels, (0,))
        case _:
            assert_never(node)


@dataclass(frozen=True, eq=False)
class _Constants:
    """Weight and bias of a node as real numbers, float64, and what they do to a reach.

    `furthest`: the largest `sum |weight| * reach + |bias|` in lsbs of the accumulator.
    """

    weight: Tensor
    bias: Tensor
    furthest: int
    frac_bits: tuple[int, ...]


def _weighted(
    node: Conv | TemporalConv | Affine, key: str, own: Weights, x: Words, given: _Given
) -> _Constants:
    """A node's constants; rows (first axis) are output channels."""
    weight, magnitudes = _weight(own, f"{node.name}.{key}", given)
    frac_bits = tuple(x.frac_bits[0] + f for f in own.frac_bits)
    bias, offsets = _bias(node.bias, frac_bits, given.masters.get(f"{node.name}.bias"))
    if isinstance(node, Affine):  # position by position
        furthest = (magnitudes * x.reach + offsets).max()
    else:
        furthest = (magnitudes.flatten(1).sum(dim=1) * x.reach + offsets).max()
    return _Constants(weight, bias, int(furthest), frac_bits)


def _weight(own: Weights, key: str, given: _Given) -> tuple[Tensor, Tensor]:
    """Real weights and the absolute values of their words."""
    master = given.masters.get(key)
    scale = _first_axis(own.frac_bits, own.raw.ndim)
    if master is None:
        raw = torch.from_numpy(own.raw).double()
        return raw / scale, raw.abs()
    weight = constant(master, own.frac_bits, own.word_bits, given.points.get(key))
    return weight, (weight.detach() * scale).abs()


def _bias(
    own: IntArray, frac_bits: tuple[int, ...], master: Tensor | None
) -> tuple[Tensor, Tensor]:
    scale = _first_axis(frac_bits, own.ndim)
    if master is None:
        raw = torch.from_numpy(own).double()
        return raw / scale, raw.abs()
    bias = constant(master, frac_bits, None)
    return bias, (bias.detach() * scale).abs()


def _conv(node: Conv, x: Words, given: _Given) -> Words:
    k = _weighted(node, "weight", node.weight, x, given)
    dtype = exact_dtype(node.name, k.furthest, k.frac_bits)
    y = F.linear(x.x.to(dtype), k.weight.to(dtype), k.bias.to(dtype))
    return Words(y, k.furthest, k.frac_bits)


def _graph_product(node: GraphProduct, x: Words, given: _Given) -> Words:
    own = node.adjacency
    key = f"{node.name}.adjacency"
    matrix, magnitudes = _weight(own, key, given)
    finest = max(own.frac_bits)
    lift = _first_axis([finest - f for f in own.frac_bits], 3)
    reach = int((magnitudes * lift).sum(dim=(0, 1)).max()) * x.reach
    frac_bits = (x.frac_bits[0] + finest,)
    dtype = exact_dtype(node.name, reach, frac_bits)
    master = given.masters.get(key)
    edges = torch.from_numpy(own.raw != 0) if master is None else master != 0
    y = aggregate(x.x.to(dtype), matrix.to(dtype), edges)
    return Words(y, reach, frac_bits)


def _temporal_conv(node: TemporalConv, x: Words, given: _Given) -> Words:
    k = _weighted(node, "weight", node.weight, x, given)
    dtype = exact_dtype(node.name, k.furthest, k.frac_bits)
    taps, frames = k.weight.shape[2], x.x.shape[1]
    before = (taps - 1) * node.dilation - node.lookahead
    padded = F.pad(x.x.to(dtype), (0, 0, 0, 0, before, node.lookahead))  # zeros around the clip
    weight = k.weight.to(dtype)
    y = k.bias.to(dtype)
    for tap in range(taps):
        first = tap * node.dilation
        seen = padded[:, first : first + frames : node.stride]
        y = y + F.linear(seen, weight[:, :, tap])
    return Words(y, k.furthest, k.frac_bits)


def _ended(x: Words, lengths: Tensor) -> Words:
    """The value with zeros behind the end of each clip."""
    inside = torch.arange(x.x.shape[1]) < lengths[:, None]
    return replace(x, x=x.x * inside[:, :, None, None])


def _affine(node: Affine, x: Words, given: _Given) -> Words:
    k = _weighted(node, "scale", node.scale, x, given)
    dtype = exact_dtype(node.name, k.furthest, k.frac_bits)
    scale, bias = (part.to(dtype).T for part in (k.weight, k.bias))  # (V or 1, C)
    return Words(torch.addcmul(bias, scale, x.x.to(dtype)), k.furthest, k.frac_bits)


def _add(node: Add, a: Words, b: Words) -> Words:
    fracs = list(zip(a.fracs(), b.fracs(), strict=True))
    reach = max((a.reach << max(i, j) - i) + (b.reach << max(i, j) - j) for i, j in fracs)
    frac_bits = tuple(max(pair) for pair in fracs)
    dtype = exact_dtype(node.name, reach, frac_bits)
    return Words(a.x.to(dtype) + b.x.to(dtype), reach, frac_bits)


def _joint_mean(node: JointMean, x: Words) -> Words:
    reach = node.multiplier * x.x.shape[2] * x.reach
    frac_bits = (x.frac_bits[0] + node.shift,)
    y = _carried(node, x, reach, frac_bits).sum(dim=2, keepdim=True)
    return Words(y * (node.multiplier * 2.0**-node.shift), reach, frac_bits)


def _requantise(node: Requantise, x: Words, given: _Given) -> Words:
    ends = [cast_range(-x.reach, x.reach, frac, node.cast, node.relu) for frac in set(x.frac_bits)]
    reach = max(abs(end) for interval in ends for end in interval)
    to = node.cast.to
    # while it is rounded, the word may be as far out as the format's own ends
    limit = max(-to.raw_min, to.raw_max)
    dtype = wider(x.x.dtype, exact_dtype(node.name, limit, (to.frac_bits,)))
    y = cast(x.x.to(dtype), node.cast, node.relu, given.points.get(node.name))
    return Words(y, reach, (to.frac_bits,))


def _input(node: Input, words: Tensor) -> Words:
    reach = max(-node.fmt.raw_min, node.fmt.raw_max)
    frac_bits = (node.fmt.frac_bits,)
    dtype = exact_dtype(node.name, reach, frac_bits)
    return Words(words.to(dtype) * 2.0**-node.fmt.frac_bits, reach, frac_bits)


def _carried(node: Node, x: Words, reach: int, frac_bits: Sequence[int]) -> Tensor:
    """The operand in a dtype for sums that reach so far."""
    return x.x.to(exact_dtype(node.name, reach, frac_bits))


def _first_axis(frac_bits: Sequence[int], ndim: int) -> Tensor:
    """`2**frac_bits` along the first of `ndim` axes."""
    return scales(frac_bits).view(-1, *[1] * (ndim - 1))
