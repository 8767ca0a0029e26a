"""Many graphs on the same clips: words are those of each alone, what is shared is not redone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxp.plan
from fxp.calibrate import calibrate
from fxp.configurations import Outcome, evaluate_all, outcomes
from fxp.configurations.order import Signed, Uses, depth_first
from fxp.configurations.walk import Walk
from fxp.errors import GraphError, InputError
from fxp.fused.fuse import nodes_of, reads_of, results_of
from fxp.ir import Affine, Conv, Graph, Input, IntArray, Node, Requantise
from fxp.lower import lower
from fxp.signatures import Signatures
from fxp.simulate import compile_graph, run
from fxp.spec import LayerBits, QuantSpec
from tests.networks import VARIANTS, as_joints, random_floatnet, words
from tests.strategies import random_clip, random_graph
from tests.test_replay import chain, changed

Values = list[dict[str, IntArray]]
Found = Sequence[Outcome[int, Values]]


def scored(_: int, values: Values) -> Values:
    return values


def alone(graph: Graph, clips: Sequence[IntArray]) -> Values:
    plan = compile_graph(graph)
    return [run(plan, clip)[0] for clip in clips]


def assert_alike(found: Found, graphs: Sequence[Graph], clips: Sequence[IntArray]) -> None:
    assert [outcome.key for outcome in found] == list(range(len(graphs)))
    for outcome, graph in zip(found, graphs, strict=True):
        try:
            expected = alone(graph, clips)
        except GraphError as error:
            assert str(outcome.error) == str(error) and outcome.score is None
            continue
        assert outcome.error is None and outcome.score is not None
        for own, values in zip(expected, outcome.score, strict=True):
            assert own.keys() == values.keys()
            for name in own:
                assert values[name].dtype == np.int64 and values[name].flags.c_contiguous
                assert np.array_equal(own[name], values[name]), name


def family(rng: np.random.Generator, count: int) -> list[Graph]:
    """A random graph and changes of it and of each other, with outputs anywhere."""
    graph = random_graph(rng)
    while not any(isinstance(node, Requantise) for node in graph.nodes):
        graph = random_graph(rng)
    names = [node.name for node in graph.nodes]
    wanted = tuple(name for name in names if rng.random() < 0.15) or (names[-1],)
    bits = 63 if rng.random() < 0.8 else 24  # some cannot be certified
    found = [replace(graph, outputs=wanted, accumulator_bits=bits)]
    while len(found) < count:
        base = found[rng.integers(len(found))]
        if rng.random() < 0.2:  # the same network, perhaps asked for something else
            found.append(
                replace(base, outputs=tuple(rng.permutation(names)[: len(wanted)].tolist()))
            )
        else:
            found.append(changed(base, rng))
    return found


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(1, 3),
    st.sampled_from([0, 300, 3000, 1 << 30]),
    st.integers(1, 12),
    st.integers(1, 9),
)
def test_random_graphs_and_random_changes(
    seed: int, count: int, threads: int, memory: int, window: int, chunk: int
) -> None:
    rng = np.random.default_rng(seed)
    graphs = family(rng, count)
    clips = [random_clip(rng, graphs[0], int(rng.integers(1, 25))) for _ in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fxp.plan, "MAX_CHUNK_FRAMES", chunk)
        found = evaluate_all(
            enumerate(graphs), clips, scored, threads=threads, memory_bytes=memory, window=window
        )
    assert_alike(found, graphs, clips)


@pytest.mark.parametrize("variant", VARIANTS)
def test_widths_of_layers_of_every_family(variant: str) -> None:
    arch = VARIANTS[variant]
    net = random_floatnet(arch, 1)
    clips = [as_joints(words(arch, frames, frames)) for frames in (21, 9)]
    graphs = [
        lowered
        for pair in product((8, 5), repeat=2)
        for lowered in [lower_at(net, dict(zip(("block0", "block1"), pair, strict=True)))]
    ]
    assert_alike(evaluate_all(enumerate(graphs), clips, scored), graphs, clips)


@pytest.mark.parametrize("variant", ["rtstgcn", "costgcn"])
def test_each_constant_and_each_cast_changed_alone(variant: str) -> None:
    arch = VARIANTS[variant]
    graph = lower_at(random_floatnet(arch, 2), {})
    clips = [as_joints(words(arch, frames, frames)) for frames in (15, 8)]
    graphs = [graph]
    for i, node in enumerate(graph.nodes):
        if isinstance(node, Conv | Affine | Requantise):
            nodes = (*graph.nodes[:i], nudged(node), *graph.nodes[i + 1 :])
            graphs.append(replace(graph, nodes=nodes))
    assert_alike(evaluate_all(enumerate(graphs), clips, scored), graphs, clips)


def nudged(node: Node) -> Node:
    """The node with one constant or one width otherwise."""
    match node:
        case Conv() | Affine():
            return replace(node, bias=node.bias + 1)
        case Requantise():
            to = replace(node.cast.to, word_bits=node.cast.to.word_bits - 1)
            return replace(node, cast=replace(node.cast, to=to))
        case _:
            raise AssertionError(node)


def lower_at(net: object, widths: dict[str, int]) -> Graph:
    layers = {name: LayerBits(weight_bits=bits) for name, bits in widths.items()}
    quant = QuantSpec(calibrator="max", accumulator_bits=63, layers=layers)
    return lower(net, calibrate(net, quant))


# ---------------------------------------------------------------------------- sharing


def walked(
    graphs: Sequence[Graph], clips: Sequence[IntArray], memory: int
) -> Iterator[tuple[Walk, int]]:
    """A walk over graphs, depth first, and its place after each."""
    signatures, marks = Signatures(), {}
    order = depth_first(
        Signed(
            i,
            graph,
            signatures.ranges(graph),
            {k: marks.setdefault(v, len(marks)) for k, v in signatures.of(graph).items()},
            graph.outputs,
        )
        for i, graph in enumerate(graphs)
    )
    walk = Walk(Uses(order), clips, memory)
    for place, signed in enumerate(order):
        walk.run(place, compile_graph(signed.graph, signed.signals), signed)
        yield walk, place


def tree(levels: int) -> list[Graph]:
    """All graphs of a chain whose convolutions have a bias of 0 or 1, the first ones changing last.

    Joints are many enough for each pair of convolution and cast to be a step of its own.
    """
    nodes = chain(levels)
    found = []
    for biases in product((0, 1), repeat=levels):
        own = [
            replace(node, bias=np.array([biases[(i - 1) // 2]])) if isinstance(node, Conv) else node
            for i, node in enumerate(nodes)
        ]
        found.append(Graph("tree", tuple(own), (nodes[-1].name,)))
    return found


CLIP = np.arange(12).reshape(6, 1, 2) % 8


@pytest.mark.parametrize("seed", range(3))
def test_each_step_of_a_tree_is_run_once_and_only_a_path_is_kept(seed: int) -> None:
    graphs = tree(5)
    np.random.default_rng(seed).shuffle(graphs)
    for walk, _ in walked(graphs, [CLIP], 1 << 20):
        assert len(walk._cuts.values) <= 5 - 1
    assert walk.computed == sum(2**level for level in range(1, 5 + 1))
    assert walk.needed == len(graphs) * (5 + 1)  # the input is a step too
    assert not walk._cuts.values


def test_one_change_at_a_time() -> None:
    nodes = chain(6)
    graphs = [Graph("chain", nodes, ("q5",))]
    for i, node in enumerate(nodes):
        if isinstance(node, Conv):
            other = replace(node, bias=np.array([1]))
            graphs.append(Graph("chain", (*nodes[:i], other, *nodes[i + 1 :]), ("q5",)))
    *_, (walk, _) = walked(graphs, [CLIP], 1 << 20)
    assert walk.computed == 6 + (6 + 5 + 4 + 3 + 2 + 1)


def test_only_what_later_graphs_read_is_kept() -> None:
    """Graphs that differ in the last layer read one value, those of the middle another."""
    nodes = chain(6)
    last = [replace(nodes[-2], bias=np.array([bias])) for bias in range(4)]
    graphs = [Graph("chain", (*nodes[:-2], node, nodes[-1]), ("q5",)) for node in last]
    kept = [set(walk._cuts.values) for walk, _ in walked(graphs, [CLIP], 1 << 20)]
    assert [len(values) for values in kept] == [1, 1, 1, 0]


@pytest.mark.parametrize("name", ["block1.conv", "block1.graph.q", "block1.norm", "block1.add.q"])
def test_a_change_inside_a_pass_begins_with_what_the_pass_reads(name: str) -> None:
    arch = VARIANTS["rtstgcn"]
    net = random_floatnet(arch, 1)
    graph = lower_at(net, {})
    other = [nudged(node) if node.name == name else node for node in graph.nodes]
    assert any(a is not b for a, b in zip(graph.nodes, other, strict=True)), name
    clips = [as_joints(words(arch, 9, 0))]
    (_, (walk, _)) = walked([graph, replace(graph, nodes=tuple(other))], clips, 1 << 20)
    steps = compile_graph(graph).steps
    own = next(step for step in steps if name in nodes_of(step))
    behind, after = set(results_of(own)), [own]
    for step in steps:
        if behind & set(reads_of(step)):
            behind |= set(results_of(step))
            after.append(step)
    assert walk.computed == len(steps) - 1 + len(after)  # all but reading, and those again


def test_the_same_graph_again_runs_nothing() -> None:
    graph = Graph("chain", chain(3), ("q2", "q0"))
    *_, (walk, _) = walked([graph] * 4, [CLIP], 1 << 20)
    assert walk.computed == 3


@pytest.mark.parametrize("values", range(5))
def test_what_the_budget_does_not_hold_is_computed_again(values: int) -> None:
    memory = values * CLIP.size  # a byte a word
    graphs = tree(5)
    for walk, _ in walked(graphs, [CLIP], memory):
        assert walk._cuts._used == sum(k.block.nbytes for k in walk._cuts.values.values())
        assert walk._cuts._used + walk._cuts._spare_bytes() <= memory
    # of the five steps of a path, the second leaf of a pair repeats the last one, the second pair
    # of four leaves the last two, and so on, as far up as the budget reaches
    assert walk.computed == {0: 32 * 5, 1: 16 * 6, 2: 8 * 9, 3: 4 * 16, 4: 2 * 31}[values]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2000))
def test_the_budget_holds_and_nothing_is_left(seed: int, memory: int) -> None:
    rng = np.random.default_rng(seed)
    graphs = [graph for graph in family(rng, 8) if certified(graph)]
    if not graphs:
        return
    clips = [random_clip(rng, graphs[0], 5), random_clip(rng, graphs[0], 3)]
    for walk, _ in walked(graphs, clips, memory):
        assert walk._cuts._used + walk._cuts._spare_bytes() <= memory
    assert not walk._cuts.values


def certified(graph: Graph) -> bool:
    try:
        compile_graph(graph)
    except GraphError:
        return False
    return True


def test_an_accumulator_that_only_a_later_graph_is_asked_for() -> None:
    nodes = chain(6)
    graphs = [Graph("chain", nodes, ("q5",)), Graph("chain", nodes, ("c5", "q5"))]
    *_, (walk, _) = walked(graphs, [CLIP], 1 << 20)
    assert walk.computed == 6 + 1


# ---------------------------------------------------------------------------- threads, errors


def test_errors_of_a_graph_do_not_stop_the_others() -> None:
    good = Graph("chain", chain(2), ("q1",))
    narrow = replace(good, accumulator_bits=2)
    broken = replace(good, outputs=("nothing",))

    def unmade() -> Graph:
        raise GraphError("not this one")

    found = evaluate_all(enumerate([good, narrow, unmade, broken, good]), [CLIP], scored)
    errors = [outcome.error for outcome in found]
    assert errors[0] is None and errors[4] is None
    assert "accumulator" in str(errors[1]) and str(errors[2]) == "not this one"
    assert "`nothing` is no node" in str(errors[3])


def test_clips_that_an_input_cannot_be() -> None:
    nodes = chain(1)
    small = (Input("x", 1, 2, replace(nodes[0].fmt, word_bits=3)), *nodes[1:])
    graphs = [Graph("chain", own, ("q0",)) for own in (small, nodes)]
    found = evaluate_all(enumerate(graphs), [CLIP], scored)
    assert isinstance(found[0].error, InputError) and "outside" in str(found[0].error)
    assert found[1].error is None


def test_only_the_values_asked_for() -> None:
    graph = Graph("chain", chain(3), ("q2", "q0"))
    (found,) = evaluate_all([("a", graph)], [CLIP], lambda key, values: (key, values), names=["q0"])
    assert found.score is not None and found.score[0] == "a"
    assert [list(values) for values in found.score[1]] == [["q0"]]
    (refused,) = evaluate_all([("a", graph)], [CLIP], lambda *_: 0, names=["q1"])
    assert "`q1` is no output" in str(refused.error)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_threads_than_asked_for(threads: int) -> None:
    graphs = tree(5)
    seen = evaluate_all(
        enumerate(graphs), [CLIP], lambda *_: threading.get_ident(), threads=threads
    )
    assert len({outcome.score for outcome in seen}) <= threads
    assert threading.get_ident() not in {outcome.score for outcome in seen}


def test_graphs_are_made_a_window_ahead_and_not_after_a_stop() -> None:
    made: list[int] = []

    def lazily() -> Iterator[tuple[int, object]]:
        for i in range(10_000):
            yield i, lambda i=i: made.append(i) or Graph("chain", chain(1), ("q0",))

    stream = outcomes(lazily(), [CLIP], lambda key, _: key, threads=1, window=4)
    assert next(stream).score in range(4)
    stream.close()
    assert len(made) <= 3 * 4


def test_a_failing_score_stops_the_work() -> None:
    def fails(key: int, _: Values) -> int:
        raise ZeroDivisionError(key)

    graphs = [Graph("chain", chain(1), ("q0",))] * 50
    with pytest.raises(ZeroDivisionError):
        evaluate_all(enumerate(graphs), [CLIP], fails)


def test_outcomes_come_one_by_one_and_in_the_order_given() -> None:
    graphs = tree(4)[::-1]
    seen: list[int] = []
    found = evaluate_all(
        enumerate(graphs),
        [CLIP],
        lambda key, _: key,
        threads=1,
        done=lambda outcome: seen.append(outcome.key),
    )
    assert [outcome.score for outcome in found] == list(range(16))
    assert sorted(seen) == list(range(16))


def test_nothing_to_do() -> None:
    assert evaluate_all([], [CLIP], scored) == []
    for wrong in ({"threads": 0}, {"window": 0}):
        with pytest.raises(ValueError, match="at least one"):
            evaluate_all([], [CLIP], scored, **wrong)
