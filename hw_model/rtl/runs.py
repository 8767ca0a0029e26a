"""What a bundle's engine runs: its clip, clips in a row, stress clips, all on one hardware.

Of clips in a row the second must find nothing of the first, which is long enough to fill all FIFOs.

Stress clips (`fxp.stress`) are for networks of one node each. The engine reads partitions only
where a convolution has written them, and gives one output in a pass; so a graph product gets a
convolution of ones and zeros in front, and a node with several casts is run once for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fxp.errors import InputError
from fxp.ir import (
    Conv,
    Graph,
    GraphProduct,
    IntArray,
    Node,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
    timings,
)
from fxp.qformat import Cast, QFormat
from fxp.ranges import analyse
from fxp.simulate import compile_graph
from fxp.simulate import run as simulate
from fxp.stress import Stress, stress_plan
from hw_model.rtl.bench_files import BenchFiles, run_files
from hw_model.rtl.clips import back_to_back
from hw_model.rtl.design import Design, assemble, designs_of
from hw_model.rtl.expected import wanted_values

MAIN = "main"
CLIPS = "clips"
CLIP_FRAMES = 4  # of the second clip in a row


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network is put on an engine, and tested there.

    `dense` walks all pairs of joints, two `paired` lanes share a multiplier; `seed` and `stall` (a
    share of cycles) are those of the stall patterns; `stress` adds the stress clips.
    """

    lanes: int
    dense: bool = False
    paired: bool = False
    seed: int = 0
    stall: float = 0.25
    stress: bool = True


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One program and one clip on the common hardware; `about` says what a stress clip is for."""

    name: str
    graph: Graph
    design: Design
    bench: BenchFiles
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Runs:
    """All runs, that of the whole network first, and the accumulators `without` a stress clip."""

    runs: tuple[PlannedRun, ...]
    without: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class _Case:
    name: str
    graph: Graph
    clip: IntArray
    about: Mapping[str, Any]


def plan_runs(graph: Graph, clip: IntArray, settings: Settings) -> Runs:
    """Every run of a network and a clip `(T, C, V)` of its input words.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the network has something that the engine cannot do.
    """
    cases = [_Case(MAIN, graph, clip, {})]
    programs = [assemble(graph, settings.lanes, settings.dense, paired=settings.paired)]
    without: dict[str, str] = {}
    if settings.stress:
        plan = stress_plan(graph)
        without |= plan.without
        for case in _stress(plan.cases):
            try:
                digits = programs[0].digits
                program = assemble(case.graph, settings.lanes, settings.dense, digits=digits)
                programs.append(program)
            except InputError as error:
                without[case.name] = str(error)
            else:
                cases.append(case)
    designs = designs_of(programs)
    runs = [_planned(*pair, settings) for pair in zip(cases, designs, strict=True)]
    runs.insert(1, _in_a_row(graph, clip, designs[0], settings))
    return Runs(tuple(runs), without)


def _in_a_row(graph: Graph, clip: IntArray, design: Design, settings: Settings) -> PlannedRun:
    """The clip's first frames, as many as fill every FIFO, and a short clip behind them.

    The second begins with the clip's last frames, so that it is not the first again.
    """
    first, second = clip[: _filling_frames(graph)], clip[-CLIP_FRAMES:]
    parts = [_planned(_Case(CLIPS, graph, each, {}), design, settings) for each in (first, second)]
    bench = back_to_back([part.bench for part in parts])
    return PlannedRun(CLIPS, graph, design, bench, {})


def _filling_frames(graph: Graph) -> int:
    """Frames of the input until every temporal sum has seen its window and every delay is full."""
    found = timings(graph)
    spans = [1]
    for node in graph.nodes:
        timing = found[node.name]
        if isinstance(node, TemporalSum):
            spans.append(timing.lookahead + node.window * node.dilation * timing.period)
        elif isinstance(node, TemporalConv):
            reach = (node.weight.raw.shape[2] - 1) * node.dilation
            spans.append(timing.lookahead + reach * found[node.x].period)
    return max(spans) + 1


def _planned(case: _Case, design: Design, settings: Settings) -> PlannedRun:
    values, _ = simulate(compile_graph(case.graph), case.clip, taps=wanted_values(design))
    bench = run_files(design, case.clip, values, settings.seed, settings.stall)
    return PlannedRun(case.name, case.graph, design, bench, case.about)


def _stress(cases: tuple[Stress, ...]) -> Iterator[_Case]:
    seen: dict[str, int] = {}
    for case in cases:
        about = {
            "node": case.node,
            "lowest": case.lo,
            "highest": case.hi,
            "purposes": dict(case.purposes),
        }
        for graph in _single_outputs(_with_partitions(case.graph)):
            seen[case.node] = seen.get(case.node, 0) + 1
            number = f"-{seen[case.node]}" if seen[case.node] > 1 else ""
            yield _Case(f"stress-{case.node}{number}", graph, case.clip, about)


def _single_outputs(graph: Graph) -> Iterator[Graph]:
    """The graph once for each output, without the casts that are the others."""
    for name in graph.outputs:
        nodes = [node for node in graph.nodes if node.name not in graph.outputs]
        kept = next(node for node in graph.nodes if node.name == name)
        yield replace(graph, nodes=(*nodes, kept), outputs=(name,))


def _with_partitions(graph: Graph) -> Graph:
    """The graph with a convolution that copies, where a graph product reads something else."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, GraphProduct):
            words = analyse(graph)[node.x]
            frac = words.frac_bits[0]
            copy, cast = f"{node.name}.copy", f"{node.name}.copied"
            ones = Weights(np.eye(words.channels, dtype=np.int64), 2, (0,))
            # certified widths are signed: every word fits
            to = Cast(QFormat(words.width_bits, frac))
            nodes.append(Conv(copy, node.x, ones, np.zeros(words.channels, np.int64)))
            nodes.append(Requantise(cast, copy, to))
            node = replace(node, x=cast)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))
