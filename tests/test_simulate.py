from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.errors import GraphError, InputError
from fxp.ir import (
    Add,
    Argmax,
    Conv,
    Graph,
    Input,
    IntArray,
    Node,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
)
from fxp.oracle import evaluate
from fxp.qformat import Cast, QFormat
from fxp.simulate import (
    Plan,
    compile_graph,
    copy_state,
    finish,
    initial_state,
    predict,
    run,
    step,
)
from tests.equality import differing, in_pieces, whole
from tests.networks import VARIANTS
from tests.strategies import graphs_with_clips, random_chain, random_clip
from tests.test_fused import lowered

WORD = QFormat(8, 3)


def network(*nodes: Node, outputs: tuple[str, ...] = ("y",), fmt: QFormat = WORD) -> Graph:
    return Graph("net", (Input("x", 2, 3, fmt), *nodes), outputs, accumulator_bits=63)


def delta(taps: int, at: int) -> Weights:
    """Two channels, each passed on from one tap."""
    raw = np.zeros((2, 2, taps), np.int64)
    raw[0, 0, at] = raw[1, 1, at] = 1
    return Weights(raw, 2, (0,))


def ahead(name: str, x: str, frames: int) -> TemporalConv:
    """y_t = x_{t + frames}."""
    taps = frames + 1
    return TemporalConv(name, x, delta(taps, taps - 1), np.zeros(2, np.int64), 1, frames)


def labelled(blocks: int = 2, seed: int = 0) -> tuple[Plan, Graph]:
    rng = np.random.default_rng(seed)
    graph = random_chain(rng, blocks, channels=3, joints=3)
    graph = replace(graph, outputs=("logits", "label"))
    return compile_graph(graph), graph


def clip(frames: int, seed: int = 0) -> IntArray:
    return np.random.default_rng(seed).integers(-128, 128, (frames, 2, 3))


# ---------------------------------------------------------------- equality with the definition


@settings(deadline=None, max_examples=60)
@given(graphs_with_clips(max_frames=9))
def test_whole_clips_equal_the_oracle(case: tuple[Graph, IntArray]) -> None:
    graph, words = case
    expected = evaluate(graph, words)
    assert differing(whole(compile_graph(graph), words), expected).total() == 0


@settings(deadline=None, max_examples=60)
@given(graphs_with_clips(max_frames=9), st.integers(0, 2**32 - 1))
def test_any_cut_equals_the_oracle(case: tuple[Graph, IntArray], seed: int) -> None:
    graph, words = case
    pieces = in_pieces(compile_graph(graph), words, np.random.default_rng(seed))
    assert differing(pieces, evaluate(graph, words)).total() == 0


@pytest.mark.parametrize("chunk_frames", [1, 2, 7, 8, 9, 100])
def test_chunk_size_changes_nothing(chunk_frames: int) -> None:
    rng = np.random.default_rng(3)
    graph = random_chain(rng, 3, channels=4, joints=5)
    words = random_clip(rng, graph, 27)
    plan = replace(compile_graph(graph), chunk_frames=chunk_frames)
    assert differing(whole(plan, words), evaluate(graph, words)).total() == 0


@pytest.mark.parametrize("seed", range(12))
def test_extreme_inputs_equal_the_oracle(seed: int) -> None:
    graph = random_chain(np.random.default_rng(seed), 2, channels=4, joints=3)
    node = graph.nodes[0]
    assert isinstance(node, Input)
    plan = compile_graph(graph)
    low, high = node.fmt.raw_min, node.fmt.raw_max
    for frames in ([low] * 12, [high] * 12, [low, high] * 6, [0] * 11 + [low]):
        words = np.tile(np.array(frames)[:, None, None], (1, node.channels, node.joints))
        assert differing(whole(plan, words), evaluate(graph, words)).total() == 0


def test_accumulators_of_63_bits() -> None:
    """The smallest word of 63 bits, cast at a shift of 63 places: exactly minus one half."""
    weight = Weights(np.full((1, 2), -(2**30)), 31, (70,))
    nodes: list[Node] = [Conv("acc", "x", weight, np.array([0]))]
    for frac in (9, 8, 7, 71, 40):  # drops 62, 63 and 64 places, none, 31
        for rounding in ("TRN", "RND", "RND_INF", "RND_MIN_INF", "RND_CONV"):
            nodes.append(Requantise(f"q{frac}{rounding}", "acc", Cast(QFormat(8, frac), rounding)))
    names = tuple(node.name for node in nodes)
    graph = network(*nodes, outputs=names, fmt=QFormat(32, 1))
    words = np.array([-(2**31), 2**31 - 1])[:, None, None] * np.ones((1, 2, 3), np.int64)
    expected = evaluate(graph, words)
    assert expected["acc"].max() == 2**62
    with pytest.raises(GraphError, match=r"node `acc`: the accumulator needs 64 bits"):
        compile_graph(graph)
    graph = replace(
        graph, nodes=(graph.nodes[0], replace(nodes[0], bias=np.array([-1])), *nodes[1:])
    )
    expected = evaluate(graph, words)
    assert expected["acc"].max() == 2**62 - 1
    assert differing(whole(compile_graph(graph), words), expected).total() == 0


def test_argmax_of_channels_whose_common_scale_exceeds_64_bits() -> None:
    weight = Weights(np.array([[1, 0], [0, 1], [1, 0]]), 2, (0, 100, 0))
    graph = network(Conv("acc", "x", weight, np.zeros(3, np.int64)), Argmax("y", "acc"))
    words = clip(50)
    words[:9, 0] = 0
    words[:3, 1] = 0
    assert differing(whole(compile_graph(graph), words), evaluate(graph, words)).total() == 0


# ---------------------------------------------------------------- state


def test_a_window_starts_empty_for_every_clip() -> None:
    plan = compile_graph(network(TemporalSum("y", "x", window=5, dilation=2)))
    a, b = clip(13, 1), clip(3, 2)  # b is shorter than the window
    alone, _ = run(plan, b)
    run(plan, a)
    again, _ = run(plan, b)
    assert np.array_equal(alone["y"], again["y"])
    assert np.array_equal(alone["y"][0], b[0])


def test_clips_of_one_frame() -> None:
    graph = network(ahead("late", "x", 3), Add("y", "late", "x"))
    results, _ = run(compile_graph(graph), clip(1))
    assert np.array_equal(results["y"], clip(1))


def test_state_is_carried_from_call_to_call() -> None:
    plan = compile_graph(network(TemporalSum("y", "x", window=4)))
    words = clip(20)
    first, state = run(plan, words[:6])
    branch = copy_state(state)
    second, same = run(plan, words[6:], state)
    assert same is state
    assert state.frames == 20
    expected, _ = run(plan, words)
    assert np.array_equal(np.concatenate([first["y"], second["y"]]), expected["y"])
    other, _ = run(plan, words[6:], branch)  # the copy did not move
    assert np.array_equal(other["y"], second["y"])


def test_two_threads_share_a_plan() -> None:
    rng = np.random.default_rng(5)
    graph = random_chain(rng, 2, channels=6, joints=5)
    plan = replace(compile_graph(graph), chunk_frames=16)
    clips = [random_clip(rng, graph, 400) for _ in range(6)]
    expected = [run(plan, words)[0] for words in clips]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda words: run(plan, words)[0], clips))
    for left, right in zip(found, expected, strict=True):
        assert all(np.array_equal(left[name], right[name]) for name in right)


def test_memory_does_not_grow_with_the_clip() -> None:
    weight = Weights(np.ones((64, 2), np.int64), 2, (0,))
    wide = Conv("wide", "x", weight, np.zeros(64, np.int64))
    narrow = Conv(
        "y", "wide.q", Weights(np.ones((1, 64), np.int64), 2, (0,)), np.zeros(1, np.int64)
    )
    plan = compile_graph(network(wide, Requantise("wide.q", "wide", Cast(WORD)), narrow))
    words = clip(40_000).astype(np.int8)
    run(plan, words[:2000])
    tracemalloc.start()
    results, _ = run(plan, words)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    copies = 8 * words.size + results["y"].nbytes
    all_wide = 4 * 64 * 3 * len(words)
    assert peak < copies + all_wide // 4


# ---------------------------------------------------------------- realtime


def test_without_lookahead_every_step_gives_its_frame() -> None:
    plan = compile_graph(network(TemporalSum("s", "x", 3), Requantise("y", "s", Cast(WORD))))
    words = clip(9)
    expected, _ = run(plan, words, taps=["s"])
    state = initial_state(plan)
    for t, frame in enumerate(words):
        values = step(plan, frame, state, taps=["s"])
        assert state.frames == t + 1
        assert {name: value.tolist() for name, value in values.items()} == {
            name: expected[name][t].tolist() for name in ("y", "s")
        }
    rest = finish(plan, state, taps=["s"])
    assert rest["y"].shape == rest["s"].shape == (0, 2, 3)


def test_with_lookahead_a_step_gives_the_frame_that_it_completes() -> None:
    graph = network(
        ahead("a", "x", 2),
        Requantise("a.q", "a", Cast(WORD)),
        ahead("b", "a.q", 3),
        Add("y", "b", "x"),
        outputs=("y", "a"),
    )
    plan = compile_graph(graph)
    assert (plan.latency, plan.lookahead["a"], plan.lookahead["y"]) == (5, 2, 5)
    words = clip(12)
    expected = evaluate(graph, words)
    state = initial_state(plan)
    for t, frame in enumerate(words):
        values = step(plan, frame, state)
        assert set(values) == {"y", "a"} if t >= 5 else set(values) == ({"a"} if t >= 2 else set())
        for name, value in values.items():
            assert np.array_equal(value, expected[name][t - plan.lookahead[name]])
    rest = finish(plan, state)
    assert np.array_equal(rest["y"], expected["y"][-5:])
    assert np.array_equal(rest["a"], expected["a"][-2:])


def test_after_its_end_a_clip_cannot_go_on() -> None:
    plan = compile_graph(network(ahead("y", "x", 2)))
    _, state = run(plan, clip(5))
    for act in (
        lambda: step(plan, clip(1)[0], state),
        lambda: run(plan, clip(3), state),
        lambda: finish(plan, state),
    ):
        with pytest.raises(InputError, match="graph `net`: the clip is over"):
            act()
    _, state = run(plan, clip(5), more=True)
    rest, _ = run(plan, clip(3), state)
    assert rest["y"].shape == (5, 2, 3)


# ---------------------------------------------------------------- labels


def test_predict_gives_the_label_of_every_frame() -> None:
    plan, graph = labelled()
    words = random_clip(np.random.default_rng(1), graph, 30)
    labels = predict(plan, words)
    assert labels.dtype == np.int64
    assert labels.tolist() == evaluate(graph, words)["label"].ravel().tolist()


def test_predict_needs_a_label_per_frame() -> None:
    plan = compile_graph(network(TemporalSum("y", "x", 2)))
    with pytest.raises(InputError, match=r"graph `net`: one output must be an Argmax .* got 0"):
        predict(plan, clip(3))
    plan = compile_graph(network(Argmax("y", "x")))  # one label per joint
    with pytest.raises(InputError, match="over one joint"):
        predict(plan, clip(3))


# ---------------------------------------------------------------- input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (np.zeros((0, 2, 3), np.int64), r"shape must be \(frames, 2, 3\), got \(0, 2, 3\)"),
        (np.zeros((4, 3, 2), np.int64), r"shape must be \(frames, 2, 3\), got \(4, 3, 2\)"),
        (np.zeros((2, 3), np.int64), r"shape must be \(frames, 2, 3\), got \(2, 3\)"),
        (np.zeros((4, 2, 3)), "integers are needed, got float64"),
        (np.full((4, 2, 3), np.nan), "integers are needed, got float64"),
        (np.full((4, 2, 3), 128), r"word 128 is outside -128\.\.127"),
        (np.full((4, 2, 3), -129), r"word -129 is outside -128\.\.127"),
        (np.full((4, 2, 3), 2**64 - 1, np.uint64), r"word 18446744073709551615 is outside"),
    ],
)
def test_wrong_input_is_refused_and_leaves_the_state_alone(words: np.ndarray, message: str) -> None:
    plan = compile_graph(network(TemporalSum("y", "x", 3)))
    _, state = run(plan, clip(4))
    before = copy_state(state)
    with pytest.raises(InputError, match=f"graph `net`: {message}") as error:
        run(plan, words, state)
    assert "\n" not in str(error.value)
    if words.ndim == 3 and len(words):
        with pytest.raises(InputError, match="graph `net`: "):
            step(plan, words[0], state)
    assert state.frames == before.frames
    assert np.array_equal(state.rings["y"], before.rings["y"])


def test_unknown_taps_are_refused() -> None:
    plan = compile_graph(network(TemporalSum("y", "x", 3)))
    state = initial_state(plan)
    for act in (
        lambda: run(plan, clip(3), state, taps=["z"]),
        lambda: step(plan, clip(3)[0], state, taps=["z"]),
        lambda: finish(plan, state, taps=["z"]),
    ):
        with pytest.raises(InputError, match="tap `z` is no value of graph `net`"):
            act()
    assert state.frames == 0


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_any_integer_dtype_and_memory_order(dtype: type) -> None:
    plan = compile_graph(network(TemporalSum("y", "x", 3)))
    words = clip(9)
    expected, _ = run(plan, words)
    given_words = np.asfortranarray(words.astype(dtype))
    found, _ = run(plan, given_words)
    assert np.array_equal(found["y"], expected["y"])
    assert np.array_equal(given_words, words)


def test_results_are_the_callers_own() -> None:
    plan = compile_graph(network(TemporalSum("y", "x", 3)))
    words = clip(9)
    expected, _ = run(plan, words)
    state = initial_state(plan)
    frames = []
    for frame in words:
        values = step(plan, frame, state, taps=["x"])
        frames.append(values["y"].copy())
        values["y"][:] = 99
        values["x"][:] = 99
    assert np.array_equal(np.stack(frames), expected["y"])
    results, _ = run(plan, words, taps=["x"])
    results["x"][:] = 99
    assert words.max() < 128


def test_a_plan_lends_the_programs_that_it_keeps() -> None:
    """Clips of any length, one after the other or at once, find buffers that others left."""
    graph = lowered(VARIANTS["msgcn"], 8, 8)
    plan = compile_graph(graph)
    clips = [random_clip(np.random.default_rng(n), graph, n) for n in (30, 3, 31, 32, 30, 17, 29)]
    alone = [run(compile_graph(graph), clip)[0] for clip in clips]
    one_by_one = [run(plan, clip)[0] for clip in clips]
    kept = {key: len(programs) for key, programs in plan.programs.items()}
    assert kept == dict.fromkeys(kept, 1) and 1 < len(kept) < len(clips)
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(lambda clip: run(plan, clip)[0], clips * 4))
    for found in (one_by_one, *(at_once[k : k + 7] for k in range(0, 28, 7))):
        for ours, theirs in zip(found, alone, strict=True):
            assert all((ours[name] == theirs[name]).all() for name in graph.outputs)
    assert all(p.state is None for programs in plan.programs.values() for p in programs)


def test_a_state_of_another_plan_is_refused() -> None:
    graph = lowered(VARIANTS["msgcn"], 8, 8)
    plan, other = compile_graph(graph), replace(compile_graph(graph), chunk_frames=7)
    with pytest.raises(InputError, match=r"graph `\w+`: the state is one of another plan"):
        run(plan, random_clip(np.random.default_rng(0), graph, 3), initial_state(other))
