"""Every rule of a graph, each broken once; and the binary points and widths of a valid one."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fxp.errors import GraphError
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
)
from fxp.node_tables import reciprocal_root_seeds
from fxp.qformat import Cast, QFormat
from fxp.validate import Value, describe, longest_clip

X = Input("x", 2, 3, QFormat(8, 4))
CAST = Cast(QFormat(8, 2))
CONV = Conv("y", "x", Weights(np.ones((4, 2), np.int64), 2, (1,)), np.zeros(4, np.int64))
TCONV = TemporalConv("y", "x", Weights(np.ones((4, 2, 3), np.int64), 2, (1,)), CONV.bias, 2, 4)
GRAPH = GraphProduct("y", "x", Weights(np.ones((2, 3, 3), np.int64), 2, (0, 5)))
AFFINE = Affine("y", "x", Weights(np.ones((2, 1), np.int64), 2, (1, 3)), np.zeros((2, 3), np.int64))
MEAN = JointMean("y", "x", 21845, 16)

CLIP_MEAN = ClipMean("y", "x", 5, 300)
SEEDS = reciprocal_root_seeds()
LAYER_NORM = LayerNorm("y", "x", np.array([3]), SEEDS, 2, 11)

SOFTMAX = Softmax("y", "x", np.array([16, 4, 0]), np.array([16, 8]), 4, 9)


def describe_nodes(*nodes: Node, **graph: Any) -> dict[str, Value]:
    settings = {"outputs": (nodes[-1].name,), **graph}
    return describe(Graph("g", nodes, **settings))


def of(**weights: Any) -> Weights:
    """Valid weights of `CONV` with some attributes replaced."""
    return replace(CONV.weight, **weights)


@pytest.mark.parametrize(
    ("node", "value"),
    [
        (X, Value(2, 3, (4,), 8)),
        (CONV, Value(4, 3, (5,))),
        (replace(CONV, weight=of(frac_bits=(0, 1, 2, 30))), Value(4, 3, (4, 5, 6, 34))),
        (GRAPH, Value(1, 3, (9,))),
        (TemporalSum("y", "x", 1), Value(2, 3, (4,), 8)),
        (TemporalSum("y", "x", 2), Value(2, 3, (4,), 9)),
        (TemporalSum("y", "x", 9, 4), Value(2, 3, (4,), 12)),
        (TCONV, Value(4, 3, (5,))),
        (replace(TCONV, stride=3), Value(4, 3, (5,), period=3)),
        (AFFINE, Value(2, 3, (5, 7))),
        (Add("y", "x", "x"), Value(2, 3, (4,))),
        (Flatten("y", "x"), Value(6, 1, (4,), 8)),
        (MEAN, Value(2, 1, (20,))),
        (CLIP_MEAN, Value(2, 3, (9,), period=0)),
        (LAYER_NORM, Value(2, 3, (11,))),
        (SOFTMAX, Value(2, 3, (9,))),
        (Requantise("y", "x", CAST), Value(2, 3, (2,), 8)),
        (Argmax("y", "x"), Value(1, 3, (0,), None, True)),
    ],
)
def test_what_each_node_makes_of_a_stored_value(node: Node, value: Value) -> None:
    nodes = (X,) if node is X else (X, node)
    assert describe_nodes(*nodes)[node.name] == value


def test_add_takes_the_finer_binary_point_of_each_channel() -> None:
    nodes = (X, AFFINE, Requantise("q", "y", Cast(QFormat(8, 6))), Add("z", "q", "y"))
    assert describe_nodes(*nodes)["z"] == Value(2, 3, (6, 7))
    assert describe_nodes(*nodes[:-1], Add("z", "y", "q"))["z"] == Value(2, 3, (6, 7))


def test_a_temporal_sum_of_an_accumulator_is_one() -> None:
    assert describe_nodes(X, CONV, TemporalSum("s", "y", 3))["s"] == Value(4, 3, (5,))


def test_only_stored_values_are_flattened_of_any_width_and_rate() -> None:
    text = (
        "node `f`: operand `y` is an accumulator; only stored values are flattened "
        "(add a Requantise)"
    )
    refused(text, (X, CONV, Flatten("f", "y")))
    wide = (replace(X, fmt=QFormat(32, 4)), TemporalSum("s", "x", 9), Flatten("f", "s"))
    assert describe_nodes(*wide)["f"] == Value(6, 1, (4,), 36)
    half = (X, replace(TCONV, stride=2), Requantise("q", "y", CAST), Flatten("f", "q"))
    assert describe_nodes(*half)["f"] == Value(12, 1, (2,), 8, period=2)


def test_frac_of_a_channel() -> None:
    assert [Value(3, 1, (7,)).frac(c) for c in range(3)] == [7, 7, 7]
    assert [Value(3, 1, (7, 8, 9)).frac(c) for c in range(3)] == [7, 8, 9]


@pytest.mark.parametrize(
    ("nodes", "settings", "text"),
    [
        ((), {"outputs": ("x",)}, "graph `g`: the first node must be the Input"),
        ((CONV,), {}, "graph `g`: the first node must be the Input"),
        ((X, replace(X, name="z")), {}, "node `z`: only the first node may be an Input"),
        ((X, Argmax("x", "x")), {}, "node `x`: the name is used twice"),
        (
            (X, Argmax("../x", "x")),
            {},
            "node '../x': a name is letters, digits, underscores and dots, "
            "and starts with a letter",
        ),
        ((X, Argmax("y", "z")), {}, "node `y`: operand `z` is no earlier node"),
        ((X, Add("y", "x", "y")), {}, "node `y`: operand `y` is no earlier node"),
        (
            (X, Argmax("l", "x"), Requantise("y", "l", CAST)),
            {},
            "node `y`: operand `l` is a label, not a number",
        ),
        ((X,), {"outputs": ()}, "graph `g`: `outputs` names no value"),
        ((X,), {"outputs": ("x", "x")}, "graph `g`: `outputs` names a value twice"),
        ((X,), {"outputs": ("x", "y")}, "output `y` is no node of graph `g`"),
        (
            (X,),
            {"accumulator_bits": 64},
            "graph `g`: `accumulator_bits` must be 1..63, got 64",
        ),
    ],
)
def test_rules_of_the_whole_graph(
    nodes: tuple[Node, ...], settings: dict[str, Any], text: str
) -> None:
    refused(text, nodes, **settings)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (replace(CONV, weight=of(raw=np.ones((4, 2)))), "`weight` must be an int64 array"),
        (
            replace(CONV, weight=of(raw=np.ones((4, 2, 1), np.int64))),
            "`weight` must have 2 axes, got shape (4, 2, 1)",
        ),
        (
            replace(CONV, weight=of(raw=np.ones((4, 3), np.int64))),
            "`weight` must have shape (4, 2), got (4, 3)",
        ),
        (
            replace(CONV, weight=of(raw=np.ones((0, 2), np.int64))),
            "`weight` must not be empty, got shape (0, 2)",
        ),
        (replace(CONV, weight=of(word_bits=33)), "`weight`: `word_bits` must be 1..32, got 33"),
        (replace(CONV, weight=of(word_bits=1)), "`weight`: 1 does not fit 1 bits (-1..0)"),
        (
            replace(CONV, weight=of(raw=np.full((4, 2), -3, np.int64))),
            "`weight`: -3 does not fit 2 bits (-2..1)",
        ),
        (
            replace(CONV, weight=of(frac_bits=(1, 2))),
            "`weight`: `frac_bits` must be 1 or 4 ints, got (1, 2)",
        ),
        (
            replace(CONV, weight=of(frac_bits=(1.0,))),
            "`weight`: `frac_bits` must be 1 or 4 ints, got (1.0,)",
        ),
        (replace(CONV, bias=np.zeros(4)), "`bias` must be an int64 array"),
        (replace(CONV, bias=np.zeros(2, np.int64)), "`bias` must have shape (4,), got (2,)"),
        (
            replace(GRAPH, adjacency=replace(GRAPH.adjacency, raw=np.ones((2, 2, 3), np.int64))),
            "`adjacency` must have shape (2, 3, 3), got (2, 2, 3)",
        ),
        (
            GraphProduct("y", "x", Weights(np.ones((3, 3, 3), np.int64), 2, (0,))),
            "2 channels of `x` cannot be 3 partitions",
        ),
        (TemporalSum("y", "x", 0), "`window` must be an int >= 1, got 0"),
        (TemporalSum("y", "x", 3, 0), "`dilation` must be an int >= 1, got 0"),
        (TemporalSum("y", "x", 2.0), "`window` must be an int >= 1, got 2.0"),
        (
            replace(TCONV, weight=of(raw=np.ones((4, 3, 3), np.int64))),
            "`weight` must have shape (4, 2, 3), got (4, 3, 3)",
        ),
        (replace(TCONV, weight=of()), "`weight` must have 3 axes, got shape (4, 2)"),
        (replace(TCONV, bias=np.zeros(3, np.int64)), "`bias` must have shape (4,), got (3,)"),
        (replace(TCONV, dilation=0), "`dilation` must be an int >= 1, got 0"),
        (
            replace(TCONV, lookahead=5),
            "`lookahead` must be 0..4 ((taps - 1) * dilation), got 5",
        ),
        (
            replace(TCONV, lookahead=-1),
            "`lookahead` must be 0..4 ((taps - 1) * dilation), got -1",
        ),
        (replace(TCONV, stride=0), "`stride` must be an int >= 1, got 0"),
        (replace(TCONV, stride=2.0), "`stride` must be an int >= 1, got 2.0"),
        (
            replace(AFFINE, scale=replace(AFFINE.scale, raw=np.ones((2, 2), np.int64))),
            "`scale` must have shape (2, 1), got (2, 2)",
        ),
        (
            replace(AFFINE, bias=np.zeros((1, 3), np.int64)),
            "`bias` must have shape (2, 1) or (2, 3), got (1, 3)",
        ),
        (replace(MEAN, multiplier=0), "`multiplier` must be 1..2147483647, got 0"),
        (replace(MEAN, multiplier=2**31), "`multiplier` must be 1..2147483647, got 2147483648"),
        (replace(CLIP_MEAN, shift=-1), "`shift` must be an int >= 0, got -1"),
        (replace(CLIP_MEAN, max_frames=0), "`max_frames` must be an int >= 1, got 0"),
        (replace(MEAN, shift=-1), "`shift` must be an int >= 0, got -1"),
        (
            Requantise("y", "x", QFormat(8, 2)),
            "`cast` must be a Cast, got QFormat(word_bits=8, frac_bits=2, signed=True)",
        ),
    ],
)
def test_rules_of_one_node(node: Node, text: str) -> None:
    refused(f"node `y`: {text}", (X, node))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epsilon": np.array([3, 4])}, "`epsilon` must have one entry"),
        ({"epsilon": np.array([-1])}, "`epsilon`: entries must be 0..4611686018427387903, got -1"),
        ({"epsilon": 3}, "`epsilon` must be an int64 array of one axis"),
        ({"seeds": SEEDS[None]}, "`seeds` must be an int64 array of one axis"),
        ({"seeds": SEEDS.astype(np.int32)}, "`seeds` must be an int64 array of one axis"),
        ({"seeds": SEEDS[:0]}, "`seeds` must not be empty"),
        ({"seeds": SEEDS[:47]}, "`seeds` must have 3 * 2**j entries, j up to 16, got 47"),
        ({"seeds": SEEDS[:36]}, "`seeds` must have 3 * 2**j entries, j up to 16, got 36"),
        ({"seeds": SEEDS * 2}, "`seeds`: entries must be 1..524288, got 52"),
        ({"seeds": SEEDS[::-1].copy()}, "`seeds`: roots must be 1..524288, got -"),
        ({"newton_steps": 5}, "`newton_steps` must be 0..4, got 5"),
        ({"newton_steps": True}, "`newton_steps` must be 0..4, got True"),
        ({"frac_bits": 19}, "`frac_bits` must be 0..18, got 19"),
        ({"frac_bits": -1}, "`frac_bits` must be 0..18, got -1"),
    ],
)
def test_rules_of_a_layer_norm(change: dict[str, Any], text: str) -> None:
    with pytest.raises(GraphError, match=re.escape(f"node `y`: {text}")):
        describe_nodes(X, replace(LAYER_NORM, **change))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"coarse": np.array([16, 17])}, "`coarse`: entries must be 0..16, got 17"),
        ({"coarse": np.array([16, -1])}, "`coarse`: entries must be 0..16, got -1"),
        ({"coarse": np.array([15])}, "`coarse` must begin with 2**exp_bits = 16, got 15"),
        ({"fine": np.array([8, 16])}, "`fine` must begin with 2**exp_bits = 16, got 8"),
        ({"fine": np.array([16, 9, 8])}, "`fine` must have 2**j entries, got 3"),
        ({"fine": np.array([], np.int64)}, "`fine` must not be empty"),
        ({"exp_bits": 0}, "`exp_bits` must be 1..24, got 0"),
        ({"exp_bits": 25}, "`exp_bits` must be 1..24, got 25"),
        ({"frac_bits": 31}, "`frac_bits` must be 0..30, got 31"),
    ],
)
def test_rules_of_a_softmax(change: dict[str, Any], text: str) -> None:
    with pytest.raises(GraphError, match=re.escape(f"node `y`: {text}")):
        describe_nodes(X, replace(SOFTMAX, **change))


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (replace(X, channels=0), "node `x`: `channels` must be an int >= 1, got 0"),
        (replace(X, joints=0), "node `x`: `joints` must be an int >= 1, got 0"),
        (replace(X, fmt=CAST), f"node `x`: `fmt` must be a QFormat, got {CAST!r}"),
    ],
)
def test_rules_of_the_input(first: Input, text: str) -> None:
    refused(text, (first,))


def test_add_needs_equal_frame_rates() -> None:
    half, third = (replace(TCONV, name=f"n{n}", stride=n) for n in (2, 3))
    text = (
        "node `z`: operands must have one frame rate, got a frame for every 2 of the input of `n2` "
        "and for every 3 of `n3`"
    )
    with pytest.raises(GraphError, match=f"^{re.escape(text)}$"):
        describe_nodes(X, half, third, Add("z", "n2", "n3"))
    again = replace(TCONV, name="z", x="q", stride=3, weight=of(raw=np.ones((4, 4, 3), np.int64)))
    cast = Requantise("q", "n2", CAST)
    assert describe_nodes(X, half, cast, again)["z"].period == 6


@pytest.mark.parametrize("node", [TemporalSum("z", "q", 2), TCONV, replace(CLIP_MEAN, name="z")])
def test_nodes_over_time_read_streams(node: Node) -> None:
    once = (X, CLIP_MEAN, Requantise("q", "y", CAST))
    assert describe_nodes(*once)["q"].period == 0
    with pytest.raises(GraphError, match="node `z`: operand `q` has one frame per clip; nodes"):
        describe_nodes(*once, replace(node, name="z", x="q"))
    with pytest.raises(GraphError, match="for every 0 of the input of `q` and for every 1 of `x`"):
        describe_nodes(*once, Add("z", "q", "x"))
    assert describe_nodes(*once, Add("z", "q", "y"))["z"].period == 0


def test_the_longest_clip_is_the_shortest_that_a_mean_allows() -> None:
    half, cast = replace(TCONV, name="h", stride=2), Requantise("q", "h", CAST)
    nodes = (X, half, cast, ClipMean("a", "q", 0, 7), ClipMean("b", "x", 0, 20))
    assert longest_clip(Graph("g", nodes, ("a",))) == 14
    assert longest_clip(Graph("g", nodes[:3], ("q",))) is None


def test_add_needs_equal_shapes() -> None:
    text = "node `z`: operands must have one shape, got (2, 3) of `x` and (4, 3) of `y`"
    refused(text, (X, CONV, Add("z", "x", "y")))


@pytest.mark.parametrize("node", [CONV, TCONV, GRAPH, AFFINE, MEAN, CLIP_MEAN, LAYER_NORM, SOFTMAX])
def test_multipliers_read_stored_values_of_32_bits_at_most(node: Node) -> None:
    sum_of_sums = Add("a", "x", "x")
    text = (
        "node `y`: operand `a` is an accumulator; a multiplier reads stored values only "
        "(add a Requantise)"
    )
    refused(text, (X, sum_of_sums, replace(node, x="a")))
    wide = replace(X, fmt=QFormat(31, 0))
    fits, wider = TemporalSum("a", "x", 2), TemporalSum("a", "x", 3)
    assert "y" in describe_nodes(wide, fits, replace(node, x="a"))
    text = "node `y`: operand `a` has 33 bits; a multiplier reads at most 32"
    refused(text, (wide, wider, replace(node, x="a")))


def refused(text: str, nodes: tuple[Node, ...], **settings: Any) -> None:
    with pytest.raises(GraphError) as caught:
        describe(Graph("g", nodes, **{"outputs": ("x",), **settings}))
    assert str(caught.value) == text
