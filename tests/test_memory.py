"""Buffers, sizes and what leaves the chip, counted by hand on the tiny graph."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.ir import Add, Conv, Graph, Input, Requantise, Weights
from fxp.qformat import Cast, QFormat
from hw_model.accelerator import Accelerator
from hw_model.cost import Estimate, estimate
from hw_model.flow import activation_buffers, flow_of
from hw_model.loops import Words, loop_nest
from hw_model.memory import Placement, memory_of, place
from tests.accelerators import machine, memory, temporal_graph, tiny_graph
from tests.strategies import random_graph

DRAM = {"bytes_per_s": 1e6}


def placed(accelerator: Accelerator) -> Placement:
    loops = loop_nest(tiny_graph())
    return place(loops, memory_of(loops, flow_of(loops), "sparse"), accelerator)


def test_passes_and_buffers() -> None:
    loops = loop_nest(tiny_graph())
    flow = flow_of(loops)
    at = {loop.name: i for i, loop in enumerate(loops)}
    graph_pass = at["block.graph"]
    passes = {name: flow.pass_of[name] for name in at}
    assert passes["block.conv.q"] == at["block.conv"]
    for name in ("graph.q", "sum", "norm", "norm.q", "add", "add.q"):
        assert passes[f"block.{name}"] == graph_pass
    assert passes["logits"] == at["classifier"] and passes["label"] == at["label"]
    assert flow.buffered == {
        "input": graph_pass,  # the residual needs it until then
        "block.conv.q": graph_pass,
        "block.add.q": at["pool"],
        "pool.q": at["classifier"],
        "logits": len(loops),  # outputs stay
        "label": len(loops),
    }
    # during the graph product: input 6 x 8, conv.q 12 x 6, add.q 6 x 6 bits
    assert activation_buffers(loops, flow) == Words(24, 48 + 72 + 36)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_value_waits_for_the_last_pass_that_reads_it(seed: int) -> None:
    """In whatever order its readers stand: one that is fused may stand behind a later pass."""
    loops = loop_nest(random_graph(np.random.default_rng(seed)))
    flow = flow_of(loops)
    root: dict[str, str] = {}
    for loop in loops:
        root[loop.name] = root[loop.reads[0]] if loop.kind == "flatten" else loop.name
        kept = {state.value for state in loop.state}
        for name in loop.reads if loop.kind != "flatten" else ():
            if not flow.streams(loop, name) and name not in kept:
                assert flow.buffered[root[name]] >= flow.pass_of[loop.name], (name, loop.name)


def test_a_fused_reader_behind_a_later_pass_does_not_end_the_wait() -> None:
    cast = Cast(QFormat(8, 0))

    def conv(name: str, x: str) -> tuple[Conv, Requantise]:
        node = Conv(name, x, Weights(np.array([[3]]), 8, (0,)), np.array([0]))
        return node, Requantise(f"{name}.q", name, cast)

    nodes = (
        Input("input", 1, 2, QFormat(8, 0)),
        *conv("a", "input"),
        *conv("b", "a.q"),
        *conv("c", "input"),
        Add("sum", "input", "b.q"),  # made in the pass of b, though it stands behind c
        Requantise("sum.q", "sum", cast),
    )
    loops = loop_nest(Graph("g", nodes, ("c.q", "sum.q")))
    flow = flow_of(loops)
    at = {loop.name: i for i, loop in enumerate(loops)}
    assert flow.pass_of["sum"] == at["b"] < at["c"]
    assert flow.buffered["input"] == at["c"]


def test_what_a_fifo_or_a_delay_line_keeps_is_not_buffered_too() -> None:
    loops = loop_nest(temporal_graph())
    flow = flow_of(loops)
    # input until the residual's pass (5); t.q until the sum (7), whose pass reads it and the delay
    # line: what the residual makes is two frames early there
    assert flow.buffered == {"input": 5, "t.q": 7, "sum.q": len(loops)}
    # at the sum's pass: t.q 12 x 7, sum.q 12 x 8 bits
    assert activation_buffers(loops, flow) == Words(24, 84 + 96)
    found = memory_of(loops, flow, "sparse")
    assert found.fifo == Words(5 * 6, 5 * 6 * 7) and found.delays == Words(2 * 12, 2 * 12 * 9)


def test_spilling_a_fifo_of_taps_and_a_delay_line() -> None:
    """Of 5 frames 3 may go (126 bits): each new frame reads 2 and writes 1, 3 / 3 of traffic.

    The delay line's 2 frames both stay; weights (1 of traffic per bit) follow in order.
    """
    loops = loop_nest(temporal_graph())
    needed = memory_of(loops, flow_of(loops), "sparse")
    chip = memory(needed.total.bits - 130)
    found = place(loops, needed, machine(memory=chip, dram=DRAM))
    assert found.traffic_bits == {"c": 20, "t": 110}  # c's 4 x 5 bits of weights come first
    assert found.reasons == (
        # no room for tiles; two lanes, two sets of 5-bit weights, sums of 12 bits for 3 joints
        "c: weights from DRAM: 92 bits of stream buffer are needed, `stream_buffer_bits` is 0",
        # a channel's 3 taps of 7 bits for 3 joints, twice; sums of 15 bits for 4 outputs, 3 joints
        "t: state from DRAM: 306 bits of stream buffer are needed, `stream_buffer_bits` is 0",
    )


def test_memory_of_the_tiny_graph() -> None:
    loops = loop_nest(tiny_graph())
    found = memory_of(loops, flow_of(loops), "sparse")
    assert found.weights == Words(8 + 4 + 4 + 2 + 1 + 6 + 3, 32 + 52 + 36 + 24 + 5 + 24 + 33)
    assert found.fifo == Words(36, 252) and found.accumulators == Words(12, 108)
    assert found.delays == Words()
    assert found.activations == Words(24, 156)
    assert found.total == Words(100, 722)
    dense = memory_of(loops, flow_of(loops), "dense")
    assert dense.total == Words(100 + 18 - 4, 722 + 90 - 36)
    assert estimate(tiny_graph(), machine()).memory == found


def test_what_fits_stays() -> None:
    assert placed(machine(memory=memory(722))) == Placement(722, 0, {}, ())


def test_no_dram() -> None:
    found = placed(machine(memory=memory(721)))
    assert found.reasons == ("needs 722 bits on chip, has 721 and no DRAM",)


@pytest.mark.parametrize(
    ("capacity", "traffic"),
    [
        # 20 bits over and 100 for the stream buffer. Of the FIFO's 6 frames 4 may go (168 bits);
        # each frame moves one in and one out: 2 / 4 bits of traffic per bit
        (702, {"block.sum": 60}),
        # 220 bits: the FIFO (168, traffic 84), the convolution (32), the classifier (24 for 20)
        (602, {"block.sum": 84, "block.conv": 32, "classifier": 24}),
    ],
)
def test_cheapest_traffic_goes_first(capacity: int, traffic: dict[str, int]) -> None:
    chip = memory(capacity, stream_buffer_bits=100)
    found = placed(machine(memory=chip, dram=DRAM))
    assert found.traffic_bits == traffic and found.reasons == ()
    whole = 4 if "classifier" in traffic else 0  # weights leave a lane engine node by node
    assert found.on_chip_bits == capacity - whole
    assert found.spilled_bits == 722 + 100 - capacity + whole
    assert found.streamed == traffic.keys() - {"block.sum"}
    cost = estimate(tiny_graph(), machine(memory=chip, dram=DRAM))
    assert cost.dram_bytes == sum(traffic.values()) / 8
    assert cost.energy.dram_pj == pytest.approx(10 * sum(traffic.values()))
    assert cost.fits


def test_what_cannot_leave() -> None:
    """370 bits are to go, 168 + 32 + 24 may: 146 are too many."""
    found = placed(machine(memory=memory(452, stream_buffer_bits=100), dram=DRAM))
    assert found.reasons == ("needs 598 bits on chip even with DRAM, has 452",)


def test_small_stream_buffer() -> None:
    """No two tiles of 2 inputs for two lanes, 4 bits each, 2 * 2 * 2 * 4.

    Nor two sets of 4-bit weights and sums of 13 bits for 3 joints: 2 * (8 + 39).
    """
    found = placed(machine(memory=memory(553, stream_buffer_bits=31), dram=DRAM))
    assert found.reasons == (
        "block.conv: weights from DRAM: 94 bits of stream buffer are needed, "
        "`stream_buffer_bits` is 31",
    )


def test_a_tile_has_words_of_the_widest_weights() -> None:
    """The block's 4 bits lie in words of 7, the classifier's: 2 * 2 * 2 * 7 bits, not 32."""
    loops = [
        replace(loop, weight_bits=7) if loop.name == "classifier" else loop
        for loop in loop_nest(tiny_graph())
    ]
    for room, whole in ((56, True), (55, False)):
        chip = memory(553, stream_buffer_bits=room)
        model = machine(memory=chip, dram=DRAM)
        found = place(loops, memory_of(loops, flow_of(loops), "sparse"), model)
        assert ("block.conv" in found.streamed) == whole


def test_dram_and_ports_bound_layers() -> None:
    slow: dict[str, Any] = {"memory": memory(702, stream_buffer_bits=100), "dram": DRAM}
    block = estimate(tiny_graph(), machine(**slow)).layers[1]
    # 60 bits at 1e6 bytes/s and 1e6 cycles/s: 7.5 cycles, less than the 38 of the engine
    assert (block.dram_cycles, block.cycles, block.bound) == (8, 38, "compute")
    slower = estimate(tiny_graph(), machine(**slow | {"dram": {"bytes_per_s": 1e5}})).layers[1]
    assert (slower.dram_cycles, slower.cycles, slower.bound) == (75, 75, "dram")
    narrow = machine(memory={"capacity_bits": 10**6, "ports": 2, "port_bits": 8})
    pinched = estimate(tiny_graph(), narrow).layers[1]
    # conv 252 + 96, conv.q 72, graph 36 + 36, sum 96 + 96, norm 72, add 48, add.q 36 bits
    assert pinched.accesses.bits == 840
    assert (pinched.port_cycles, pinched.bound) == (-(-840 // 16), "ports")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1.2))
def test_memory_is_never_ignored(seed: int, share: float) -> None:
    """Whatever fits not is spilled or refused; what stays never exceeds the chip when it fits."""
    graph = random_graph(np.random.default_rng(seed))
    total = estimate(graph, machine(lanes=4)).memory_bits
    capacity = max(int(total * share), 1)

    def tried(**changes: object) -> Estimate:
        return estimate(graph, machine(lanes=4, memory=memory(capacity), **changes))

    alone, backed = tried(), tried(dram=DRAM)
    assert alone.fits == (total <= capacity) and alone.dram_bytes == 0
    assert (backed.dram_bytes > 0) <= (total > capacity)
    assert backed.on_chip_bits <= capacity or not backed.fits
    if backed.fits and total > capacity:
        assert backed.dram_bytes > 0
