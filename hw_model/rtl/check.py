"""Checking a bundle's engine: every word that it writes and every cycle, in a simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fxp.bundle import attachment_of, open_bundle, read_value
from fxp.errors import InputError
from fxp.ir import Graph, IntArray
from hw_model.rtl.bench_log import Difference, Run
from hw_model.rtl.bundle import FOLDER, HDL, settings_of
from hw_model.rtl.locate import Found, first_of, locate
from hw_model.rtl.runs import CLIPS, MAIN, PlannedRun, plan_runs
from hw_model.rtl.simulators import Built, build
from hw_model.rtl.simulators import run as simulate
from hw_model.rtl.toolchains import BENCH_FILES, Simulator, find_tools


@dataclass(frozen=True, slots=True)
class Checked:
    """One run; `cycles` and `latency` as the engine took them, `expected_cycles` without stalls.

    `hardware` is `own` where it ran on hardware for this network alone, else `shared`.
    `found` is the first difference of a word, where it can be said, `complaints` are the bench's.
    """

    name: str
    hardware: str
    stalled: bool
    equal: bool
    frames: int
    cycles: int
    expected_cycles: int
    latency: int
    seconds: float
    found: Found | None
    complaints: tuple[str, ...]
    waves: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """All runs of a bundle in one simulator.

    `shared_more` is what the shared hardware, where a run needed that, has more of than the own:
    parameters by name, both numbers.
    """

    bundle: str
    simulator: str
    equal: bool
    runs: tuple[Checked, ...]
    shared_more: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What to run: with stalls too, the stress clips too, another engine's sources instead.

    `waves` is the waveform's file; without it, one is written where something differs.
    """

    stall: bool = False
    stress: bool = False
    waves: Path | None = None
    hdl: Path | None = None
    cache: Path | None = None


def check_bundle(
    folder: Path,
    simulator: Simulator,
    options: Options = Options(),
    watch: Callable[[str], None] = lambda _: None,
) -> Report:
    """Verify a bundle whole, build its bench, run it, compare everything.

    `watch` is told what is built or run before that begins; large engines take minutes.

    Raises:
        InputError: the bundle is damaged or has no engine, a tool is missing, sources do not
            compile, or the folder of other sources has none of the engine's.
    """
    find_tools(simulator)
    ground, _ = open_bundle(folder)
    about = attachment_of(folder, FOLDER)
    clip = read_value(folder, ground, ground.graph.nodes[0].name)
    return _Check(folder, simulator, options, about, ground.graph, clip, watch).report()


class _Check:
    def __init__(
        self,
        folder: Path,
        simulator: Simulator,
        options: Options,
        about: Mapping[str, Any],
        graph: Graph,
        clip: IntArray,
        watch: Callable[[str], None],
    ) -> None:
        self.folder, self.simulator, self.options = folder / FOLDER, simulator, options
        self.watch = watch
        self.about, self.graph, self.clip = about, graph, clip
        self.name = folder.resolve().name
        self.bundle = str(folder)
        self.planned: Mapping[str, PlannedRun] | None = None
        self.traced = False  # one waveform is enough
        if "hardware" not in about:
            raise InputError(f"{folder}: its engine is of another version: write the bundle again")
        if options.hdl and not any((options.hdl / name).is_file() for name in self._sources()):
            raise InputError(f"{options.hdl}: has no source of the engine or its bench")

    def report(self) -> Report:
        always = (MAIN, CLIPS)
        wanted = [run for run in self.about["runs"] if self.options.stress or run["name"] in always]
        places = dict.fromkeys(run["hardware"] for run in wanted)
        built = {place: self._built(place) for place in places}
        runs = [
            self._checked(built[run["hardware"]], run, stall)
            for run in wanted
            for stall in ((False, True) if self.options.stall else (False,))
        ]
        if self.options.waves and not self.traced:
            runs[0] = replace(runs[0], waves=self._trace(wanted[0], False))
        more = self.about["hardware"]["shared"]["more"] if "shared" in built else {}
        equal = all(run.equal for run in runs)
        return Report(self.bundle, self.simulator, equal, tuple(runs), more)

    def _built(self, place: str, waves: bool = False) -> Built:
        files = [self._source(self.folder / HDL / name) for name in self._sources()]
        includes = self.folder / self.about["hardware"][place]["folder"]
        self.watch(f"{self.simulator}: building the {place} hardware")
        return build(self.simulator, files, includes, waves=waves, cache=self.options.cache)

    def _sources(self) -> tuple[str, ...]:
        return (*self.about["engine"]["sources"], *BENCH_FILES)  # of the version that wrote it

    def _source(self, path: Path) -> Path:
        other = self.options.hdl / path.name if self.options.hdl else path
        return other if other.is_file() else path

    def _checked(self, built: Built, run: Mapping[str, Any], stall: bool) -> Checked:
        self.watch(f"{self.simulator}: running {run['name']}{', stalled' if stall else ''}")
        result = simulate(built, self.folder / run["folder"], stall=stall)
        checked = Checked(
            name=run["name"],
            hardware=run["hardware"],
            stalled=stall,
            equal=result.passed,
            frames=result.frames,
            cycles=result.cycles,
            expected_cycles=run["cycles"],
            latency=result.latency,
            seconds=result.seconds,
            found=None,
            complaints=(),
            waves=None,
        )
        if result.passed:
            return checked
        return replace(
            checked,
            found=self._found(run["name"], result.differences),
            complaints=_complaints(result),
            waves=None if self.traced else self._trace(run, stall),
        )

    def _found(self, name: str, differences: tuple[Difference, ...]) -> Found | None:
        """The first difference of a word, if this version plans the run as the bundle has it."""
        if self.planned is None:
            runs = plan_runs(self.graph, self.clip, settings_of(self.about)).runs
            self.planned = {run.name: run for run in runs}
        planned = self.planned.get(name)
        if planned is None:
            return None
        first = first_of(planned, differences)
        return locate(planned, first) if first else None

    def _trace(self, run: Mapping[str, Any], stall: bool) -> str:
        """Run once more, with a waveform; returns its file."""
        default = Path(f"{self.name}-{run['name']}{'-stalled' if stall else ''}.vcd")
        path = (self.options.waves or default).resolve()
        if not path.parent.is_dir():
            raise InputError(f"{path}: cannot be written (no folder {path.parent})")
        built = self._built(run["hardware"], waves=True)
        simulate(built, self.folder / run["folder"], stall=stall, waves=path)
        self.traced = True
        return str(path)


def _complaints(result: Run) -> tuple[str, ...]:
    found = [difference.text for difference in result.differences]
    return (*found, *([f"stopped: {result.stopped}"] if result.stopped else []))
