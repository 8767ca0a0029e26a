"""What the simulator should reach, and what it did: every aim from rows of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.performance_names import (
    AVX2,
    EAGER,
    FIRST,
    FRAME,
    FREE,
    HELD,
    INT8,
    LONG,
    MADD,
    MKL,
    NETWORKS,
    OWN,
    PAIR,
    PLANNED,
    SHARED,
    SHORT,
    TORCH_CLIPS,
    WARM,
    on_two,
    side_by_side,
)
from benchmarks.performance_results import Results, Row, Section, SectionName

ON_TWO = tuple(on_two(name) for name in EAGER)
SIDE_BY_SIDE = tuple(side_by_side(name) for name in EAGER)
Unit = Literal["x", "%", "s"]


@dataclass(frozen=True)
class Aim:
    """A figure and its bound; `figure` is None where it was not measured.

    `at_most`: the figure should stay below the bound, otherwise reach it. `best` is what would be
    better still.
    """

    what: str
    figure: float | None
    bound: float
    unit: Unit
    best: float | None = None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """In words."""
        if self.figure is None:
            return "not measured"
        if self.at_most:
            return "reached" if self.figure < self.bound else "aim missed"
        if self.best is not None and self.figure >= self.best:
            return "reached, and the further aim"
        return "reached" if self.figure >= self.bound else "aim missed"


def faster(section: Section | None, group: str, name: str, others: tuple[str, ...]) -> float | None:
    """How many times faster than the fastest of others in one run, by medians; None: not there."""
    if section is None or (own := section.find(group, name)) is None:
        return None
    rates = [row.frames_per_s for other in others if (row := section.find(group, other))]
    return own.frames_per_s / max(rates) if rates else None


def share_of_peak(section: Section | None, group: str, name: str, peak: str) -> float | None:
    """Percent of what the multipliers can do, in the same run."""
    if section is None:
        return None
    own, most = section.find(group, name), section.find(group, peak)
    return 100 * own.gmac_per_s / most.gmac_per_s if own and most else None


def aims(results: Results) -> list[Aim]:
    """All of them, measured or not."""
    return [*_widths(results), *_others(results), *_times(results)]


def peer_aim(name: str) -> float | None:
    """How many times slower than the simulator a peer should be, on the layer of `peers`."""
    bounds = {
        "brevitas": 14.0,
        "numpy int64 einsum": 80.0,
        "apytypes": 70.0,
        "qonnx": 100.0,
        "hls4ml": 3500.0,
        "fxpmath": 8000.0,
    }
    return bounds.get(name)


def _of(results: Results, name: SectionName) -> Section | None:
    return results.sections.get(name)


def _widths(results: Results) -> list[Aim]:
    section = _of(results, "widths")
    found = [
        Aim(
            f"{bits} bits{others}, one thread, beside {against}",
            faster(section, SHORT, f"{bits} bits", forms),
            bound,
            "x",
            best,
        )
        for against, forms in (("torch eager", EAGER), (f"{MKL} alone", (MKL,)))
        for bits, others, bound, best in (
            (8, "", 6.5, 8.0),
            (12, ", for 9 to 13", 3.5, None),
            (16, "", 1.8, None),
            (24, "", 1.0, None),
        )
    ]
    for group in (SHORT, LONG):
        peak = share_of_peak(section, group, OWN, INT8)
        found.append(Aim(f"8 bits, {group}, of the peak of `vpdpbusd`", peak, 80.0, "%", 88.0))
    return found


def _others(results: Results) -> list[Aim]:
    avx2, threads = _of(results, "avx2"), _of(results, "threads")
    portable = _of(results, "portable")
    networks = _of(results, "networks")
    found = [
        Aim(f"8 bits {AVX2}, {group}", faster(avx2, group, AVX2, EAGER), 2.0, "x")
        for group in (FREE, HELD)
    ]
    madd = faster(portable, SHORT, MADD, EAGER)
    found.insert(0, Aim(f"8 bits, {MADD}, beside torch eager", madd, 2.0, "x"))
    found += [
        Aim(
            f"8 bits, two threads on one clip of {group}, torch eager on two",
            faster(threads, group, SHARED, ON_TWO),
            8.0,
            "x",
        )
        for group in (SHORT, LONG)
    ]
    found.append(
        Aim(
            f"8 bits, two clips of {LONG} on two threads, torch eager alike",
            faster(threads, LONG, PAIR, SIDE_BY_SIDE),
            8.0,
            "x",
        )
    )
    for group in NETWORKS:
        what = f"8 bits, {group}, beside torch's best form"
        found.append(Aim(what, faster(networks, group, OWN, TORCH_CLIPS), 4.0, "x"))
    return found


def _times(results: Results) -> list[Aim]:
    streaming, startup = _of(results, "streaming"), _of(results, "startup")
    row = streaming.find(FRAME, OWN) if streaming else None
    steps = [startup.find(WARM, name) if startup else None for name in (PLANNED, FIRST)]
    seconds = [row.median_s for row in steps if row]
    return [
        Aim("8 bits, one frame, torch eager", faster(streaming, FRAME, OWN, EAGER), 8.0, "x"),
        Aim("8 bits, one frame, p99 over the median", _tail(row), 2.0, "x", at_most=True),
        Aim(
            "`compile_graph` and first `run` of a new process",
            sum(seconds) if len(seconds) == len(steps) else None,
            1.0,
            "s",
            at_most=True,
        ),
    ]


def _tail(row: Row | None) -> float | None:
    return row.quantile_s(0.99) / row.median_s if row else None
