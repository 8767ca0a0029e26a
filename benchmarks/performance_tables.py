"""The tables of docs/performance.md, as lines of Markdown, from results alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.peers import Results as PeerResults
from benchmarks.performance_aims import Aim, aims, faster, peer_aim
from benchmarks.performance_names import EAGER
from benchmarks.performance_results import Results, Row, Section

SHARED = 0.9  # below it something else had the processor


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; every column but the first is aligned right."""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows)]


def machine(results: Results) -> list[str]:
    """Where, when and with what."""
    here = results.machine
    versions = ", ".join(f"{name} {number}" for name, number in here.versions.items())
    lines = [
        f"Processor `{here.processor}`, {here.cores} cores ({here.cache}), "
        f"{here.memory_bytes / 2**30:.0f} GiB, {here.system}; tiers: {', '.join(here.tiers)}.",
        f"{versions}. {here.date}, {sum(results.seconds.values()):,.0f} s of work.",
    ]
    if results.quick:
        lines += ["", "**A `--quick` run: it shows that everything runs, its times are none.**"]
    return lines


def aim_table(results: Results) -> list[str]:
    """Every aim beside what was reached."""
    return table(
        ("what", "aim", "measured", "verdict"),
        ((aim.what, _bound(aim), _figure(aim), aim.verdict) for aim in aims(results)),
    )


def _bound(aim: Aim) -> str:
    sign = "<" if aim.at_most else "≥"
    further = "" if aim.best is None else f" (further: {aim.best:g}{_unit(aim)})"
    return f"{sign} {aim.bound:g}{_unit(aim)}{further}"


def _figure(aim: Aim) -> str:
    if aim.figure is None:
        return "–"
    digits = 0 if aim.unit == "%" else 2
    return f"{aim.figure:.{digits}f}{_unit(aim)}"


def _unit(aim: Aim) -> str:
    return "x" if aim.unit == "x" else f" {aim.unit}"


def words(section: Section) -> list[str]:
    """What was compared."""
    return table(
        ("compared", "words", "differing"),
        ((c.what, f"{c.words:,}", f"{c.differing:,}") for c in section.checks),
    )


def speeds(
    section: Section, group: str, beside: Sequence[tuple[str, tuple[str, ...]]] = ()
) -> list[str]:
    """Frames a second of a group, and how many times that is of the fastest of some of it.

    `beside`: headings of ratios, and the rows of whose fastest they are multiples.
    """
    rows = [row for row in section.of_group(group) if row.frames]
    present = [
        (heading, others)
        for heading, others in beside
        if any(section.find(group, name) for name in others)
    ]
    headings = ("", "frames/s", "slowest..fastest", "GMAC/s", *(h for h, _ in present))
    lines = []
    for row in rows:
        ratios = [faster(section, group, row.name, others) for _, others in present]
        lines.append(
            (
                row.name,
                f"{row.frames_per_s:,.0f}",
                _spread(row),
                f"{row.gmac_per_s:.1f}",
                *(f"{ratio:.2f}" for ratio in ratios if ratio is not None),
            )
        )
    return table(headings, lines)


def _spread(row: Row) -> str:
    return f"{row.frames / max(row.times_s):,.0f}..{row.frames / min(row.times_s):,.0f}"


def peaks(section: Section, group: str) -> list[str]:
    """What the multipliers can do at most, and what share of it the convolutions reach."""
    rows = [row for row in section.of_group(group) if not row.frames and row.macs]
    shown = [row for row in section.of_group(group) if row.frames]
    return table(
        ("multipliers", "GMAC/s", "lowest..highest", *(f"% by {row.name}" for row in shown)),
        (
            (
                row.name.removeprefix("peak "),
                f"{row.gmac_per_s:.1f}",
                f"{row.macs / max(row.times_s) / 1e9:.1f}..{row.macs / min(row.times_s) / 1e9:.1f}",
                *(f"{100 * own.gmac_per_s / row.gmac_per_s:.0f}" for own in shown),
            )
            for row in rows
        ),
    )


def latencies(section: Section) -> list[str]:
    """Microseconds of single frames."""
    lines = []
    for group in section.groups():
        for row in section.of_group(group):
            ratio = faster(section, group, row.name, EAGER)
            p50, p99 = row.median_s, row.quantile_s(0.99)
            lines.append(
                (
                    row.name,
                    f"{len(row.times_s):,}",
                    *(f"{1e6 * t:,.0f}" for t in (p50, p99, max(row.times_s))),
                    f"{p99 / p50:.2f}",
                    "–" if ratio is None else f"{ratio:.2f}",
                )
            )
    headings = ("", "frames", "median µs", "p99 µs", "longest µs", "p99/median", "x eager")
    return table(headings, lines)


def growth(section: Section, group: str) -> list[str]:
    """One dimension of the network or the clip."""
    rows = section.of_group(group)
    memory = any(row.peak_bytes for row in rows)
    headings = ("", "frames/s", "slowest..fastest", "MMAC a frame", "GMAC/s")
    return table(
        (*headings, "peak MB") if memory else headings,
        (
            (
                row.name,
                f"{row.frames_per_s:,.0f}",
                _spread(row),
                f"{row.macs / 1e6:.2f}",
                f"{row.gmac_per_s:.1f}",
                *([f"{row.peak_bytes / 1e6:.1f}"] if memory else []),
            )
            for row in rows
        ),
    )


def starts(section: Section) -> list[str]:
    """Seconds of a new process."""
    groups = section.groups()
    steps = list(dict.fromkeys(row.name for row in section.rows))
    lines = []
    for step in steps:
        found = [section.find(group, step) for group in groups]
        lines.append((step, *(_seconds(row) for row in found)))
    return table(("seconds", *groups), lines)


def _seconds(row: Row | None) -> str:
    if row is None:
        return "–"
    least, most = min(row.times_s), max(row.times_s)
    many = f" ({least:.3f}..{most:.3f})" if len(row.times_s) > 1 else ""
    return f"{row.median_s:.3f}{many}"


def peers(results: PeerResults) -> list[str]:
    """The rows of `benchmarks.peers`."""
    timed = [row for row in results.rows if row.times_s]
    lines = table(
        ("peer", "version", "median ms", "fastest..slowest", "simulator ms", "x slower", "aim"),
        (
            (
                row.peer,
                row.version or "–",
                f"{1e3 * row.median_s:.3f}",
                f"{1e3 * min(row.times_s):.3f}..{1e3 * max(row.times_s):.3f}",
                f"{1e3 * row.toolkit_median_s:.3f}",
                f"{row.slower:,.2f}",
                _peer_verdict(row.slower, peer_aim(row.peer)),
            )
            for row in timed
        ),
    )
    absent = [f"- {row.peer}: {row.note}" for row in results.rows if not row.times_s]
    return lines + (["", *absent] if absent else [])


def _peer_verdict(slower: float, bound: float | None) -> str:
    if bound is None:
        return "–"
    return f"≥ {bound:,.0f}: {'reached' if slower >= bound else 'missed'}"


def remark(section: Section) -> list[str]:
    """A sentence where something else had the processor."""
    if section.busy == 0 or section.busy >= SHARED:
        return []
    return [
        "",
        "The processor was shared with other work, and spent on this "
        f"{100 * section.busy:.0f} % of the time.",
    ]
