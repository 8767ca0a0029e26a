from dataclasses import replace
from typing import assert_never

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fxp.accumulators import scale_shift
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
from fxp.qformat import Cast, QFormat
from fxp.ranges import analyse
from fxp.spec import ArchSpec, QuantSpec
from fxp.validate import describe
from hw_model.blueprint import blueprint
from hw_model.cost import estimate
from hw_model.loops import Loop, State, Words, loop_nest
from hw_model.widths import widths_of
from tests.accelerators import machine, small_archs, temporal_graph, tiny_graph
from tests.strategies import random_graph


def loops_of(graph: Graph) -> dict[str, Loop]:
    return {loop.name: loop for loop in loop_nest(graph)}


def test_work_of_the_tiny_graph() -> None:
    work = {
        name: (loop.macs_dense, loop.macs_sparse, loop.multiplies, loop.adds)
        for name, loop in loops_of(tiny_graph()).items()
    }
    assert work == {
        "input": (0, 0, 0, 0),
        "block.conv": (24, 24, 0, 0),  # 4 outputs x 2 inputs x 3 joints
        "block.conv.q": (0, 0, 0, 12),  # one rounding add per word: 4 channels x 3 joints
        "block.graph": (36, 6, 0, 0),  # 2 channels x (2 x 3 x 3 entries | 3 edges)
        "block.graph.q": (0, 0, 0, 6),  # 2 channels x 3 joints
        "block.sum": (0, 0, 0, 12),  # one in, one out, per word
        "block.norm": (0, 0, 0, 6),  # a scale of 4 is a shift: the bias is added
        "block.norm.q": (0, 0, 0, 6),
        "block.add": (0, 0, 0, 6),
        "block.add.q": (0, 0, 0, 6),
        "pool": (0, 0, 2, 6),  # 6 words summed into 2, each multiplied by 11
        "pool.q": (0, 0, 0, 2),
        "classifier": (6, 6, 0, 0),  # 3 classes x 2 channels x 1 joint
        "logits": (0, 0, 0, 3),
        "label": (0, 0, 0, 3),  # 3 comparisons
    }


def test_storage_of_the_tiny_graph() -> None:
    loops = loops_of(tiny_graph())
    stored = {
        name: (loop.weights, loop.weights_sparse, loop.bias)
        for name, loop in loops.items()
        if loop.weights.words or loop.bias.words
    }
    none = Words()
    assert stored == {
        # 8 weights of 4 bits; 4 biases of 8 + 4 + log2(2) = 13 bits
        "block.conv": (Words(8, 32), Words(8, 32), Words(4, 52)),
        # dense 18 entries of 5 bits; sparse 1 + 2 + max(1, 0) entries of 5 bits, 3 bits for one of
        # 6 sources, 1 bit that ends a joint
        "block.graph": (Words(18, 90), Words(4, 36), none),
        # no scale; 2 biases of 9 (the sum's) + 2 (shift) + 1 bits
        "block.norm": (none, none, Words(2, 24)),
        "pool": (Words(1, 5), Words(1, 5), none),  # 11 with a sign
        # 6 weights of 4 bits; 3 biases of 6 + 4 + log2(2) = 11 bits
        "classifier": (Words(6, 24), Words(6, 24), Words(3, 33)),
    }
    assert loops["block.sum"].state == (
        State("fifo", "block.graph.q", frames=3 * 2, frame_words=6, word_bits=7),
        State("accumulator", "block.sum", frames=2, frame_words=6, word_bits=7 + 2),  # log2(3) up
    )
    assert [state.size for state in loops["block.sum"].state] == [Words(36, 252), Words(12, 108)]
    assert all(not loop.state for name, loop in loops.items() if name != "block.sum")


def test_bounds_and_widths_of_the_tiny_graph() -> None:
    loops = loops_of(tiny_graph())
    conv, graph = loops["block.conv"], loops["block.graph"]
    assert (conv.inputs, conv.outputs, conv.joints, conv.partitions) == (2, 4, 3, 2)
    assert (graph.inputs, graph.outputs, graph.partitions) == (4, 2, 2)
    assert (graph.edges, graph.edge_slots) == (3, 4)
    assert loops["classifier"].partitions == 1
    assert (conv.weight_bits, conv.operand_bits, conv.accumulator_bits) == (4, 8, 13)
    assert (graph.weight_bits, graph.operand_bits) == (5, 6)
    assert graph.accumulator_bits == 6 + 5 + 3  # log2 of 6 terms, up
    add = loops["block.add"]
    assert (add.reads_bits, add.operand_bits, add.accumulator_bits) == ((6, 8), 8, 9)
    assert loops["block.add.q"].accumulator_bits == 9  # it rounds the sum
    assert loops["pool"].result == Words(2, 2 * 12)
    assert loops["label"].result == Words(1, 2)  # 3 classes need 2 bits
    assert loops["block.add.q"].layer == "block" and loops["logits"].is_output


def test_temporal_convolution_and_delay_line() -> None:
    """3 taps, dilation 2, symmetric: 2 frames ahead, so the other operand waits 2 frames."""
    loops = loops_of(temporal_graph())
    conv = loops["t"]
    assert conv.macs_dense == conv.macs_sparse == 4 * 2 * 3 * 3  # outputs, inputs, taps, joints
    assert conv.weights == Words(24, 120)
    assert conv.accumulator_bits == 7 + 5 + 3  # 6 terms
    assert conv.bias == Words(4, 4 * 15)
    # the frames from the oldest tap to the newest: (3 - 1) * 2 + 1
    assert conv.state == (State("fifo", "c.q", 5, 6, 7, past_reads=2),)
    assert loops["sum"].state == (State("delay", "r.q", 2, 12, 9),)


def test_work_of_a_layer_norm() -> None:
    """2 channels, 5 joints: 10 words, each squared, times 10, times the root; 2 Newton steps."""
    node = LayerNorm("n", "input", np.array([9]), reciprocal_root_seeds(), 2, 10)
    loop = loops_of(Graph("g", (Input("input", 2, 5, QFormat(8, 0)), node), ("n",)))["n"]
    assert (loop.macs_dense, loop.multiplies, loop.adds) == (0, 3 * 10 + 2 + 3 * 2, 4 * 10 + 2 + 2)
    assert loop.weights == Words(48, 48 * 19)
    assert loop.bias == Words(1, 5)  # 9 with a sign
    # at most sqrt(10 - 1) = 3 units of 2**10, and a sign
    assert (loop.accumulator_bits, loop.result) == (13, Words(10, 130))
    assert loop.state == ()


def test_work_of_a_softmax() -> None:
    """3 channels, 5 joints: 15 words, 9 quotient bits each."""
    one = np.array([16, 4, 0])
    for fine, products, entries in ((np.array([16]), 0, 3), (np.array([16, 8]), 15, 5)):
        nodes = (Input("input", 3, 5, QFormat(8, 0)), Softmax("n", "input", one, fine, 4, 8))
        loop = loops_of(Graph("g", nodes, ("n",)))["n"]
        assert (loop.macs_dense, loop.multiplies) == (0, products)
        assert loop.adds == 3 * 15 + 9 * 15 + products
        assert loop.weights == Words(entries, entries * 5)
        assert (loop.accumulator_bits, loop.bias, loop.state) == (10, Words(), ())


def test_strides_thin_the_frames_out() -> None:
    graph = temporal_graph()
    t, r = (node for node in graph.nodes if node.name in "tr")
    cube = Weights(np.zeros((4, 2, 1), np.int64), 5, (0,))
    strided = {"t": replace(t, stride=2), "r": TemporalConv("r", "input", cube, r.bias, stride=2)}
    nodes = tuple(strided.get(node.name, node) for node in graph.nodes)
    loops = loops_of(replace(graph, nodes=nodes))
    assert {name: loop.period for name, loop in loops.items()} == {
        "input": 1, "c": 1, "c.q": 1, "t": 2, "t.q": 2, "r": 2, "r.q": 2, "sum": 2, "sum.q": 2,
    }  # fmt: skip
    assert loops["t"] == replace(loops_of(graph)["t"], period=2)
    assert loops["sum"].state == (State("delay", "r.q", 1, 12, 9),)  # 2 frames of the input
    cost = estimate(replace(graph, nodes=nodes), machine())
    assert cost.macs == 12 + 72 + 24
    assert cost.macs_mean == 12 + 72 / 2 + 24 / 2


def test_work_of_a_clip_mean_and_of_what_runs_once_per_clip() -> None:
    nodes = (
        *temporal_graph().nodes[:3],
        ClipMean("m", "c.q", 4, 300),
        Requantise("m.q", "m", Cast(QFormat(8, 0))),
        Conv("once", "m.q", Weights(np.zeros((5, 2), np.int64), 4, (0,)), np.zeros(5, np.int64)),
    )
    graph = Graph("g", nodes, ("once",))
    loops = loops_of(graph)
    assert (loops["m"].adds, loops["m"].period) == (6, 1)
    assert loops["m"].accumulator_bits == 7 + 4
    assert loops["m"].state == (State("accumulator", "m", 1, 6, 7 + 9),)  # 2**9 frames hold 300
    assert [loops[name].period for name in ("c", "m.q", "once")] == [1, 0, 0]
    cost = estimate(graph, machine())
    assert (cost.macs, cost.macs_mean) == (12 + 30, 12)


def test_a_multiplier_only_where_scales_differ_or_are_no_power_of_two() -> None:
    def affine(*scale: int) -> Affine:
        raw = np.array(scale, np.int64)[:, None]
        return Affine("a", "input", Weights(raw, 6, (0,)), np.zeros((len(scale), 1), np.int64))

    shifts = {(1, 1): 0, (8, 8): 3, (16,): 4}
    for scale, shift in shifts.items():
        assert scale_shift(affine(*scale)) == shift
    for scale in ((0, 0), (4, 8), (3, 3), (-4, -4)):
        assert scale_shift(affine(*scale)) is None
    for scale, multiplies in (((8, 8), 0), ((4, 8), 2 * 5)):
        nodes = (Input("input", 2, 5, QFormat(8, 0)), affine(*scale))
        loop = loops_of(Graph("g", nodes, ("a",)))["a"]
        assert (loop.multiplies, loop.adds, loop.weights.words) == (
            multiplies,
            10,
            2 if multiplies else 0,
        )


def naive_macs(node: Node, joints: int, sparse: bool) -> int:
    """Counted one by one, over the definition's loops."""
    match node:
        case Conv():
            return sum(1 for _ in np.ndindex(*node.weight.raw.shape, joints))
        case TemporalConv():
            return sum(1 for _ in np.ndindex(*node.weight.raw.shape, joints))
        case GraphProduct():
            return sum(1 for entry in node.adjacency.raw.flat if entry or not sparse)
        case Input() | TemporalSum() | Affine() | Add() | JointMean() | Requantise() | Argmax():
            return 0
        case Flatten() | ClipMean() | LayerNorm() | Softmax():
            return 0
        case _:
            assert_never(node)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_macs_of_random_graphs_counted_one_by_one(seed: int) -> None:
    graph = random_graph(np.random.default_rng(seed))
    values, loops = describe(graph), loops_of(graph)
    assert list(loops) == [node.name for node in graph.nodes]
    for node in graph.nodes:
        channels = values[node.name].channels if isinstance(node, GraphProduct) else 1
        joints, loop = values[node.name].joints, loops[node.name]
        assert loop.macs_dense == channels * naive_macs(node, joints, sparse=False)
        assert loop.macs_sparse == channels * naive_macs(node, joints, sparse=True)
        words = values[node.name].channels * joints
        assert loop.result.words == words
        works = loop.macs_dense + loop.multiplies + loop.adds
        assert (works > 0) == (loop.kind not in ("input", "flatten"))


@settings(max_examples=100)
@example(387)  # an Add of two accumulators that both reach their positive end
@given(st.integers(0, 2**32 - 1))
def test_widths_hold_every_value_of_random_graphs(seed: int) -> None:
    """No value leaves its width, whatever the weights (biases apart, which get a bit of room)."""
    graph = random_graph(np.random.default_rng(seed))
    nodes = tuple(
        replace(node, bias=np.zeros_like(node.bias))
        if isinstance(node, Conv | TemporalConv | Affine)
        else node
        for node in graph.nodes
    )
    graph = replace(graph, nodes=nodes)
    widths = widths_of(graph, describe(graph))
    for name, signal in analyse(graph).items():
        bound = 1 << widths[name].magnitude_bits
        assert -bound <= min(signal.lo) and max(signal.hi) <= bound, name
        signed = min(signal.lo) < 0
        assert signal.width_bits <= widths[name].bits + (not signed), name


@settings(max_examples=25)
@given(small_archs(), st.integers(2, 12), st.integers(2, 12))
def test_weights_do_not_matter(arch: ArchSpec, weight_bits: int, activation_bits: int) -> None:
    """Only edges, powers of two and widths count: random weights give the same loops as zeros."""
    graph = blueprint(arch, QuantSpec(weight_bits=weight_bits, activation_bits=activation_bits))
    rng = np.random.default_rng(0)

    def shuffled(node: Node) -> Node:
        if isinstance(node, Conv | TemporalConv):
            raw = rng.integers(-1, 2, node.weight.raw.shape)
            return replace(node, weight=replace(node.weight, raw=raw), bias=node.bias + 1)
        return node

    other = replace(graph, nodes=tuple(shuffled(node) for node in graph.nodes))
    assert loop_nest(graph) == loop_nest(other)


@settings(max_examples=25)
@given(small_archs(), st.integers(0, 2), st.integers(1, 3))
def test_a_larger_window_or_dilation_keeps_more_state(
    arch: ArchSpec, layer: int, more: int
) -> None:
    layer %= len(arch.channels)

    def state_bits(of: ArchSpec) -> int:
        loops = loop_nest(blueprint(of, QuantSpec()))
        return sum(state.size.bits for loop in loops for state in loop.state)

    for key in ("window", "dilation"):
        grown = list(getattr(arch, key))
        grown[layer] += more
        larger = arch.model_copy(update={key: tuple(grown)})
        # one tap has no past: dilation then changes nothing
        same = key == "dilation" and arch.window[layer] == 1 and arch.family == "costgcn"
        assert (
            (state_bits(larger) == state_bits(arch))
            if same
            else (state_bits(larger) > state_bits(arch))
        )
