"""The losses of a sweep (`python -m dse losses`), read back and laid out as tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fxp.errors import InputError
from reports.markdown import table

FILE = "losses.csv"
SHOWN = {"frame_accuracy": "accuracy", "f1_50": "F1@50"}


@dataclass(frozen=True)
class Losses:
    """`rows` of losses.csv, numbers as floats; `sweep` is the content of sweep.json."""

    rows: tuple[Mapping[str, Any], ...]
    sweep: Mapping[str, Any]

    @property
    def models(self) -> tuple[str, ...]:
        """Networks in the order of the space."""
        return tuple(dict.fromkeys(row["model"] for row in self.rows))

    @property
    def widths(self) -> tuple[str, ...]:
        """Widths in the order of the space."""
        return tuple(dict.fromkeys(row["width"] for row in self.rows))

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order of the space."""
        return tuple(dict.fromkeys(row["method"] for row in self.rows))

    @property
    def seeds(self) -> str:
        """How many seeds a row is the mean of, `2` or `1 to 2` where a sweep is not done yet."""
        counts = sorted({int(row["seeds"]) for row in self.rows})
        return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"

    def row(self, model: str, width: str, method: str) -> Mapping[str, Any] | None:
        """One row; None if it was not measured."""
        wanted = model, width, method
        found = [r for r in self.rows if (r["model"], r["width"], r["method"]) == wanted]
        return found[0] if found else None


def load_losses(directory: Path) -> Losses:
    """Read losses.csv and sweep.json.

    Raises:
        InputError: one is missing: `python -m dse losses` writes the first, a sweep the second.
    """
    for name, maker in ((FILE, "python -m dse losses"), ("sweep.json", "python -m dse sweep")):
        if not (directory / name).is_file():
            raise InputError(f"{directory / name}: no such file; `{maker}` writes it")
    with (directory / FILE).open(encoding="utf-8", newline="") as file:
        rows = tuple(
            {key: _value(key, text) for key, text in row.items()} for row in csv.DictReader(file)
        )
    sweep = json.loads((directory / "sweep.json").read_text(encoding="utf-8"))
    return Losses(rows, sweep)


def _value(key: str, text: str) -> Any:
    if key in ("model", "width", "method", "broken"):
        return text
    if key == "held":
        return {"True": True, "False": False}.get(text)
    return float(text)


def budget_table(losses: Losses) -> Iterator[str]:
    """Which budgets are kept: a row a width and method, a column a network."""
    budgets = {
        width: {name: limit for name, limit in given.items() if limit is not None}
        for width, given in losses.sweep["budgets"].items()
    }
    rows = []
    for width in losses.widths:
        for method in losses.methods if width in budgets else ():
            cells = [_verdict(losses.row(model, width, method)) for model in losses.models]
            rows.append([width, _limits(budgets[width]), method, *cells])
    yield from table(("width", "may lose", "method", *losses.models), rows)


def _limits(budget: Mapping[str, float]) -> str:
    parts = [f"{SHOWN[name]} {budget[name]:g}" for name in SHOWN if name in budget]
    if "argmax_agreement" in budget:
        parts.append(f"agree {budget['argmax_agreement']:g} %")
    return ", ".join(parts)


def _verdict(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    if row["held"]:
        return "kept"
    found = []
    for name in row["broken"].split():
        if name == "argmax_agreement":
            found.append(f"agrees {row[name]:.2f} %")
        else:
            found.append(f"{SHOWN[name]} {row[f'{name}_change_mean']:+.2f}")
    return "**" + ", ".join(found) + "**"


def loss_table(losses: Losses, model: str) -> Iterator[str]:
    """All rows of a network: change and its interval, range over seeds, agreement, seconds."""
    rows = []
    for row in losses.rows:
        if row["model"] != model:
            continue
        kept = {True: "yes", False: "no", None: ""}[row["held"]]
        rows.append(
            [
                row["width"],
                row["method"],
                f"{row['frame_accuracy']:.2f}",
                _change(row, "frame_accuracy"),
                f"{row['f1_50']:.2f}",
                _change(row, "f1_50"),
                f"{row['argmax_agreement']:.2f}",
                f"{int(row['seeds'])}",
                f"{row['seconds']:.0f}",
                kept,
            ]
        )
    header = (
        *("width", "method", "accuracy", "change [95 %] {seeds}"),
        *("F1@50", "change [95 %] {seeds}", "agreement", "seeds", "s", "budget kept"),
    )
    yield from table(header, rows)


def _change(row: Mapping[str, Any], name: str) -> str:
    """`-0.10 [-0.30, +0.10] {-0.20, +0.00}`."""
    part = {end: row[f"{name}_change_{end}"] for end in ("mean", "low", "high", "least", "most")}
    interval = f"[{part['low']:+.2f}, {part['high']:+.2f}]"
    return f"{part['mean']:+.2f} {interval} {{{part['least']:+.2f}, {part['most']:+.2f}}}"
