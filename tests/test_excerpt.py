"""Excerpts: the same node, operands and ranges as in the network, word for word."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fxp.errors import InputError
from fxp.excerpt import excerpt
from fxp.ir import (
    Add,
    Affine,
    Conv,
    Flatten,
    Graph,
    Input,
    IntArray,
    Node,
    Requantise,
    TemporalSum,
    Weights,
    operands,
)
from fxp.memories import Ground, ground_of, settings_for
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat
from fxp.ranges import analyse, certify, is_sum
from tests.strategies import graphs_with_clips


def ground(*nodes: Node, accumulator_bits: int = 48) -> Ground:
    graph = Graph("g", nodes, (nodes[-1].name,), accumulator_bits)
    return ground_of(graph, settings_for(graph, 1))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(graphs_with_clips(max_frames=4))
def test_a_node_computes_in_its_excerpt_what_it_computes_in_the_network(
    pair: tuple[Graph, IntArray],
) -> None:
    graph, clip = pair
    about = ground_of(graph, settings_for(graph, 1))
    values, widths = evaluate(graph, clip), certify(graph)
    for node in graph.nodes:
        if not is_sum(node):
            continue
        try:
            cut = excerpt(about, node)
        except InputError as error:
            assert "an input at most 32" in str(error) or "a word at most 32" in str(error)
            continue
        own = analyse(cut.graph)
        for name in (*operands(node), node.name):
            assert own[name] == about.signals[name], name
        assert certify(cut.graph)[node.name] == widths[node.name]
        words = {name: values[name] for name in operands(node)}
        found = evaluate(cut.graph, cut.clip(words))
        casts = [n.name for n in graph.nodes if isinstance(n, Requantise) and n.x == node.name]
        assert cut.graph.outputs == tuple(casts or [node.name])
        for name in (*operands(node), node.name, *casts):
            assert np.array_equal(found[name], values[name]), name


def kinds(graph: Graph) -> list[str]:
    return [type(node).__name__ for node in graph.nodes]


def weights(*rows: list[int]) -> Weights:
    return Weights(np.array(rows), 8, (0,))


def test_an_operand_that_reaches_every_word_is_the_input_itself() -> None:
    fmt = QFormat(6, 2)
    cut = excerpt(
        ground(
            Input("x", 2, 1, QFormat(8, 4)),
            Requantise("q", "x", Cast(fmt)),
            Flatten("f", "q"),
            conv := Conv("c", "f", weights([3, -2]), np.array([1])),
            Requantise("r", "c", Cast(QFormat(8, 0))),
        ),
        conv,
    )
    assert kinds(cut.graph) == ["Input", "Conv", "Requantise"]
    assert cut.graph.nodes[:2] == (Input("f", 2, 1, fmt), conv)
    assert cut.graph.meta == {"excerpt": {"network": "g", "node": "c"}}


def test_an_operand_behind_a_relu_is_a_narrower_input_that_a_cast_widens() -> None:
    cut = excerpt(
        ground(
            Input("x", 2, 1, QFormat(8, 4)),
            Requantise("q", "x", Cast(QFormat(8, 4)), relu=True),
            conv := Conv("c", "q", weights([3, -2]), np.array([1])),
        ),
        conv,
    )
    assert kinds(cut.graph) == ["Input", "Requantise", "Conv"]
    assert cut.graph.nodes[0] == Input("c.words", 2, 1, QFormat(7, 4, signed=False))
    assert cut.graph.nodes[1] == Requantise("q", "c.words", Cast(QFormat(8, 4)))


def test_an_operand_of_any_range_is_clipped_and_moved() -> None:
    symmetric = Cast(QFormat(4, 0), overflow=Overflow.SAT_SYM)
    about = ground(
        Input("x", 1, 1, QFormat(8, 0)),
        Requantise("q", "x", symmetric),  # -7..7
        total := TemporalSum("s", "q", 2),
    )
    cut = excerpt(about, total)
    source = ["Input", "Affine", "Requantise", "Affine", "Requantise"]
    assert kinds(cut.graph) == [*source, "TemporalSum"]
    every = np.arange(16).reshape(-1, 1, 1)  # one word more than the operand has
    assert evaluate(cut.graph, every)["q"].ravel().tolist() == [-7, *range(-7, 8)]


def test_sums_as_operands_keep_their_binary_points() -> None:
    scale = Weights(np.array([[3], [-5]]), 8, (1, 3))
    affine = Affine("a", "x", scale, np.array([[0], [7]]))
    about = ground(Input("x", 2, 3, QFormat(4, 0)), affine, added := Add("y", "a", "x"))
    cut = excerpt(about, added)
    assert analyse(cut.graph)["a"] == about.signals["a"]
    assert set(cut.offsets) == {"a", "x"}


def test_an_operand_wider_than_an_input_is_refused() -> None:
    wide = Affine("a", "x", weights([1 << 6]), np.array([[0]]))
    about = ground(Input("x", 1, 1, QFormat(30, 0)), wide, total := TemporalSum("s", "a", 2))
    with pytest.raises(InputError, match=r"^operand `a` spans 36 bits, an input at most 32$"):
        excerpt(about, total)
    about = ground(
        Input("x", 1, 1, QFormat(32, 0)),
        TemporalSum("s", "x", 3),
        total := TemporalSum("t", "s", 2),
    )
    with pytest.raises(InputError, match=r"^operand `s` has 34 bits, a word at most 32$"):
        excerpt(about, total)


def test_accumulators_stay_as_narrow_as_in_the_network() -> None:
    wraps = Cast(QFormat(8, -4), overflow=Overflow.WRAP)
    about = ground(
        Input("x", 2, 1, QFormat(8, 0)),
        conv := Conv("c", "x", weights([99, -77]), np.array([5])),
        Requantise("q", "c", wraps),
        accumulator_bits=12,
    )
    assert excerpt(about, conv).graph.accumulator_bits == 12
    assert certify(excerpt(about, conv).graph)["c"] == 12
