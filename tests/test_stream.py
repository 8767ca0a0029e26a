"""Frames one by one and in blocks: the words of a whole run, the same arrays, no allocation."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.ir import Graph, IntArray
from fxp.simulate import compile_graph, copy_state, finish, initial_state, run
from fxp.stream import Block, Stream
from tests.networks import VARIANTS
from tests.strategies import random_clip
from tests.test_fused import lowered


def network(variant: str = "rtstgcn", frames: int = 40) -> tuple[Graph, IntArray]:
    graph = lowered(VARIANTS[variant], 8, 8)
    return graph, random_clip(np.random.default_rng(0), graph, frames)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stream_gives_the_words_of_a_whole_run(variant: str) -> None:
    graph, clip = network(variant)
    plan = compile_graph(graph)
    stream = Stream(plan)
    expected, _ = run(plan, clip)
    found: dict[str, list[IntArray]] = {name: [] for name in graph.outputs}
    for frame in clip:
        results = stream.push(frame)
        if stream.ready == len(graph.outputs):
            for name, value in results.items():
                found[name].append(value.copy())
    for name, value in finish(plan, stream.state).items():
        found[name] += list(value)
    for name in graph.outputs:
        assert (np.array(found[name]) == expected[name]).all()
    if plan.waits_for_end:
        with pytest.raises(InputError, match="the clip is over"):
            stream.push(clip[0])


def test_every_network_is_one_call_a_frame() -> None:
    for arch in VARIANTS.values():
        assert Stream(compile_graph(lowered(arch, 8, 8))).compiled


def test_a_stream_of_a_network_with_a_node_that_runs_alone() -> None:
    """Taps of more than 16 bits have no product."""
    graph = lowered(VARIANTS["costgcn"], 24, 24)
    clip = random_clip(np.random.default_rng(0), graph, 20)
    plan = compile_graph(graph)
    stream = Stream(plan)
    assert not stream.compiled
    expected, _ = run(plan, clip)
    count = 0
    for frame in clip:
        results = stream.push(frame)
        for name in graph.outputs if stream.ready else ():
            assert (results[name] == expected[name][count]).all()
        count += stream.ready > 0
    assert count == len(clip) - plan.latency


def test_results_stay_in_the_same_arrays() -> None:
    graph, clip = network()
    stream = Stream(compile_graph(graph))
    first = dict(stream.push(clip[0]))
    second = stream.push(clip[1])
    assert all(first[name] is second[name] for name in graph.outputs)
    assert first.keys() == set(graph.outputs)


def test_a_frame_allocates_nothing_that_stays() -> None:
    graph, clip = network(frames=300)
    stream = Stream(compile_graph(graph))
    stream.push(clip[0])
    tracemalloc.start()
    stream.push(clip[1])
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for frame in clip[2:]:
        stream.push(frame)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1000
    assert peak - before < 4000  # Python's own numbers, no arrays


def test_streams_of_one_plan_do_not_meet() -> None:
    graph, clip = network()
    plan = compile_graph(graph)
    one, other = Stream(plan), Stream(plan)
    expected = run(plan, clip)[0]["logits"]
    for t in range(20):
        one.push(clip[t])
        other.push(clip[-1 - t])
        assert (one.results["logits"] == expected[t]).all()


def test_a_stream_goes_on_from_a_state() -> None:
    graph, clip = network()
    plan = compile_graph(graph)
    _, state = run(plan, clip[:25], more=True)
    expected, _ = run(plan, clip[25:], copy_state(state))
    stream = Stream(plan, state)
    for t, frame in enumerate(clip[25:]):
        assert (stream.push(frame)["logits"] == expected["logits"][t]).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.full((6, 6), 1 << 15), "word 32768 is outside -32768..32767"),
        (np.zeros((6, 5), np.int64), r"shape must be \(frames, 6, 6\)"),
        (np.zeros((6, 6)), "integers are needed, got float64"),
    ],
)
def test_a_frame_that_is_none_changes_nothing(frame: IntArray, message: str) -> None:
    graph, clip = network()
    plan = compile_graph(graph)
    stream = Stream(plan)
    stream.push(clip[0])
    with pytest.raises(InputError, match=message):
        stream.push(frame)
    assert stream.state.frames == 1
    expected, _ = run(plan, clip[:2])
    assert (stream.push(clip[1])["logits"] == expected["logits"][1]).all()


def test_narrow_frames_are_taken() -> None:
    graph, clip = network()
    stream, other = Stream(compile_graph(graph)), Stream(compile_graph(graph))
    for frame in clip:
        found = stream.push(frame.astype(np.int16))["logits"]
        assert (found == other.push(frame)["logits"]).all()


@pytest.mark.parametrize("variant", ["rtstgcn", "msgcn", "tcn"])
def test_a_block_gives_the_words_of_a_whole_run(variant: str) -> None:
    graph, clip = network(variant)
    plan = compile_graph(graph)
    block = Block(plan, 16)
    assert block.input.shape == (16, 6, 6)
    assert block.input.dtype == np.int16
    expected, _ = run(plan, clip, initial_state(plan), more=True)
    at = dict.fromkeys(graph.outputs, 0)
    for start in range(0, len(clip), 16):
        words = clip[start : start + 16]
        block.input[: len(words)] = words.transpose(0, 2, 1)
        for name, value in block.advance(len(words)).items():
            there = expected[name][at[name] : at[name] + len(value)]
            assert (value.transpose(0, 2, 1) == there).all()
            at[name] += len(value)
    assert all(at[name] == len(expected[name]) for name in graph.outputs)
