"""Cycles against the schedule's loops walked one cycle at a time, and accesses by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fxp.ir import (
    Conv,
    Flatten,
    Graph,
    GraphProduct,
    Input,
    LayerNorm,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Weights,
    operands,
)
from fxp.node_tables import exp_tables, reciprocal_root_seeds
from fxp.qformat import Cast, QFormat
from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec, QuantSpec
from hw_model.blueprint import blueprint
from hw_model.cost import estimate
from hw_model.flow import activation_buffers, flow_of
from hw_model.ledger import published_arch
from hw_model.loops import loop_nest
from hw_model.schedule import schedule
from tests.accelerators import machine, small_archs, temporal_graph, tiny_graph
from tests.strategies import random_graph

Edges = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Clock:
    """Counts the cycles of loops that are written out."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.cycles = 0

    def words(self, channels: int, joints: int) -> None:
        """Word by word, `lanes` at once."""
        for _ in range(joints):
            for _ in range(0, channels, self.lanes):
                self.cycles += 1

    def line_pass(self, channels: int, joints: int, turns: int = 1) -> None:
        for _ in range(turns):
            self.words(channels, joints)
        self.pipeline()

    def conv(self, inputs: int, outputs: int, joints: int, parts: int = 1, taps: int = 1) -> None:
        for _ in range(joints):
            for _ in range(parts):
                for _ in range(0, outputs, self.lanes):
                    for _ in range(taps):
                        for _ in range(inputs):
                            self.cycles += 1
        self.pipeline()

    def graph(self, channels: int, edges: Edges, sparse: bool) -> None:
        """`edges` (P, V, W): where the adjacency is not zero."""
        for _ in range(0, channels, self.lanes):
            for joint in range(edges.shape[2]):
                walked = [
                    at for at in np.ndindex(edges.shape[:2]) if edges[*at, joint] or not sparse
                ]
                for _ in walked or [()]:  # a joint without edges still takes its slot
                    self.cycles += 1
        self.pipeline()

    def pipeline(self) -> None:
        self.cycles += 2 + 9


def literal_cycles(arch: ArchSpec, edges: Edges, lanes: int, sparse: bool) -> dict[str, int]:
    """Cycles of every layer of a network, loop by loop."""
    parts, joints, _ = edges.shape
    layers: dict[str, Clock] = {}

    def layer(name: str) -> Clock:
        return layers.setdefault(name, Clock(lanes))

    layer("input").words(arch.in_channels, joints)
    # 12 x 16 bits on a multiplier of 8 x 8: digits of 7 bits without a sign, the topmost has 8
    layer("input_norm").line_pass(arch.in_channels, joints, 2 * 3)
    layer("embedding").conv(arch.in_channels, arch.embedding, joints)
    inputs = arch.embedding
    for i, outputs in enumerate(arch.channels):
        block = layer(f"block{i}")
        block.conv(inputs, outputs, joints, parts)
        block.graph(outputs, edges, sparse)
        if arch.family == "costgcn":
            block.conv(outputs, outputs, joints, taps=arch.window[i])
        if inputs != outputs:
            block.conv(inputs, outputs, joints)
            # taps that look ahead make the residual wait, so that the sum is a pass of its own
            if arch.family == "costgcn" and (arch.window[i] - 1) * arch.dilation[i] // 2:
                block.line_pass(outputs, joints)
        inputs = outputs
    most = (2**16 + joints // 2) // joints  # 1 / joints to 16 bits, beside a sign
    layer("pool").line_pass(inputs, joints, 1 + max(0, -(-(most.bit_length() + 1 - 8) // 7)))
    layer("classifier").conv(inputs, arch.classes, 1)
    for _ in range(arch.classes):
        layer("label").cycles += 1
    layer("label").pipeline()
    return {name: clock.cycles for name, clock in layers.items()}


@settings(max_examples=60, deadline=None)
@given(small_archs(), st.integers(1, 12), st.booleans())
def test_cycles_of_networks_walked_loop_by_loop(arch: ArchSpec, lanes: int, sparse: bool) -> None:
    adjacency = partitions(load_skeleton(arch.skeleton), arch.partition, arch.normalisation)
    wanted = literal_cycles(arch, adjacency != 0, lanes, sparse)
    engine = machine(lanes, adjacency="sparse" if sparse else "dense")
    cost = estimate(blueprint(arch, QuantSpec()), engine)
    assert {layer.layer: layer.cycles for layer in cost.layers if layer.cycles} == wanted
    assert cost.latency_cycles == sum(wanted.values()) + 2
    assert cost.interval_cycles == cost.latency_cycles - 2


@settings(max_examples=100, deadline=None)
@given(
    *(st.integers(1, 12) for _ in range(4)),
    st.integers(1, 3),
    st.integers(1, 32),
    st.integers(0, 2**32 - 1),
)
def test_formula_of_one_layer(
    joints: int, inputs: int, outputs: int, window: int, parts: int, lanes: int, seed: int
) -> None:
    """interval = V*ceil(Ci/N) + V*P*ceil(Co/N)*Ci + ceil(Co/N)*sum max(1, nnz) + 22, + 2."""
    adjacency = np.random.default_rng(seed).integers(0, 2, (parts, joints, joints))
    cast = Cast(QFormat(8, 0))
    weight = Weights(np.zeros((parts * outputs, inputs), np.int64), 8, (0,))
    nodes = (
        Input("input", inputs, joints, QFormat(8, 0)),
        Conv("layer.conv", "input", weight, np.zeros(parts * outputs, np.int64)),
        Requantise("layer.conv.q", "layer.conv", cast),
        GraphProduct("layer.graph", "layer.conv.q", Weights(adjacency, 8, (0,))),
        Requantise("layer.graph.q", "layer.graph", cast),
        TemporalSum("layer.sum", "layer.graph.q", window),
        Requantise("layer.sum.q", "layer.sum", cast, relu=True),
    )
    cost = estimate(Graph("g", nodes, ("layer.sum.q",)), machine(lanes))
    edges = np.count_nonzero(adjacency, axis=(0, 1))
    load = joints * -(-inputs // lanes)
    conv = joints * parts * -(-outputs // lanes) * inputs
    product = -(-outputs // lanes) * int(np.maximum(edges, 1).sum())
    assert cost.interval_cycles == load + conv + product + 22
    assert cost.latency_cycles == cost.interval_cycles + 2
    assert [layer.basis for layer in cost.layers if layer.cycles] == ["rtl"] * 2


def test_tiny_graph_by_hand() -> None:
    """2 lanes, V = 3, Ci = Co = 2, P = 2, 3 classes."""
    cost = estimate(tiny_graph(), machine(2))
    assert {layer.layer: layer.terms for layer in cost.layers} == {
        "input": {"load": 3 * 1},
        # conv 3 x 2 x 1 x 2; graph 1 x (1 + 2 + max(1, 0))
        "block": {"conv": 12, "pipeline": 2 * 11, "graph": 4},
        "pool": {"pool": 2 * 3, "pipeline": 11},  # a reciprocal of 5 bits, a multiplier of 4
        "classifier": {"classifier": 1 * 2 * 2, "pipeline": 11},
        "label": {"label": 3, "pipeline": 11},
    }
    assert cost.interval_cycles == 3 + 38 + 17 + 15 + 14 == 87
    assert cost.latency_cycles == 89
    dense = estimate(tiny_graph(), machine(2), adjacency="dense")
    assert dense.layers[1].terms["graph"] == 1 * 2 * 3 * 3


def test_accesses_of_the_tiny_graph_by_hand() -> None:
    loops = loop_nest(tiny_graph())
    steps = schedule(loops, flow_of(loops), machine(2))
    moved = {
        step.loop.name: (
            step.accesses.weight_reads.bits,
            step.accesses.activation_reads.bits,
            step.accesses.activation_writes.bits,
            step.accesses.state_reads.bits,
            step.accesses.state_writes.bits,
        )
        for step in steps
    }
    assert moved == {
        "input": (0, 0, 48, 0, 0),  # 6 words of 8 bits come in
        # a weight (4 bits) per MAC, a bias (13 bits) per result; each of 12 cycles
        # broadcasts one word
        "block.conv": (24 * 4 + 12 * 13, 12 * 8, 0, 0, 0),
        "block.conv.q": (0, 0, 72, 0, 0),  # 12 words of 6 bits wait for the graph product
        "block.graph": (4 * (5 + 3 + 1), 6 * 6, 0, 0, 0),  # an edge a cycle, a word per MAC
        "block.graph.q": (0, 0, 0, 0, 0),  # goes into the FIFO of the sum
        "block.sum": (0, 0, 0, 6 * 7 + 6 * 9, 6 * 7 + 6 * 9),  # FIFO and running sum
        "block.norm": (6 * 12, 0, 0, 0, 0),  # a bias (12 bits) per word
        "block.norm.q": (0, 0, 0, 0, 0),
        "block.add": (0, 6 * 8, 0, 0, 0),  # the input has waited
        "block.add.q": (0, 0, 36, 0, 0),
        "pool": (0, 2 * 36, 0, 0, 0),  # for each digit of the reciprocal
        "pool.q": (0, 0, 12, 0, 0),
        "classifier": (6 * 4 + 3 * 11, 4 * 6, 0, 0, 0),
        "logits": (0, 0, 30, 0, 0),
        "label": (0, 30, 2, 0, 0),
    }


def test_accesses_of_a_temporal_convolution_by_hand() -> None:
    """2 lanes: 4 outputs in 2 groups, 3 joints, 2 inputs, 3 taps: 36 cycles, each a FIFO read."""
    loops = loop_nest(temporal_graph())
    steps = {step.loop.name: step for step in schedule(loops, flow_of(loops), machine(2))}
    taps, total = steps["t"], steps["sum"].accesses
    assert taps.terms == (("t", 36), ("pipeline", 11))
    assert taps.accesses.weight_reads.bits == 72 * 5 + 12 * 15
    assert taps.accesses.state_reads.bits == 36 * 7 and taps.accesses.state_writes.bits == 6 * 7
    assert taps.accesses.activations == 0
    assert total.state_reads.bits == total.state_writes.bits == 12 * 9  # the delay line
    assert total.activation_reads.bits == 12 * 7  # t.q has waited


def test_array_reproduces_scale_sim() -> None:
    """Cycles of SCALE-Sim for one convolution 64 -> 64 on 25 joints and for the whole network."""

    def array(size: int) -> dict[str, object]:
        return {"kind": "array", "rows": size, "cols": size}

    weight = Weights(np.zeros((64, 64), np.int64), 8, (0,))
    nodes = (
        Input("input", 64, 25, QFormat(8, 0)),
        Conv("conv", "input", weight, np.zeros(64, np.int64)),
    )
    alone = Graph("g", nodes, ("conv",))
    whole = blueprint(published_arch("rtstgcn", 9), QuantSpec())
    wanted = {8: (3007, 575_538), 16: (1135, 212_834), 32: (475, 88_750)}
    for size, (one, all_of_them) in wanted.items():
        engine = machine(engine=array(size), adjacency="dense")
        assert estimate(alone, engine).latency_cycles == one
        products = [
            cycles
            for layer in estimate(whole, engine).layers
            for term, cycles in layer.terms.items()
            if term not in ("input_norm", "pool", "label")
        ]
        assert len(products) == 22 and sum(products) == all_of_them


def test_partial_sums_of_an_array_go_through_memory() -> None:
    """K = 5 rows on an array of 2: 3 folds, so 2 rounds of partial sums, written and read."""
    weight = Weights(np.zeros((3, 5), np.int64), 4, (0,))
    nodes = (
        Input("input", 5, 7, QFormat(8, 0)),
        Conv("conv", "input", weight, np.zeros(3, np.int64)),
    )
    loops = loop_nest(Graph("g", nodes, ("conv",)))
    engine = machine(engine={"kind": "array", "rows": 2, "cols": 2}, adjacency="dense")
    moved = schedule(loops, flow_of(loops), engine)[1].accesses
    partial = 7 * 3 * 2
    assert moved.weight_reads.words == 5 * 3 + 3 * 7  # each weight once, a bias per result
    assert moved.activation_reads.words == 7 * 5 * 2 + partial  # the operand once per column fold
    assert moved.activation_writes.words == 7 * 3 + partial


def test_packing_widens_the_engine() -> None:
    packing = [{"max_weight_bits": 4, "max_activation_bits": 8, "products": 2}]
    multiplier = {"max_weight_bits": 8, "max_activation_bits": 8, "packing": packing}
    engine = machine(2, multiplier=multiplier)
    terms = estimate(tiny_graph(), engine).layers[3].terms
    # 4-bit weights: 3 classes fit 4 lanes at once
    assert terms == {"classifier": 1 * 1 * 2, "pipeline": 11}


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 7, 64])
def test_every_lane_count_gives_a_utilisation_within_one(lanes: int) -> None:
    cost = estimate(tiny_graph(), machine(lanes))
    assert 0 < cost.utilisation <= 1


def test_norms_by_hand() -> None:
    """10 channels on 3 lanes and 4 joints: 4 groups for each joint."""
    coarse, fine = exp_tables(QFormat(8, 4))
    nodes = (
        Input("input", 10, 4, QFormat(8, 4)),
        LayerNorm("norm", "input", np.array([9]), reciprocal_root_seeds(), 2, 10),
        Softmax("share", "input", coarse, fine, 16, 8),
    )
    cost = estimate(Graph("norms", nodes, ("norm", "share")), machine(3))
    assert [(layer.layer, layer.terms) for layer in cost.layers if layer.terms] == [
        ("input", {"load": 4 * 4}),
        ("norm", {"norm": 2 * 4 * 4 + 6 * 2 + 11, "pipeline": 11}),
        ("share", {"share": 3 * 4 * 10 + 8 + 5, "pipeline": 11}),
    ]
    narrow = machine(3, multiplier={"max_weight_bits": 8, "max_activation_bits": 8})
    assert estimate(Graph("norms", nodes, ("norm", "share")), narrow).reasons == ()


def without_flattens(graph: Graph) -> Graph:
    """The same graph where every reader of a flattened value reads the value itself."""
    source: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Flatten):
            source[node.name] = source.get(node.x, node.x)
            continue
        read = {key: name for key in ("x", "a", "b") if (name := vars(node).get(key))}
        nodes.append(replace(node, **{key: source.get(name, name) for key, name in read.items()}))
    outputs = dict.fromkeys(source.get(name, name) for name in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=tuple(outputs))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_a_flatten_of_one_joint_costs_nothing(seed: int, lanes: int) -> None:
    """With one joint it changes no shape, so every cost must be that of the graph without it.

    Where a convolution reads it, that is: another reader would have worked in the pass before.
    """
    graph = random_graph(np.random.default_rng(seed), joints=1)
    flat = {node.name for node in graph.nodes if isinstance(node, Flatten)}
    readers = [node for node in graph.nodes if not flat.isdisjoint(operands(node))]
    assume(all(isinstance(node, Conv | TemporalConv | Flatten) for node in readers))
    costs = [estimate(each, machine(lanes)) for each in (graph, without_flattens(graph))]
    for key in ("interval_cycles", "memory", "energy", "macs_dense", "latency_cycles"):
        assert getattr(costs[0], key) == getattr(costs[1], key), key


def test_a_flattened_frame_is_buffered_once_and_read_as_one_vector() -> None:
    conv = Conv("a", "input", Weights(np.zeros((3, 2), np.int64), 4, (0,)), np.zeros(3, np.int64))
    whole = Conv("b", "f", Weights(np.zeros((4, 15), np.int64), 4, (0,)), np.zeros(4, np.int64))
    beside = Conv("c", "a.q", Weights(np.zeros((1, 3), np.int64), 4, (0,)), np.zeros(1, np.int64))
    nodes = (
        Input("input", 2, 5, QFormat(8, 0)),
        conv,
        Requantise("a.q", "a", Cast(QFormat(6, 0))),
        Flatten("f", "a.q"),
        whole,
        beside,
    )
    loops = loop_nest(Graph("g", nodes, ("b", "f")))
    flow = flow_of(loops)
    assert flow.buffered["a.q"] == len(loops)  # an output, under its other name
    assert "f" not in flow.buffered
    steps = {step.loop.name: step for step in schedule(loops, flow, machine(2))}
    assert steps["f"].terms == () and steps["f"].accesses.bits == 0
    assert dict(steps["b"].terms)["b"] == 2 * 15  # one joint, two groups of lanes, 15 channels
    assert steps["a.q"].accesses.activation_writes.bits == 5 * 3 * 6
    # the frames of the pass of `c`: a.q with its 15 words of 6 bits, results of b
    widths = {loop.name: loop.result for loop in loops}
    assert activation_buffers(loops, flow).bits == widths["a.q"].bits + max(
        widths["input"].bits, widths["b"].bits
    )
