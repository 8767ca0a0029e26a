"""Words and sums beyond 32 bits: every kind of product at the ends of what it holds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.errors import GraphError
from fxp.fused.products import taps_of
from fxp.fused.steps import CrossedStep, ProductStep, SingleStep, Step, TapsStep, WideStep
from fxp.fused.tiers import Tier, machine_tiers
from fxp.fused.wide import MOST_CARRIED_BITS, _carry
from fxp.ir import Conv, Graph, Input, IntArray, Requantise, TemporalConv, Weights
from fxp.kernels.finish import CARRY_BITS
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.simulate import Plan, compile_graph, run
from tests.test_fused import SETS

SLOW = frozenset({Tier.GENERIC})
RND, EVEN, TRN = Rounding.RND, Rounding.RND_CONV, Rounding.TRN


def graph_of(
    weight: IntArray,
    bias: IntArray,
    word_bits: int,
    casts: tuple[tuple[Cast, bool], ...],
    *,
    relu: bool = False,
    taps: int = 0,
) -> Graph:
    """Words, perhaps without a sign, through a convolution and casts of it, or as it is."""
    inputs = weight.shape[1]
    fmt = QFormat(word_bits, word_bits - 1)
    weights = Weights(weight, 32, (0,))
    x = "x"
    nodes: list[Input | Conv | TemporalConv | Requantise] = [Input("x", inputs, 2, fmt)]
    if relu:
        nodes.append(Requantise("r", "x", Cast(fmt), relu=True))
        x = "r"
    if taps:
        nodes.append(TemporalConv("y", x, weights, bias, dilation=2, lookahead=2))
    else:
        nodes.append(Conv("y", x, weights, bias))
    nodes += [Requantise(f"q{k}", "y", cast, low) for k, (cast, low) in enumerate(casts)]
    outs = tuple(f"q{k}" for k in range(len(casts))) or ("y",)
    return Graph("net", tuple(nodes), outs, 63)


def at_the_ends(graph: Graph, weight: IntArray, frames: int, seed: int) -> IntArray:
    """Words that give some channel its largest or smallest sum, and random ones."""
    rng = np.random.default_rng(seed)
    node = graph.nodes[0]
    assert isinstance(node, Input)
    low, high = node.fmt.raw_min, node.fmt.raw_max
    clip = rng.integers(low, high, (frames, node.channels, node.joints), endpoint=True)
    flat = weight.reshape(*weight.shape[:2], -1).sum(axis=2)
    for frame in range(0, frames, 2):
        row = flat[rng.integers(len(flat))]
        up = rng.random() < 0.5
        clip[frame, :, 0] = np.where((row > 0) == up, high, low)
    return clip.astype(np.int64)


def steps_of(plan: Plan) -> list[Step]:
    kinds = (CrossedStep, ProductStep, TapsStep, WideStep, SingleStep)
    return [step for step in plan.steps if isinstance(step, kinds)]


def products(plan: Plan) -> list[ProductStep]:
    steps = (getattr(step, "product", step) for step in steps_of(plan))
    return [step for step in steps if isinstance(step, ProductStep)]


def compare(graph: Graph, clip: IntArray, tiers: str) -> Plan:
    expected, _ = run(compile_graph(graph, tiers=SLOW), clip)
    plan = compile_graph(graph, tiers=SETS[tiers])
    found, _ = run(plan, clip)
    for name in graph.outputs:
        assert (found[name] == expected[name]).all(), name
    return plan


def random_weight(bits: int, shape: tuple[int, ...], seed: int, *, ends: bool) -> IntArray:
    rng = np.random.default_rng(seed)
    most = (1 << (bits - 1)) - 1
    if ends:
        return rng.choice(np.array([-most - 1, most, most, 0]), shape)
    return np.clip(rng.normal(0, most / 4, shape), -most, most).astype(np.int64)


@pytest.mark.parametrize("tiers", SETS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("word_bits", [6, 12, 16, 24])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (37, 70), (64, 64), (130, 33)])
def test_carried_sums_in_every_storage(
    inputs: int, outputs: int, word_bits: int, relu: bool, tiers: str
) -> None:
    """16 bits by 16 bits, partial tiles and panels, odd inputs."""
    weight = random_weight(16, (outputs, inputs), 1, ends=False)
    weight[0] = 2**15 - 1  # the sums of one channel are as large as any
    bias = np.arange(outputs, dtype=np.int64) * 2**33 - 2**34
    cast = Cast(QFormat(word_bits, 0), RND), relu
    shift = 16 + 12 - min(word_bits, 16) // 2
    cast = Cast(QFormat(word_bits, 15 - shift), RND), relu
    graph = graph_of(weight, bias, 16, (cast,), relu=relu)
    plan = compare(graph, at_the_ends(graph, weight, 7, 0), tiers)
    if relu and inputs > 1:
        (step,) = products(plan)
        assert step.carry > 0


@pytest.mark.parametrize("tiers", SETS)
@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(
    "casts",
    [
        (),
        ((Cast(QFormat(16, 0), EVEN), False),),
        ((Cast(QFormat(8, -5), TRN, Overflow.SAT_SYM), True),),
        ((Cast(QFormat(32, 12), RND), False),),
        ((Cast(QFormat(16, 0), RND), False), (Cast(QFormat(8, -3), EVEN), True)),
        ((Cast(QFormat(24, 2), EVEN), True), (Cast(QFormat(32, 3), RND), False)),
        ((Cast(QFormat(3, -30), RND), False),),
    ],
)
def test_every_cast_of_carried_sums(
    casts: tuple[tuple[Cast, bool], ...], ends: bool, tiers: str
) -> None:
    weight = random_weight(16, (21, 48), 2, ends=ends)
    bias = np.arange(21, dtype=np.int64) * 2**20 - 5
    graph = graph_of(weight, bias, 16, casts, relu=True)
    plan = compare(graph, at_the_ends(graph, weight, 6, 1), tiers)
    assert [step.carry > 0 for step in products(plan)] == [True]


@pytest.mark.parametrize("tiers", SETS)
def test_carried_taps(tiers: str) -> None:
    weight = random_weight(16, (19, 23, 3), 3, ends=True)
    cast = Cast(QFormat(16, -2), RND), False
    graph = graph_of(weight, np.full(19, 7), 16, (cast,), relu=True, taps=3)
    plan = compare(graph, at_the_ends(graph, weight, 12, 2), tiers)
    (step,) = steps_of(plan)
    assert isinstance(step, TapsStep) and step.product.carry > 0


@pytest.mark.parametrize("tiers", SETS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bits", [(17, 17), (18, 22), (20, 20), (24, 18), (24, 24), (27, 27)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (64, 33), (130, 64)])
def test_crossed_digits(
    inputs: int, outputs: int, bits: tuple[int, int], relu: bool, tiers: str
) -> None:
    words, weights = bits
    weight = random_weight(weights, (outputs, inputs), 4, ends=False)
    bias = np.arange(outputs, dtype=np.int64) * 2 ** (weights + 3) - 2**30 - 1
    cast = Cast(QFormat(words, -5), RND), relu
    graph = graph_of(weight, bias, words, (cast,), relu=relu)
    compare(graph, at_the_ends(graph, weight, 7, 3), tiers)


def test_what_is_crossed() -> None:
    """By bytes where the digits' sums stay within 16 bits; else in digits of 8 to 12 bits."""
    found = Counter[str]()
    for words, relu, shift in ((24, True, 24), (24, False, 24), (24, False, 22), (20, False, 18)):
        weight = random_weight(words, (32, 40), 5, ends=False)
        cast = Cast(QFormat(words, words - 1 - shift), RND), False
        graph = graph_of(weight, np.zeros(32, np.int64), words, (cast,), relu=relu)
        for tiers in SETS:
            plan = compare(graph, at_the_ends(graph, weight, 5, 4), tiers)
            (step,) = steps_of(plan)
            assert isinstance(step, CrossedStep)
            found[f"{step.low.dtype} {step.low_bits}"] += 1
    here = Tier.INT8 in machine_tiers()
    assert found["int8 8"] == (2 if here else 0)
    assert found["int16 12"] and found["int16 11"] and found["int16 9"]


@pytest.mark.parametrize("words", [24, 26])
@pytest.mark.parametrize("inputs", [100, 600])
def test_the_middle_of_crossed_digits_fits_32_bits(inputs: int, words: int) -> None:
    """All weights and words as large in both digits as they get; too many are not crossed."""
    low = 8 if words == 24 else 12
    weight = np.full((3, inputs), (2 ** (words - low - 1) - 200 << low) + 2 ** (low - 1) - 1)
    cast = Cast(QFormat(words, -11), RND), False
    graph = graph_of(weight, np.zeros(3, np.int64), words, (cast,), relu=True)
    clip = at_the_ends(graph, weight, 3, 7)
    clip[1] = 2 ** (words - 1) - 1
    for tiers in SETS:
        (step,) = steps_of(compare(graph, clip, tiers))
        if inputs == 600:
            assert isinstance(step, WideStep)
        elif words == 24 and tiers == "all" and Tier.INT8 in machine_tiers():
            assert isinstance(step, CrossedStep) and step.low.dtype == np.int8
        else:
            assert isinstance(step, CrossedStep)


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_any_convolution_of_any_width(data: st.DataObject) -> None:
    draw = data.draw
    words, weights = draw(st.integers(9, 28)), draw(st.integers(9, 28))
    inputs, outputs = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    seed = draw(st.integers(0, 2**32 - 1))
    ends, relu = draw(st.booleans()), draw(st.booleans())
    weight = random_weight(weights, (outputs, inputs), seed, ends=ends)
    roundings, overflows = st.sampled_from([RND, EVEN, TRN]), st.sampled_from(Overflow)
    formats = st.builds(QFormat, st.integers(2, 32), st.integers(-40, 20))
    cast = st.tuples(st.builds(Cast, formats, roundings, overflows), st.booleans())
    casts = tuple(draw(st.lists(cast, max_size=2)))
    bias = np.random.default_rng(seed).integers(-(2**40), 2**40, outputs)
    graph = graph_of(weight, bias, words, casts, relu=relu)
    try:
        compile_graph(graph)
    except GraphError:
        return
    compare(graph, at_the_ends(graph, weight, 5, seed), draw(st.sampled_from(sorted(SETS))))


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 2**15), st.integers(0, 2**32 - 1))
def test_no_sum_overflows_before_it_is_carried(
    taps: int, inputs: int, largest: int, seed: int
) -> None:
    """And one pair more would, if every word were as large as it can be."""
    weight = random_weight(16, (7, inputs, taps), seed, ends=seed % 2 == 0)
    node = TemporalConv("y", "x", Weights(weight, 16, (0,)), np.zeros(7, np.int64), 1, 0)
    lines = np.abs(taps_of(node))
    carry = _carry(lines, largest)
    pairs = -(-inputs // 2)

    def worst(groups: int) -> int:
        left, most = (1 << CARRY_BITS) - 1, 0
        for at in range(0, pairs, groups):
            piece = lines[:, 2 * at : 2 * (at + groups)].sum(axis=1)
            most = max(most, left + largest * int(piece.max()))
        return most

    assert carry <= pairs
    if carry:
        assert worst(carry) < 2**31
        assert int(lines.sum(axis=(0, 1)).max()) * largest < 2**MOST_CARRIED_BITS
    if carry < pairs:
        assert worst(carry + 1) >= 2**31 - 2**CARRY_BITS
