"""The area models as Markdown: what a bit of each term costs, and what they were tried on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from hw_model.accelerator import Target
from hw_model.area.calibration import AreaModel, Calibration, load_calibration
from hw_model.area.unit_terms import UNIT_NAMES, UNITS

_QUANTITIES = {"luts": "LUTs", "ffs": "registers", "nand2": "NAND2"}


def models_page() -> str:
    """Every target's models, errors and held-out engines; then those of the units."""
    calibrations = [load_calibration(target) for target in get_args(Target)]
    parts = [_errors(calibrations), _prices({one.target: one.models for one in calibrations}, "")]
    parts += [_held_out(calibration) for calibration in calibrations]
    parts.append(_unit_errors(calibrations))
    for unit in UNITS:
        models = {one.target: one.units[unit].models for one in calibrations}
        parts.append(_prices(models, f", {UNIT_NAMES[unit]}"))
    parts += [_held_out_units(calibration) for calibration in calibrations]
    return "\n".join(parts)


def _errors(calibrations: Sequence[Calibration]) -> str:
    rows = []
    for one in calibrations:
        for name, model in one.models.items():
            engines = f"{one.fitted} + {len(one.held_out)}"
            about = one.target, _QUANTITIES[name], engines
            rows.append((*about, *_percent(model), one.tool, str(one.date)))
    heads = ("target", "quantity", "engines", "mean error", "worst", "tool", "date")
    return _table(heads, rows)


def _unit_errors(calibrations: Sequence[Calibration]) -> str:
    rows = []
    for one in calibrations:
        for unit in UNITS:
            about = one.units[unit]
            units = f"{about.fitted} + {len(about.held_out)}"
            rows += [
                (one.target, UNIT_NAMES[unit], _QUANTITIES[name], units, *_percent(model))
                for name, model in about.models.items()
            ]
    return _table(("target", "unit", "quantity", "units", "mean error", "worst"), rows)


def _percent(model: AreaModel) -> tuple[str, str]:
    return f"{model.mean_error:.1f} %", f"{model.worst_error:.1f} %"


def _prices(models: Mapping[Target, Mapping[str, AreaModel]], whose: str) -> str:
    """One table for each quantity, a column for each target."""
    parts = []
    for quantity, label in _QUANTITIES.items():
        there = {target: of[quantity].prices for target, of in models.items() if quantity in of}
        terms = dict.fromkeys(term for prices in there.values() for term in prices)
        rows = [
            (term, *(f"{prices.get(term, 0):g}" for prices in there.values())) for term in terms
        ]
        parts.append(f"{label} for each unit of a term{whose}:\n")
        parts.append(_table(("term", *there), rows))
    return "\n".join(parts)


def _held_out(calibration: Calibration) -> str:
    tried = [(one.engine, one.measured, one.estimated) for one in calibration.held_out]
    table = _compared("engine", tuple(calibration.models), tried)
    return f"Held-out engines on {calibration.target}:\n\n{table}"


def _held_out_units(calibration: Calibration) -> str:
    names = tuple(calibration.units[UNITS[0]].models)
    tried = [
        (one.unit, one.measured, one.estimated)
        for unit in UNITS
        for one in calibration.units[unit].held_out
    ]
    return f"Held-out units on {calibration.target}:\n\n{_compared('unit', names, tried)}"


def _compared(
    what: str,
    names: Sequence[str],
    tried: Iterable[tuple[str, Mapping[str, float], Mapping[str, float]]],
) -> str:
    """Label, measured and estimated figures of each."""
    heads = [f"{_QUANTITIES[name]} {how}" for name in names for how in ("is", "estimated")]
    rows = [
        (label, *(f"{figures[name]:,.0f}" for name in names for figures in (measured, estimated)))
        for label, measured, estimated in tried
    ]
    return _table((what, *heads), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
