"""`python -m hw_model calibrate`: synthesise engines and fit area models to them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fxp.errors import InputError
from hw_model.accelerator import Target
from hw_model.area.calibration import load_calibration
from hw_model.calibrate.fitting import BASE, OWN, calibrations_of, write_calibration
from hw_model.calibrate.points import Point, points
from hw_model.calibrate.synthesis import Result, synthesise
from hw_model.calibrate.targets import LIBERTY, TARGETS, script
from hw_model.calibrate.yosys import yosys_version

SCALED = (5, 3)  # fitted and held out, where terms are scaled in groups; everywhere with --quick


def calibrate(
    out: Annotated[Path, typer.Option(help="Folder of the models' files.")] = Path("area"),
    targets: Annotated[str, typer.Option(help="Targets, by commas.")] = ",".join(TARGETS),
    liberty: Annotated[Path, typer.Option(help="Liberty file of the standard cells.")] = LIBERTY,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer engines.")] = False,
) -> None:
    """Synthesise engines with Yosys and fit the area models.

    Every result is kept in OUT/results.jsonl at once: a run that was stopped goes on from there.
    """
    chosen = _chosen(targets)
    yosys_version()
    for target in chosen:
        script(target, liberty)  # says what is missing before the first synthesis
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror})") from None
    kept = out / "results.jsonl"
    base = None if BASE in chosen else load_calibration(BASE)
    results: dict[Target, list[Result]] = {target: [] for target in chosen}
    for target, found in results.items():
        engines = _engines(target, quick)
        for result, old in synthesise([target], engines, kept, liberty):
            found.append(result)
            _say(f"[{target} {len(found)}/{len(engines)}] {_line(result, old)}")
    for calibration in calibrations_of(results, liberty, base):
        path = write_calibration(calibration, out)
        for name, model in calibration.models.items():
            errors = f"{model.mean_error:.1f} % in the mean, {model.worst_error:.1f} % at worst"
            _say(f"{path}: {name}: held-out error {errors}")


def _engines(target: Target, quick: bool) -> tuple[Point, ...]:
    if quick or target not in OWN:
        return points(*SCALED)
    return points(large=target == BASE)


def _line(result: Result, old: bool) -> str:
    figures = ", ".join(f"{value:,.0f} {name}" for name, value in result.measured.items())
    return f"{result.label}: {figures} ({'kept' if old else f'{result.seconds:.0f} s'})"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _chosen(text: str) -> list[Target]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in TARGETS]:
        raise InputError(
            f"--targets: unknown target {unknown[0]!r} (allowed: {', '.join(TARGETS)})"
        )
    return [target for target in TARGETS if target in names]
