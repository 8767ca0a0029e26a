"""Area models from synthesis results, and the files that hold them."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from fxp.files import replacing
from hw_model.accelerator import Target
from hw_model.area.calibration import AreaModel, Calibration, HeldOut, UnitModels
from hw_model.area.estimate import DSP_DEVICES, TERMS
from hw_model.area.terms import REGISTERS
from hw_model.area.unit_terms import Unit
from hw_model.calibrate.fit import errors, fit, scaled_fit
from hw_model.calibrate.synthesis import Result, rtl_hash
from hw_model.calibrate.targets import commands
from hw_model.calibrate.yosys import yosys_version

BASE: Target = "xc7-nodsp"  # has a price for each term
DSP: Target = "xc7"  # the same without the product's; fitted together with it
OWN: tuple[Target, ...] = (BASE, "ice40")  # fitted term by term, the others in groups of terms
_SHARED = ("engine", "rings", "addresses", "tiles")
_CONTROL = (*_SHARED, "turns", "cast control")
_REGISTERS = (*_SHARED, "instruction", "lane")
_LANE = (
    "accumulator",
    "digit",
    "digit sum",
    "pair",
    "cast",
    "cast shift",
    "running sum",
    "shift",
    "addition",
    "operand",
)
GROUPS: Mapping[str, Mapping[str, Sequence[str]]] = {  # what other targets scale as a whole
    "luts": {"control": _CONTROL, "product": ("product",), "lane": _LANE},
    "ffs": {"all": _REGISTERS},
    "nand2": {
        "logic": (*_CONTROL, *_LANE),
        "product": ("product",),
        "all registers": [f"{REGISTERS}{term}" for term in (*_REGISTERS, "shift registers")],
    },
}
Results = Mapping[Target, Sequence[Result]]  # of engines
Units = Mapping[Target, Mapping[Unit, UnitModels]]


def calibrations_of(
    results: Results, units: Units, liberty: Path, base: Calibration | None
) -> list[Calibration]:
    """Models fitted to the engines that are not held out, tried on those that are.

    `units` are the models of the units by target, `base` is the calibration of `BASE`, where there
    are no results of it.
    """
    found = []
    if BASE in results:
        base = _calibration(BASE, results, units[BASE], liberty, None)
        found.append(base)
    assert base is not None
    others = [target for target in results if target != BASE]
    return found + [_calibration(t, results, units[t], liberty, base) for t in others]


def _calibration(
    target: Target,
    results: Results,
    units: Mapping[Unit, UnitModels],
    liberty: Path,
    base: Calibration | None,
) -> Calibration:
    fitted = [result for result in results[target] if not result.held_out]
    held_out = [result for result in results[target] if result.held_out]
    quantities = [name for name in fitted[0].measured if name in TERMS]
    prices = {name: _prices(name, target, results, base) for name in quantities}
    digest = hashlib.sha256(liberty.read_bytes()).hexdigest() if target == "osu018" else None
    models = {}
    for name in quantities:
        follows = None if base is None or target in OWN else base.models[_base_name(name)]
        models[name] = _model(name, prices[name], held_out, follows)
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
        units=units,
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


def _prices(
    name: str, target: Target, results: Results, base: Calibration | None
) -> dict[str, float]:
    own = _rows(name, target, results[target])
    if base is None or target in OWN:
        joint = target == BASE and name == "luts"
        other = _rows(name, DSP, results.get(DSP, ())) if joint else ([], [])
        return fit(own[0] + other[0], own[1] + other[1])
    known = _known(name, base)
    if (name, target) == ("luts", DSP):
        return {term: price for term, price in known.items() if term != "product"}
    return scaled_fit(*own, known, GROUPS[name])


def _base_name(name: str) -> str:
    """The base's quantity that another one follows."""
    return "luts" if name == "nand2" else name


def _known(name: str, base: Calibration) -> Mapping[str, float]:
    """The base's prices for a quantity; standard cells keep shift registers as registers."""
    luts, ffs = base.models["luts"].prices, base.models["ffs"].prices
    if name != "nand2":
        return base.models[name].prices
    registers = {**ffs, "shift registers": ffs["lane"]}
    return {**luts, **{f"{REGISTERS}{term}": price for term, price in registers.items()}}


def _model(
    name: str, prices: Mapping[str, float], held_out: Sequence[Result], base: AreaModel | None
) -> AreaModel:
    """Errors over the held-out engines; where prices follow from a base, at least its errors."""
    model = AreaModel(prices=prices, mean_error=0, worst_error=0)
    rows = [TERMS[name](result.parameters) for result in held_out]
    measured = [result.measured[name] for result in held_out]
    mean, worst = errors([model.estimate(row) for row in rows], measured)
    if base is not None:
        mean, worst = max(mean, base.mean_error), max(worst, base.worst_error)
    return AreaModel(prices=prices, mean_error=round(mean, 2), worst_error=round(worst, 2))


def _rows(
    name: str, target: Target, results: Sequence[Result]
) -> tuple[list[dict[str, float]], list[float]]:
    """Terms and areas of the fitted engines; a product in a DSP block takes no look-up tables."""
    fitted = [result for result in results if not result.held_out]
    rows = [TERMS[name](result.parameters) for result in fitted]
    if target in DSP_DEVICES and name == "luts":
        rows = [row | {"product": 0.0} for row in rows]
    return rows, [result.measured[name] for result in fitted]


def _tried(result: Result, models: Mapping[str, AreaModel]) -> HeldOut:
    estimated = {
        name: round(model.estimate(TERMS[name](result.parameters)))
        for name, model in models.items()
    }
    measured = {name: round(result.measured[name]) for name in models}
    return HeldOut(engine=result.label, measured=measured, estimated=estimated)
