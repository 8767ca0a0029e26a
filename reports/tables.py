"""The results of a sweep as typed rows, and the numbers behind every figure.

Reads `results.csv` and `sweep.json` of a results directory, nothing else, and evaluates nothing.
Figures are computed here as plain values first, so that what a picture says can be tested.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fxp.errors import InputError

RESULTS = "results.csv"
SWEEP = "sweep.json"
MEMORY_KINDS = {
    "memory_weights_bits": "weights",
    "memory_state_bits": "FIFO state",
    "memory_activations_bits": "activations",
}
MAX_PANELS = 3
MAX_BARS = 24

Record = dict[str, str]


@dataclass(frozen=True)
class Results:
    """`records` are the points of results.csv in its order; `front` those on the Pareto front."""

    directory: Path
    records: tuple[Record, ...]
    front: tuple[Record, ...]
    sweep: dict[str, Any]


@dataclass(frozen=True)
class Dot:
    """One design point in a scatter plot; `number` counts front points from 1, 0 is dominated."""

    x: float
    y: float
    number: int
    bits: str
    accelerator: str


@dataclass(frozen=True)
class Panel:
    """One scatter plot; the baseline is the best float network's value on the y axis.

    `settings` are the quantisation settings in the order of the space; `connected` says that the
    panel shows all objectives, so that its front is a line.
    """

    x_label: str
    y_label: str
    dots: tuple[Dot, ...]
    baseline: float | None
    settings: tuple[str, ...]
    connected: bool


@dataclass(frozen=True)
class BitsPanel:
    """One metric over the quantisation settings: a value (or None) per setting and network."""

    y_label: str
    settings: tuple[str, ...]
    lines: tuple[tuple[float | None, ...], ...]
    mean: tuple[float | None, ...]


@dataclass(frozen=True)
class Bar:
    """Memory of one front point by kind, in bits, in the order of `MEMORY_KINDS`."""

    label: str
    bits: tuple[float, ...]


def load_results(directory: Path) -> Results:
    """Read a results directory.

    Raises:
        InputError: a file is missing or not what a sweep writes.
    """
    sweep_file, results_file = directory / SWEEP, directory / RESULTS
    for file in (sweep_file, results_file):
        if not file.is_file():
            raise InputError(f"{directory}: holds no finished sweep ({file.name} is missing)")
    try:
        sweep = json.loads(sweep_file.read_text(encoding="utf-8"))
        with results_file.open(newline="", encoding="utf-8") as stream:
            records = tuple(dict(record) for record in csv.DictReader(stream))
    except (OSError, ValueError) as error:
        raise InputError(f"{directory}: cannot be read ({error})") from None
    needed = {"point", "status", "front", "design"}
    told = {"name", "data", "space", "quant", "metrics", "objectives", "constraints", "counts"}
    if not (isinstance(sweep, dict) and told <= sweep.keys()) or (
        records and not needed <= records[0].keys()
    ):
        raise InputError(f"{directory}: {RESULTS} or {SWEEP} is not of a sweep")
    front = sorted(
        (record for record in records if record["front"]), key=lambda record: int(record["front"])
    )
    return Results(directory, records, tuple(front), sweep)


def number(record: Record, key: str) -> float | None:
    """A metric of a record; None where it was not measured."""
    text = record.get(key, "")
    return float(text) if text else None


def label_of(results: Results, metric: str) -> str:
    """What an axis says: the metric and its unit."""
    about = results.sweep["metrics"].get(metric, {"label": metric, "unit": ""})
    return f"{about['label']} ({about['unit']})" if about["unit"] else str(about["label"])


def pareto_panels(results: Results) -> list[Panel]:
    """The scatter plots of the front: the first two metrics to maximise over those to minimise.

    A space without a metric to maximise is drawn as its first two metrics against each other; a
    front over more objectives than a panel shows has points that look dominated in it.
    """
    objectives: dict[str, str] = results.sweep["objectives"]
    wanted = [metric for metric, direction in objectives.items() if direction == "max"]
    paid = [metric for metric, direction in objectives.items() if direction == "min"]
    if not wanted or not paid:
        names = list(objectives)
        pairs = [(names[0], names[-1])]
    else:
        pairs = [(cost, gain) for gain in wanted for cost in paid][:MAX_PANELS]
    return [_panel(results, x, y) for x, y in pairs]


def _panel(results: Results, x: str, y: str) -> Panel:
    dots = []
    for record in results.records:
        across, up = number(record, x), number(record, y)
        if record["status"] == "failed" or across is None or up is None:
            continue
        front = int(record["front"] or 0)
        dots.append(Dot(across, up, front, record.get("quant", ""), record["accelerator"]))
    floats = [number(record, f"float_{y}") for record in results.records]
    known = [value for value in floats if value is not None]
    return Panel(
        label_of(results, x),
        label_of(results, y),
        tuple(dots),
        max(known) if known else None,
        tuple(quant_settings(results)),
        connected=len(results.sweep["objectives"]) == 2,
    )


def quant_settings(results: Results) -> list[str]:
    """Quantisation settings of the sweep in the order of the space."""
    present = {record["quant"] for record in results.records}
    return [label for label in results.sweep["quant"] if label in present]


def bits_panels(results: Results, metrics: Sequence[str]) -> list[BitsPanel]:
    """Integer accuracy over the quantisation settings, one line a trained network, float first.

    A metric without a single value gives no panel. Accelerators do not change accuracy, so each
    network counts once.
    """
    settings = quant_settings(results)
    panels = []
    for metric in metrics:
        table: dict[str, dict[str, float]] = {}
        for record in results.records:
            value, base = number(record, metric), number(record, f"float_{metric}")
            line = table.setdefault(record["topology"], {})
            if value is not None:
                line[record["quant"]] = value
            if base is not None:
                line["float"] = base
        columns = (
            ["float", *settings] if any("float" in line for line in table.values()) else settings
        )
        lines = tuple(tuple(table[key].get(column) for column in columns) for key in sorted(table))
        if any(value is not None for line in lines for value in line):
            mean = tuple(_mean(column) for column in zip(*lines, strict=True))
            panels.append(BitsPanel(label_of(results, metric), tuple(columns), lines, mean))
    return panels


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def memory_bars(results: Results) -> list[Bar]:
    """Memory of the front points, the smallest first, at most `MAX_BARS`.

    A network that takes the same memory on several accelerators is one bar.
    """
    bars: dict[tuple[str, tuple[float, ...]], Bar] = {}
    for record in results.front:
        bits = [number(record, kind) for kind in MEMORY_KINDS]
        known = tuple(value for value in bits if value is not None)
        if len(known) != len(bits):
            continue
        label = f"{record['front']}  {record['model']} {record['quant']}"
        bars.setdefault((record["network"], known), Bar(label, known))
    ordered = sorted(bars.values(), key=lambda bar: (sum(bar.bits), bar.label))
    return _thinned(ordered)


def _thinned(bars: list[Bar]) -> list[Bar]:
    """Evenly spaced bars where there are too many to read, both ends kept."""
    if len(bars) <= MAX_BARS:
        return bars
    step = (len(bars) - 1) / (MAX_BARS - 1)
    return [bars[round(index * step)] for index in range(MAX_BARS)]
