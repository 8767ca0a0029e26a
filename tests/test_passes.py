"""Which nodes share a pass, by hand, and what holds for every graph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.ir import Add, Conv, Graph, Input, Node, Requantise, Weights
from fxp.qformat import Cast, QFormat
from hw_model.loops import loop_nest
from hw_model.passes import SLOTS, Pass, passes_of
from tests.accelerators import temporal_graph, tiny_graph
from tests.strategies import random_graph

CAST = Cast(QFormat(8, 0))


def conv(name: str, x: str) -> tuple[Node, Node]:
    weight = Weights(np.zeros((2, 2), np.int64), 8, (0,))
    return Conv(name, x, weight, np.zeros(2, np.int64)), Requantise(f"{name}.q", name, CAST)


def planned(*nodes: Node, outputs: tuple[str, ...]) -> tuple[Pass, ...]:
    graph = Graph("g", (Input("input", 2, 3, QFormat(8, 0)), *nodes), outputs)
    return passes_of(loop_nest(graph))


def brief(found: Pass) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return found.head, tuple(slot for slot, _ in found.slots), found.emits


def test_a_layer_is_a_convolution_and_a_graph_product_with_all_behind_it() -> None:
    assert [brief(found) for found in passes_of(loop_nest(tiny_graph()))] == [
        ("block.conv", ("cast0",), ("block.conv.q",)),
        ("block.graph", ("cast0", "sum", "shift", "cast1", "add"), ("block.add.q",)),
        ("pool", ("cast0",), ("pool.q",)),
        ("classifier", ("cast0",), ("logits",)),
        ("label", (), ("label",)),
    ]


def test_an_operand_that_waits_makes_the_addition_a_pass_of_its_own() -> None:
    found = passes_of(loop_nest(temporal_graph()))
    assert [brief(each) for each in found][2:] == [
        ("r", ("cast0",), ("r.q",)),
        ("t.q", ("add",), ("sum.q",)),
    ]
    loops = {loop.name: loop for loop in loop_nest(temporal_graph())}
    assert found[-1].residual(loops) == "r.q" and found[-1].owner == "sum"


def test_two_casts_of_one_value_are_emitted_together() -> None:
    wide = Requantise("a.stream", "a", Cast(QFormat(12, 0)))
    a, a_q = conv("a", "input")
    (found, _) = planned(a, a_q, wide, *conv("b", "a.q"), outputs=("a.stream", "b.q"))
    assert brief(found) == ("a", (), ("a.q", "a.stream"))


def test_what_a_pass_reads_first_is_not_its_residual() -> None:
    add = Add("sum", "a.q", "input")
    first, second = planned(*conv("a", "input"), add, outputs=("sum",))
    assert brief(first) == ("a", ("cast0",), ("a.q",))
    assert (second.kind, second.source, second.slots) == ("copy", "a.q", (("add", "sum"),))


def test_a_second_reader_ends_the_slots() -> None:
    nodes = (*conv("a", "input"), *conv("b", "a.q"), Add("sum", "b.q", "input"), *conv("c", "b.q"))
    heads = [brief(found)[:2] for found in planned(*nodes, outputs=("sum", "c.q"))]
    assert heads == [("a", ("cast0",)), ("b", ("cast0",)), ("b.q", ("add",)), ("c", ("cast0",))]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_node_is_made_once_and_after_what_it_reads(seed: int) -> None:
    loops = {loop.name: loop for loop in loop_nest(random_graph(np.random.default_rng(seed)))}
    made = {name for name, loop in loops.items() if loop.kind in ("input", "flatten")}
    for found in passes_of(tuple(loops.values())):
        slots = [SLOTS.index(slot) for slot, _ in found.slots]
        assert slots == sorted(set(slots))
        written = {*found.emits}
        for name in found.nodes:
            assert name not in made
            made.add(name)
            assert all(read in made for read in loops[name].reads)
        # whatever another pass reads is written
        for name in found.nodes:
            readers = {loop.name for loop in loops.values() if name in loop.reads}
            if not readers <= {*found.nodes} or loops[name].is_output:
                assert name in written
    assert made == loops.keys()
