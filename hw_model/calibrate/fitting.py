"""Area models from synthesis results, and the files that hold them."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from fxp.files import replacing
from hw_model.accelerator import Target
from hw_model.area.calibration import AreaModel, Calibration, HeldOut
from hw_model.area.estimate import TERMS
from hw_model.calibrate.fit import errors, fit, scaled_fit
from hw_model.calibrate.synthesis import Result, rtl_hash
from hw_model.calibrate.targets import commands
from hw_model.calibrate.yosys import yosys_version

BASE: Target = "xc7-nodsp"  # has a price for each term; other targets scale groups of them
_CONTROL = ("engine", "rings", "addresses", "tiles")
_LANE = ("accumulator", "cast", "cast shift", "running sum", "shift", "addition", "operand")
GROUPS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "luts": {"control": _CONTROL, "product": ("product",), "lane": _LANE},
    "ffs": {"control": (*_CONTROL, "instruction"), "lane": ("lane",)},
    "nand2": {"control": _CONTROL, "product": ("product",), "lane": _LANE},
}


def calibration_of(
    target: Target, results: Sequence[Result], liberty: Path, base: Calibration | None
) -> Calibration:
    """Models fitted to the results that are not held out, tried on those that are.

    `base` is the calibration of `BASE`, for any other target.
    """
    assert (base is None) == (target == BASE)
    fitted = [result for result in results if not result.held_out]
    held_out = [result for result in results if result.held_out]
    quantities = [name for name in results[0].measured if name in TERMS]
    models = {name: _model(name, fitted, held_out, base) for name in quantities}
    digest = hashlib.sha256(liberty.read_bytes()).hexdigest() if target == "osu018" else None
    return Calibration(
        target=target,
        tool=f"pyosys {yosys_version()}",
        commands=commands(target),
        rtl_sha256=rtl_hash(),
        liberty_sha256=digest,
        date=datetime.datetime.now(datetime.UTC).date(),
        fitted=len(fitted),
        models=models,
        held_out=tuple(_tried(result, models) for result in held_out),
    )


def write_calibration(calibration: Calibration, folder: Path) -> Path:
    """Write a target's file into a folder, or none.

    Raises:
        InputError: it cannot be written.
    """
    path = folder / f"{calibration.target}.yaml"
    text = yaml.safe_dump(calibration.model_dump(mode="json"), sort_keys=False, width=100)
    with replacing(path) as temporary:
        temporary.write_text(f"# python -m hw_model calibrate\n{text}", encoding="utf-8")
    return path


def _model(
    name: str, fitted: Sequence[Result], held_out: Sequence[Result], base: Calibration | None
) -> AreaModel:
    if base is None:
        prices = fit(*_rows(name, fitted))
    else:
        known = base.models["luts" if name == "nand2" else name].prices
        prices = scaled_fit(*_rows(name, fitted), known, GROUPS[name])
    model = AreaModel(prices=prices, mean_error=0, worst_error=0)
    rows, measured = _rows(name, held_out)
    mean, worst = errors([model.estimate(row) for row in rows], measured)
    return AreaModel(prices=prices, mean_error=round(mean, 2), worst_error=round(worst, 2))


def _rows(name: str, results: Sequence[Result]) -> tuple[list[dict[str, float]], list[float]]:
    rows = [TERMS[name](result.parameters) for result in results]
    return rows, [result.measured[name] for result in results]


def _tried(result: Result, models: Mapping[str, AreaModel]) -> HeldOut:
    estimated = {
        name: round(model.estimate(TERMS[name](result.parameters)))
        for name, model in models.items()
    }
    measured = {name: round(result.measured[name]) for name in models}
    return HeldOut(engine=result.label, measured=measured, estimated=estimated)
