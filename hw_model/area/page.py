"""The area models as Markdown: what a bit of each term costs, and the held-out engines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from hw_model.accelerator import Target
from hw_model.area.calibration import Calibration, load_calibration

_QUANTITIES = {"luts": "LUTs", "ffs": "registers", "nand2": "NAND2"}


def models_page() -> str:
    """Every target's models, errors and held-out engines."""
    calibrations = [load_calibration(target) for target in get_args(Target)]
    parts = [_errors(calibrations), _prices(calibrations)]
    parts += [_held_out(calibration) for calibration in calibrations]
    return "\n".join(parts)


def _errors(calibrations: Sequence[Calibration]) -> str:
    rows = []
    for one in calibrations:
        for name, model in one.models.items():
            engines = f"{one.fitted} + {len(one.held_out)}"
            errors = f"{model.mean_error:.1f} %", f"{model.worst_error:.1f} %"
            rows.append((one.target, _QUANTITIES[name], engines, *errors, one.tool, str(one.date)))
    heads = ("target", "quantity", "engines", "mean error", "worst", "tool", "date")
    return _table(heads, rows)


def _prices(calibrations: Sequence[Calibration]) -> str:
    """One table for each quantity, a column for each target."""
    parts = []
    for quantity, label in _QUANTITIES.items():
        there = [one for one in calibrations if quantity in one.models]
        terms = dict.fromkeys(term for one in there for term in one.models[quantity].prices)
        rows = [
            (term, *(f"{one.models[quantity].prices.get(term, 0):g}" for one in there))
            for term in terms
        ]
        parts.append(f"{label} for each unit of a term:\n")
        parts.append(_table(("term", *(one.target for one in there)), rows))
    return "\n".join(parts)


def _held_out(calibration: Calibration) -> str:
    names = tuple(calibration.models)
    heads = [f"{_QUANTITIES[name]} {what}" for name in names for what in ("is", "estimated")]
    rows = []
    for engine in calibration.held_out:
        cells = [
            f"{figures[name]:,.0f}"
            for name in names
            for figures in (engine.measured, engine.estimated)
        ]
        rows.append((engine.engine, *cells))
    return f"Held-out engines on {calibration.target}:\n\n" + _table(("engine", *heads), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
