"""Random numbers for the outline of a network: constants over their whole width, casts in range.

Each cast gets a binary point that follows from the range of what it reads (`fxp.ranges`), so that
words neither vanish nor always saturate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from fxp.cast import reciprocal
from fxp.elementary import ROOT_BITS
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
from fxp.node_tables import LAYER_NORM_EPS, exp_tables, layer_norm_epsilon
from fxp.outline import outline
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.ranges import Signal, signal_of
from fxp.skeleton import Skeleton, partitions
from fxp.spec import ArchSpec
from fxp.validate import Value, describe_node

POINT = 4  # fractional bits of a word as wide as the operands


@dataclass(frozen=True)
class Choice:
    """What is drawn once for a network: shape, widths, modes."""

    arch: ArchSpec
    joints: int
    lanes: int
    input_bits: int = 8
    weight_bits: int = 8
    operand_bits: int = 8
    stream_bits: int = 8
    adjacency_bits: int = 8
    unsigned: bool = False  # of casts behind ReLUs
    signed_input: bool = True
    by_channel: bool = False  # binary points of weights differ
    by_partition: bool = False  # and those of adjacencies
    dense: bool = False  # adjacencies without zeros
    shift_norm: bool = True  # scales of norms are powers of two
    whole: bool = True  # the mean over a clip stays, where the family has one
    cut: int | None = None  # bits of the range that casts cut off; else it is drawn
    roundings: tuple[Rounding, ...] = (Rounding.RND,)
    overflows: tuple[Overflow, ...] = (Overflow.SAT,)


def filled(rng: np.random.Generator, choice: Choice, name: str) -> Graph:
    """The outline of an architecture with random numbers."""
    fill = _Filler(rng, choice)
    for blank in outline(choice.arch).nodes:
        fill.add(blank)
    widest = max(signal.width_bits for signal in fill.signals.values())
    outputs = ("logits", "label")
    return Graph(name, tuple(fill.nodes), outputs, widest, {"synthetic": True})


class _Filler:
    """Fills node after node, following ranges."""

    def __init__(self, rng: np.random.Generator, choice: Choice) -> None:
        self.rng, self.choice = rng, choice
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}
        self.signals: dict[str, Signal] = {}
        self.renamed: dict[str, str] = {}

    def add(self, blank: Node) -> None:
        """Append a node with its numbers."""
        if isinstance(blank, ClipMean) and not self.choice.whole:
            self.renamed |= dict.fromkeys((blank.name, f"{blank.name}.q"), blank.x)
            return
        if blank.name in self.renamed:
            return
        node = self._node(self._moved(blank))
        x = [self.signals[name] for name in operands(node)]
        about = describe_node(node, [self.values[name] for name in operands(node)])
        self.nodes.append(node)
        self.values[node.name], self.signals[node.name] = about, signal_of(node, x, about)

    def _moved(self, blank: Node) -> Node:
        """The node reading what stands in front of a node that was left out."""
        if isinstance(blank, Input | Add) or blank.x not in self.renamed:
            return blank
        return replace(blank, x=self.renamed[blank.x])

    def _node(self, blank: Node) -> Node:
        choice = self.choice
        match blank:
            case Input():
                fmt = QFormat(choice.input_bits, POINT, choice.signed_input)
                return replace(blank, joints=choice.joints, fmt=fmt)
            case Conv():
                shape = (len(blank.bias), self.values[blank.x].channels)
                return self._balanced(replace(blank, weight=self._weights(shape)))
            case TemporalConv():
                shape = (
                    len(blank.bias),
                    self.values[blank.x].channels,
                    *blank.weight.raw.shape[2:],
                )
                return self._balanced(replace(blank, weight=self._weights(shape)))
            case Affine():
                return self._balanced(self._affine(blank))
            case GraphProduct():
                return self._balanced(replace(blank, adjacency=self._adjacency(blank)))
            case JointMean():
                multiplier, shift = reciprocal(self.values[blank.x].joints, blank.shift)
                return replace(blank, multiplier=multiplier, shift=shift)
            case Requantise():
                return replace(blank, cast=self._cast(blank))
            case TemporalSum() | Add() | Flatten() | ClipMean() | Argmax():
                return blank
            case LayerNorm():
                value = self.values[blank.x]
                words, frac_bits = value.channels * value.joints, value.frac_bits[0]
                epsilon = layer_norm_epsilon(LAYER_NORM_EPS, words, frac_bits, unbiased=True)
                own = int(self.rng.integers(POINT, ROOT_BITS, endpoint=True))
                return replace(blank, epsilon=epsilon, frac_bits=own)
            case Softmax():
                operand = self.values[blank.x]
                assert operand.stored_bits is not None
                fmt = QFormat(operand.stored_bits, operand.frac_bits[0])
                coarse, fine = exp_tables(fmt, blank.exp_bits)
                return replace(blank, coarse=coarse, fine=fine)
            case _:
                assert_never(blank)

    def _weights(self, shape: tuple[int, ...], bits: int | None = None) -> Weights:
        """Words over the whole width, now and then at its ends or zero."""
        bits = bits or self.choice.weight_bits
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        raw = self.rng.integers(low, high, shape, endpoint=True)
        kind = self.rng.random(shape)
        raw = np.where(kind < 0.05, low, np.where(kind < 0.1, high, raw))
        return Weights(np.where(kind > 0.9, 0, raw), bits, (0,))

    def _adjacency(self, blank: GraphProduct) -> Weights:
        """Learned weights on the edges of a tree, or on all pairs."""
        joints, choice = self.choice.joints, self.choice
        mask = np.ones((len(blank.adjacency.raw), joints, joints), np.bool_)
        if not choice.dense:
            mask = partitions(self._tree(joints), choice.arch.partition, "column") != 0
        drawn = self._weights(mask.shape, choice.adjacency_bits)
        return replace(drawn, raw=np.where(mask, drawn.raw, 0))

    def _tree(self, joints: int) -> Skeleton:
        edges = tuple((int(self.rng.integers(joint)), joint) for joint in range(1, joints))
        names = tuple(f"j{joint}" for joint in range(joints))
        return Skeleton("tree", names, edges, int(self.rng.integers(joints)))

    def _affine(self, blank: Affine) -> Affine:
        value = self.values[blank.x]
        wide = (value.channels, value.joints if blank.name == "input_norm" else 1)
        if blank.name == "input_norm" or not self.choice.shift_norm:
            scale = self._weights(wide)
        else:
            power = 1 << int(self.rng.integers(self.choice.weight_bits - 1))
            scale = Weights(np.full(wide, power), self.choice.weight_bits, (0,))
        return replace(blank, scale=scale, bias=np.zeros(wide, np.int64))

    def _balanced(self, node: Node) -> Node:
        """The node with a bias as large as its products, its binary point near that of the rest."""
        assert isinstance(node, Conv | TemporalConv | Affine | GraphProduct)
        x = [self.values[node.x]]
        made = signal_of(node, [self.signals[node.x]], describe_node(node, x))
        if not isinstance(node, GraphProduct):
            bound = 1 << max(made.width_bits - 4, 0)
            node = replace(node, bias=self.rng.integers(-bound, bound, node.bias.shape))
        left = POINT + made.width_bits - self.choice.operand_bits - x[0].frac_bits[0]
        match node:
            case GraphProduct():
                fracs = self._fracs(left, len(node.adjacency.raw), self.choice.by_partition)
                return replace(node, adjacency=replace(node.adjacency, frac_bits=fracs))
            case Affine():
                fracs = self._fracs(left, len(node.scale.raw), self.choice.by_channel)
                return replace(node, scale=replace(node.scale, frac_bits=fracs))
            case _:
                fracs = self._fracs(left, len(node.weight.raw), self.choice.by_channel)
                return replace(node, weight=replace(node.weight, frac_bits=fracs))

    def _fracs(self, frac_bits: int, count: int, several: bool) -> tuple[int, ...]:
        if not several:
            return (frac_bits,)
        return tuple(frac_bits + int(more) for more in self.rng.integers(0, 3, count))

    def _cast(self, blank: Requantise) -> Cast:
        """The top of the range is cut off, by as much as sums of random words stay below it."""
        choice, signal = self.choice, self.signals[blank.x]
        bits = choice.stream_bits if blank.name.endswith(".stream") else choice.operand_bits
        cut = int(self.rng.integers(0, 3)) if choice.cut is None else choice.cut
        shift = signal.width_bits - bits - cut
        signed = not (blank.relu and choice.unsigned)
        fmt = QFormat(bits, signal.frac_bits[0] - shift, signed)
        roundings, overflows = choice.roundings, choice.overflows
        return Cast(
            fmt,
            roundings[int(self.rng.integers(len(roundings)))],
            overflows[int(self.rng.integers(len(overflows)))],
        )
