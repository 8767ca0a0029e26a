"""A replay gives every word that a full run gives, and computes only what a change reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.ir import Conv, Graph, IntArray, Requantise
from fxp.ptq.quantise import quantise
from fxp.ptq.reference import real_values
from fxp.qformat import Cast, QFormat
from fxp.replay import Replay
from fxp.sensitivity import constant_of, with_constant
from fxp.simulate import compile_graph, run
from fxp.spec import QuantSpec, Repair
from fxp.store import graph_hash
from tests.networks import VARIANTS, as_joints, random_floatnet, words
from tests.strategies import random_clip, random_graph


def full(graph: Graph, clips: list[IntArray]) -> list[dict[str, IntArray]]:
    plan = compile_graph(graph)
    return [run(plan, clip, taps=list(plan.stages))[0] for clip in clips]


def assert_equal(replay: Replay, graph: Graph, clips: list[IntArray]) -> None:
    names = [node.name for node in graph.nodes]
    for found, expected in zip(replay.values(graph, names), full(graph, clips), strict=True):
        for name in names:
            assert np.array_equal(found[name], expected[name]), name
            assert found[name].dtype == np.int64 and found[name].flags.c_contiguous


def changed(graph: Graph, rng: np.random.Generator) -> Graph:
    """The graph with one constant or one cast otherwise."""
    weighted = [n for n in graph.nodes if hasattr(n, "weight") or hasattr(n, "adjacency")]
    casts = [n for n in graph.nodes if isinstance(n, Requantise)]
    if weighted and rng.random() < 0.5:
        node = weighted[rng.integers(len(weighted))]
        return with_constant(graph, node.name, max(2, constant_of(node).word_bits - 1))
    node = casts[rng.integers(len(casts))]
    to = replace(node.cast.to, word_bits=max(2, node.cast.to.word_bits - 1))
    other = replace(node, cast=replace(node.cast, to=to))
    return replace(graph, nodes=tuple(other if n is node else n for n in graph.nodes))


@pytest.mark.parametrize("seed", range(40))
def test_every_word_of_random_graphs_and_of_changed_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = replace(random_graph(rng), accumulator_bits=63)
    while not any(isinstance(node, Requantise) for node in graph.nodes):
        graph = replace(random_graph(rng), accumulator_bits=63)
    clips = [random_clip(rng, graph, int(rng.integers(1, 41))) for _ in range(2)]
    replay = Replay(clips)
    replay._piece_frames = int(rng.integers(1, 9))  # clips of several pieces, cut anywhere
    for _ in range(3):
        assert_equal(replay, graph, clips)
        graph = changed(graph, rng)


@pytest.mark.parametrize("key", ["rtstgcn", "costgcn", "stgcn"])
def test_quantised_and_repaired_alike(key: str) -> None:
    arch = VARIANTS[key]
    net = random_floatnet(arch, 3)
    clips = [as_joints(words(arch, frames, frames)) for frames in (20, 9)]
    replay = Replay(clips)
    layer = "block1"
    for bits in (8, 4):
        quant = QuantSpec(
            activation_bits=6,
            accumulator_bits=63,
            layers={layer: {"weight_bits": bits}},
            repair=Repair(rounding="gptq", bias=True),
        )
        assert graph_hash(quantise(net, quant, replay)) == graph_hash(quantise(net, quant, clips))


def test_only_what_the_change_reaches_is_computed() -> None:
    nodes = chain(4)
    replay = Replay([np.arange(12).reshape(6, 1, 2) % 8])
    list(replay.values(Graph("chain", nodes, ("q3",)), ["q3"]))
    assert replay.evaluated == len(nodes) == replay.needed
    other = replace(nodes[5], bias=np.array([1]))  # c2
    graph = Graph("chain", (*nodes[:5], other, *nodes[6:]), ("q3",))
    list(replay.values(graph, ["q3"]))
    assert replay.evaluated == len(nodes) + 4  # c2, q2, c3, q3
    list(replay.values(graph, ["q3"]))
    assert replay.evaluated == len(nodes) + 4


def test_forgets_what_was_not_used_for_longest() -> None:
    nodes = chain(4)
    clip = np.arange(12).reshape(6, 1, 2) % 8
    replay = Replay([clip], most_bytes=2 * clip.size * 2)  # two casts of small words
    graph = Graph("chain", nodes, ("q3",))
    list(replay.values(graph, ["q3"]))
    assert list(replay._kept.kept) == [replay.signatures(graph)[name] for name in ("q2", "q3")]
    assert replay._kept.size <= 2 * clip.size * 2
    assert_equal(replay, graph, [clip])


def test_a_sequence_of_its_clips_and_summaries_by_content() -> None:
    clip = np.zeros((3, 1, 2), np.int64)
    replay = Replay([clip, clip])
    assert len(replay) == 2 and replay[0] is clip and len(replay[:1]) == 1
    graph = Graph("chain", chain(2), ("q1",))
    assert replay.known("mean", graph, ["q0"]) == {}
    replay.remember("mean", graph, {"q0": np.ones(1)})
    assert replay.known("mean", graph, ["q0", "q1"])["q0"] == 1
    moved = replace(graph.nodes[1], bias=np.array([2]))
    other = replace(graph, nodes=(graph.nodes[0], moved, *graph.nodes[2:]))
    assert replay.known("mean", other, ["q0"]) == {}


def test_words_that_do_not_fit_are_refused() -> None:
    replay = Replay([np.full((2, 1, 2), 99)])
    with pytest.raises(InputError, match="x"):
        list(replay.values(Graph("chain", chain(1), ("q0",)), ["q0"]))


def test_real_values_are_those_of_the_simulator() -> None:
    graph = Graph("chain", chain(3), ("q2",))
    clips = [np.arange(12).reshape(6, 1, 2) % 8]
    (found,), (expected,) = (
        list(real_values(graph, x, ["q2", "c1"])) for x in (Replay(clips), clips)
    )
    assert all(np.array_equal(found[name], expected[name]) for name in ("q2", "c1"))


def chain(length: int) -> tuple:
    """An input and `length` pairs of convolution and cast."""
    from fxp.ir import Input, Weights

    nodes: list = [Input("x", 1, 2, QFormat(5, 0))]
    for i in range(length):
        before = nodes[-1].name
        weight = Weights(np.array([[1]]), 3, (0,))
        nodes.append(Conv(f"c{i}", before, weight, np.array([0])))
        nodes.append(Requantise(f"q{i}", f"c{i}", Cast(QFormat(8, 0))))
    return tuple(nodes)
