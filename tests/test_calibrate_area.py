import importlib.util
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.console import run
from fxp.errors import InputError
from fxp.spec import load_spec
from hw_model.__main__ import app
from hw_model.accelerator import Target
from hw_model.area.calibration import Calibration, load_calibration
from hw_model.area.estimate import UNIT_TERMS
from hw_model.area.page import models_page
from hw_model.area.terms import REGISTERS
from hw_model.area.unit_terms import PRODUCTS, UNITS, Unit, unit_dsps
from hw_model.calibrate import synthesis
from hw_model.calibrate.command import QUICK_UNITS
from hw_model.calibrate.fit import errors, fit, scaled_fit
from hw_model.calibrate.points import FITTED_BITS, HELD_OUT_BITS, points
from hw_model.calibrate.synthesis import (
    INCLUDES,
    MODULES,
    Result,
    load_results,
    sources,
    synthesise,
)
from hw_model.calibrate.targets import (
    LIBERTY,
    NAND2,
    TARGETS,
    commands,
    counted,
    nand2_area,
    script,
)
from hw_model.calibrate.unit_fitting import unit_models_of
from hw_model.calibrate.unit_points import COUNTS, unit_points
from hw_model.calibrate.yosys import Netlist

needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="pyosys is not installed"
)


@given(st.integers(0, 10**6), st.lists(st.floats(0.1, 50), min_size=3, max_size=3))
def test_a_fit_finds_the_prices_that_made_the_areas(seed: int, prices: list[float]) -> None:
    rng = random.Random(seed)
    names = ("engine", "product", "cast")
    rows = [
        {"engine": 1, "product": rng.uniform(1, 99), "cast": rng.uniform(1, 99)} for _ in range(12)
    ]
    measured = [sum(p * row[n] for p, n in zip(prices, names, strict=True)) for row in rows]
    found = fit(rows, measured)
    for name, price in zip(names, prices, strict=True):
        assert found[name] == pytest.approx(price, rel=2e-3)


def test_no_price_is_negative() -> None:
    rows = [{"a": 1, "b": x} for x in (1, 2, 3, 4)]
    found = fit(rows, [10, 8, 6, 4])
    assert "b" not in found and found["a"] > 0


def test_another_target_scales_the_groups_of_the_base() -> None:
    sizes = ((1, 2, 3), (2, 5, 1), (7, 1, 2), (3, 3, 3))
    rows = [{"a": a, "b": b, "c": c, "d": a * b} for a, b, c in sizes]
    groups = {"one": ("a", "b"), "two": ("c",)}
    base = {"a": 2.0, "b": 5.0, "c": 4.0}
    measured = [1.5 * (2 * r["a"] + 5 * r["b"]) + 0.5 * 4 * r["c"] + 0.25 * r["d"] for r in rows]
    found = scaled_fit(rows, measured, base, groups)
    assert found == pytest.approx({"a": 3, "b": 7.5, "c": 2, "d": 0.25}, rel=1e-3)
    assert "c" not in scaled_fit(rows, measured, {"a": 2, "b": 5}, groups)


def test_relative_errors_in_percent() -> None:
    assert errors([110, 95], [100, 100]) == pytest.approx((7.5, 10))


def test_held_out_engines_share_no_width_with_fitted_ones() -> None:
    assert not set(FITTED_BITS) & set(HELD_OUT_BITS)
    some = points(3, 1)
    assert [point.held_out for point in some] == [False] * 3 + [True]
    lanes = [
        {p.design.parameters["LANES"] for p in some if p.held_out == is_held}
        for is_held in (False, True)
    ]
    assert not lanes[0] & lanes[1]
    drawn = [p for p in some if p.label.startswith("drawn")]
    for point in drawn:
        widths = HELD_OUT_BITS if point.held_out else FITTED_BITS
        assert point.design.parameters["X_BITS"] in widths
        assert point.design.parameters["W_BITS"] in widths
    assert any(p.design.parameters["X_BITS"] != p.design.parameters["W_BITS"] for p in drawn)


def test_a_longer_list_begins_with_a_shorter_one() -> None:
    few, more = points(2, 1), points(3, 2)
    assert [sources(p) for p in few[:2]] == [sources(p) for p in more[:2]]
    assert sources(few[2]) == sources(more[3])


@pytest.mark.parametrize("unit", UNITS)
def test_held_out_units_share_no_width_with_fitted_ones(unit: Unit) -> None:
    every, bits = unit_points(unit), {"layer_norm": "NORM", "softmax": "SHARE", "clip_mean": "MEAN"}
    assert [p.held_out for p in every] == [False] * COUNTS[unit][0] + [True] * COUNTS[unit][1]
    for name in (f"{bits[unit]}_X_BITS", "LANES"):
        kinds = [
            {p.design.parameters[name] for p in every if p.held_out == held_out}
            for held_out in (False, True)
        ]
        assert len(kinds[0]) >= 3 and len(kinds[1]) >= 2 and not kinds[0] & kinds[1], name
    for point in every:
        others = {other for other in UNITS if point.design.parameters[f"HAS_{other.upper()}"]}
        assert others == {unit} and point.top == unit
    assert len({point.label for point in every}) == len(every)


@pytest.mark.parametrize("unit", UNITS)
def test_quick_units_are_some_of_all(unit: Unit) -> None:
    few = {p.label: sources(p) for p in unit_points(unit, *QUICK_UNITS)}
    every = {p.label: sources(p) for p in unit_points(unit)}
    assert few.items() <= every.items() and sum(QUICK_UNITS) == len(few) < len(every)


def test_a_unit_comes_with_its_own_modules() -> None:
    for unit in UNITS:
        texts = sources(unit_points(unit, 1, 0)[0])
        assert texts.keys() == {*INCLUDES, *(f"{name}.sv" for name in MODULES[unit])}
        assert texts["ram.sv"].count("blackbox") == 1
        body = "".join(texts.values())
        for module in ("reciprocal_root", "divider", "gather", "ram"):
            assert (f"{module} #(" in body) == (f"{module}.sv" in texts), (unit, module)


def test_commands_name_the_module() -> None:
    for target in TARGETS:
        assert "-top engine" in commands(target)[0]
        assert [line.replace("softmax", "engine") for line in commands(target, "softmax")] == list(
            commands(target)
        )


def unit_results(
    target: Target, area: Callable[[Unit, Mapping[str, int]], dict[str, float]]
) -> list[Result]:
    found = []
    for unit in UNITS:
        for point in unit_points(unit):
            p = point.design.parameters
            label = point.label
            found.append(Result(label, target, label, point.held_out, p, area(unit, p), 1, unit))
    return found


@pytest.mark.parametrize("target", ["xc7", "ice40", "osu018"])
def test_models_of_units_find_the_areas_that_were_made(target: Target) -> None:
    """Areas that follow from the terms alone come back without an error, each unit by itself."""
    size = "nand2" if target == "osu018" else "luts"

    def area(unit: Unit, p: Mapping[str, int]) -> dict[str, float]:
        logic, registers = UNIT_TERMS["luts"](unit, p, target), UNIT_TERMS["ffs"](unit, p, target)
        count = sum(registers.values())
        luts = 100 + 2 * sum(v for term, v in logic.items() if term not in PRODUCTS)
        return {size: luts + 6 * count if size == "nand2" else luts, "ffs": count}

    for unit, models in unit_models_of(target, unit_results(target, area)).items():
        assert (models.fitted, len(models.held_out)) == COUNTS[unit]
        assert list(models.models) == [name for name in UNIT_TERMS if name in (size, "ffs")]
        for name, model in models.models.items():
            assert model.worst_error < 1, (unit, name)
        if size == "nand2":  # one price for all registers
            for term, price in models.models["ffs"].prices.items():
                found = models.models["nand2"].prices[f"{REGISTERS}{term}"]
                assert found == pytest.approx(6 * price, rel=0.05), (unit, term)


@pytest.mark.parametrize("target", ["xc7", "xcup", "xc7-nodsp"])
def test_products_have_a_price_where_they_are_logic(target: Target) -> None:
    def area(unit: Unit, p: Mapping[str, int]) -> dict[str, float]:
        return {"luts": 10 + sum(UNIT_TERMS["luts"](unit, p, target).values()), "ffs": 1.0}

    models = unit_models_of(target, unit_results(target, area))
    for unit in ("layer_norm", "softmax"):
        priced = models[unit].models["luts"].prices.keys() & set(PRODUCTS)
        assert bool(priced) == (target == "xc7-nodsp"), unit


def test_cells_are_counted_by_kind() -> None:
    cells = {"LUT2": 3, "LUT6": 4, "SRL16E": 2, "FDRE": 5, "DSP48E1": 1, "CARRY4": 9, "MUXF7": 7}
    assert counted(Netlist(cells), None) == {"luts": 9, "ffs": 5, "dsps": 1}
    ice = {"SB_LUT4": 3, "SB_DFFE": 2, "SB_CARRY": 8}
    assert counted(Netlist(ice), None) == {"luts": 3, "ffs": 2, "dsps": 0}
    gates = {NAND2: 10, "DFFPOSX1": 2}
    assert counted(Netlist(gates, 432.0), 24.0) == {"nand2": 18, "ffs": 2}


def test_area_of_a_gate_from_a_liberty_file(tmp_path: Path) -> None:
    file = tmp_path / "cells.lib"
    file.write_text(f"cell (INVX1) {{\narea : 16;\n}}\ncell ({NAND2}) {{\n  area : 24.5;\n}}\n")
    assert nand2_area(file) == 24.5
    file.write_text("cell (INVX1) {\narea : 16;\n}\n")
    with pytest.raises(InputError, match="has no cell NAND2X1 with an area"):
        nand2_area(file)


def test_a_missing_liberty_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such Liberty file"):
        script("osu018", tmp_path / "none.lib")
    assert script("xc7", tmp_path / "none.lib").stat == "stat"


def test_results_are_kept_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped goes on; a line cut off in the middle is made again."""
    made: list[str] = []

    def fake(*given: object) -> dict[str, Netlist]:
        made.append(str(given[1]))
        return {"engine": Netlist({"LUT2": len(made)})}

    monkeypatch.setattr(synthesis, "netlists", fake)
    kept, some = tmp_path / "results.jsonl", points(2, 0)
    first = next(iter(synthesise(["xc7"], some, kept, LIBERTY)))
    assert not first[1] and first[0].measured["luts"] == 1
    kept.write_text(kept.read_text() + '{"key": "cut o')
    again = list(synthesise(["xc7"], some, kept, LIBERTY))
    assert [old for _, old in again] == [True, False] and len(made) == 2
    assert again[0][0] == first[0]
    assert len(load_results(kept)) == 2 and len(kept.read_text().splitlines()) == 3


@pytest.mark.parametrize("parts", ["engine,units", "engine", "units"])
@needs_yosys
def test_one_command_fits_engine_and_units(
    parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With areas that grow with the text of the sources; what is not fitted stays as it is."""

    def fake(texts: Mapping[str, str], *_: object) -> dict[str, Netlist]:
        size = sum(map(ord, texts["engine_params.svh"]))
        cells = {"LUT2": size // 20, "FDRE": size // 40}
        return dict.fromkeys(("engine", *UNITS), Netlist(cells))

    monkeypatch.setattr(synthesis, "netlists", fake)
    command = ["hw_model", "calibrate", "--quick", "--targets", "xc7-nodsp,xc7", "--parts", parts]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        run(app)
    assert not stopped.value.code
    results = load_results(tmp_path / "results.jsonl").values()
    assert {result.top for result in results} == {
        *(["engine"] if "engine" in parts else []),
        *(UNITS if "units" in parts else []),
    }
    both: tuple[Target, ...] = ("xc7-nodsp", "xc7")
    for target in both:
        new = load_spec(Calibration, tmp_path / f"{target}.yaml")
        old = load_calibration(target)
        assert (new.models == old.models) == ("engine" not in parts)
        assert (new.units == old.units) == ("units" not in parts)
        if "units" in parts:
            assert {unit: about.fitted for unit, about in new.units.items()} == dict.fromkeys(
                UNITS, QUICK_UNITS[0]
            )


def test_the_page_has_the_models_as_they_are() -> None:
    page = Path("docs/area.md").read_text(encoding="utf-8")
    assert models_page() in page


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--targets", "xc7,asic"], "--targets: unknown target 'asic' (allowed: xc7, "),
        (["--parts", "units,lanes"], "--parts: unknown part 'lanes' (allowed: engine, units)"),
        (["--targets", "osu018", "--liberty", "none.lib"], "none.lib: no such Liberty file"),
    ],
)
@needs_yosys
def test_bad_input_is_one_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ["hw_model", "calibrate", "--out", str(tmp_path / "area"), *arguments]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit) as stopped:
        run(app)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and line in error and error.count("\n") == 1
    assert not (tmp_path / "area").exists()


@pytest.mark.slow
@needs_yosys
def test_an_engine_is_synthesised(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    ((result, old),) = synthesise(["xc7-nodsp"], points(1, 0), kept, LIBERTY)
    assert not old and result.measured["luts"] > 500 and result.measured["dsps"] == 0
    assert load_results(kept) == {result.key: result}


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("target", ["xc7", "xcup"])
def test_units_are_synthesised_with_the_dsp_blocks_that_are_counted(
    target: Literal["xc7", "xcup"], tmp_path: Path
) -> None:
    every = [point for unit in UNITS for point in unit_points(unit, 2, 1)]
    for result, _ in synthesise([target], every, tmp_path / "results.jsonl", LIBERTY):
        unit = next(unit for unit in UNITS if unit == result.top)
        assert result.measured["dsps"] == unit_dsps(unit, result.parameters, target), result.label
        assert load_results(tmp_path / "results.jsonl")[result.key].top == unit
