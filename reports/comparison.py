"""The page of a comparison: one table a question, from the files that `dse compare` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from fxp.errors import InputError
from reports.markdown import table
from reports.tables import Record, Results, load_results, number

COMPARISON = "comparison.json"
FLOAT = "float"
SCORES = ("frame_accuracy", "f1_50", "edit")


@dataclass(frozen=True)
class Compared:
    """A sweep over named networks, and what was measured beside it."""

    results: Results
    about: Mapping[str, Any]

    @property
    def models(self) -> list[str]:
        """The networks in the order of their space file."""
        return list(dict.fromkeys(record["model"] for record in self.results.records))

    @property
    def settings(self) -> list[str]:
        """Quantisation settings in the order of the space."""
        return list(self.results.sweep["quant"])

    def of(self, model: str, setting: str) -> list[Record]:
        """The records of a network, one a seed, on the first accelerator; float ones of any."""
        wanted = self.settings[0] if setting == FLOAT else setting
        first = self.results.sweep["accelerators"][0]
        return [
            record
            for record in self.results.records
            if (record["model"], record["quant"], record["accelerator"]) == (model, wanted, first)
        ]

    def values(self, model: str, setting: str, metric: str) -> list[float]:
        """A metric of a network by seed, of the float network where the setting says so."""
        key = f"float_{metric}" if setting == FLOAT else metric
        found = [number(record, key) for record in self.of(model, setting)]
        return [value for value in found if value is not None]


def load_compared(directory: Path) -> Compared:
    """Read a comparison's directory.

    Raises:
        InputError: it holds no finished comparison.
    """
    path = directory / COMPARISON
    results = load_results(directory)
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{directory}: holds no finished comparison (no {COMPARISON})") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(about, dict) or not {"baseline", "speed", "published"} <= about.keys():
        raise InputError(f"{path}: is not of a comparison")
    return Compared(results, about)


def accuracy_table(compared: Compared) -> Iterator[str]:
    """Every network in float and in integers: scores, and the difference to the baseline's float.

    Means over the seeds; of F1@50 the range too.
    """
    baseline = compared.about["baseline"]
    rows = []
    for model in compared.models:
        for setting in (FLOAT, *compared.settings):
            cells = [model, setting]
            for metric in SCORES:
                values = compared.values(model, setting, metric)
                spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
                cells.append(f"{mean(values):.2f}" + (spread if metric == "f1_50" else ""))
            agreement = compared.values(model, setting, "argmax_agreement")
            cells.append("" if setting == FLOAT else f"{mean(agreement):.2f}")
            for other in (model, baseline):
                gaps = (_gap(compared, model, setting, other, metric) for metric in SCORES[:2])
                cells.append("" if (other, setting) == (model, FLOAT) else " / ".join(gaps))
            rows.append(cells)
    header = ["network", "numbers", "frame accuracy", "F1@50", "edit", "agreement with float"]
    header += ["against its own float", f"against {baseline} in float"]
    yield from table(header, rows)


def _gap(compared: Compared, model: str, setting: str, other: str, metric: str) -> str:
    found = mean(compared.values(model, setting, metric))
    return f"{found - mean(compared.values(other, FLOAT, metric)):+.2f}"


def cost_table(compared: Compared) -> Iterator[str]:
    """Every network in integers on the accelerator, and by the clock."""
    rows = []
    for model in compared.models:
        for setting in compared.settings:
            record = compared.of(model, setting)[0]
            speed = compared.about["speed"][f"{model}, {setting}"]
            rows.append([model, setting, *cost_cells(record), *_speed_cells(speed)])
    header = ["network", "numbers", *COST_HEADER, "simulated, steps/s", "torch float32, steps/s"]
    yield from table(header, rows)


COST_HEADER = (
    "parameters",
    "MACs",
    "memory, words",
    "memory, kbit",
    "latency, steps",
    "cycles",
    "energy, µJ",
)


def cost_cells(record: Mapping[str, Any]) -> list[str]:
    """What a network costs per step, for the columns of `COST_HEADER`."""
    counts = [_count(record[key]) for key in ("parameters", "macs", "memory_words")]
    kbit = f"{float(record['memory_bits']) / 1000:,.0f}"
    waits, cycles = _count(record["lookahead_frames"]), _count(record["interval_cycles"])
    return [*counts, kbit, waits, cycles, f"{float(record['energy_uj']):.3g}"]


def _speed_cells(speed: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"{speed[kind]['median']:,.0f} ({speed[kind]['least']:,.0f} to {speed[kind]['most']:,.0f})"
        for kind in ("integer", "float")
    ]


def published_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A released network in float and in integers."""
    whole = rows[0]
    cells = []
    for row in rows:
        scores = [f"{row[metric]:.2f}" for metric in ("frame_accuracy", "f1_10", "f1_50", "edit")]
        if row is whole:
            cells.append([row["setting"], *scores, "", "", *[""] * 4])
            continue
        gaps = [f"{row[metric] - whole[metric]:+.2f}" for metric in SCORES[:2]]
        cost = [
            *(_count(row[key]) for key in ("macs", "memory_words")),
            f"{row['memory_bits'] / 1000:,.0f}",
            _count(row["interval_cycles"]),
        ]
        agreement = f"{row['argmax_agreement']:.2f}"
        cells.append([row["setting"], *scores, agreement, " / ".join(gaps), *cost])
    header = ["numbers", "frame accuracy", "F1@10", "F1@50", "edit", "agreement with float"]
    header += ["against float", "MACs", "memory, words", "memory, kbit", "cycles"]
    yield from table(header, cells)


def clips_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The network of whole clips in float and in integers."""
    cells = []
    for row in rows:
        scores = [f"{row['top_1']:.2f}", f"{row['top_5']:.2f}", f"{row['mcc']:.4f}"]
        more = ["", *[""] * len(COST_HEADER)]
        if row is not rows[0]:
            cost = cost_cells({**row, "parameters": rows[0]["parameters"]})
            more = [f"{row['argmax_agreement']:.2f}", *cost]
        cells.append([row["setting"], *scores, *more])
    header = ["numbers", "top-1", "top-5", "Matthews", "agreement with float", *COST_HEADER]
    yield from table(header, cells)


def _count(value: Any) -> str:
    return f"{float(value):,.0f}"
