"""Units of the RTL engine alone in Icarus Verilog: what they get, and every word they must give.

A bench of `tests/rtl` reads hex memories. The words wanted are the definition's (`fxp.oracle`,
`fxp.elementary`), not what the next cast leaves of them; stalls come in between, as a seeded
pattern has them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

import hw_model.rtl
from fxp.elementary import LEAST_MANTISSA, normalise, reciprocal_root
from fxp.ir import Graph, IntArray
from fxp.node_tables import reciprocal_root_seeds
from fxp.simulate import compile_graph, run
from hw_model.rtl.bench_files import hardware_files, hex_words, run_files
from hw_model.rtl.clips import back_to_back
from hw_model.rtl.design import design_of
from hw_model.rtl.expected import wanted_values
from hw_model.rtl.toolchains import AXIS_FILE, ENGINE_FILES
from hw_model.streaming import LineSource, streamed_cycles
from tests.rtl_planting import Edit
from tests.rtl_runs import written

RTL = Path(hw_model.rtl.__file__).parent
BENCHES = Path(__file__).parent / "rtl"
PATTERN = 1009  # cycles until the stalls come again, a prime


@dataclass(frozen=True)
class Case:
    """A bench with its `parameters` and hex memories, and the sources of the engine it needs."""

    bench: str
    sources: tuple[str, ...]
    parameters: Mapping[str, int]
    files: Mapping[str, bytes]


def log_of(case: Case, folder: Path, edits: Sequence[Edit] = ()) -> str:
    """What the bench says of the unit, with bugs planted in its sources."""
    written(folder, case.files)
    texts = {f"{name}.sv": (RTL / f"{name}.sv").read_text() for name in case.sources}
    for edit in edits:
        assert texts[edit.file].count(edit.old) == 1, edit
        texts[edit.file] = texts[edit.file].replace(edit.old, edit.new)
    written(folder, {name: text.encode() for name, text in texts.items()})
    command = ["iverilog", "-g2012", "-I", folder, "-o", folder / "sim", "-s", case.bench]
    command += [f"-P{case.bench}.{name}={value}" for name, value in case.parameters.items()]
    command += [folder / name for name in texts]
    command += [BENCHES / f"{case.bench}.sv"]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    started = ["vvp", "-n", folder / "sim", f"+folder={folder}"]
    done = subprocess.run(started, capture_output=True, text=True, timeout=600)
    passed = done.stdout.count("PASS: ") == 1 and "DIFFERENT" not in done.stdout
    assert passed == (done.returncode == 0), done.stdout
    return done.stdout


def pattern_file(seed: int, stall: float, gap: float = 0.0, burst: int = 1) -> bytes:
    """A gap (bit 1) and a stall (bit 0) for every cycle; stalls are up to `burst` cycles long."""
    rng = np.random.default_rng(seed)
    stalls = np.zeros(PATTERN, np.bool_)
    for at in np.flatnonzero(rng.random(PATTERN) < stall).tolist():
        stalls[at : at + int(rng.integers(1, burst, endpoint=True))] = True
    return hex_words((2 * (rng.random(PATTERN) < gap) + stalls).tolist(), 2)


# ---------------------------------------------------------------------------- the divider


@dataclass(frozen=True)
class Division:
    """`floor((number << bits | tail) / by)`."""

    bits: int
    number: int
    tail: int
    by: int

    @property
    def quotient(self) -> int:
        """The definition."""
        return (self.number << self.bits | self.tail) // self.by


def divider_case(asked: Sequence[Division], width: int, most_bits: int, seed: int) -> Case:
    """Divisions one after another, those of equally many bits at a cycle's distance."""
    words = [
        (at % 256) << 200 | each.bits << 192 | each.number << 128 | each.tail << 64 | each.by
        for at, each in enumerate(asked)
    ]
    files = {
        "asked.hex": hex_words(words, 208),
        "answers.hex": hex_words((each.quotient for each in asked), 64),
        "pattern.hex": pattern_file(seed, 0.1, 0.1),
    }
    given = {"COUNT": len(asked), "WIDTH": width, "MOST_BITS": most_bits, "PATTERN": PATTERN}
    return Case("divider_bench", ("divider",), given, files)


# ---------------------------------------------------------------------------- the root


def root_case(
    variances: Sequence[int], entries: int, steps: int, seed: int, variance_bits: int = 62
) -> Case:
    """Roots of variances of at least 1, each of drawn sums and a drawn epsilon."""
    rng = np.random.default_rng(seed)
    seeds = reciprocal_root_seeds(entries).tolist()
    most = (1 << variance_bits) - 1
    asked, answers = [], []
    for variance in variances:
        room = min(isqrt(most - variance), 1 << 20)
        s0 = int(rng.integers(-room, room, endpoint=True))
        words = int(rng.integers(1 + (variance + s0 * s0 >> 56), 1 << 10))
        s1, epsilon = divmod(variance + s0 * s0, words)
        asked.append((words << 144) | ((s0 & 0xFFFFFFFF) << 112) | (s1 << 56) | epsilon)
        mantissa, k = normalise(variance)
        answers.append((k << 20) | reciprocal_root(mantissa, seeds, steps))
    files = {
        "seeds.hex": hex_words(seeds, 20),
        "asked.hex": hex_words(asked, 160),
        "answers.hex": hex_words(answers, 32),
        "pattern.hex": pattern_file(seed, 0.1),
    }
    given = {
        "COUNT": len(asked),
        "STEPS": steps,
        "SEEDS": entries,
        "SEED_SHIFT": (3 * LEAST_MANTISSA // entries).bit_length() - 1,
        "VARIANCE_BITS": variance_bits,
        "PATTERN": PATTERN,
    }
    return Case("root_bench", ("reciprocal_root", "ram"), given, files)


# ---------------------------------------------------------------------------- weights from outside


@dataclass(frozen=True)
class Streamed:
    """A pass whose weights stream in; where `source` is None, as the memory outside likes."""

    blocks: int
    lines: int
    joints: int
    source: LineSource | None = None

    @property
    def cycles(self) -> int:
        """The definition: from the first cycle of the pass's loops to its last operation."""
        assert self.source is not None
        return streamed_cycles(self.blocks, self.lines, self.joints, self.source)


def tiles_case(passes: Sequence[Streamed], seed: int) -> Case:
    """Passes one after another; cycles are compared where the first one's source says when."""
    free, rng = passes[0].source is None, np.random.default_rng(seed)
    words = []
    for each in passes:
        source = each.source or LineSource(1, 1)
        row = [int(rng.integers(1000)), each.lines, each.blocks, each.joints]
        row += [source.latency, source.interval, 0 if free else each.cycles]
        words.append(int("".join(f"{number:08x}" for number in row), 16))
    widths = (
        "parameter int FETCH_BITS = 16, parameter int TILE_BITS = {}, parameter int COUNT_BITS = 4"
    )
    tile_bits = max(1, (max(each.lines for each in passes) - 1).bit_length())
    files = {
        "engine_params.svh": f"{widths.format(tile_bits)}\n".encode(),
        "passes.hex": hex_words(words, 224),
        "pattern.hex": pattern_file(seed, 0.06, 0.5, burst=20),
        "outside.hex": pattern_file(seed + 1, 0.1, 0.3, burst=3),
    }
    given = {"FREE": int(free), "COUNT": len(passes), "PATTERN": PATTERN}
    return Case("tiles_bench", ("tiles", "ram"), given, files)


# ---------------------------------------------------------------------------- AXI4-Stream


def axis_case(graph: Graph, clips: Sequence[IntArray], lanes: int, off_chip: Set[str]) -> Case:
    """The whole engine behind its AXI4-Stream ports, clips one behind the other."""
    design = design_of(graph, lanes, off_chip=off_chip)
    runs = []
    for clip in clips:
        values, _ = run(compile_graph(graph), clip, taps=wanted_values(design))
        runs.append(run_files(design, clip, values, seed=lanes, stall=0.4))
    files = {**back_to_back(runs).files, **hardware_files(design)}
    engine = [name.removesuffix(".sv") for name in (*ENGINE_FILES, AXIS_FILE, "checked_file.sv")]
    return Case("axis_bench", tuple(engine), {}, files)
