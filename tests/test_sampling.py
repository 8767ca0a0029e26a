"""Verified runs: no false alarm on any graph, every planted fault found, counts exact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.cast import requantise, round_shift
from fxp.errors import EngineError, InputError
from fxp.fused.steps import ProductStep, RowsStep
from fxp.fused.tiers import Tier
from fxp.ir import Add, Conv, Graph, Input, IntArray, Requantise, TemporalConv, TemporalSum, Weights
from fxp.kernels import conv as conv_kernels
from fxp.kernels import pointwise
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.sampling import RUN_FRAMES, Counters, Draw, _limits
from fxp.simulate import Plan, compile_graph, finish, initial_state, run
from tests.networks import VARIANTS
from tests.strategies import graphs_with_clips, random_chain, random_clip
from tests.test_fused import lowered

GENERIC = frozenset({Tier.GENERIC})


def network(variant: str = "rtstgcn", frames: int = 70) -> tuple[Plan, IntArray]:
    graph = lowered(VARIANTS[variant], 8, 8)
    return compile_graph(graph), random_clip(np.random.default_rng(1), graph, frames)


def with_steps(plan: Plan, change: Any) -> Plan:
    """A plan of which some steps went wrong."""
    steps, faulty = plan.steps, replace(plan)
    faulty.__dict__["steps"] = tuple(change(step) for step in steps)
    return faulty


def off_by_one(array: IntArray, *at: int) -> IntArray:
    wrong = array.copy()
    wrong[at] += 1
    return wrong


# ---------------------------------------------------------------- no false alarm


@settings(deadline=None, max_examples=150)
@given(graphs_with_clips(max_frames=12), st.integers(0, 2**32 - 1), st.booleans())
def test_right_words_raise_nothing(case: tuple[Graph, IntArray], seed: int, fused: bool) -> None:
    """Whole clips and clips in pieces, in both engines; the results are those without a check."""
    graph, clip = case
    rng = np.random.default_rng(seed)
    plan = compile_graph(graph, tiers=None if fused else GENERIC)
    plan = replace(plan, chunk_frames=int(rng.integers(1, 6)))
    expected = evaluate(graph, clip)
    found, _ = run(plan, clip, verify=1.0, seed=seed)
    cut = int(rng.integers(1, len(clip) + 1))
    names = [graph.nodes[0].name]
    first, state = run(plan, clip[:cut], None, names, more=True, verify=1.0)
    if cut < len(clip):
        last, _ = run(plan, clip[cut:], state, names, verify=1.0)
    else:
        last = finish(plan, state, names)
    for name in graph.outputs:
        assert np.array_equal(found[name], expected[name])
        assert np.array_equal(np.concatenate([first[name], last[name]]), expected[name])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_family_raises_nothing(variant: str) -> None:
    plan, clip = network(variant, 40)
    run(plan, clip, verify=1.0)


def test_threads_may_share_what_is_verified() -> None:
    plan, clip = network("msgcn", 200)
    plan = replace(plan, chunk_frames=7)
    expected, _ = run(plan, clip)
    for share in (0.2, 1.0):
        found, _ = run(plan, clip, verify=share, threads=2)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


# ---------------------------------------------------------------- planted faults


def test_a_wrong_constant_of_a_pass_is_found() -> None:
    """The word is named that the engine hands out, or the first that it keeps."""
    plan, clip = network()
    last = [s for s in plan.steps if isinstance(s, RowsStep) and s.fifo is not None][-1]

    def change(step: Any) -> Any:
        if step is not last:
            return step
        return replace(step, constants=step.constants + step.constants.dtype.type(3))

    with pytest.raises(EngineError) as caught:
        run(with_steps(plan, change), clip, verify=1.0)
    error = caught.value
    expected = evaluate(plan.graph, clip)
    at = (error.frame, error.channel, error.joint)
    assert expected[error.node][at] == error.expected != error.found
    assert str(error) == (
        f"node `{error.node}`: frame {error.frame}, channel {error.channel}, joint {error.joint}: "
        f"the engine has {error.found}, the definition {error.expected}"
    )


def test_a_wrong_bias_is_found_at_its_own_channel() -> None:
    """Behind a convolution whose words a FIFO keeps, the operand of that FIFO is named."""
    x = Input("x", 2, 3, QFormat(8, 3))
    nodes = (
        x,
        Conv("c", "x", Weights(np.array([[1, 0], [0, 1]]), 2, (0,)), np.array([0, 0])),
        Requantise("q", "c", Cast(QFormat(10, 3))),
        TemporalSum("s", "q", 3),
        Requantise("y", "s", Cast(QFormat(4, -3))),
    )
    plan = compile_graph(Graph("net", nodes, ("y",), 63))
    assert any(isinstance(step, ProductStep) for step in plan.steps)

    def change(step: Any) -> Any:
        if not isinstance(step, ProductStep):
            return step
        return replace(step, constants=off_by_one(step.constants, 0, 1))

    clip = random_clip(np.random.default_rng(0), plan.graph, 20)
    with pytest.raises(EngineError) as caught:
        run(with_steps(plan, change), clip, verify=1.0)
    error = caught.value
    # the FIFO has three frames left
    assert (error.node, error.channel, error.frame, error.joint) == ("q", 1, 17, 0)
    assert error.expected == clip[17, 1, 0]
    assert error.found == error.expected + 1


def test_a_wrong_result_is_found_where_nothing_is_kept() -> None:
    """Without a state only the results can tell."""
    nodes = (
        Input("x", 2, 3, QFormat(8, 3)),
        Conv("c", "x", Weights(np.array([[1, 0], [0, 1]]), 2, (0,)), np.array([0, 0])),
        Requantise("y", "c", Cast(QFormat(10, 3))),
    )
    plan = compile_graph(Graph("net", nodes, ("y",), 63))
    faulty = with_steps(
        plan,
        lambda step: (
            replace(step, constants=off_by_one(step.constants, 0, 1))
            if isinstance(step, ProductStep)
            else step
        ),
    )
    clip = random_clip(np.random.default_rng(0), plan.graph, 50)
    with pytest.raises(EngineError) as caught:
        run(faulty, clip, verify=1.0)
    error = caught.value
    assert (error.node, error.frame, error.channel, error.joint) == ("y", 0, 1, 0)
    assert (error.found, error.expected) == (clip[0, 1, 0] + 1, clip[0, 1, 0])


def test_a_fault_that_both_engines_share_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel gone wrong in one channel, where nothing but it runs."""
    right = conv_kernels.conv

    def wrong(x: IntArray, weight: IntArray, bias: IntArray, y: IntArray) -> None:
        right(x, weight, bias, y)
        y[:, -1] ^= 1

    plan, clip = network()
    monkeypatch.setattr(conv_kernels, "conv", wrong)
    with pytest.raises(EngineError) as caught:
        run(replace(plan, tiers=GENERIC), clip, verify=1.0)
    error = caught.value
    assert error.channel == plan.signals[error.node].channels - 1
    assert error.found == error.expected ^ 1


@pytest.mark.parametrize("part", ["rings", "accumulators", "delays"])
def test_a_state_gone_wrong_is_found(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """What the engine leaves for later frames is compared too."""
    from fxp import simulate

    right = simulate._run

    def wrong(plan: Plan, state: Any, *args: Any, **kwargs: Any) -> Any:
        right(plan, state, *args, **kwargs)
        next(iter(getattr(state, part).values())).flat[0] ^= 1

    two = Weights(np.array([[[1, 1]], [[1, 1]]]).repeat(2, 1), 2, (0,))
    nodes = (
        Input("x", 2, 3, QFormat(8, 3)),
        TemporalSum("s", "x", 3),
        TemporalConv("ahead", "x", two, np.zeros(2, np.int64), 1, 1),
        Add("sum", "ahead", "x"),
        Add("y", "sum", "s"),
    )
    plan = compile_graph(Graph("net", nodes, ("y",), 63))
    clip = random_clip(np.random.default_rng(0), plan.graph, 9)
    monkeypatch.setattr(simulate, "_run", wrong)
    with pytest.raises(EngineError, match=r"node `(x|s)`: frame \d, channel 0, joint 0"):
        run(plan, clip, more=True, verify=1.0)


def test_a_wrong_cast_in_the_last_frames_of_a_clip_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Frames that wait for the end of a clip are checked when it comes."""
    plan, clip = network("stgcn", 33)
    right = pointwise.argmax

    def wrong(x: IntArray, left: IntArray, y: IntArray) -> None:
        right(x, left, y)
        y += 1

    monkeypatch.setattr(pointwise, "argmax", wrong)
    with pytest.raises(EngineError, match=r"node `label`: frame 0, channel 0, joint 0"):
        run(replace(plan, tiers=GENERIC), clip, verify=1.0)


# ---------------------------------------------------------------- the draw


def pieces(words: IntArray, share: float, most: int, seed: int | None = None) -> list[Any]:
    return list(Draw(words, 0, share, seed).pieces(most))


@pytest.mark.parametrize("most", [1, 7, RUN_FRAMES, 1000])
@pytest.mark.parametrize("share", [1e-9, 0.3, 1.0])
def test_pieces_are_the_whole_clip(share: float, most: int) -> None:
    words = np.zeros((531, 1, 1), np.int64)
    found = pieces(words, share, most)
    assert [f for p in found for f in range(p.start, p.stop)] == list(range(531))
    assert all(p.start < p.stop for p in found)
    assert all(p.stop - p.start <= min(most, RUN_FRAMES) for p in found if p.checked)
    if share != 0.3:
        assert all(p.checked is (share == 1) for p in found)


def test_the_draw_follows_from_the_clip_or_the_seed() -> None:
    a, b = (np.full((4000, 1, 1), word) for word in (1, 2))
    assert pieces(a, 0.3, 64) == pieces(a, 0.3, 64)
    assert pieces(a, 0.3, 64) != pieces(b, 0.3, 64)
    assert pieces(a, 0.3, 64, seed=5) == pieces(b, 0.3, 64, seed=5)
    assert pieces(a, 0.3, 64, seed=5) != pieces(a, 0.3, 64, seed=6)


def test_the_share_is_the_one_asked_for() -> None:
    words = np.zeros((400_000, 1, 1), np.int8)
    checked = sum(p.stop - p.start for p in pieces(words, 0.1, 64, seed=0) if p.checked)
    assert 0.09 < checked / len(words) < 0.11


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_no_share(share: float) -> None:
    plan, clip = network(frames=2)
    with pytest.raises(InputError, match=r"`verify` is a share of the frames, 0\.\.1, got"):
        run(plan, clip, verify=share)


# ---------------------------------------------------------------- counters


def exact_counts(graph: Graph, clip: IntArray) -> dict[str, tuple[int, int, int]]:
    """Words, those below and above, from the definition of a cast."""
    values, signals = evaluate(graph, clip), compile_graph(graph).signals
    found = {}
    for node in graph.nodes:
        if not isinstance(node, Requantise):
            continue
        cast, below, above = node.cast, 0, 0
        for c, words in enumerate(values[node.x].transpose(1, 0, 2)):
            fracs = signals[node.x].frac_bits
            frac = fracs[c if len(fracs) > 1 else 0]
            for raw in words.reshape(-1).tolist():
                rounded = round_shift(raw, frac - cast.to.frac_bits, cast.rounding)
                given = requantise(raw, frac, cast, node.relu)
                lost = given != (max(rounded, 0) if node.relu else rounded)
                wraps = cast.overflow == Overflow.WRAP and rounded < cast.to.raw_min
                above += rounded > cast.to.raw_max
                below += rounded <= cast.to.raw_max and (lost or wraps)
        found[node.name] = (values[node.x].size, below, above)
    return found


@settings(deadline=None, max_examples=80)
@given(graphs_with_clips(max_frames=6), st.integers(1, 4))
def test_counts_over_all_frames_are_exact(case: tuple[Graph, IntArray], chunk: int) -> None:
    graph, clip = case
    watch = Counters()
    run(replace(compile_graph(graph), chunk_frames=chunk), clip, verify=1.0, watch=watch)
    found = {name: (c.words, c.below, c.above) for name, c in watch.casts.items()}
    assert found == exact_counts(graph, clip)
    assert watch.frames == len(clip)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("mode", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
def test_limits_are_those_of_the_cast(rounding: Rounding, mode: Overflow, relu: bool) -> None:
    """All accumulators of 10 bits, shifts to both sides, signed and unsigned."""
    for to in (QFormat(4, 0), QFormat(5, 2, signed=False), QFormat(1, 0)):
        cast = Cast(to, rounding, mode)
        for frac in (-2, 2, 4, 9):
            low, high = (int(limit[0]) for limit in _limits(cast, relu, (frac,)))
            for raw in range(-512, 512):
                rounded = round_shift(raw, frac - to.frac_bits, rounding)
                whole = max(rounded, 0) if relu else rounded
                kept = requantise(raw, frac, cast, relu) == whole
                if mode == Overflow.WRAP:  # a ReLU may hide that a word wrapped
                    kept = to.raw_min <= rounded <= to.raw_max
                assert (low <= raw <= high) == kept


def test_counts_add_up_over_runs_and_estimate_the_whole() -> None:
    graph = random_chain(np.random.default_rng(2), 2, channels=4, joints=5)
    plan = replace(compile_graph(graph), chunk_frames=4)
    clip = random_clip(np.random.default_rng(0), graph, 600)
    whole, part = Counters(), Counters()
    run(plan, clip[:300], verify=1.0, watch=whole)
    run(plan, clip[300:], verify=1.0, watch=whole)
    run(plan, clip, verify=0.25, watch=part)
    assert whole.frames == 600
    assert 0 < part.frames < 600
    assert any(0 < count.share < 1 for count in whole.casts.values())
    for name, count in part.casts.items():
        assert count.words == whole.casts[name].words * part.frames / 600
        assert count.share == pytest.approx(whole.casts[name].share, abs=0.1)


def test_a_watch_needs_frames_to_look_at() -> None:
    plan, clip = network(frames=2)
    with pytest.raises(InputError, match="`watch` counts at verified frames"):
        run(plan, clip, watch=Counters())


def test_states_stay_as_they_are_when_refused() -> None:
    plan, clip = network(frames=2)
    state = initial_state(plan)
    with pytest.raises(InputError):
        run(plan, clip, state, verify=2)
    assert state.frames == 0
