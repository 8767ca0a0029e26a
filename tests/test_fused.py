"""The fused engine equals the definition: in every tier, however nodes share passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.calibrate import calibrate
from fxp.fused.fuse import nodes_of, results_of
from fxp.fused.split import reach, stretches
from fxp.fused.steps import ProductStep, RowsStep, SingleStep, TapsStep, WideStep
from fxp.fused.tiers import Tier, machine_tiers
from fxp.ir import Conv, Graph, Input, IntArray, Requantise, Weights
from fxp.lower import lower
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.simulate import Plan, compile_graph, finish, initial_state, restore, run, snapshot, step
from fxp.spec import ArchSpec, QuantSpec
from tests.networks import VARIANTS, random_floatnet
from tests.strategies import graphs_with_clips, random_clip

SETS = {
    "all": machine_tiers(),
    "int16": machine_tiers() - {Tier.INT8},
    "madd16": machine_tiers() - {Tier.INT8, Tier.INT16},
    "plain16": frozenset({Tier.PLAIN16, Tier.GENERIC}),
}


def lowered(arch: ArchSpec, weights: int, words: int, seed: int = 0) -> Graph:
    quant = QuantSpec(
        weight_bits=weights, activation_bits=words, calibrator="max", accumulator_bits=63
    )
    net = random_floatnet(arch, seed)
    return lower(net, calibrate(net, quant))


def assert_equal(plan: Plan, clip: IntArray, found: dict[str, IntArray]) -> None:
    expected = evaluate(plan.graph, clip)
    for name in plan.graph.outputs:
        assert found[name].shape == expected[name].shape, name
        assert (found[name] == expected[name]).all(), name


def in_pieces(plan: Plan, clip: IntArray, rng: np.random.Generator) -> dict[str, IntArray]:
    """Chunks, single frames, snapshots, and the other engine in between: over one state."""
    plan = replace(plan, chunk_frames=int(rng.integers(1, 4)))
    state, at = initial_state(plan), 0
    parts: dict[str, list[IntArray]] = {name: [] for name in plan.graph.outputs}
    while at < len(clip):
        taps = [plan.graph.nodes[0].name] if rng.random() < 0.3 else []  # taps: node by node
        if rng.random() < 0.5:
            found = {k: v[None] for k, v in step(plan, clip[at], state, taps).items()}
            size = 1
        else:
            size = int(rng.integers(1, len(clip) - at + 1))
            found, state = run(plan, clip[at : at + size], state, taps, more=True)
        at += size
        for name in parts.keys() & found.keys():
            parts[name].append(found[name])
        if rng.random() < 0.3:
            state = restore(plan, snapshot(plan, state))
    for name, value in finish(plan, state).items():
        parts[name].append(value)
    return {name: np.concatenate(pieces) for name, pieces in parts.items()}


@settings(deadline=None, max_examples=150)
@given(graphs_with_clips(max_frames=9), st.integers(0, 2**32 - 1), st.sampled_from(sorted(SETS)))
def test_random_graphs_of_which_only_some_values_are_wanted(
    case: tuple[Graph, IntArray], seed: int, tiers: str
) -> None:
    graph, clip = case
    rng = np.random.default_rng(seed)
    names = [node.name for node in graph.nodes]
    wanted = [name for name in names if rng.random() < 0.15] or [names[-1]]
    plan = compile_graph(replace(graph, outputs=tuple(wanted)), tiers=SETS[tiers])
    assert_equal(plan, clip, run(plan, clip)[0])
    assert_equal(plan, clip, in_pieces(plan, clip, rng))


@pytest.mark.parametrize("tiers", SETS)
@pytest.mark.parametrize("bits", [(8, 8), (4, 12), (16, 16), (24, 24)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_family_in_every_tier(variant: str, bits: tuple[int, int], tiers: str) -> None:
    graph = lowered(VARIANTS[variant], *bits)
    plan = compile_graph(graph, tiers=SETS[tiers])
    clip = random_clip(np.random.default_rng(1), graph, 11)
    assert_equal(plan, clip, run(plan, clip)[0])
    assert_equal(plan, clip, in_pieces(plan, clip, np.random.default_rng(2)))


@pytest.mark.parametrize("channels", [3, 16, 33, 64, 70])
def test_channels_that_do_and_do_not_fill_vectors(channels: int) -> None:
    arch = VARIANTS["rtstgcn"].model_copy(update={"channels": (channels,) * 3})
    graph = lowered(arch, 8, 8)
    clip = random_clip(np.random.default_rng(0), graph, 7)
    for tiers in SETS.values():
        plan = compile_graph(graph, tiers=tiers)
        assert_equal(plan, clip, run(plan, clip)[0])


@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.RND_CONV, Rounding.TRN])
@pytest.mark.parametrize("word_bits", [3, 8, 9, 20])
@pytest.mark.parametrize("relu", [False, True])
def test_every_word_of_a_product_is_cast_right(
    rounding: Rounding, word_bits: int, relu: bool
) -> None:
    """One channel that goes through all words of 16 bits, in each tier and storage."""
    identity = Weights(np.array([[1, 0], [0, 1]]), 2, (0,))
    cast = Cast(QFormat(word_bits, 3), rounding, Overflow.SAT)
    narrow = Cast(QFormat(8, 5), rounding, Overflow.SAT_SYM)
    graph = Graph(
        "net",
        (
            Input("x", 2, 1, QFormat(16, 8)),
            Conv("c", "x", identity, np.array([0, 5])),
            Requantise("y", "c", cast, relu),
            Requantise("z", "c", narrow),
        ),
        ("y", "z"),
        63,
    )
    words = np.arange(-(1 << 15), 1 << 15)[::7]
    clip = np.stack([words, words[::-1]], axis=1)[:, :, None]
    expected = run(compile_graph(graph, tiers=frozenset({Tier.GENERIC})), clip)[0]
    for tiers in SETS.values():
        found = run(compile_graph(graph, tiers=tiers), clip)[0]
        for name in graph.outputs:
            assert (found[name] == expected[name]).all()


def test_a_block_is_three_passes() -> None:
    """Convolution with its cast, residual with its cast, and all the rest of the block."""
    plan = compile_graph(lowered(VARIANTS["rtstgcn"], 8, 8))
    steps = [s for s in plan.steps if any(n.startswith("block1.") for n in nodes_of(s))]
    assert [type(s) for s in steps] == [ProductStep, ProductStep, RowsStep]
    assert results_of(steps[-1]) == ("block1.add.q",)
    assert len(nodes_of(steps[-1])) == 7


@pytest.mark.parametrize("variant", [k for k, a in VARIANTS.items() if a.family == "rtstgcn"])
def test_only_layer_norms_run_alone(variant: str) -> None:
    plan = compile_graph(lowered(VARIANTS[variant], 8, 8))
    alone = [s.name for s in plan.steps if isinstance(s, SingleStep)]
    assert all(name.endswith(".unit") for name in alone)


def test_the_tier_follows_the_widths() -> None:
    arch = VARIANTS["rtstgcn"]

    def tiers(weights: int, words: int) -> set[Tier]:
        steps = compile_graph(lowered(arch, weights, words)).steps
        return {s.tier for s in steps if isinstance(s, ProductStep | WideStep)}

    if Tier.INT8 not in machine_tiers():
        pytest.skip("this processor has no AVX-512 VNNI")
    assert tiers(8, 8) == {Tier.INT8}
    assert tiers(8, 12) == {Tier.INT16}
    wide = compile_graph(lowered(arch, 24, 24)).steps
    assert not any(isinstance(s, TapsStep) for s in wide)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("more", [False, True])
def test_threads_share_a_clip(variant: str, more: bool) -> None:
    """Words and the state at the end are those of one thread, from any frame on."""
    graph = lowered(VARIANTS[variant], 8, 8)
    plan = replace(compile_graph(graph), chunk_frames=16)
    clip = random_clip(np.random.default_rng(3), graph, 700)
    one, several = initial_state(plan), initial_state(plan)
    for first, last in ((0, 5), (5, 400), (400, 700)):
        keep = more or last < 700
        expected, one = run(plan, clip[first:last], one, more=keep)
        found, several = run(plan, clip[first:last], several, more=keep, threads=3)
        for name in graph.outputs:
            assert found[name].shape == expected[name].shape
            assert (found[name] == expected[name]).all()
    before, after = snapshot(plan, one), snapshot(plan, several)
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)


@settings(deadline=None, max_examples=60)
@given(graphs_with_clips(max_frames=40), st.integers(2, 4))
def test_threads_share_clips_of_any_graph(case: tuple[Graph, IntArray], threads: int) -> None:
    graph, clip = case
    plan = replace(compile_graph(graph), chunk_frames=3)
    assert_equal(plan, clip, run(plan, clip, threads=threads)[0])


def test_threads_have_shares_to_do() -> None:
    graph = lowered(VARIANTS["rtstgcn"], 8, 8)
    plan = compile_graph(graph)
    shares = stretches(graph, plan.timing, 0, 700, 3)
    assert len(shares) == 3
    assert [s.first for s in shares[1:]] == [s.last for s in shares[:-1]]
    assert (shares[0].start, shares[-1].last) == (0, 700)
    assert all(s.first - s.start == reach(graph, plan.timing) for s in shares[1:])
    assert len(stretches(graph, plan.timing, 0, 20, 3)) == 1  # not worth it
