"""What a bundle's engine runs: its clip, clips in a row, stress clips, and on which hardware each.

Of clips in a row the second must find nothing of the first, which is long enough to fill all FIFOs.

The network runs on its *own* hardware, whose every part is as wide and as deep as the network needs
it. So does every stress clip whose program fits there; the others run on *shared* hardware, which
serves the network and all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fxp.errors import InputError
from fxp.ir import Graph, IntArray, TemporalConv, TemporalSum, timings
from fxp.simulate import compile_graph
from fxp.simulate import run as simulate
from fxp.stress import stress_plan
from hw_model.digits import Digits
from hw_model.rtl.assembled import Assembled
from hw_model.rtl.bench_files import BenchFiles, run_files
from hw_model.rtl.clips import back_to_back
from hw_model.rtl.design import Design, assemble, designs_of, fits
from hw_model.rtl.expected import wanted_values
from hw_model.rtl.stress_programs import Case, programs_of
from hw_model.streaming import NEAR, LineSource

MAIN = "main"
CLIPS = "clips"
CLIP_FRAMES = 4  # of the second clip in a row

Place = Literal["own", "shared"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network is put on an engine, and tested there.

    `dense` walks all pairs of joints, two `paired` lanes share a multiplier; `seed` and `stall` (a
    share of cycles) are those of the stall patterns; `stress` adds the stress clips. The weights of
    the convolutions in `off_chip` come from a memory outside, in the time that `source` takes.
    """

    lanes: int
    dense: bool = False
    paired: bool = False
    seed: int = 0
    stall: float = 0.25
    stress: bool = True
    off_chip: tuple[str, ...] = ()
    source: LineSource = NEAR


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One program and one clip on one hardware; `about` says what a stress clip is for."""

    name: str
    hardware: Place
    graph: Graph
    design: Design
    bench: BenchFiles
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Runs:
    """All runs, that of the whole network first, and the accumulators `without` a stress clip."""

    runs: tuple[PlannedRun, ...]
    without: Mapping[str, str]

    @property
    def hardware(self) -> dict[Place, Design]:
        """A design for each hardware that some run needs, the network's own first."""
        found: dict[Place, Design] = {}
        for run in self.runs:
            found.setdefault(run.hardware, run.design)
        return found


def plan_runs(graph: Graph, clip: IntArray, settings: Settings) -> Runs:
    """Every run of a network and a clip `(T, C, V)` of its input words.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the network has something that the engine cannot do.
    """
    main = _assembled(graph, settings)
    own = [(Case(MAIN, graph, clip, {}), main)]
    shared: list[tuple[Case, Assembled]] = []
    without: dict[str, str] = {}
    if settings.stress:
        plan = stress_plan(graph)
        without |= plan.without
        for case in programs_of(plan.cases):
            try:
                program = _assembled(case.graph, settings, main.digits)
            except InputError as error:
                without[case.name] = str(error)
            else:
                (own if fits(program, main) else shared).append((case, program))
    runs = [
        *_planned_all(own, designs_of([program for _, program in own]), "own", settings),
        *_planned_all(shared, _widened(main, shared), "shared", settings),
    ]
    runs.insert(1, _in_a_row(graph, clip, runs[0].design, settings))
    return Runs(tuple(runs), without)


def _assembled(graph: Graph, settings: Settings, digits: Digits | None = None) -> Assembled:
    """A network, or a part of it with the network's digits: what streams in there does so here."""
    outside = {node.name for node in graph.nodes}.intersection(settings.off_chip)
    lanes, dense, paired = settings.lanes, settings.dense, settings.paired
    return assemble(graph, lanes, dense, outside, paired=paired, digits=digits)


def _widened(main: Assembled, others: list[tuple[Case, Assembled]]) -> tuple[Design, ...]:
    """Designs of the others on hardware that serves the network as well."""
    return designs_of([main, *(program for _, program in others)])[1:] if others else ()


def _planned_all(
    programs: list[tuple[Case, Assembled]],
    designs: tuple[Design, ...],
    hardware: Place,
    settings: Settings,
) -> Iterator[PlannedRun]:
    for (case, _), design in zip(programs, designs, strict=True):
        bench = _bench(case.graph, case.clip, design, settings)
        yield PlannedRun(case.name, hardware, case.graph, design, bench, case.about)


def _in_a_row(graph: Graph, clip: IntArray, design: Design, settings: Settings) -> PlannedRun:
    """The clip's first frames, as many as fill every FIFO, and a short clip behind them.

    The second begins with the clip's last frames, so that it is not the first again.
    """
    parts = clip[: _filling_frames(graph)], clip[-CLIP_FRAMES:]
    bench = back_to_back([_bench(graph, part, design, settings) for part in parts])
    return PlannedRun(CLIPS, "own", graph, design, bench, {})


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


def _bench(graph: Graph, clip: IntArray, design: Design, settings: Settings) -> BenchFiles:
    values, _ = simulate(compile_graph(graph), clip, taps=wanted_values(design))
    return run_files(design, clip, values, settings.seed, settings.stall, settings.source)
