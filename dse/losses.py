"""What integer networks lose against their float networks, with intervals: `losses.csv`.

A row is a network, a width and a method. Its scores are those of one sweep, averaged over seeds.
The intervals are of a bootstrap over recordings (Efron 1979): `RESAMPLES` times as many recordings
are drawn with replacement, the same ones for float and integers and for all seeds, all scores are
taken anew, and the middle 95 % are given. They say how much another set of recordings of the same
people might change a figure, nothing of other people and nothing of other trainings; how far seeds
lie apart stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dse.results import Collected, Record, export, write_csv
from dse.store import Store
from dse.tallies import COLUMNS, Counts, load_tallies, tallies_file
from fxp.errors import InputError

RESAMPLES = 4000
SEED = 0
LOSSES = "losses.csv"
SCORES = ("frame_accuracy", "f1_50", "argmax_agreement")
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, the middle 95 % of its bootstrap, and the least and most of the seeds."""

    mean: float
    low: float
    high: float
    least: float
    most: float


@dataclass(frozen=True)
class Loss:
    """One row: integer minus float in points; agreement in percent; seconds a network took."""

    model: str
    width: str
    method: str
    seeds: int
    recordings: int
    floats: Mapping[str, float]
    integers: Mapping[str, float]
    change: Mapping[str, Interval]
    seconds: float
    verdicts: Mapping[str, bool]

    @property
    def held(self) -> bool | None:
        """Whether every limit of its budget is kept; None where it has none."""
        return all(self.verdicts.values()) if self.verdicts else None


def losses_of(directory: Path) -> tuple[Loss, ...]:
    """The rows of a results directory, see `losses`.

    Raises:
        InputError: no sweep there, none with accuracy, or as `losses`.
    """
    with Store(directory) as store:
        collected = export(store, directory)  # a sweep that is not done has no tables yet
        seconds = {key: row.seconds for key, row in store.rows("networks").items()}
    if collected.about["data"] is None:
        raise InputError(f"{directory}: explores cost alone: nothing was measured")
    if not collected.records:
        raise InputError(f"{directory}: no point is evaluated yet")
    return losses(collected, seconds, directory)


def losses(collected: Collected, seconds: Mapping[str, float], directory: Path) -> tuple[Loss, ...]:
    """A row for each network, width and method, in the order of the space.

    Args:
        collected: the rows of the sweep.
        seconds: how long each design took, by key.
        directory: the results directory.

    Raises:
        InputError: a network was not measured, or its counts are missing.
    """
    about = collected.about
    groups: dict[tuple[str, str, str], dict[str, Record]] = {}
    for record in collected.records:
        width = about["widths"][record["quant"]]
        key = record["model"], width, record["method"] or ""
        groups.setdefault(key, {})[record["network"]] = record
    found = []
    for (model, width, method), records in groups.items():
        for record in records.values():
            if record["frame_accuracy"] is None:
                raise InputError(f"{record['design']}: not measured ({record['reason']})")
        counts = np.stack([load_tallies(tallies_file(directory, key)) for key in records])
        budget = about["budgets"].get(width) or {}
        spent = float(np.median([seconds[key] for key in records]))
        found.append(_loss(model, width, method, counts, budget, spent))
    return tuple(found)


def scores_of(counts: Counts) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Scores in percent from summed counts (..., `COLUMNS`): of the integer and the float network.

    Without a segment anywhere F1 is 0, as in `stgcn_ref.metrics.score`.
    """
    part = {name: counts[..., index] for index, name in enumerate(COLUMNS)}
    integers = {
        "frame_accuracy": 100 * part["right"] / part["frames"],
        "f1_50": _f1(part["found"], part["extra"], part["missed"]),
        "argmax_agreement": 100 * part["same"] / part["steps"],
    }
    floats = {
        "frame_accuracy": 100 * part["float_right"] / part["frames"],
        "f1_50": _f1(part["float_found"], part["float_extra"], part["float_missed"]),
        "argmax_agreement": np.full(counts.shape[:-1], 100.0),
    }
    return integers, floats


def _f1(found: Counts, extra: Counts, missed: Counts) -> FloatArray:
    return np.asarray(200 * found / np.maximum(2 * found + extra + missed, 1))


def _loss(
    model: str,
    width: str,
    method: str,
    counts: Counts,
    budget: Mapping[str, float | None],
    seconds: float,
) -> Loss:
    """The row of counts (seeds, recordings, columns)."""
    seeds, recordings, _ = counts.shape
    drawn = np.random.default_rng(SEED).multinomial(
        recordings, np.full(recordings, 1 / recordings), RESAMPLES
    )
    again = np.einsum("br,src->bsc", drawn, counts)
    integers, floats = scores_of(counts.sum(axis=1))  # (seeds,) each
    new_integers, new_floats = scores_of(again)  # (resamples, seeds) each
    change = {}
    for name in SCORES:
        own = integers[name] - floats[name]
        low, high = np.percentile((new_integers[name] - new_floats[name]).mean(axis=1), [2.5, 97.5])
        change[name] = Interval(*map(float, (own.mean(), low, high, own.min(), own.max())))
    verdicts = {}
    for name, limit in budget.items():
        if limit is None:
            continue
        allowed = limit - 100 if name == "argmax_agreement" else -limit
        verdicts[name] = change[name].mean >= allowed
    return Loss(
        model,
        width,
        method,
        seeds,
        recordings,
        {name: float(values.mean()) for name, values in floats.items()},
        {name: float(values.mean()) for name, values in integers.items()},
        change,
        seconds,
        verdicts,
    )


def write_losses(rows: Sequence[Loss], path: Path) -> None:
    """The rows as a table.

    Raises:
        InputError: it cannot be written.
    """
    records = [flat(row) for row in rows]
    write_csv(path, list(records[0]), records)


def broken(rows: Sequence[Loss], method: str) -> list[str]:
    """A line for every limit of a budget that the networks of a method do not keep.

    Raises:
        InputError: there is no budget to keep, or no such method.
    """
    own = [row for row in rows if row.method == method]
    if not own:
        methods = ", ".join(dict.fromkeys(row.method for row in rows))
        raise InputError(f"--gate: method must be one of {methods}, got {method!r}")
    if not any(row.verdicts for row in own):
        raise InputError("--gate: no design has a `budget`")
    return [
        f"{row.model}, {row.width}, {method}: {name} changed by {row.change[name].mean:+.2f}"
        for row in own
        for name, kept in row.verdicts.items()
        if not kept
    ]


def flat(row: Loss) -> dict[str, Any]:
    """A row as a record of plain values."""
    record: dict[str, Any] = {
        "model": row.model,
        "width": row.width,
        "method": row.method,
        "seeds": row.seeds,
        "recordings": row.recordings,
    }
    for name in SCORES:
        record[name] = row.integers[name]
        if name != "argmax_agreement":
            record[f"float_{name}"] = row.floats[name]
        change = row.change[name]
        for part in ("mean", "low", "high", "least", "most"):
            record[f"{name}_change_{part}"] = getattr(change, part)
    record["seconds"] = row.seconds
    record["held"] = row.held
    record["broken"] = " ".join(name for name, kept in row.verdicts.items() if not kept)
    return record


HEADER = ("network", "width", "method", "accuracy", "change", "F1@50", "change", "agreement", "")


def line(row: Loss) -> tuple[str, ...]:
    """A row as the command prints it."""
    accuracy, f1_50 = row.change["frame_accuracy"], row.change["f1_50"]
    return (
        row.model,
        row.width,
        row.method,
        f"{row.integers['frame_accuracy']:.2f}",
        f"{accuracy.mean:+.2f} [{accuracy.low:+.2f}, {accuracy.high:+.2f}]",
        f"{row.integers['f1_50']:.2f}",
        f"{f1_50.mean:+.2f} [{f1_50.low:+.2f}, {f1_50.high:+.2f}]",
        f"{row.integers['argmax_agreement']:.2f}",
        {True: "kept", False: "broken", None: ""}[row.held],
    )
