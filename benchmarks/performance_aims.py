"""What the simulator should reach, and what it did: every aim from rows of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.performance_results import Results, Row, Section, SectionName

EAGER = ("torch eager, MKL", "torch eager, oneDNN")
ON_TWO = tuple(f"{name}, two threads" for name in EAGER)
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


def _of(results: Results, name: SectionName) -> Section | None:
    return results.sections.get(name)


def _widths(results: Results) -> list[Aim]:
    section, group = _of(results, "widths"), "512 frames"
    found = [
        Aim(
            f"{bits} bits, one thread, beside torch eager",
            faster(section, group, f"{bits} bits", EAGER),
            bound,
            "x",
            best,
        )
        for bits, bound, best in ((8, 6.5, 8.0), (12, 3.5, None), (16, 1.8, None), (24, 1.0, None))
    ]
    peak = share_of_peak(section, group, "8 bits", "peak int8, vpdpbusd")
    found.insert(1, Aim("8 bits, of the peak of `vpdpbusd`", peak, 80.0, "%", 88.0))
    return found


def _others(results: Results) -> list[Aim]:
    avx2, threads = _of(results, "avx2"), _of(results, "threads")
    networks = _of(results, "networks")
    free, own = "torch with all this processor has", "as an AVX2 processor"
    found = [
        Aim(
            "8 bits without AVX-512, torch eager with it",
            faster(avx2, free, own, EAGER),
            2.0,
            "x",
        )
    ]
    found += [
        Aim(
            f"8 bits, two threads on one clip of {group}, torch eager on two",
            faster(threads, group, "one clip, two threads", ON_TWO),
            8.0,
            "x",
        )
        for group in ("512 frames", "4096 frames")
    ]
    for group in ("MS-GCN, 512 frames", "ST-GCN, 300 frames"):
        forms = tuple(r.name for r in networks.of_group(group)) if networks else ()
        torch = tuple(name for name in forms if name.startswith("torch"))
        what = f"8 bits, {group.partition(',')[0]}, beside torch's best form"
        found.append(Aim(what, faster(networks, group, "8 bits", torch), 4.0, "x"))
    return found


def _times(results: Results) -> list[Aim]:
    streaming, startup = _of(results, "streaming"), _of(results, "startup")
    group = "one frame at a time"
    row = streaming.find(group, "8 bits") if streaming else None
    steps = [
        startup.find("compiled code on the disk", name) if startup else None
        for name in ("compile_graph", "first run")
    ]
    seconds = [row.median_s for row in steps if row]
    return [
        Aim("8 bits, one frame, torch eager", faster(streaming, group, "8 bits", EAGER), 8.0, "x"),
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
