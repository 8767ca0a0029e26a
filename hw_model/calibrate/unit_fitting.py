"""Area models of the units from synthesis results: each target and each unit by itself."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from hw_model.accelerator import Target
from hw_model.area.calibration import AreaModel, HeldOutUnit, UnitModels
from hw_model.area.estimate import DSP_DEVICES, UNIT_TERMS
from hw_model.area.terms import REGISTERS, Terms
from hw_model.area.unit_terms import PRODUCTS, UNITS, Unit
from hw_model.calibrate.fit import errors, fit, scaled_fit
from hw_model.calibrate.synthesis import Result, module_hash


def unit_models_of(target: Target, results: Sequence[Result]) -> dict[Unit, UnitModels]:
    """Models of the units on a target; its results may be of engines too."""
    return {
        unit: _models(unit, target, [result for result in results if result.top == unit])
        for unit in UNITS
    }


def _models(unit: Unit, target: Target, results: Sequence[Result]) -> UnitModels:
    fitted = [result for result in results if not result.held_out]
    held_out = [result for result in results if result.held_out]
    models: dict[str, AreaModel] = {}
    for name in (name for name in UNIT_TERMS if name in fitted[0].measured):  # `ffs` before `nand2`
        rows = [_row(name, unit, target, result) for result in fitted]
        measured = [result.measured[name] for result in fitted]
        known = models["ffs"].prices if name == "nand2" else None
        models[name] = _model(name, unit, target, _prices(rows, measured, known), held_out)
    return UnitModels(
        rtl_sha256=module_hash(unit),
        date=datetime.datetime.now(datetime.UTC).date(),
        fitted=len(fitted),
        models=models,
        held_out=tuple(_tried(unit, target, result, models) for result in held_out),
    )


def _prices(
    rows: Sequence[Terms], measured: Sequence[float], ffs: Mapping[str, float] | None
) -> dict[str, float]:
    """Of standard cells the registers have one price, by their number as `ffs` gives it."""
    if ffs is None:
        return fit(rows, measured)
    base = {f"{REGISTERS}{term}": price for term, price in ffs.items()}
    registers = [term for term in rows[0] if term.startswith(REGISTERS)]
    return scaled_fit(rows, measured, base, {"all registers": registers})


def _row(name: str, unit: Unit, target: Target, result: Result) -> Terms:
    """A product in a DSP block takes no look-up tables."""
    row = UNIT_TERMS[name](unit, result.parameters, target)
    if target in DSP_DEVICES and name == "luts":
        row |= {term: 0.0 for term in row if term in PRODUCTS}
    return row


def _model(
    name: str, unit: Unit, target: Target, prices: Mapping[str, float], held_out: Sequence[Result]
) -> AreaModel:
    model = AreaModel(prices=prices, mean_error=0, worst_error=0)
    rows = [UNIT_TERMS[name](unit, result.parameters, target) for result in held_out]
    measured = [result.measured[name] for result in held_out]
    mean, worst = errors([model.estimate(row) for row in rows], measured)
    return AreaModel(prices=prices, mean_error=round(mean, 2), worst_error=round(worst, 2))


def _tried(
    unit: Unit, target: Target, result: Result, models: Mapping[str, AreaModel]
) -> HeldOutUnit:
    estimated = {
        name: round(model.estimate(UNIT_TERMS[name](unit, result.parameters, target)))
        for name, model in models.items()
    }
    measured = {name: round(result.measured[name]) for name in models}
    return HeldOutUnit(unit=result.label, measured=measured, estimated=estimated)
