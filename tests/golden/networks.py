"""The small networks of the committed bundles, synthetic: random constants, random input words.

Together they hold every kind of node, both kinds of residual, a stream wider than its operands,
dilation, lookahead with its delay line, ragged channels in lanes, and WRAP and TRN at 4 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

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
)
from fxp.node_tables import exp_tables, layer_norm_epsilon, reciprocal_root_seeds
from fxp.qformat import Cast, Overflow, QFormat, Rounding


@dataclass(frozen=True)
class Case:
    """One committed bundle: how its network and clip are made, and its settings."""

    build: Callable[[np.random.Generator], Graph]
    seed: int
    frames: int
    lanes: int


def constants(rng: np.random.Generator, shape: tuple[int, ...], bits: int, *frac: int) -> Weights:
    """Random words over the whole width."""
    high = 1 << (bits - 1)
    return Weights(rng.integers(-high, high, shape), bits, frac)


def adjacency(rng: np.random.Generator, partitions: int, joints: int, bits: int) -> Weights:
    """A chain of joints: self loops in partition 0, neighbours in the others; learned weights."""
    mask = np.zeros((partitions, joints, joints), np.int64)
    mask[0] = np.eye(joints, dtype=np.int64)
    for p in range(1, partitions):
        mask[p] = np.eye(joints, k=1 if p % 2 else -1, dtype=np.int64)
    drawn = constants(rng, mask.shape, bits, *range(bits - 1, bits - 1 + partitions))
    return Weights(drawn.raw * mask, bits, drawn.frac_bits)


def cast(bits: int, frac: int, signed: bool = True, modes: str = "RND SAT") -> Cast:
    rounding, overflow = modes.split()
    return Cast(QFormat(bits, frac, signed), Rounding(rounding), Overflow(overflow))


def head(rng: np.random.Generator, x: str, channels: int, joints: int, pool: Cast) -> list[Node]:
    """Joint mean, classifier of three classes, label."""
    return [
        JointMean("pool", x, round(2**10 / joints), 10),
        Requantise("pool.q", "pool", pool),
        Conv("classifier", "pool.q", constants(rng, (3, channels), 8, 6), rng.integers(-9, 9, 3)),
        Requantise("logits", "classifier", cast(12, 6)),
        Argmax("label", "logits"),
    ]


def dilated(rng: np.random.Generator) -> Graph:
    """An RT-ST-GCN block: window 3, dilation 2, identity residual on a 12-bit stream."""
    nodes: list[Node] = [
        Input("input", 3, 4, QFormat(10, 6)),
        Affine(
            "input_norm", "input", constants(rng, (3, 4), 8, 6), rng.integers(-999, 999, (3, 4))
        ),
        Requantise("input_norm.q", "input_norm", cast(8, 5)),
        Conv("embedding", "input_norm.q", constants(rng, (3, 3), 8, 7), rng.integers(-99, 99, 3)),
        Requantise("embedding.q", "embedding", cast(8, 5)),
        Requantise("embedding.stream", "embedding", cast(12, 9)),
        Conv("block0.conv", "embedding.q", constants(rng, (9, 3), 8, 7), rng.integers(-99, 99, 9)),
        Requantise("block0.conv.q", "block0.conv", cast(8, 4)),
        GraphProduct("block0.graph", "block0.conv.q", adjacency(rng, 3, 4, 8)),
        Requantise("block0.graph.q", "block0.graph", cast(8, 4)),
        TemporalSum("block0.sum", "block0.graph.q", 3, 2),
        Affine(
            "block0.norm",
            "block0.sum",
            constants(rng, (3, 1), 8, 7, 6, 8),
            rng.integers(-99, 99, (3, 1)),
        ),
        Requantise("block0.norm.q", "block0.norm", cast(12, 8, False), relu=True),
        Add("block0.add", "block0.norm.q", "embedding.stream"),
        Requantise("block0.add.q", "block0.add", cast(8, 4, False), relu=True),
        *head(rng, "block0.add.q", 3, 4, cast(8, 3)),
    ]
    return Graph("dilated", tuple(nodes), ("logits", "label"), 32, {"synthetic": True})


def ragged(rng: np.random.Generator) -> Graph:
    """A block with a temporal convolution that looks one frame ahead; 3 to 5 channels."""
    nodes: list[Node] = [
        Input("input", 3, 3, QFormat(8, 5, False)),
        Conv(
            "block0.conv",
            "input",
            constants(rng, (10, 3), 6, *([5, 6] * 5)),
            rng.integers(-99, 99, 10),
        ),
        Requantise("block0.conv.q", "block0.conv", cast(8, 4, modes="RND_CONV SAT_SYM")),
        GraphProduct("block0.graph", "block0.conv.q", adjacency(rng, 2, 3, 6)),
        Requantise("block0.graph.q", "block0.graph", cast(8, 3), relu=True),
        TemporalConv(
            "block0.tconv",
            "block0.graph.q",
            constants(rng, (5, 5, 3), 6, 6),
            rng.integers(-99, 99, 5),
            1,
            1,
        ),
        Requantise("block0.tconv.q", "block0.tconv", cast(9, 4, modes="RND_INF SAT")),
        Conv("block0.residual", "input", constants(rng, (5, 3), 6, 5), rng.integers(-99, 99, 5)),
        Requantise("block0.residual.q", "block0.residual", cast(10, 5, modes="RND_ZERO SAT")),
        Add("block0.add", "block0.tconv.q", "block0.residual.q"),
        Requantise("block0.add.q", "block0.add", cast(7, 3, False, "RND_MIN_INF SAT"), relu=True),
        *head(rng, "block0.add.q", 5, 3, cast(8, 3)),
    ]
    return Graph("ragged", tuple(nodes), ("logits", "label"), 32, {"synthetic": True})


def narrow(rng: np.random.Generator) -> Graph:
    """Four bits everywhere, casts that truncate and wrap."""
    wrap, zero = "TRN WRAP", "TRN_ZERO SAT_ZERO"
    nodes: list[Node] = [
        Input("input", 2, 5, QFormat(4, 2)),
        Conv("block0.conv", "input", constants(rng, (6, 2), 4, 3), rng.integers(-20, 20, 6)),
        Requantise("block0.conv.q", "block0.conv", cast(4, 1, modes=wrap)),
        GraphProduct("block0.graph", "block0.conv.q", adjacency(rng, 2, 5, 4)),
        Requantise("block0.graph.q", "block0.graph", cast(4, 1, modes=wrap)),
        TemporalSum("block0.sum", "block0.graph.q", 4, 1),
        Requantise("block0.sum.q", "block0.sum", cast(4, 0, modes=zero)),
        Add("block0.add", "block0.sum.q", "block0.graph.q"),
        Requantise("block0.add.q", "block0.add", cast(4, 0, False, wrap), relu=True),
        *head(rng, "block0.add.q", 3, 5, cast(4, 0, False, wrap)),
    ]
    return Graph("narrow", tuple(nodes), ("logits", "label"), 24, {"synthetic": True})


def normed(rng: np.random.Generator) -> Graph:
    """Two layer norms, scaled per channel and joint and per channel: plain and unbiased epsilon."""
    seeds = reciprocal_root_seeds()
    nodes: list[Node] = [
        Input("input", 3, 4, QFormat(10, 6)),
        LayerNorm("input_norm", "input", layer_norm_epsilon(1e-5, 12, 6), seeds, 2, 14),
        Requantise("input_norm.n", "input_norm", cast(10, 7)),
        Affine(
            "input_norm.scaled",
            "input_norm.n",
            constants(rng, (3, 4), 8, 6),
            rng.integers(-999, 999, (3, 4)),
        ),
        Requantise("input_norm.q", "input_norm.scaled", cast(8, 5)),
        Conv("block0.conv", "input_norm.q", constants(rng, (10, 3), 8, 7), rng.integers(-9, 9, 10)),
        Requantise("block0.conv.q", "block0.conv", cast(8, 4)),
        GraphProduct("block0.graph", "block0.conv.q", adjacency(rng, 2, 4, 8)),
        Requantise("block0.graph.q", "block0.graph", cast(8, 4)),
        TemporalSum("block0.sum", "block0.graph.q", 3, 1),
        LayerNorm("block0.norm", "block0.sum", layer_norm_epsilon(1e-2, 20, 4, True), seeds, 2, 12),
        Requantise("block0.norm.n", "block0.norm", cast(12, 9)),
        Affine(
            "block0.norm.scaled",
            "block0.norm.n",
            constants(rng, (5, 1), 8, 6),
            rng.integers(-99, 99, (5, 1)),
        ),
        Requantise("block0.norm.q", "block0.norm.scaled", cast(8, 4, False), relu=True),
        *head(rng, "block0.norm.q", 5, 4, cast(8, 4)),
    ]
    return Graph("normed", tuple(nodes), ("logits", "label"), 40, {"synthetic": True})


def shares(rng: np.random.Generator) -> Graph:
    """A frame-wise stage, its softmax, and a stage with a temporal convolution that refines it."""
    first, second = exp_tables(QFormat(8, 3)), exp_tables(QFormat(12, 8), 14)
    nodes: list[Node] = [
        Input("input", 4, 2, QFormat(8, 5)),
        Conv("stage0.conv", "input", constants(rng, (5, 4), 8, 6), rng.integers(-99, 99, 5)),
        Requantise("stage0.logits", "stage0.conv", cast(8, 3)),
        Softmax("stage0.share", "stage0.logits", *first, 16, 15),
        Requantise("stage0.share.q", "stage0.share", cast(8, 8, False)),
        TemporalConv(
            "stage1.tconv",
            "stage0.share.q",
            constants(rng, (3, 5, 3), 8, 5),
            rng.integers(-99, 99, 3),
            2,
            2,
        ),
        Requantise("stage1.logits", "stage1.tconv", cast(12, 8)),
        Softmax("stage1.share", "stage1.logits", *second, 14, 10),
        Argmax("label", "stage1.logits"),
    ]
    return Graph("shares", tuple(nodes), ("stage1.share", "label"), 32, {"synthetic": True})


def strided(rng: np.random.Generator) -> Graph:
    """Two temporal convolutions of stride 2, the residual strided as well and waiting one frame."""
    nodes: list[Node] = [
        Input("input", 3, 3, QFormat(8, 5)),
        TemporalConv(
            "block0.tconv", "input", constants(rng, (4, 3, 5), 6, 6), rng.integers(-99, 99, 4),
            1, 2, 2,
        ),
        Requantise("block0.tconv.q", "block0.tconv", cast(8, 4)),
        TemporalConv(
            "block0.residual", "input", constants(rng, (4, 3, 1), 6, 5), rng.integers(-99, 99, 4),
            stride=2,
        ),
        Requantise("block0.residual.q", "block0.residual", cast(8, 4)),
        Add("block0.add", "block0.tconv.q", "block0.residual.q"),
        Requantise("block0.add.q", "block0.add", cast(8, 3, False), relu=True),
        TemporalConv(
            "block1.tconv", "block0.add.q", constants(rng, (4, 4, 3), 6, 6),
            rng.integers(-99, 99, 4), 2, 3, 2,
        ),
        Requantise("block1.tconv.q", "block1.tconv", cast(8, 3), relu=True),
        *head(rng, "block1.tconv.q", 4, 3, cast(8, 3)),
    ]  # fmt: skip
    return Graph("strided", tuple(nodes), ("logits", "label"), 32, {"synthetic": True})


def clip(rng: np.random.Generator) -> Graph:
    """Recognition: two persons of three joints, a stride, means over joints and over frames."""
    single = adjacency(rng, 2, 3, 8)
    pair = np.stack([np.kron(np.eye(2, dtype=np.int64), part) for part in single.raw])
    nodes: list[Node] = [
        Input("input", 3, 6, QFormat(8, 5)),
        Conv("block0.conv", "input", constants(rng, (8, 3), 8, 7), rng.integers(-99, 99, 8)),
        Requantise("block0.conv.q", "block0.conv", cast(8, 4)),
        GraphProduct("block0.graph", "block0.conv.q", Weights(pair, 8, single.frac_bits)),
        Requantise("block0.graph.q", "block0.graph", cast(8, 4), relu=True),
        TemporalConv(
            "block0.tconv", "block0.graph.q", constants(rng, (4, 4, 3), 6, 6),
            rng.integers(-99, 99, 4), 1, 1, 2,
        ),
        Requantise("block0.tconv.q", "block0.tconv", cast(8, 3, False), relu=True),
        JointMean("pool", "block0.tconv.q", round(2**10 / 6), 10),
        Requantise("pool.q", "pool", cast(12, 7)),
        ClipMean("whole", "pool.q", 4, 300),
        Requantise("whole.q", "whole", cast(8, 4)),
        Conv("classifier", "whole.q", constants(rng, (3, 4), 8, 6), rng.integers(-9, 9, 3)),
        Requantise("logits", "classifier", cast(12, 6)),
        Argmax("label", "logits"),
    ]  # fmt: skip
    return Graph("clip", tuple(nodes), ("logits", "label"), 32, {"synthetic": True})


def vector(rng: np.random.Generator) -> Graph:
    """All joints of a frame as one vector in front of a temporal convolution, as in a TCN."""
    nodes: list[Node] = [
        Input("input", 3, 4, QFormat(10, 6)),
        Affine(
            "input_norm", "input", constants(rng, (3, 4), 8, 6), rng.integers(-999, 999, (3, 4))
        ),
        Requantise("input_norm.q", "input_norm", cast(8, 5)),
        Flatten("vector", "input_norm.q"),
        TemporalConv(
            "block0.tconv", "vector", constants(rng, (5, 12, 3), 8, 6), rng.integers(-99, 99, 5),
            1, 1,
        ),
        Requantise("block0.tconv.q", "block0.tconv", cast(8, 2, False), relu=True),
        Conv("classifier", "block0.tconv.q", constants(rng, (3, 5), 8, 6), rng.integers(-9, 9, 3)),
        Requantise("logits", "classifier", cast(12, 6)),
        Argmax("label", "logits"),
    ]  # fmt: skip
    return Graph("vector", tuple(nodes), ("logits", "label"), 32, {"synthetic": True})


CASES: Mapping[str, Case] = {
    "dilated": Case(dilated, seed=3, frames=9, lanes=1),
    "ragged": Case(ragged, seed=43, frames=9, lanes=4),
    "narrow": Case(narrow, seed=4, frames=11, lanes=2),
    "normed": Case(normed, seed=5, frames=7, lanes=2),
    "shares": Case(shares, seed=6, frames=12, lanes=2),
    "strided": Case(strided, seed=7, frames=17, lanes=1),
    "clip": Case(clip, seed=8, frames=11, lanes=2),
    "vector": Case(vector, seed=9, frames=24, lanes=2),
}


def make(case: Case) -> tuple[Graph, IntArray]:
    """The case's network and clip `(T, C, V)`: words over the whole input format, the first frame
    at its extremes.
    """
    rng = np.random.default_rng(case.seed)
    graph = case.build(rng)
    node = graph.nodes[0]
    assert isinstance(node, Input)
    low, high = node.fmt.raw_min, node.fmt.raw_max
    clip = rng.integers(low, high, (case.frames, node.channels, node.joints), endpoint=True)
    clip[0] = np.where(clip[0] > (low + high) // 2, high, low)
    return graph, clip
