"""Weights from outside the chip: every word and cycle on the engine, and the estimate's cycles."""

import math
from pathlib import Path

import numpy as np
import pytest

from fxp.ir import Conv, Graph, Input, Requantise, TemporalConv, Weights
from fxp.qformat import Cast, QFormat
from fxp.simulate import compile_graph
from fxp.simulate import run as simulate
from hw_model.accelerator import Accelerator
from hw_model.cost import estimate
from hw_model.flow import flow_of
from hw_model.loops import loop_nest
from hw_model.memory import memory_of, place
from hw_model.rtl.bench_files import bench_files
from hw_model.rtl.design import design_of
from hw_model.rtl.expected import wanted_values
from hw_model.rtl.simulators import build, run, sources
from hw_model.rtl.timing import clip_timing
from hw_model.streaming import LineSource
from tests.accelerators import machine, memory
from tests.golden import networks
from tests.rtl_cases import need
from tests.rtl_runs import written


def network(name: str) -> tuple[Graph, list[str]]:
    """A network, and its convolutions."""
    graph: Graph = getattr(networks, name)(np.random.default_rng(1))
    return graph, [n.name for n in graph.nodes if isinstance(n, Conv | TemporalConv)]


@pytest.mark.parametrize(
    ("name", "lanes", "some", "source"),
    [
        ("dilated", 1, slice(None), LineSource(1, 1)),
        ("dilated", 2, slice(0, 1), LineSource(7, 3)),
        ("ragged", 2, slice(1, None), LineSource(2, 9)),  # taps, lookahead: passes that do not run
        ("strided", 3, slice(None), LineSource(30, 1)),
        ("vector", 8, slice(None), LineSource(3, 2)),  # a flattened operand
    ],
)
def test_every_word_and_cycle(
    name: str, lanes: int, some: slice, source: LineSource, tmp_path: Path
) -> None:
    need("icarus")
    graph, convolutions = network(name)
    design = design_of(graph, lanes, off_chip=frozenset(convolutions[some]))
    assert design.parameters["HAS_TILES"] == 1
    first = graph.nodes[0]
    rng = np.random.default_rng(7)
    low, high = first.fmt.raw_min, first.fmt.raw_max
    clip = rng.integers(low, high + 1, (5, first.channels, first.joints))
    values, _ = simulate(compile_graph(graph), clip, taps=wanted_values(design))
    files = bench_files(design, clip, values, seed=7, source=source)
    folder = written(tmp_path / "run", files.files)
    bench = build("icarus", sources(), folder, cache=tmp_path / "built")
    plain, stalled = run(bench, folder), run(bench, folder, stall=True)
    assert plain.passed and plain.cycles == files.cycles, plain.log
    assert stalled.passed and stalled.cycles >= plain.cycles, stalled.log


def test_a_stall_keeps_the_last_line_of_a_block(tmp_path: Path) -> None:
    """Results leave while blocks of one line end, and the next tile comes in all the same."""
    need("icarus")
    rng = np.random.default_rng(5)
    weight = Weights(rng.integers(-128, 128, (24, 1)), 8, (0,))
    nodes = (
        Input("input", 1, 2, QFormat(8, 0)),
        Conv("conv", "input", weight, rng.integers(-99, 99, 24)),
        Requantise("conv.q", "conv", Cast(QFormat(14, -2))),
    )
    graph = Graph("g", nodes, ("conv.q",))
    design = design_of(graph, 1, off_chip={"conv"})
    clip = rng.integers(-128, 128, (3, 1, 2))
    values, _ = simulate(compile_graph(graph), clip, taps=wanted_values(design))
    files = bench_files(design, clip, values, seed=1, stall=0.6)
    folder = written(tmp_path / "run", files.files)
    found = run(build("icarus", sources(), folder, cache=tmp_path / "built"), folder, stall=True)
    assert found.passed, found.log


def spilling(graph: Graph, lanes: int, dram: dict[str, float]) -> Accelerator:
    """An accelerator on which all weights of convolutions, and only they, leave the chip."""
    loops = loop_nest(graph)
    total = memory_of(loops, flow_of(loops), "sparse").total.bits
    weights = sum(loop.weights.bits for loop in loops if loop.kind in ("conv", "temporal_conv"))
    room = 800  # for two tiles of the largest block, and less than all weights
    chip = memory(total + room - weights, stream_buffer_bits=room)
    return machine(lanes, memory=chip, dram=dram, clock_hz=1e8)


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize("latency_s", [0.0, 3e-7])
def test_the_estimate_waits_as_the_engine_does(lanes: int, latency_s: float) -> None:
    """Lines of 6 and of 8 bits a lane, at a byte a cycle: as many cycles for either here."""
    graph, convolutions = network("ragged")
    board = spilling(graph, lanes, {"bytes_per_s": 1e8, "latency_s": latency_s})
    loops = loop_nest(graph)
    found = place(loops, memory_of(loops, flow_of(loops), "sparse"), board)
    assert found.streamed == {*convolutions} == found.traffic_bits.keys()
    cost = estimate(graph, board)
    widths = {loop.weight_bits for loop in loops if loop.name in found.streamed}
    assert widths == {6, 8} and {math.ceil(lanes * bits / 8) for bits in widths} == {lanes}
    source = LineSource(max(1, round(latency_s * 1e8)), lanes)
    frames = 8
    timing = clip_timing(design_of(graph, lanes, off_chip=found.streamed), frames, source)
    assert timing[frames - 1].ends - timing[frames - 1].begins == cost.interval_cycles
    assert cost.interval_cycles > estimate(graph, machine(lanes)).interval_cycles
