"""Ranges against brute force: sound on random graphs, tight on what can be exhausted."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxp.cast import requantise
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
    IntArray,
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
from fxp.oracle import evaluate
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.ranges import Signal, analyse, cast_range, certify, clip_sum_bits, inner_bits, signed_bits
from tests.strategies import OVERFLOWS, ROUNDINGS, graphs_with_clips, random_graph


def weights(raw: list, frac_bits: tuple[int, ...] = (0,), word_bits: int = 8) -> Weights:
    return Weights(np.array(raw, np.int64), word_bits, frac_bits)


def words(raw: list) -> IntArray:
    return np.array(raw, np.int64)


# ---------------------------------------------------------------------------- widths


def test_signed_bits_is_the_narrowest_word_that_holds_both_ends() -> None:
    for lo, hi in product(range(-70, 71), repeat=2):
        if lo <= hi:
            fits = [b for b in range(1, 9) if -(2 ** (b - 1)) <= lo and hi <= 2 ** (b - 1) - 1]
            assert signed_bits(lo, hi) == fits[0], (lo, hi)


@pytest.mark.parametrize("word_bits", range(1, 33))
def test_a_temporal_sum_needs_ceil_log2_window_guard_bits(word_bits: int) -> None:
    for window in (*range(1, 70), 127, 128, 129, 1000, 1024, 1025):
        guard_bits = next(bits for bits in range(12) if 2**bits >= window)
        nodes = (Input("x", 1, 1, QFormat(word_bits, 0)), TemporalSum("y", "x", window))
        widths = certify(Graph("g", nodes, ("y",)))
        assert widths == {"x": word_bits, "y": word_bits + guard_bits}


def test_certify_gives_every_width_and_refuses_one_bit_less() -> None:
    # x is -8..7. c = 3x - 5y with |x|, |y| <= 8: -3*8-5*7 .. 3*7+5*8 = -59..61, 7 bits.
    # a = c + c: -118..122, 8 bits; q is a 6-bit word, the label of one channel needs 1 bit.
    nodes = (
        Input("x", 2, 1, QFormat(4, 0)),
        Conv("c", "x", weights([[3, -5]]), words([0])),
        Add("a", "c", "c"),
        Requantise("q", "a", Cast(QFormat(6, 0))),
        Argmax("l", "q"),
    )
    graph = Graph("g", nodes, ("l",), accumulator_bits=8)
    assert certify(graph) == {"x": 4, "c": 7, "a": 8, "q": 6, "l": 1}
    with pytest.raises(GraphError) as caught:
        certify(replace(graph, accumulator_bits=7))
    assert str(caught.value) == (
        "node `a`: the accumulator needs 8 bits in the worst case, `accumulator_bits` is 7"
    )


def test_stored_words_may_be_wider_than_the_accumulator() -> None:
    nodes = (
        Input("x", 1, 1, QFormat(8, 0)),
        Affine("a", "x", weights([[1]], word_bits=2), words([[-200]])),
        Requantise("q", "a", Cast(QFormat(32, 30))),
    )
    widths = certify(Graph("g", nodes, ("q",), accumulator_bits=10))
    assert widths["a"] == 10  # -328..-73
    assert widths["q"] == 32


def layer_norm(epsilon: int = 0, frac_bits: int = 10) -> LayerNorm:
    return LayerNorm("y", "x", words([epsilon]), reciprocal_root_seeds(), 2, frac_bits)


def test_a_layer_norm_is_refused_where_a_sum_inside_it_needs_more_than_63_bits() -> None:
    # unsigned: N * S1 = 64**2 * (2**w - 1)**2 takes 12 + 2w bits and a sign
    for bits, epsilon, fits in ((25, 0, True), (26, 0, False), (25, 2**62 - 1, False)):
        nodes = (Input("x", 64, 1, QFormat(bits, 0, signed=False)), layer_norm(epsilon))
        graph = Graph("g", nodes, ("y",))
        if fits:
            assert certify(graph)["y"] == 14  # sqrt(63) * 1024 = 8127.7, and its root's error
        else:
            with pytest.raises(GraphError, match=r"^node `y`: a sum inside it needs 6[45] bits"):
                certify(graph)


def test_a_numerator_times_its_root_counts_as_well() -> None:
    def inside(words: int, bits: int, frac_bits: int) -> int:
        nodes = (Input("x", words, 1, QFormat(bits, 0)), layer_norm(0, frac_bits))
        signals = analyse(Graph("g", nodes, ("y",)))
        return inner_bits(nodes[1], [signals["x"]])

    # N * S1 = 2**26 * 2**34, and a sign
    assert inside(8192, 18, 10) == 62
    # N * S1 = 16 * 2**14; numerators (4 - 1) * 255, times 2**19: 30 bits; half of 2**(18 + 10)
    assert inside(4, 8, 18) == 30
    assert inside(4, 8, 0) == 31
    assert inside(1, 8, 18) == 16  # the numerator of a single word is 0; 2**14


def test_range_of_a_clip_mean_and_the_registers_inside_it() -> None:
    node = ClipMean("y", "x", 2, 5)
    graph = Graph("g", (Input("x", 1, 1, SMALL), node), ("y",))
    assert_tight(graph, every_clip(4, SMALL))
    x = analyse(graph)["x"]
    assert clip_sum_bits(node, x) == 5  # -10..5
    assert inner_bits(node, [x]) == 1 + 7  # 5 * (2 << 3) + 5 = 85
    wide = replace(graph, nodes=(Input("x", 1, 1, QFormat(32, 0)), replace(node, max_frames=2**28)))
    with pytest.raises(GraphError, match=r"^node `y`: a sum inside it needs 64 bits"):
        certify(wide)


def test_range_of_a_softmax_and_the_registers_inside_it() -> None:
    node = Softmax("y", "x", words([16, 1, 0]), words([16]), 4, 9)
    graph = Graph("g", (Input("x", 2, 2, SMALL), node), ("y",))
    assert_tight(graph, [every_word(2, 2, SMALL)])
    signals = analyse(graph)
    assert inner_bits(node, [signals["x"]]) == 1 + 14  # 16 << 9
    assert inner_bits(replace(node, frac_bits=0), [signals["x"]]) == 1 + 9  # 16 * 16 + 8
    many = replace(signals["x"], channels=100)
    assert inner_bits(replace(node, frac_bits=0), [many]) == 1 + 11  # 100 * 16


@pytest.mark.parametrize("frac_bits", [0, 6, 18])
@pytest.mark.parametrize("epsilon", [0, 1, 50])
def test_range_of_a_layer_norm_over_every_frame(frac_bits: int, epsilon: int) -> None:
    graph = Graph("g", (Input("x", 2, 2, SMALL), layer_norm(epsilon, frac_bits)), ("y",))
    values = evaluate(graph, every_word(2, 2, SMALL))["y"]
    (hi,) = set(analyse(graph)["y"].hi)
    assert np.abs(values).max() <= hi
    if epsilon == 0:  # sqrt(3), and the error of the worst mantissa
        assert hi - np.abs(values).max() <= max(1, 2**frac_bits * 1e-5 * 3)


def test_certify_validates_first() -> None:
    with pytest.raises(GraphError, match=r"^node `y`: operand `z` is no earlier node$"):
        certify(Graph("g", (Input("x", 1, 1, QFormat(4, 0)), Argmax("y", "z")), ("y",)))


def test_wide_constants_do_not_wrap_the_analysis() -> None:
    # 40 products of 32 by 32 bits: 40 * 2**31 * 2**31 = 40 * 2**62, beyond int64
    raw = np.full((1, 40), -(2**31), np.int64)
    nodes = (
        Input("x", 40, 1, QFormat(32, 0)),
        Conv("c", "x", Weights(raw, 32, (0,)), words([0])),
    )
    signal = analyse(Graph("g", nodes, ("c",)))["c"]
    assert (signal.lo, signal.hi) == ((-40 * 2**31 * (2**31 - 1),), (40 * 2**62,))
    with pytest.raises(GraphError, match="the accumulator needs 69 bits in the worst case"):
        certify(Graph("g", nodes, ("c",), accumulator_bits=63))


# ---------------------------------------------------------------------------- casts


@pytest.mark.parametrize("mode", OVERFLOWS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_cast_range_is_the_image_of_the_interval(rounding: Rounding, mode: Overflow) -> None:
    raws = np.arange(-9, 10)
    for word_bits, signed, shift in product((1, 2, 3), (True, False), range(-4, 4)):
        cast = Cast(QFormat(word_bits, 1 - shift, signed), rounding, mode)
        for relu in (False, True):
            image = np.array([requantise(raw, 1, cast, relu) for raw in raws.tolist()])
            for start, lo in enumerate(raws.tolist()):
                lows = np.minimum.accumulate(image[start:]).tolist()
                highs = np.maximum.accumulate(image[start:]).tolist()
                found = [cast_range(lo, hi, 1, cast, relu) for hi in raws[start:].tolist()]
                assert found == list(zip(lows, highs, strict=True)), (cast, lo, relu)


def test_requantise_uses_each_channels_binary_point() -> None:
    # both channels are -8..7 in words; shift 0 keeps them, shift 2 rounds to -2..2
    nodes = (
        Input("x", 2, 1, QFormat(4, 0)),
        Affine("a", "x", weights([[1], [1]], (0, 2)), words([[0], [0]])),
        Requantise("q", "a", Cast(QFormat(8, 0))),
        Requantise("r", "a", Cast(QFormat(8, 0)), relu=True),
    )
    signals = analyse(Graph("g", nodes, ("q",)))
    assert signals["q"] == Signal(2, 1, (-8, -2), (7, 2), (0,), stored=True)
    assert signals["r"] == Signal(2, 1, (0, 0), (7, 2), (0,), stored=True)


# ---------------------------------------------------------------------------- tightness


def every_word(channels: int, joints: int, fmt: QFormat) -> IntArray:
    """A clip of all frames there are, (T, C, V)."""
    each = range(fmt.raw_min, fmt.raw_max + 1)
    frames = list(product(each, repeat=channels * joints))
    return np.array(frames).reshape(-1, channels, joints)


def assert_tight(graph: Graph, clips: list[IntArray]) -> None:
    """`clips` holds every input there is: each range must be met at both ends, by channel."""
    values = [evaluate(graph, clip) for clip in clips]
    for name, signal in analyse(graph).items():
        lo = np.min([value[name].min(axis=(0, 2)) for value in values], axis=0)
        hi = np.max([value[name].max(axis=(0, 2)) for value in values], axis=0)
        assert (signal.lo, signal.hi) == (tuple(lo.tolist()), tuple(hi.tolist())), name


SMALL = QFormat(2, 0)


@pytest.mark.parametrize(
    ("channels", "joints", "node"),
    [
        (3, 1, Conv("y", "x", weights([[2, -3, 0], [1, 1, 5], [0, 0, 0]]), words([7, -4, 1]))),
        (2, 2, GraphProduct("y", "x", weights([[[1, -2], [3, 0]], [[-5, 1], [2, 2]]]))),
        (2, 2, GraphProduct("y", "x", weights([[[1, -2], [3, 0]], [[-5, 1], [2, 2]]], (2, 0)))),
        (2, 2, GraphProduct("y", "x", weights([[[1, -2], [3, -1]]]))),
        (2, 2, Affine("y", "x", weights([[3], [-2]]), words([[1], [-1]]))),
        (2, 2, Affine("y", "x", weights([[3, -1], [-2, 0]]), words([[1, 9], [-1, 0]]))),
        (2, 2, Affine("y", "x", weights([[3], [-2]]), words([[1, 9], [-1, 0]]))),
        (2, 2, Affine("y", "x", weights([[3, -1], [-2, 0]]), words([[1], [-1]]))),
        (2, 2, Flatten("y", "x")),
        (1, 3, JointMean("y", "x", 5, 4)),
        (2, 2, Requantise("y", "x", Cast(QFormat(2, -1)), relu=True)),
        (2, 2, Argmax("y", "x")),
    ],
)
@pytest.mark.parametrize("fmt", [SMALL, QFormat(2, 0, signed=False)])
def test_ranges_of_nodes_without_memory(
    channels: int, joints: int, node: Node, fmt: QFormat
) -> None:
    graph = Graph("g", (Input("x", channels, joints, fmt), node), ("y",))
    assert_tight(graph, [every_word(channels, joints, fmt)])


def every_clip(frames: int, fmt: QFormat) -> list[IntArray]:
    """All clips of one channel and joint of up to so many frames."""
    each = range(fmt.raw_min, fmt.raw_max + 1)
    return [
        np.array(clip).reshape(-1, 1, 1)
        for n in range(1, frames + 1)
        for clip in product(each, repeat=n)
    ]


@pytest.mark.parametrize("offset", [-9, 0, 9])  # all negative, both signs, all positive
@pytest.mark.parametrize(("window", "dilation"), [(1, 1), (2, 1), (3, 1), (2, 2), (4, 1)])
def test_ranges_of_temporal_sums(window: int, dilation: int, offset: int) -> None:
    nodes = (
        Input("x", 1, 1, SMALL),
        Affine("a", "x", weights([[1]]), words([[offset]])),
        TemporalSum("y", "a", window, dilation),
    )
    assert_tight(Graph("g", nodes, ("y",)), every_clip(4, SMALL))


@pytest.mark.parametrize("offset", [-4, 0, 4])
@pytest.mark.parametrize(
    ("taps", "dilation", "lookahead"),
    [
        ([3], 1, 0),
        ([2, -3], 1, 0),
        ([2, -3], 1, 1),
        ([2, 3], 2, 1),  # no tap reads the frame itself
        ([1, -2, 3], 1, 0),
        ([1, -2, 3], 1, 1),
        ([1, 2, 3], 1, 1),
        ([-1, 2, -3], 1, 2),
        ([3, 1, 2, -5], 1, 2),
    ],
)
def test_ranges_of_temporal_convolutions(
    taps: list[int], dilation: int, lookahead: int, offset: int
) -> None:
    """Every place of a tap relative to both ends of a clip, with operands of either sign."""
    bits = QFormat(1, 0)
    nodes = (
        Input("x", 1, 1, bits),
        Affine("a", "x", weights([[1]]), words([[offset]])),
        Requantise("q", "a", Cast(QFormat(8, 0))),
        TemporalConv("y", "q", weights([[taps]]), words([6]), dilation, lookahead),
    )
    assert_tight(Graph("g", nodes, ("y",)), every_clip(6, bits))


def test_range_of_an_add_aligned_by_channel() -> None:
    # x is -2..1 (F=0); a counts units and quarters, so channel 1 of x is shifted left by 2:
    # channel 0: -2-2..1+1, channel 1: -2*4-2..1*4+1. An operand counts as independent of itself.
    nodes = (
        Input("x", 2, 1, SMALL),
        Affine("a", "x", weights([[1], [1]], (0, 2)), words([[0], [0]])),
        Add("y", "x", "a"),
        Add("z", "a", "x"),
    )
    signals = analyse(Graph("g", nodes, ("y",)))
    expected = Signal(2, 1, (-4, -10), (2, 5), (0, 2), stored=False)
    assert signals["y"] == signals["z"] == expected


# ---------------------------------------------------------------------------- soundness


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(graphs_with_clips(max_frames=8))
def test_no_value_leaves_its_range(pair: tuple[Graph, IntArray]) -> None:
    graph, clip = pair
    signals, values = analyse(graph), evaluate(graph, clip)
    for name, signal in signals.items():
        value = values[name]
        assert value.shape[1:] == (signal.channels, signal.joints)
        assert (value >= np.array(signal.lo)[:, None]).all(), name
        assert (value <= np.array(signal.hi)[:, None]).all(), name


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_graphs_are_certified_as_drawn(seed: int) -> None:
    graph = random_graph(np.random.default_rng(seed))
    widths = certify(graph)
    accumulators = [
        widths[node.name]
        for node in graph.nodes
        if not isinstance(node, Input | Requantise | Argmax)
    ]
    assert max(accumulators, default=0) <= graph.accumulator_bits <= 62
