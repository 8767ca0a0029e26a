"""The graph as data: who reads whom, and how far into the future."""

import numpy as np
import pytest

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
    Requantise,
    TemporalConv,
    TemporalSum,
    Timing,
    Weights,
    complete_frames,
    delay_frames,
    layer_of,
    lookaheads,
    operands,
    timings,
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
        (Flatten("y", "x"), ("x",)),
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


def test_strides_multiply_and_later_lookaheads_count_more() -> None:
    nodes = (
        Input("x", 1, 1, QFormat(4, 0)),
        TemporalConv("half", "x", CUBE, ZERO, lookahead=1, stride=2),
        Requantise("half.q", "half", CAST),
        TemporalConv("sixth", "half.q", CUBE, ZERO, dilation=2, lookahead=3, stride=3),
        TemporalConv("other", "x", CUBE, ZERO, stride=6),
        Add("join", "other", "sixth"),
    )
    graph = Graph("g", nodes, ("join",))
    found = timings(graph)
    assert found == {
        "x": Timing(1, 0),
        "half": Timing(2, 1),
        "half.q": Timing(2, 1),
        "sixth": Timing(6, 1 + 2 * 3),
        "other": Timing(6, 0),
        "join": Timing(6, 7),
    }
    assert delay_frames(nodes[-1], found) == (2, 0)  # 7 frames of the input are over 1 of 6
    assert lookaheads(graph)["join"] == 7


def test_complete_frames_are_those_whose_newest_frame_was_read() -> None:
    for period in (1, 2, 3, 7):
        for ahead in range(9):
            for seen in range(30):
                newest = [u * period + ahead for u in range(30)]
                there = sum(frame < seen for frame in newest)
                assert complete_frames(Timing(period, ahead), seen, ended=False) == there
                every = len(range(0, seen, period))
                assert complete_frames(Timing(period, ahead), seen, ended=True) == every


def test_behind_a_clip_mean_there_is_one_frame_at_the_end() -> None:
    nodes = (
        Input("x", 1, 1, QFormat(4, 0)),
        TemporalConv("t", "x", CUBE, ZERO, lookahead=1, stride=2),
        Requantise("t.q", "t", CAST),
        ClipMean("m", "t.q", 0, 9),
        ClipMean("n", "x", 0, 9),
        Add("join", "m", "n"),
    )
    found = timings(Graph("g", nodes, ("join",)))
    assert found["join"] == found["m"] == Timing(0, 1)
    assert delay_frames(nodes[-1], found) == (0, 0)
    for seen in range(9):
        assert complete_frames(found["m"], seen, ended=False) == 0
        assert complete_frames(found["m"], seen, ended=True) == (seen > 0)


def test_layer_is_the_name_up_to_the_first_dot() -> None:
    assert layer_of("block3.conv.q") == layer_of("block3.sum") == "block3"
    assert layer_of("embedding.q") == "embedding"
    assert layer_of("input") == "input"


def test_nodes_with_arrays_are_compared_by_identity() -> None:
    node = Conv("y", "x", ONE, ZERO)
    assert node == node
    assert node != Conv("y", "x", ONE, ZERO)  # arrays have no single truth value
    assert TemporalSum("y", "x", 3) == TemporalSum("y", "x", 3, dilation=1)
