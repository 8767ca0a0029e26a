"""A sweep's kept networks priced by the cost model as it is now, beside what they cost when it ran.

The code of the cost model is part of a point's key, so a sweep's rows keep the costs of their day.
Here every point whose integer network is kept is estimated again, nothing is simulated, and the
store stays as it is: `recosted.csv` and `recosted_pareto.csv` have the columns of the sweep's own
tables, a point's key among them that of the sweep.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dse.axes import accelerators_of, constraint_of
from dse.evaluate import Metrics, network_file, price_network
from dse.results import (
    PARAMS,
    Collected,
    Record,
    collect,
    columns_of,
    design_of,
    mark_front,
    write_csv,
)
from dse.store import Store
from dse.work import Progress, judge
from fxp.errors import InputError
from hw_model.accelerator import Accelerator, load_accelerator

RECOSTED = "recosted.csv"
RECOSTED_FRONT = "recosted_pareto.csv"
ALL = "all"


@dataclass(frozen=True)
class Recosted:
    """`then` and `now` are the same points in the order of the space, each set with its own front.

    `front` is that of `now`, best first. `left_out` are points without a kept network, each with
    the reason; `missing` points of the sweep have no row yet.
    """

    then: tuple[Record, ...]
    now: tuple[Record, ...]
    front: tuple[Record, ...]
    left_out: tuple[tuple[Record, str], ...]
    missing: int
    about: Mapping[str, Any]

    @property
    def costs(self) -> list[str]:
        """The metrics of the sweep that the cost model gives."""
        return [name for name, about in self.about["metrics"].items() if about["source"] == "cost"]


@dataclass(frozen=True)
class Change:
    """How a cost of some points changed, in percent of what it was; inf where that was nothing.

    `points` are those of `group` that had the cost and have it now.
    """

    metric: str
    group: str
    points: int
    least: float
    median: float
    largest: float


def recost_sweep(
    directory: Path,
    accelerator: str | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Recosted:
    """Estimate the cost of every kept network of the last sweep into `directory` again.

    Points are judged as by the sweep: by the rate of its recordings and by its constraints.

    Args:
        directory: the results directory.
        accelerator: a preset or a YAML file for all points; None for each point's own, from the
            preset or file that the space names, as that is now.
        watch: called after every network.

    Raises:
        InputError: no sweep there, no network is kept, or an accelerator or network cannot be read.
    """
    with Store(directory) as store:
        collected = collect(store)
    about = collected.about
    boards = _boards(about, accelerator)
    networks, left_out = _sorted_out(collected, directory)
    if not networks:
        raise InputError(f"{directory}: no evaluated point has a kept network")
    rate_hz = about["data"]["step_rate_hz"] if about["data"] else None
    total, done = sum(map(len, networks.values())), 0
    found: dict[str, Metrics] = {}
    for key, records in networks.items():
        watch(Progress(done, total, 0, 0))
        wanted = [(record["point"], boards[record["accelerator"]]) for record in records]
        found |= price_network(directory, key, wanted, rate_hz)
        done += len(records)
    watch(Progress(done, total, 0, 0))
    then = [{**r, "front": None} for r in collected.records if r["point"] in found]
    now = _priced(then, found, boards, about)
    mark_front(then, about["objectives"])
    front = mark_front(now, about["objectives"])
    return Recosted(tuple(then), tuple(now), front, left_out, collected.missing, about)


def _boards(about: Mapping[str, Any], accelerator: str | None) -> dict[str, Accelerator]:
    """The accelerator that stands in for each of the sweep's, by its name there."""
    names = about["accelerators"]
    if accelerator is not None:
        return dict.fromkeys(names, load_accelerator(accelerator))
    try:
        found = accelerators_of(about["space"]["accelerators"], Path(about["source"]))
    except InputError as error:
        raise InputError(f"{error}; `--accelerator` gives another for all") from None
    return dict(zip(names, found, strict=True))


def _sorted_out(
    collected: Collected, directory: Path
) -> tuple[dict[str, list[Record]], tuple[tuple[Record, str], ...]]:
    """The points to price by their network, and the others with the reason why not."""
    networks: dict[str, list[Record]] = {}
    left_out = []
    for record in collected.records:
        path = network_file(directory, record["network"])
        if record["status"] == "failed":
            left_out.append((record, f"failed: {record['reason']}"))
        elif path.is_file():
            networks.setdefault(record["network"], []).append(record)
        else:
            built = record["graph_hash"]
            left_out.append((record, f"{path.name} is missing" if built else record["reason"]))
    return networks, tuple(left_out)


def _priced(
    records: Sequence[Record],
    found: Mapping[str, Metrics],
    boards: Mapping[str, Accelerator],
    about: Mapping[str, Any],
) -> list[Record]:
    """The records with the costs found for them, judged anew."""
    metrics = about["metrics"]
    limits = about["space"]["constraints"]
    constraints = [constraint_of(text, metrics, about["source"]) for text in limits]
    priced = []
    for record in records:
        costs = found[record["point"]]
        own = {
            name: costs.get(name) if metric["source"] == "cost" else record[name]
            for name, metric in metrics.items()
        }
        status, reason = judge({**own, **costs}, constraints)
        params = {**record, "accelerator": boards[record["accelerator"]].name}
        judged = {"status": status, "reason": reason, "design": design_of(params)}
        priced.append({**params, **own, **judged})
    return priced


def check_columns(by: Sequence[str]) -> None:
    """Refuse to group points by what is no parameter of a point.

    Raises:
        InputError: no such column.
    """
    for column in by:
        if column not in PARAMS:
            raise InputError(f"--by: must be one of {', '.join(PARAMS)}, got {column!r}")


def changes(recosted: Recosted, by: Sequence[str]) -> Iterator[Change]:
    """For each cost, how it changed over all points, then over those alike in the columns `by`.

    Groups come in the order of the space; a cost that no point had, or has, is left out.
    """
    for metric in recosted.costs:
        groups: dict[str, list[float]] = {ALL: []}
        for then, now in zip(recosted.then, recosted.now, strict=True):
            if then[metric] is not None and now[metric] is not None:
                change = _percent(then[metric], now[metric])
                groups[ALL].append(change)
                if by:
                    name = ", ".join(str(then[column]) for column in by)
                    groups.setdefault(name, []).append(change)
        if not groups[ALL]:
            continue
        for group, found in groups.items():
            middle = statistics.median(found)
            yield Change(metric, group, len(found), min(found), middle, max(found))


def _percent(then: float, now: float) -> float:
    if now == then:
        return 0.0
    return 100 * (now / then - 1) if then else math.inf


def moved(recosted: Recosted) -> tuple[list[Record], list[Record]]:
    """The points that are on the front with today's costs alone, and those with the old alone."""
    pairs = list(zip(recosted.then, recosted.now, strict=True))
    entered = [now for then, now in pairs if now["front"] and not then["front"]]
    return entered, [now for then, now in pairs if then["front"] and not now["front"]]


def write_recosted(recosted: Recosted, directory: Path) -> tuple[Path, Path]:
    """Write both tables.

    Raises:
        InputError: one cannot be written.
    """
    columns = columns_of(recosted.about)
    paths = directory / RECOSTED, directory / RECOSTED_FRONT
    write_csv(paths[0], columns, recosted.now)
    write_csv(paths[1], columns, recosted.front)
    return paths
