"""The reports of a results directory: pictures, and summary.md that says what they show.

Reads only what a sweep has written there (`reports.tables`); equal results give equal reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fxp.files import replacing
from reports.figures import draw_bits, draw_memory, draw_pareto, save
from reports.markdown import table
from reports.tables import (
    Record,
    Results,
    bits_panels,
    label_of,
    load_results,
    memory_bars,
    number,
    pareto_panels,
)

BITS_METRICS = ("frame_accuracy", "f1_50", "argmax_agreement")
SCORES = ("frame_accuracy", "f1_10", "f1_25", "f1_50", "edit")
MAX_ROWS = 40


def write_reports(directory: Path) -> list[Path]:
    """Draw every figure of a results directory that its results allow, and write summary.md.

    Returns:
        The files written: pareto.png/.svg, accuracy_bits.png/.svg, memory.png/.svg, summary.md.

    Raises:
        InputError: no finished sweep there, or a file cannot be written.
    """
    results = load_results(directory)
    title = f"{results.sweep['name']} ({data_name(results)})"
    written: list[Path] = []
    panels = pareto_panels(results)
    if any(panel.dots for panel in panels):
        key = [f"{record['front']}  {record['design']}" for record in results.front]
        written += save(draw_pareto(panels, key, f"Pareto front: {title}"), directory / "pareto")
    if bits := bits_panels(results, BITS_METRICS):
        figure = draw_bits(bits, f"Accuracy against bit widths: {title}")
        written += save(figure, directory / "accuracy_bits")
    if bars := memory_bars(results):
        written += save(draw_memory(bars, f"Memory of the front: {title}"), directory / "memory")
    summary = directory / "summary.md"
    with replacing(summary) as temporary:
        temporary.write_text("\n".join(summary_lines(results)) + "\n", encoding="utf-8")
    return [*written, summary]


def data_name(results: Results) -> str:
    """The recordings in a few words; synthetic ones are called so."""
    data = results.sweep["data"]
    if data is None:
        return "cost alone, zero weights"
    return "synthetic data" if data["synthetic"] else f"{data['name']} recordings"


def summary_lines(results: Results) -> Iterator[str]:
    """The lines of summary.md."""
    sweep = results.sweep
    yield f"# Sweep `{sweep['name']}`"
    yield ""
    yield from _about(results)
    yield ""
    yield "## Pareto front"
    yield ""
    yield from _front(results)
    yield ""
    yield from _best(results)
    if sweep["data"] is not None:
        yield ""
        yield from _integers(results)
        yield ""
        yield from _seeds(results)
    yield ""
    yield from _effort(results)


def _about(results: Results) -> Iterator[str]:
    sweep = results.sweep
    yield f"- Space: `{sweep['source']}`, {_sampled(sweep)}."
    data = sweep["data"]
    if data is None:
        yield "- Data: none. Networks have zero weights; no accuracy is measured."
    else:
        kind = "**synthetic** data" if data["synthetic"] else "recordings"
        yield (
            f"- Data: {kind} `{data['name']}`, {len(data['classes'])} classes,"
            f" {data['step_rate_hz']:g} network steps a second."
        )
        verbs = {"train": "Trained on", "valid": "Validated on", "test": "Tested on"}
        for side, verb in verbs.items():
            if side not in data:
                continue
            part = data[side]
            people = ", ".join(map(str, part["participants"]))
            yield (
                f"- {verb} participants {people}: {part['recordings']} recordings,"
                f" {part['frames']:,} frames."
            )
        tested = "test" in data
        chosen = (
            "No epoch was chosen on them."
            if tested
            else "The epoch of each training was chosen on the same recordings, so levels are a"
            " little optimistic."
        )
        yield (
            "- Accuracy is of the integer networks, simulated bit for bit on the"
            f" {'test' if tested else 'validation'} recordings, predictions held to the original"
            f" frame rate. {chosen}"
        )
    goals = ", ".join(f"`{metric}` {way}" for metric, way in sweep["objectives"].items())
    yield f"- Objectives: {goals}."
    limits = ", ".join(f"`{text}`" for text in sweep["constraints"]) or "none"
    yield f"- Constraints: {limits}."
    counts = sweep["counts"]
    yield (
        f"- {counts['points']} points ({counts['topologies']} float networks, {counts['networks']}"
        f" integer networks, {len(sweep['accelerators'])} accelerators): {counts['ok']} feasible,"
        f" {counts['infeasible']} infeasible, {counts['failed']} failed, {counts['missing']} not"
        f" evaluated; {counts['front']} on the front."
    )


def _sampled(sweep: Mapping[str, Any]) -> str:
    count = sweep["space"]["sampling"]["count"]
    if count is None:
        return f"the whole grid of {sweep['grid']} points"
    seed = sweep["space"]["sampling"]["seed"]
    return f"{count} points drawn at random (seed {seed}) from a grid of {sweep['grid']}"


def _front(results: Results) -> Iterator[str]:
    metrics = list(results.sweep["objectives"])
    extra = [name for name in ("f1_50", "argmax_agreement") if name not in metrics]
    metrics += [name for name in extra if name in results.sweep["metrics"]]
    rows = [
        [record["front"], record["design"], *_values(record, metrics), f"`{record['point'][:12]}`"]
        for record in results.front[:MAX_ROWS]
    ]
    header = ["#", "design", *(label_of(results, metric) for metric in metrics), "point"]
    yield from table(header, rows)
    if len(results.front) > MAX_ROWS:
        yield ""
        yield f"The first {MAX_ROWS} of {len(results.front)}; all are in `pareto.csv`."
    if not results.front:
        yield ""
        yield "No point is feasible."


def _best(results: Results) -> Iterator[str]:
    """The best feasible point in each objective, and how many points each constraint costs."""
    yield "## Best feasible point of each objective"
    yield ""
    rows = []
    for metric, way in results.sweep["objectives"].items():
        known = [
            (value, record)
            for record in results.front
            if (value := number(record, metric)) is not None
        ]
        if known:
            choose = max if way == "max" else min
            value, record = choose(known, key=lambda pair: pair[0])
            rows.append([f"{label_of(results, metric)}, {way}", _text(value), record["design"]])
    yield from table(["objective", "value", "design"], rows)
    refused = _reasons(results.records)
    if refused:
        yield ""
        yield "Infeasible and failed points by reason:"
        yield ""
        yield from table(["points", "reason"], [[str(n), text] for text, n in refused])


def _reasons(records: Sequence[Record]) -> list[tuple[str, int]]:
    """Reasons without their values, the most frequent first."""
    counts: dict[str, int] = {}
    for record in records:
        if record["status"] != "ok":
            reason = f"{record['status']}: {record['reason'].split(': is ')[0]}"
            counts[reason] = counts.get(reason, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:12]


def _integers(results: Results) -> Iterator[str]:
    """Each quantisation setting against the float networks, means over the trained networks."""
    yield "## Float against integers"
    yield ""
    yield "Means over the trained networks; the loss is float minus integer, in points."
    yield ""
    rows = []
    metrics = [*SCORES, "argmax_agreement"]
    for label in results.sweep["quant"]:
        once = _once([r for r in results.records if r["quant"] == label], "network")
        measured = [record for record in once if number(record, SCORES[0]) is not None]
        if not measured:
            rows.append([label, *["-"] * (len(metrics) + 1)])
            continue
        losses = [f"{_loss(measured, metric):+.2f}" for metric in (SCORES[0], "f1_50")]
        rows.append([label, *_means(measured, metrics), " / ".join(losses)])
    floats = _once(results.records, "topology")
    trained = [record for record in floats if number(record, f"float_{SCORES[0]}") is not None]
    if trained:
        means = _means(trained, [f"float_{metric}" for metric in SCORES])
        rows.insert(0, ["float", *means, "", ""])
    header = [*(label_of(results, metric) for metric in metrics), "loss of accuracy / F1@50"]
    yield from table(["setting", *header], rows)


def _seeds(results: Results) -> Iterator[str]:
    """How far apart the trainings of one network are: a front over single runs picks lucky ones."""
    yield "## Float networks, by seed"
    yield ""
    groups: dict[str, list[Record]] = {}
    for record in _once(results.records, "topology"):
        if number(record, f"float_{SCORES[0]}") is not None:
            groups.setdefault(f"{record['model']}/{record['depth']}", []).append(record)
    metrics = ["float_frame_accuracy", "float_f1_50", "float_edit"]
    metrics += [
        name  # of a merge of classes
        for name in results.sweep["metrics"]
        if name.startswith("float_") and name.endswith("_frame_accuracy") and name != metrics[0]
    ]
    rows = []
    for name, group in groups.items():
        cells = []
        for metric in metrics:
            values = _known(group, metric)
            spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
            cells.append(_means(group, [metric])[0] + spread)
        rows.append([name, str(len(group)), *cells])
    yield from table(["network", "seeds", *(label_of(results, m) for m in metrics)], rows)


def _effort(results: Results) -> Iterator[str]:
    sweep = results.sweep
    seconds = sweep["seconds"]
    yield "## Provenance"
    yield ""
    yield (
        f"- Computed in {seconds['topologies']:.0f} s of training, {seconds['networks']:.0f} s of"
        f" integer simulation and {seconds['points']:.1f} s of cost estimation, summed over"
        " processes."
    )
    versions = ", ".join(f"{name} {version}" for name, version in sweep["versions"].items())
    yield f"- Versions: {versions}."
    if sweep["data"] is not None:
        yield f"- Data hash: `{sweep['data']['hash']}`."
    yield "- Every row with its hashes: `results.csv`; the front alone: `pareto.csv`."


def _once(records: Sequence[Record], key: str) -> list[Record]:
    """The first record of each value of `key`."""
    found: dict[str, Record] = {}
    for record in records:
        found.setdefault(record[key], record)
    return list(found.values())


def _known(records: Sequence[Record], metric: str) -> list[float]:
    return [value for record in records if (value := number(record, metric)) is not None]


def _means(records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    found = [_known(records, metric) for metric in metrics]
    return [f"{sum(values) / len(values):.2f}" if values else "-" for values in found]


def _loss(records: Sequence[Record], metric: str) -> float:
    """Mean of float minus integer over the networks."""
    pairs = zip(_known(records, f"float_{metric}"), _known(records, metric), strict=True)
    losses = [whole - integer for whole, integer in pairs]
    return sum(losses) / len(losses)


def _values(record: Record, metrics: Sequence[str]) -> list[str]:
    return [_text(number(record, metric)) for metric in metrics]


def _text(value: float | None) -> str:
    """Four digits, or all of a whole number."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1000 else f"{value:.4g}"
