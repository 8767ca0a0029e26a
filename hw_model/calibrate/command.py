"""`python -m hw_model calibrate`: synthesise engines and fit area models to them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fxp.errors import InputError
from fxp.files import check_target
from hw_model.accelerator import Target
from hw_model.calibrate.fitting import calibration_of, write_calibration
from hw_model.calibrate.points import FITTED, HELD_OUT, points
from hw_model.calibrate.synthesis import Result, synthesise
from hw_model.calibrate.targets import LIBERTY, TARGETS, script
from hw_model.calibrate.yosys import yosys_version

QUICK_FITTED, QUICK_HELD_OUT = 8, 4


def calibrate(
    out: Annotated[Path, typer.Option(help="Folder of the models' files.")] = Path("area"),
    results: Annotated[
        Path | None, typer.Option(help="Kept results (default: results.jsonl in that folder).")
    ] = None,
    targets: Annotated[str, typer.Option(help="Targets, by commas.")] = ",".join(TARGETS),
    liberty: Annotated[Path, typer.Option(help="Liberty file of the standard cells.")] = LIBERTY,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{QUICK_FITTED} + {QUICK_HELD_OUT} engines a target.")
    ] = False,
) -> None:
    """Synthesise engines with Yosys and fit the area models; goes on where it was stopped."""
    chosen = _chosen(targets)
    yosys_version()
    for target in chosen:
        script(target, liberty)  # says what is missing before the first synthesis
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: must be a folder")
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "results.jsonl" if results is None else results
    check_target(kept)
    numbers = (QUICK_FITTED, QUICK_HELD_OUT) if quick else (FITTED, HELD_OUT)
    engines = points(*numbers)
    found: dict[Target, list[Result]] = {target: [] for target in chosen}
    total = len(chosen) * len(engines)
    for at, (result, old) in enumerate(synthesise(chosen, engines, kept, liberty), start=1):
        found[result.target].append(result)
        figures = ", ".join(f"{value:,.0f} {name}" for name, value in result.measured.items())
        when = "kept" if old else f"{result.seconds:.0f} s"
        sys.stdout.write(f"[{at}/{total}] {result.target}: {result.label}: {figures} ({when})\n")
        sys.stdout.flush()
        if len(found[result.target]) == len(engines):
            calibration = calibration_of(result.target, found[result.target], liberty)
            path = write_calibration(calibration, out)
            for name, model in calibration.models.items():
                sys.stdout.write(
                    f"{path}: {name}: held-out error {model.mean_error:.1f} % in the mean, "
                    f"{model.worst_error:.1f} % at worst\n"
                )


def _chosen(text: str) -> list[Target]:
    names = [name.strip() for name in text.split(",")]
    chosen = [target for target in TARGETS if target in names]
    if unknown := [name for name in names if name not in TARGETS]:
        raise InputError(
            f"--targets: unknown target {unknown[0]!r} (allowed: {', '.join(TARGETS)})"
        )
    return chosen
