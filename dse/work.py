"""What is left to do in a sweep, and what follows from each result.

The tasks follow the tree of keys: a trained topology makes its designs ready to be simulated, a
simulated design its points ready to be priced. Whatever is in the store is never asked for again,
a step that failed fails what depends on it, and tasks that finish points go before new trainings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dse.axes import Constraint
from dse.evaluate import (
    evaluate_design,
    float_file,
    labels_file,
    network_file,
    price,
    train_topology,
)
from dse.executor import Done, Task
from dse.metrics import REFUSED
from dse.points import Design, Point, Topology
from dse.store import Kind, Row, Status, Store

FAILURES = "failures.log"  # tracebacks of steps that failed by a bug, not by wrong input


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands: points with a row, and trainings done, of all that it needs.

    `trained` counts running trainings by the share of their epochs.
    """

    points: int
    points_total: int
    trained: float
    to_train: int
    note: str = ""


def judge(metrics: Mapping[str, Any], constraints: Sequence[Constraint]) -> tuple[Status, str]:
    """Whether a point may be built, and if not, why."""
    if REFUSED in metrics:
        return "infeasible", str(metrics[REFUSED])
    for constraint in constraints:
        value = metrics.get(constraint.metric)
        if value is None:
            return "infeasible", f"{constraint}: not measured"
        if not constraint.holds(value):
            return "infeasible", f"{constraint}: is {value:.6g}"
    return "ok", ""


class Work:
    """The tasks that are left (`queue`), grown by every result that `take` is given."""

    def __init__(
        self,
        store: Store,
        directory: Path,
        constraints: Sequence[Constraint],
        *,
        retry: bool = False,
        watch: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """See `plan`; `retry` takes failed rows for missing ones."""
        self._store, self._directory, self._constraints = store, directory, constraints
        self._retry, self._watch = retry, watch
        self.queue: deque[Task] = deque()
        self.evaluated = 0
        self._total = self._before = self._trained = self._to_train = 0
        self._shares: dict[str, float] = {}  # of running trainings
        self._points: dict[str, list[Point]] = {}  # missing ones, by design
        self._designs: dict[str, list[Design]] = {}  # of missing points, by topology

    def plan(self, points: Sequence[Point]) -> None:
        """Queue what the store does not have of these points."""
        rows = self._store.rows("points")
        missing = [point for point in points if self._is_open(rows.get(point.key))]
        self._total, self._before = len(points), len(points) - len(missing)
        topologies: dict[str, Topology] = {}
        for point in missing:
            design, topology = point.design, point.design.topology
            topologies[topology.key] = topology
            if design.key not in self._points:
                self._designs.setdefault(topology.key, []).append(design)
            self._points.setdefault(design.key, []).append(point)
        trainings = [task for topology in topologies.values() for task in self._begin(topology)]
        self._to_train = len(trainings)
        self.queue.extend(trainings)
        self._tell("")

    def take(self, done: Done) -> None:
        """Write what a task found, and queue what it makes possible."""
        match done.task.kind:
            case "train":
                self._take_training(done.task.args[0], done)
            case "simulate":
                self._take_simulation(done.task.args[0], done)
            case _:
                self._take_prices(done.task.args[0], done)
        note = f"{done.task.kind} {done.task.key[:12]}: {done.error}" if done.error else ""
        if done.trace:
            with (self._directory / FAILURES).open("a", encoding="utf-8") as log:
                log.write(f"{note}\n{done.trace}\n")
        self._tell(note)

    def hear(self, task: Task, share: float) -> None:
        """Take note of how far a running training of a float network is."""
        if task.kind != "train":
            return
        self._shares[task.key] = share
        self._tell("")

    def _is_open(self, row: Row | None) -> bool:
        return row is None or (self._retry and row.status == "failed")

    def _begin(self, topology: Topology) -> list[Task]:
        """The training that a topology needs; where it needs none, its designs are queued."""
        if topology.recipe is None:
            self._queue_designs(topology)
            return []
        row = self._store.get("topologies", topology.key)
        folds = sorted({design.quant.spec.fold for design in self._designs[topology.key]})
        files = [float_file(self._directory, topology.key, fold) for fold in folds]
        files.append(labels_file(self._directory, topology.key))
        if row is not None and row.status == "ok" and all(file.is_file() for file in files):
            self._queue_designs(topology)
        elif row is not None and row.status == "failed" and not self._retry:
            self._give_up_topology(topology, row.reason)
        else:
            return [Task("train", topology.key, train_topology, (topology, folds))]
        return []

    def _queue_designs(self, topology: Topology) -> None:
        """Queue, before any further training, what the designs of a topology still need."""
        tasks = []
        for design in self._designs[topology.key]:
            row = self._store.get("networks", design.key)
            kept = network_file(self._directory, design.key).is_file()
            if row is not None and row.status == "ok" and kept:
                tasks.append(self._pricing(design))
            elif row is not None and row.status == "infeasible":
                self._end(design, "infeasible", row.reason, row.metrics)
            elif row is not None and row.status == "failed" and not self._retry:
                self._end(design, "failed", row.reason)
            else:
                tasks.append(Task("simulate", design.key, evaluate_design, (design,)))
        self.queue.extendleft(reversed(tasks))

    def _pricing(self, design: Design) -> Task:
        wanted = [(point.key, point.accelerator) for point in self._points[design.key]]
        return Task("price", design.key, price, (design, wanted))

    def _take_training(self, topology: Topology, done: Done) -> None:
        self._trained += 1
        self._shares.pop(topology.key, None)
        reason = f"training: {done.error}" if done.error else ""
        self._write("topologies", topology.key, "", topology.params, done, reason)
        if reason:
            self._give_up_topology(topology, reason)
        else:
            self._queue_designs(topology)

    def _take_simulation(self, design: Design, done: Done) -> None:
        reason = f"simulation: {done.error}" if done.error else ""
        self._write("networks", design.key, design.topology.key, design.params, done, reason)
        if reason:
            self._end(design, "failed", reason)
        elif REFUSED in done.value:
            self._end(design, "infeasible", done.value[REFUSED], done.value)
        else:
            self.queue.appendleft(self._pricing(design))

    def _take_prices(self, design: Design, done: Done) -> None:
        if done.error:
            self._end(design, "failed", f"cost: {done.error}")
            return
        network = self._store.get("networks", design.key)
        measured = {**self._float_scores(design), **(network.metrics if network else {})}
        seconds = done.seconds / len(done.value)
        for point in self._points[design.key]:
            metrics = {**measured, **done.value[point.key]}
            status, reason = judge(metrics, self._constraints)
            self._write_point(point, metrics, status, reason, seconds)

    def _write(
        self, kind: Kind, key: str, parent: str, params: Mapping[str, Any], done: Done, reason: str
    ) -> None:
        """The row of a topology or a network."""
        metrics: Mapping[str, Any] = done.value or {}
        status: Status = "failed" if reason else "infeasible" if REFUSED in metrics else "ok"
        reason = reason or str(metrics.get(REFUSED, ""))
        self._store.write(kind, Row(key, parent, params, metrics, status, reason, done.seconds))

    def _write_point(
        self, point: Point, metrics: Mapping[str, Any], status: Status, reason: str, seconds: float
    ) -> None:
        row = Row(point.key, point.design.key, point.params, metrics, status, reason, seconds)
        self._store.write("points", row)
        self.evaluated += 1

    def _give_up_topology(self, topology: Topology, reason: str) -> None:
        for design in self._designs[topology.key]:
            self._end(design, "failed", reason)

    def _end(
        self, design: Design, status: Status, reason: str, metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Points of a design that get no further."""
        known = {**self._float_scores(design), **(metrics or {})}
        for point in self._points[design.key]:
            self._write_point(point, known, status, reason, 0.0)

    def _float_scores(self, design: Design) -> Mapping[str, Any]:
        row = self._store.get("topologies", design.topology.key)
        return row.metrics if row is not None else {}

    def _tell(self, note: str) -> None:
        done = self._before + self.evaluated
        trained = self._trained + sum(self._shares.values())
        self._watch(Progress(done, self._total, trained, self._to_train, note))
