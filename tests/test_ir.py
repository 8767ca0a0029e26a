"""The graph as data: who reads whom, and how far into the future."""

import numpy as np
import pytest

from fxp.ir import (
    Add,
    Affine,
    Argmax,
    Conv,
    Graph,
    GraphProduct,
    Input,
    JointMean,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
    layer_of,
    lookaheads,
    operands,
)
from fxp.qformat import Cast, QFormat

ONE = Weights(np.ones((1, 1), np.int64), 2, (0,))
CUBE = Weights(np.ones((1, 1, 3), np.int64), 2, (0,))
ZERO = np.zeros(1, np.int64)
CAST = Cast(QFormat(8, 0))


@pytest.mark.parametrize(
    ("node", "names"),
    [
        (Input("x", 1, 1, QFormat(8, 0)), ()),
        (Conv("y", "x", ONE, ZERO), ("x",)),
        (GraphProduct("y", "x", CUBE), ("x",)),
        (TemporalSum("y", "x", 3), ("x",)),
        (TemporalConv("y", "x", CUBE, ZERO), ("x",)),
        (Affine("y", "x", ONE, ZERO), ("x",)),
        (Add("y", "a", "b"), ("a", "b")),
        (JointMean("y", "x", 1, 0), ("x",)),
        (Requantise("y", "x", CAST), ("x",)),
        (Argmax("y", "x"), ("x",)),
    ],
)
def test_operands(node: object, names: tuple[str, ...]) -> None:
    assert operands(node) == names


def test_lookahead_is_that_of_the_longest_path() -> None:
    nodes = (
        Input("x", 1, 1, QFormat(4, 0)),
        TemporalConv("near", "x", CUBE, ZERO, dilation=1, lookahead=1),
        TemporalConv("far", "x", CUBE, ZERO, dilation=4, lookahead=8),
        Requantise("near.q", "near", CAST),
        TemporalConv("then", "near.q", CUBE, ZERO, dilation=2, lookahead=2),
        Add("join", "far", "near"),
        Add("own", "x", "x"),
        Argmax("label", "join"),
    )
    assert lookaheads(Graph("g", nodes, ("label",))) == {
        "x": 0,
        "near": 1,
        "far": 8,
        "near.q": 1,
        "then": 3,  # 1 of `near` and 2 of its own
        "join": 8,
        "own": 0,
        "label": 8,
    }


def test_layer_is_the_name_up_to_the_first_dot() -> None:
    assert layer_of("block3.conv.q") == layer_of("block3.sum") == "block3"
    assert layer_of("embedding.q") == "embedding"
    assert layer_of("input") == "input"


def test_nodes_with_arrays_are_compared_by_identity() -> None:
    node = Conv("y", "x", ONE, ZERO)
    assert node == node
    assert node != Conv("y", "x", ONE, ZERO)  # arrays have no single truth value
    assert TemporalSum("y", "x", 3) == TemporalSum("y", "x", 3, dilation=1)
