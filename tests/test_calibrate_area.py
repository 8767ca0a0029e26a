import importlib.util
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.console import run
from fxp.errors import InputError
from hw_model.__main__ import app
from hw_model.area.page import models_page
from hw_model.calibrate import synthesis
from hw_model.calibrate.fit import errors, fit, scaled_fit
from hw_model.calibrate.points import FITTED_BITS, HELD_OUT_BITS, points
from hw_model.calibrate.synthesis import load_results, sources, synthesise
from hw_model.calibrate.targets import LIBERTY, NAND2, counted, nand2_area, script
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


def test_the_page_has_the_models_as_they_are() -> None:
    page = Path("docs/area.md").read_text(encoding="utf-8")
    assert models_page() in page


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--targets", "xc7,asic"], "--targets: unknown target 'asic' (allowed: xc7, "),
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
