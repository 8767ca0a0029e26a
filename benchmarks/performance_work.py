"""What the sections of `benchmarks.performance` share: networks, clips, and timing by turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.bench_simulate import random_net
from benchmarks.performance_results import Check, Row, Section
from fxp.calibrate import calibrate
from fxp.floatnet import FloatNet
from fxp.ir import Graph, Input, IntArray
from fxp.lower import lower
from fxp.spec import ArchSpec, QuantSpec, load_spec

EXAMPLES = Path(__file__).parent.parent / "examples"
PUBLISHED = EXAMPLES / "pkummd_rtstgcn.yaml"
FRAMES, LONG_FRAMES = 512, 4096

Work = Callable[[], object]


@dataclass
class Size:
    """How much of a section is done: `--quick` checks that everything runs."""

    quick: bool
    repeats: int = field(init=False)

    def __post_init__(self) -> None:
        self.repeats = 2 if self.quick else 11

    def frames(self, wanted: int) -> int:
        """So many frames, or few."""
        return min(wanted, 96) if self.quick else wanted


@dataclass
class Timings:
    """Rows that grow group by group, and how far the processor was ours."""

    rows: list[Row] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0

    def by_turns(
        self,
        group: str,
        work: Mapping[str, Work],
        repeats: int,
        *,
        frames: int | Mapping[str, int] = 0,
        macs: int | Mapping[str, int] = 0,
        warm: bool = False,
    ) -> None:
        """Time every call `repeats` times, one after the other in each turn.

        The order is reversed in every second turn, so that nobody always follows the same other.
        Calls that are not `warm` go once before, untimed: they compile, and fill the caches.
        """
        times: dict[str, list[float]] = {name: [] for name in work}
        for name, call in work.items():
            say(f"  {group}: {name}")
            if not warm:
                call()
        for turn in range(repeats):
            order = list(work) if turn % 2 == 0 else list(work)[::-1]
            for name in order:
                cpu, start = time.process_time(), time.perf_counter()
                work[name]()
                wall = time.perf_counter() - start
                times[name].append(wall)
                self.cpu_s, self.wall_s = self.cpu_s + time.process_time() - cpu, self.wall_s + wall
        for name, seconds in times.items():
            self.rows.append(
                Row(
                    group=group,
                    name=name,
                    times_s=tuple(round(s, 9) for s in seconds),
                    frames=frames if isinstance(frames, int) else frames.get(name, 0),
                    macs=macs if isinstance(macs, int) else macs.get(name, 0),
                )
            )

    def section(self, checks: Iterable[Check] = ()) -> Section:
        """All of it."""
        busy = round(self.cpu_s / self.wall_s, 3) if self.wall_s else 0.0
        return Section(rows=tuple(self.rows), checks=tuple(checks), busy=busy)


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def published() -> FloatNet:
    """The network published for PKU-MMD with random weights."""
    return random_net(load_spec(ArchSpec, PUBLISHED), seed=0)


def lowered(net: FloatNet, bits: int) -> Graph:
    """The integer network with weights and words of so many bits."""
    quant = QuantSpec(weight_bits=bits, activation_bits=bits, calibrator="max", accumulator_bits=63)
    return lower(net, calibrate(net, quant))


def noise(graph: Graph, frames: int, seed: int = 1) -> IntArray:
    """Normally distributed words over a fifth of the input's format, (frames, C, V)."""
    node = graph.nodes[0]
    assert isinstance(node, Input)
    scale = node.fmt.raw_max / 5
    words = np.random.default_rng(seed).normal(0, scale, (frames, node.channels, node.joints))
    return np.clip(words, node.fmt.raw_min, node.fmt.raw_max).astype(np.int64)


def compare(what: str, found: Mapping[str, IntArray], expected: Mapping[str, IntArray]) -> Check:
    """Count the words that differ.

    Raises:
        AssertionError: other values or shapes.
    """
    assert expected.keys() <= found.keys()
    words = differing = 0
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        words += value.size
        differing += int((found[name] != value).sum())
    return Check(what=what, words=words, differing=differing)
