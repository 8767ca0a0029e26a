"""Random networks on the RTL engine: every word and every cycle, and what the estimate says.

A run of the bench passes only if each word that the engine writes or gives out is the simulator's,
where it belongs, and each frame ends in the cycle that `hw_model.rtl.timing` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.ir import Requantise, timings
from fxp.simulate import compile_graph, run
from hw_model.cost import estimate
from hw_model.rtl import simulators
from hw_model.rtl.bench_files import BenchFiles, hardware_files, run_files
from hw_model.rtl.bench_log import Run
from hw_model.rtl.clips import back_to_back
from hw_model.rtl.design import Design, design_of
from hw_model.rtl.expected import wanted_values
from hw_model.rtl.runs import CLIP_FRAMES, Settings, plan_runs
from hw_model.rtl.timing import (
    load_cycles,
    operations,
    output_lines,
    stalled_cycles,
    work_cycles,
)
from hw_model.rtl.toolchains import Simulator
from hw_model.schedule import LATENCY_CYCLES
from hw_model.streaming import LineSource
from tests.accelerators import machine
from tests.rtl_cases import need
from tests.rtl_networks import SPECIAL, Network, random_network, special_network
from tests.rtl_runs import written

SEEDS = (20, 29, 59, 63, 73, 78, 84, 89, 104, 107, 115, 145, 163, 180)  # few cycles, few lanes
STALL = 0.25  # share of cycles, on both sides
QUICK = (*SPECIAL, *SEEDS)
SLOW = tuple(seed for seed in range(150) if seed not in SEEDS)
COMPILED = ("dilation", "by-channel", "lookahead", "vector", 9, 25, 26, 31)


@dataclass(frozen=True)
class Outcome:
    """A network on the engine, run gap-free, with stalls, and on two clips in a row."""

    network: Network
    design: Design
    files: BenchFiles
    plain: Run
    stalled: Run
    clips: Run


def made(name: str | int) -> Network:
    return special_network(name) if isinstance(name, str) else random_network(name)


def simulated(network: Network, simulator: Simulator, tmp_path: Path) -> Outcome:
    need(simulator)
    settings = Settings(network.lanes, stall=STALL, stress=False)
    if network.off_chip:
        design, whole, clips = streamed(network)
    else:
        main, row_of_clips = plan_runs(network.graph, network.clip, settings).runs
        design, whole, clips = main.design, main.bench, row_of_clips.bench
    folder = written(tmp_path / "one", {**whole.files, **hardware_files(design)})
    several = written(tmp_path / "several", clips.files)
    built = simulators.build(simulator, simulators.sources(), folder, cache=tmp_path / "built")
    plain = simulators.run(built, folder)
    stalled = simulators.run(built, folder, stall=True)
    row = simulators.run(built, several)
    return Outcome(network, design, whole, plain, stalled, row)


def streamed(network: Network) -> tuple[Design, BenchFiles, BenchFiles]:
    """The same where weights come from outside: the design, the clip, two clips in a row."""
    graph, clip = network.graph, network.clip
    design = design_of(graph, network.lanes, off_chip=network.off_chip)
    files = []
    for each in (clip, clip[-CLIP_FRAMES:]):
        values, _ = run(compile_graph(graph), each, taps=wanted_values(design))
        files.append(run_files(design, each, values, 0, STALL, network.source))
    return design, files[0], back_to_back(files)


def check(outcome: Outcome) -> None:
    check_words(outcome)
    check_estimate(outcome)
    check_stalls(outcome)


def check_words(outcome: Outcome) -> None:
    for done in (outcome.plain, outcome.stalled, outcome.clips):
        assert done.passed, done.log
    assert outcome.plain.frames == outcome.stalled.frames == len(outcome.files.timing)
    assert outcome.plain.cycles == outcome.files.cycles


def check_estimate(outcome: Outcome) -> None:
    """The interval is that of the last frame that comes in: every node has work there.

    Behind strides and means over a clip that need never be so; the interval is then a bound.
    """
    graph, frames = outcome.network.graph, outcome.files.timing
    found = estimate(graph, machine(outcome.network.lanes))
    assert {layer.basis for layer in found.layers} == {"rtl"}
    last = frames[len(outcome.network.clip) - 1]
    more = sum(waits(fields, outcome.network.source) for fields in outcome.design.passes)
    if {each.period for each in timings(graph).values()} != {1}:
        assert all(each.ends - each.begins <= found.interval_cycles + more for each in frames)
        return
    assert last.ends - last.begins == found.interval_cycles + more
    behind = outcome.plain.latency - outcome.plain.cycles
    assert behind == LATENCY_CYCLES
    assert last.ends - last.begins + behind == found.latency_cycles + more


def waits(fields: Mapping[str, Any], source: LineSource) -> int:
    """Cycles in which a pass waits for weights, which the estimate of this machine has none of."""
    return work_cycles(fields, source) - operations(fields) if fields.get("weight_off") else 0


def fetches(fields: Mapping[str, Any]) -> int:
    """Requests and lines of the weights that a pass has from outside."""
    if not fields.get("weight_off"):
        return 0
    return int((fields["blocks_last"] + 1) * (fields["tile_last"] + 2))


def check_stalls(outcome: Outcome) -> None:
    """What is measured under stalls is near what is predicted, and more than without them.

    Where weights are waited for, a stall may cost nothing; the memory outside stalls too, before it
    takes a request and before each line.
    """
    if outcome.network.off_chip:
        lines = len(outcome.network.clip) * load_cycles(outcome.design)
        lines += output_lines(outcome.design, len(outcome.network.clip))
        passes = outcome.design.passes
        lines += sum(fetches(passes[at]) for each in outcome.files.timing for at in each.issues)
        most = outcome.plain.cycles + STALL / (1 - STALL) * lines
        assert outcome.plain.cycles < outcome.stalled.cycles < 1.05 * most
        return
    wanted = stalled_cycles(outcome.design, len(outcome.network.clip), STALL)
    assert outcome.stalled.cycles == pytest.approx(wanted, rel=0.05)
    assert outcome.stalled.cycles > outcome.plain.cycles


@pytest.mark.parametrize("name", QUICK)
def test_engine_is_exact(name: str | int, tmp_path: Path) -> None:
    check(simulated(made(name), "icarus", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_engine_is_exact_on_more_networks(seed: int, tmp_path: Path) -> None:
    check(simulated(random_network(seed), "icarus", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_engine_is_exact_in_verilator(name: str | int, tmp_path: Path) -> None:
    check(simulated(made(name), "verilator", tmp_path))


def test_a_seed_is_one_network() -> None:
    one, other = random_network(5), random_network(5)
    assert one.lanes == other.lanes and (one.clip == other.clip).all()
    assert repr(one.graph) == repr(other.graph)
    assert repr(one.graph) != repr(random_network(6).graph)


def test_words_are_alive() -> None:
    """Casts of random networks mostly neither clip nor vanish."""
    dead = []
    for seed in range(40):
        network = random_network(seed)
        casts = [node for node in network.graph.nodes if isinstance(node, Requantise)]
        taps = [node.name for node in casts]
        values, _ = run(compile_graph(network.graph), network.clip, taps=taps)
        for node in casts:
            words = values[node.name]
            ends = (words == node.cast.to.raw_max) | (words == node.cast.to.raw_min)
            clipped = ends[words != 0].mean() if words.any() else 1.0
            dead.append(len(np.unique(words)) < 3 or clipped > 0.8)
    assert np.mean(dead) < 0.1


def test_networks_differ_in_everything_that_the_engine_depends_on() -> None:
    networks = [random_network(seed) for seed in SEEDS]
    designs = [design_of(each.graph, each.lanes) for each in networks]
    assert len({each.lanes for each in networks}) >= 5
    streaming = [each for each in networks if each.off_chip]
    assert 4 <= len(streaming) <= len(networks) - 4
    assert len({each.source.latency for each in streaming}) >= 3
    assert len({each.source.interval for each in streaming}) >= 3
    for name in ("HAS_SUM", "HAS_SHIFT", "HAS_CAST1", "HAS_ADD", "HAS_DELTA"):
        assert {each.parameters[name] for each in designs} == {0, 1}, name
    for name in ("ROUNDING", "OVERFLOW"):
        assert len({each.parameters[name] for each in designs}) >= 3, name
