"""The results of a sweep as files: results.csv, pareto.csv, and what was swept in sweep.json.

Everything follows from the rows of the store: equal rows give equal files, whatever order or
process they came from. Times are left out of the tables for that reason; sweep.json sums them.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.axes import Axes
from dse.pareto import costs, non_dominated
from dse.store import KINDS, Row, Store
from fxp.files import replacing

PARAMS = (
    "model",
    "family",
    "plan",
    "channels",
    "depth",
    "window",
    "dilation",
    "seed",
    "quant",
    "method",
    "weight_bits",
    "activation_bits",
    "stream_bits",
    "rounding",
    "overflow",
    "weight_granularity",
    "calibrator",
    "accelerator",
)
VERSIONED = ("stgcn-codesign", "numpy", "numba", "torch")

Record = dict[str, Any]


@dataclass(frozen=True)
class Collected:
    """`records` of the points that have a row, in the order of the space; `front` best first.

    A record's `front` is its place there from 1, None off the front. `missing` points of the plan
    have no row yet.
    """

    records: tuple[Record, ...]
    front: tuple[Record, ...]
    missing: int
    about: Mapping[str, Any]


def about_sweep(axes: Axes, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is swept, as JSON data: kept in the store for reports and for golden vectors."""
    return {
        "name": axes.name,
        "space": axes.space.model_dump(mode="json"),
        "source": axes.source,
        "data": data,
        "objectives": dict(axes.space.objectives),
        "constraints": [str(constraint) for constraint in axes.constraints],
        "metrics": {name: asdict(metric) for name, metric in axes.metrics.items()},
        "quant": [quant.label for quant in axes.quants],
        "widths": {quant.label: quant.width for quant in axes.quants},
        "budgets": {
            quant.width: quant.budget.model_dump()
            for quant in axes.quants
            if quant.budget is not None
        },
        "accelerators": [accelerator.name for accelerator in axes.accelerators],
        "grid": axes.size,
    }


def collect(store: Store) -> Collected:
    """The rows of the last sweep's points, flat, with the Pareto front marked.

    The front is over points with status `ok`; a point that lacks an objective is not on it.
    """
    about, plan, rows = store.meta(), store.plan(), store.rows("points")
    records = [_record(rows[key], about) for key in plan if key in rows]
    front = mark_front(records, about["objectives"])
    return Collected(tuple(records), front, len(plan) - len(records), about)


def _record(row: Row, about: Mapping[str, Any]) -> Record:
    params = {key: row.params.get(key) for key in PARAMS}
    metrics = {key: row.metrics.get(key) for key in about["metrics"]}
    return {
        "front": None,
        "point": row.key,
        "status": row.status,
        "reason": row.reason,
        "design": design_of(params),
        **params,
        **metrics,
        "topology": row.params["topology"],
        "network": row.parent,
        "graph_hash": row.metrics.get("graph_hash", ""),
    }


def design_of(params: Mapping[str, Any]) -> str:
    """A point in a few words."""
    named = params["model"] == params["plan"]
    network = params["model"] if named else f"{params['model']}/{params['depth']}"
    seed = "" if params["seed"] is None else f" seed {params['seed']}"
    return f"{network}{seed}, {params['quant']}, {params['accelerator']}"


def mark_front(records: Sequence[Record], objectives: Mapping[str, Any]) -> tuple[Record, ...]:
    """Give the non-dominated of the feasible records their places, and return them.

    The best in the first objective comes first, ties by the next, then by key.
    """
    feasible = [record for record in records if record["status"] == "ok"]
    values = np.array(
        [[_number(record[metric]) for metric in objectives] for record in feasible],
        dtype=np.float64,
    ).reshape(len(feasible), len(objectives))
    directions = tuple(objectives.values())
    mask = non_dominated(values, directions)
    ranked = [
        (*row, record["point"], record)
        for row, record, kept in zip(
            costs(values, directions).tolist(), feasible, mask, strict=True
        )
        if kept
    ]
    front = tuple(entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:-1]))
    for place, record in enumerate(front, start=1):
        record["front"] = place
    return front


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def export(store: Store, directory: Path) -> Collected:
    """Write results.csv, pareto.csv and sweep.json into `directory`.

    Raises:
        InputError: a file cannot be written.
    """
    collected = collect(store)
    columns = columns_of(collected.about)
    write_csv(directory / "results.csv", columns, collected.records)
    write_csv(directory / "pareto.csv", columns, collected.front)
    about = {**collected.about, "counts": _counts(collected), **_effort(store, collected)}
    with replacing(directory / "sweep.json") as temporary:
        text = json.dumps(about, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return collected


def columns_of(about: Mapping[str, Any]) -> list[str]:
    """The columns of a sweep's tables."""
    return [
        *("front", "point", "status", "reason", "design"),
        *PARAMS,
        *about["metrics"],
        *("topology", "network", "graph_hash"),
    ]


def write_csv(path: Path, columns: Sequence[str], records: Sequence[Record]) -> None:
    """A table with a header line; numbers as Python writes them, so that they read back equal."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for record in records:
            writer.writerow({key: "" if record[key] is None else record[key] for key in columns})


def _counts(collected: Collected) -> dict[str, int]:
    status = [record["status"] for record in collected.records]
    return {
        "points": len(status) + collected.missing,
        "ok": status.count("ok"),
        "infeasible": status.count("infeasible"),
        "failed": status.count("failed"),
        "missing": collected.missing,
        "front": len(collected.front),
        "topologies": len({record["topology"] for record in collected.records}),
        "networks": len({record["network"] for record in collected.records}),
    }


def _effort(store: Store, collected: Collected) -> dict[str, Any]:
    """Seconds spent on the rows of this sweep, by step, and the versions that export them."""
    wanted = {
        "topologies": {record["topology"] for record in collected.records},
        "networks": {record["network"] for record in collected.records},
        "points": {record["point"] for record in collected.records},
    }
    seconds = {
        kind: sum(row.seconds for key, row in store.rows(kind).items() if key in wanted[kind])
        for kind in KINDS
    }
    versions = {name: importlib.metadata.version(name) for name in VERSIONED}
    return {"seconds": seconds, "versions": {"python": platform.python_version(), **versions}}
