"""Counted mantissa bits: by hand, as sound bounds, and as the least that will do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from fxp.interop.magnitude import cast_bits, drops_bits, needed_bits, overflows
from fxp.ir import (
    Add,
    Affine,
    ClipMean,
    Conv,
    Graph,
    GraphProduct,
    Input,
    IntArray,
    JointMean,
    Node,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
    operands,
)
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.ranges import analyse
from tests.strategies import graphs_with_clips


def weights(raw: object, *frac_bits: int) -> Weights:
    return Weights(np.array(raw), 12, frac_bits or (0,))


def bits_of(*nodes: Node, channels: int = 1, joints: int = 1) -> int:
    graph = Graph("one", (Input("x", channels, joints, QFormat(4, 0)), *nodes), (nodes[-1].name,))
    return needed_bits(graph, analyse(graph))[nodes[-1].name]


@pytest.mark.parametrize(
    ("node", "largest"),
    [
        (Conv("y", "x", weights([[3, -5]]), np.array([-7])), 7 + 8 * 8),
        (GraphProduct("y", "x", weights([[[3]], [[-5]]], 0, 2)), 8 * (3 * 4 + 5)),
        (TemporalSum("y", "x", 5), 8 * 5),
        (TemporalConv("y", "x", weights([[[3, -5], [1, 0]]]), np.array([9])), 9 + 8 * 9),
        (Affine("y", "x", weights([[-3], [2]]), np.array([[-9], [0]])), 3 * 8 + 9),
        (Add("y", "x", "x"), 16),
        (JointMean("y", "x", 11, 5), 8 * 11),
        (ClipMean("y", "x", 3, 10), 4 * 10 * ((8 << 4) + 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_by_hand(node: Node, largest: int) -> None:
    assert bits_of(node, channels=2) == largest.bit_length()


@pytest.mark.parametrize(
    ("cast", "bits"),
    [
        (Cast(QFormat(3, -2)), 4),  # 8 + half of 4 = 10
        (Cast(QFormat(3, -2), Rounding.TRN), 4),
        (Cast(QFormat(3, -2), Rounding.RND_CONV), 4),
        (Cast(QFormat(8, 3)), 7),  # 8 << 3, nothing dropped
        (Cast(QFormat(3, 1), Rounding.TRN, Overflow.WRAP), 5),  # 8 << 1, and a span of 8
    ],
)
def test_casts_by_hand(cast: Cast, bits: int) -> None:
    node = Requantise("y", "x", cast)
    graph = Graph("one", (Input("x", 1, 1, QFormat(4, 0)), node), ("y",))
    assert cast_bits(node, analyse(graph)["x"]) == bits


@settings(max_examples=30)
@given(graphs_with_clips())
def test_no_value_needs_more(pair: tuple[Graph, IntArray]) -> None:
    graph, clip = pair
    bits = needed_bits(graph, analyse(graph))
    for name, words in evaluate(graph, clip).items():
        assert max(map(abs, words.reshape(-1).tolist())) < 1 << bits[name]


def test_one_bit_less_is_not_enough() -> None:
    """Sums of 24 bits are exact in float32, the next one is not."""
    for top, exact in (((1 << 24) - 1, True), ((1 << 24) + 1, False)):
        bias = top - 8 * 3
        graph = Graph(
            "one",
            (
                Input("x", 1, 1, QFormat(4, 0, signed=False)),
                Conv("y", "x", weights([[-3]]), np.array([-bias])),
            ),
            ("y",),
        )
        worst = bias + 15 * 3
        assert needed_bits(graph, analyse(graph))["y"] == worst.bit_length() == 25
        sums = np.float32(-bias) + np.float32(-3) * np.float32(8)
        assert (int(sums) == -top) == exact


@settings(max_examples=30)
@given(graphs_with_clips())
def test_what_cannot_overflow_or_drop_does_not(pair: tuple[Graph, IntArray]) -> None:
    graph, clip = pair
    signals, words = analyse(graph), evaluate(graph, clip)
    for node in graph.nodes:
        if isinstance(node, Requantise) and not overflows(node, signals[node.x]):
            (x,) = operands(node)
            fmt = node.cast.to
            wrapped = Requantise(node.name, x, Cast(fmt, node.cast.rounding, Overflow.WRAP))
            zeroed = Requantise(node.name, x, Cast(fmt, node.cast.rounding, Overflow.SAT_ZERO))
            for other in (wrapped, zeroed):
                again = Graph("again", _with(graph, other), (node.name,), graph.accumulator_bits)
                found = evaluate(again, clip)[node.name]
                if not node.relu:
                    assert np.array_equal(found, words[node.name])
        if isinstance(node, Requantise) and not drops_bits(node, signals[node.x]):
            cut = Requantise(
                node.name, node.x, Cast(node.cast.to, Rounding.TRN, node.cast.overflow), node.relu
            )
            again = Graph("again", _with(graph, cut), (node.name,), graph.accumulator_bits)
            assert np.array_equal(evaluate(again, clip)[node.name], words[node.name])


def _with(graph: Graph, node: Node) -> tuple[Node, ...]:
    """The nodes up to the one that has this name, which is replaced."""
    names = [n.name for n in graph.nodes]
    return (*graph.nodes[: names.index(node.name)], node)
