"""One sweep: what is missing in the store is trained, simulated and priced, row by row.

The order of work follows the tree of keys: a topology is trained once, each of its designs is
simulated once, each design is priced on all its accelerators. Every result is in the store before
the next is asked for, so whatever ends a sweep, the same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dse.axes import Axes, Constraint
from dse.data import check_fit, data_hash, describe, load_data
from dse.evaluate import make_context
from dse.executor import execute
from dse.points import expand
from dse.results import about_sweep, export
from dse.store import Store, locked
from dse.work import Progress, Work, judge
from fxp.errors import InputError

CHECKPOINTS = "checkpoints"
ROOMS = ("topologies", "networks", CHECKPOINTS)


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended; `evaluated` of `points` were new, the others were in the store."""

    points: int
    evaluated: int
    ok: int
    infeasible: int
    failed: int
    front: int


def run_sweep(
    axes: Axes,
    directory: Path,
    *,
    data_root: Path | None,
    jobs: int,
    cache: Path | None = None,
    retry: bool = False,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Evaluate every point of a space that `directory` has no row of, then write the results.

    Args:
        axes: the checked space.
        directory: the results directory, made if it is not there.
        data_root: folder of the recordings, where the space needs one.
        jobs: worker processes; with 1 everything runs in this process.
        cache: directory of trained checkpoints (default: `checkpoints` in `directory`).
        retry: evaluate failed points again.
        watch: called after every step.

    Raises:
        InputError: wrong data, a folder that cannot be made, or another sweep is running in
            `directory`.
    """
    if jobs < 1:
        raise InputError(f"`--jobs` must be at least 1, got {jobs}")
    data = load_data(axes.space, axes.source, data_root)
    check_fit(axes, data)
    points = expand(axes, data_hash(data))
    if cache is not None:
        make_folder(cache)
    with locked(directory):
        _make_rooms(directory)
        with Store(directory, create=True) as store:
            keys = [point.key for point in points]
            store.set_plan(keys, about_sweep(axes, describe(data)))
            rejudge(store, keys, axes.constraints)
            work = Work(store, directory, axes.constraints, retry=retry, watch=watch)
            work.plan(points)
            setup = (directory, cache or directory / CHECKPOINTS, data)
            for done in execute(work.queue, jobs, make_context, setup, work.hear):
                work.take(done)
            collected = export(store, directory)
    status = [record["status"] for record in collected.records]
    return Outcome(
        len(points),
        work.evaluated,
        status.count("ok"),
        status.count("infeasible"),
        status.count("failed"),
        len(collected.front),
    )


def _make_rooms(directory: Path) -> None:
    """Make the folders of a results directory, without what a killed sweep was just writing."""
    for folder in (directory, *(directory / name for name in ROOMS)):
        make_folder(folder)
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None


def rejudge(store: Store, keys: Iterable[str], constraints: Sequence[Constraint]) -> None:
    """Judge the rows that are there by this sweep's constraints: theirs may have been others."""
    rows = store.rows("points")
    for key in keys:
        row = rows.get(key)
        if row is not None and row.status != "failed":
            status, reason = judge(row.metrics, constraints)
            if (status, reason) != (row.status, row.reason):
                store.set_status(key, status, reason)
