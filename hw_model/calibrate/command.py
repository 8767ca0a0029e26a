"""`python -m hw_model calibrate`: synthesise engines and units, and fit area models to them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fxp.errors import InputError
from hw_model.accelerator import Target
from hw_model.area.calibration import Calibration, load_calibration
from hw_model.area.unit_terms import UNITS
from hw_model.calibrate.fitting import BASE, DSP, OWN, calibrations_of, write_calibration
from hw_model.calibrate.points import Point, points
from hw_model.calibrate.synthesis import Result, synthesise
from hw_model.calibrate.targets import LIBERTY, TARGETS, script
from hw_model.calibrate.unit_fitting import unit_models_of
from hw_model.calibrate.unit_points import unit_points
from hw_model.calibrate.yosys import yosys_version

PARTS = ("engine", "units")
JOINT = (12, 6)  # fitted and held out, of the target that shares its prices with the base
SCALED = (5, 4)  # where terms are scaled in groups; everywhere with --quick
QUICK_UNITS = (8, 3)


def calibrate(
    out: Annotated[Path, typer.Option(help="Folder of the models' files.")] = Path("area"),
    targets: Annotated[str, typer.Option(help="Targets, by commas.")] = ",".join(TARGETS),
    parts: Annotated[
        str, typer.Option(help="What to fit; the rest is that of the present models.")
    ] = ",".join(PARTS),
    liberty: Annotated[Path, typer.Option(help="Liberty file of the standard cells.")] = LIBERTY,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer engines and units.")] = False,
) -> None:
    """Synthesise engines and units with Yosys and fit the area models.

    Every result is kept in OUT/results.jsonl at once: a run that was stopped goes on from there.
    """
    chosen, fitted = _targets(targets), _listed("parts", parts, PARTS)
    yosys_version()
    for target in chosen:
        script(target, liberty)  # says what is missing before the first synthesis
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror})") from None
    kept = out / "results.jsonl"
    results: dict[Target, list[Result]] = {target: [] for target in chosen}
    for target, found in results.items():
        every = _points(target, fitted, quick)
        for result, old in synthesise([target], every, kept, liberty):
            found.append(result)
            _say(f"[{target} {len(found)}/{len(every)}] {_line(result, old)}")
    for calibration in _calibrations(results, fitted, liberty):
        _report(write_calibration(calibration, out), calibration)


def _points(target: Target, fitted: Sequence[str], quick: bool) -> tuple[Point, ...]:
    found: tuple[Point, ...] = ()
    if "engine" in fitted:
        found += _engines(target, quick)
    if "units" in fitted:
        for unit in UNITS:
            found += unit_points(unit, *QUICK_UNITS) if quick else unit_points(unit)
    return found


def _engines(target: Target, quick: bool) -> tuple[Point, ...]:
    if quick:
        return points(*SCALED)
    if target in OWN:
        return points(large=target == BASE)
    return points(*(JOINT if target == DSP else SCALED))


def _calibrations(
    results: dict[Target, list[Result]], fitted: Sequence[str], liberty: Path
) -> list[Calibration]:
    """Of every target; a part that is not fitted again is the present one."""
    units = {
        target: unit_models_of(target, found)
        if "units" in fitted
        else load_calibration(target).units
        for target, found in results.items()
    }
    if "engine" not in fitted:
        return [load_calibration(t).model_copy(update={"units": units[t]}) for t in results]
    engines = {t: [one for one in found if one.top == "engine"] for t, found in results.items()}
    base = None if BASE in results else load_calibration(BASE)
    return calibrations_of(engines, units, liberty, base)


def _report(path: Path, calibration: Calibration) -> None:
    models = {"": calibration.models}
    models |= {f"{unit}: ": about.models for unit, about in calibration.units.items()}
    for what, of_quantity in models.items():
        for name, model in of_quantity.items():
            errors = f"{model.mean_error:.1f} % in the mean, {model.worst_error:.1f} % at worst"
            _say(f"{path}: {what}{name}: held-out error {errors}")


def _line(result: Result, old: bool) -> str:
    figures = ", ".join(f"{value:,.0f} {name}" for name, value in result.measured.items())
    return f"{result.label}: {figures} ({'kept' if old else f'{result.seconds:.0f} s'})"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _targets(text: str) -> list[Target]:
    names = _listed("targets", text, TARGETS)
    return [target for target in TARGETS if target in names]


def _listed(option: str, text: str, allowed: Sequence[str]) -> list[str]:
    """Names by commas.

    Raises:
        InputError: one that is not allowed.
    """
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in allowed]:
        one = option.removesuffix("s")
        raise InputError(
            f"--{option}: unknown {one} {unknown[0]!r} (allowed: {', '.join(allowed)})"
        )
    return names
