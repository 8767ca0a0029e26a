"""Layer norms, softmax and means over a clip in the area of an engine."""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fxp.ir import Graph
from fxp.spec import ArchSpec, QuantSpec
from hw_model.accelerator import Target
from hw_model.area.calibration import load_calibration
from hw_model.area.estimate import Area
from hw_model.area.memories import memory_shapes
from hw_model.area.terms import logic_terms
from hw_model.area.unit_terms import (
    PRODUCTS,
    UNITS,
    Unit,
    unit_gate_terms,
    unit_logic_terms,
    unit_register_terms,
    units_of,
)
from hw_model.blueprint import blueprint, filled
from hw_model.calibrate.points import Point
from hw_model.calibrate.synthesis import rtl_sources, synthesise
from hw_model.calibrate.targets import LIBERTY, TARGETS
from hw_model.calibrate.yosys import netlists
from hw_model.cost import estimate
from hw_model.dsp import lane_dsps, product_dsps
from hw_model.geometry import Blocks
from hw_model.rtl.design import design_of, include_files
from tests.accelerators import machine
from tests.golden.mapping import short
from tests.golden.networks import CASES, make
from tests.test_geometry import short as short_blocks

SMALL: dict[str, Any] = {
    "skeleton": "hugadb",
    "in_channels": 6,
    "embedding": 8,
    "channels": (8, 16),
    "window": (5,),
    "classes": 8,
}
CHANGES: dict[Unit, dict[str, Any]] = {
    "layer_norm": {"family": "rtstgcn", "norm": "layer"},
    "softmax": {"family": "msgcn", "channels": (8, 8), "window": 3, "refinements": 1},
    "clip_mean": {"family": "stgcn", "embedding": None, "window": 3},
}
LANES = 4
needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="pyosys is not installed"
)


def network(unit: Unit, weight_bits: int = 8, activation_bits: int = 8) -> Graph:
    arch = ArchSpec.model_validate({**SMALL, **CHANGES[unit]})
    bits = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    return blueprint(arch, QuantSpec(**bits, input_bits=activation_bits), unit)


def parameters(unit: Unit) -> Mapping[str, int]:
    return design_of(filled(network(unit)), LANES).parameters


def area(unit: Unit, target: Target) -> Area:
    found = estimate(network(unit), machine(LANES, target=target)).area
    assert found is not None
    return found


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("target", TARGETS)
def test_an_engine_and_its_unit_add_up(unit: Unit, target: Target) -> None:
    found, p = area(unit, target), parameters(unit)
    assert units_of(p) == (unit,)
    (part,) = found.units
    assert part.unit == unit
    models = load_calibration(target)
    name = "nand2" if target == "osu018" else "luts"
    whole, own = getattr(found, name), getattr(part, name)
    if target != "osu018":
        engine = round(models.models[name].estimate(logic_terms(p)))
        assert whole.value == engine + own.value
        terms = unit_logic_terms(unit, p, target)
        assert own.value == round(models.units[unit].models[name].estimate(terms))
    else:
        terms = unit_gate_terms(unit, p, target)
        assert own.value == round(models.units[unit].models[name].estimate(terms))
    low, high = sorted((models.models[name].worst_error, own.worst_error))
    assert low <= whole.worst_error <= high and own.value < whole.value
    assert part.ffs is not None and found.ffs is not None and part.ffs.value < found.ffs.value


def test_errors_of_a_sum_go_by_their_shares() -> None:
    found = area("layer_norm", "xc7")
    (part,) = found.units
    assert found.luts is not None and part.luts is not None
    own = load_calibration("xc7").models["luts"]
    engine = found.luts.value - part.luts.value
    for kind in ("mean_error", "worst_error"):
        wrong = engine * getattr(own, kind) + part.luts.value * getattr(part.luts, kind)
        assert getattr(found.luts, kind) == pytest.approx(wrong / found.luts.value, abs=0.01)


def test_a_network_without_units_has_none() -> None:
    arch = ArchSpec.model_validate({**SMALL, "family": "rtstgcn"})
    graph = blueprint(arch, QuantSpec())
    found = estimate(graph, machine(LANES, target="xc7")).area
    assert found is not None and found.units == ()


def test_dsp_blocks_of_units() -> None:
    found, p = area("layer_norm", "xc7"), parameters("layer_norm")
    factor = max(p["NORM_X_BITS"], p["NORM_WORDS_BITS"] + 1)
    lane = product_dsps(p["NORM_X_BITS"], factor, "xc7")
    lane += product_dsps(p["NORM_NUMERATOR_BITS"], 21, "xc7")
    root = product_dsps(max(p["NORM_S1_BITS"] + 1, 22), max(p["NORM_S0_BITS"], 22), "xc7")
    assert found.units[0].dsps == LANES * lane + root
    assert found.dsps == found.units[0].dsps + lane_dsps(LANES, p["X_BITS"], p["W_BITS"], "xc7")
    assert area("softmax", "xcup").units[0].dsps == 1  # 18 x 18 bits
    assert area("clip_mean", "xc7").units[0].dsps == 0
    assert area("layer_norm", "xc7-nodsp").units[0].dsps == 0


def test_terms_of_a_layer_norm_by_hand() -> None:
    p = {**parameters("layer_norm"), "LANES": 3, "ACC_BITS": 20}
    p |= {"NORM_X_BITS": 9, "NORM_WORDS_BITS": 11, "NORM_S0_BITS": 19, "NORM_S1_BITS": 27}
    p |= {"NORM_VARIANCE_BITS": 38, "NORM_K_BITS": 5, "NORM_NUMERATOR_BITS": 20}
    logic = unit_logic_terms("layer_norm", p, "xc7")
    assert logic == {
        "unit": 1,
        "root product": 28 * 22,
        "root": 28 + 22 + 38,
        "mantissa": 38 * 5,
        "product": 3 * 9 * 12,
        "scaling": 3 * 20 * 21,
        "sums": 3 * (19 + 27),
        "numerators": 3 * 20,
        "rounding": 3 * (18 + 32 + 1),
        "shift": 3 * 20 * 6,
    }
    registers = unit_register_terms("layer_norm", p, "xc7")
    assert registers["root"] == 2 * 50 + 38 and registers["sums"] == 2 * 46
    assert registers["lane"] == 3 * (9 + (9 + 12) + 20 + 41 + 9 + 20)
    assert registers["sliced"] == 3 * 41
    assert unit_register_terms("layer_norm", {**p, "NORM_NUMERATOR_BITS": 18}, "xc7")["sliced"] == 0
    assert set(PRODUCTS) <= logic.keys()


def test_terms_of_the_dividers_by_hand() -> None:
    p = {**parameters("softmax"), "LANES": 3, "ACC_BITS": 20}
    p |= {"SHARE_X_BITS": 8, "SHARE_JOINTS": 25, "SHARE_ENTRY_BITS": 13, "SHARE_SUM_BITS": 17}
    p |= {"SHARE_BITS": 10, "C_ADDR_BITS": 6, "P_ADDR_BITS": 5}
    logic = unit_logic_terms("softmax", p, "xc7")
    assert logic["words"] == 19 and logic["product"] == 169 and logic["steps"] == 11 * 18
    assert logic["joints"] == 0 and logic["lines"] == 60
    assert unit_logic_terms("softmax", p, "osu018")["joints"] == 25 * (8 + 17)
    assert unit_register_terms("softmax", p, "osu018")["joints"] == 25 * (8 + 17)
    assert unit_register_terms("softmax", p, "ice40")["joints"] == 0
    few = unit_register_terms("softmax", {**p, "SHARE_JOINTS": 5}, "ice40")
    assert few["joints"] == 5 * (8 + 17)
    narrow = unit_register_terms("softmax", {**p, "SHARE_JOINTS": 5, "SHARE_SUM_BITS": 16}, "ice40")
    assert narrow["joints"] == 5 * 8  # the sums have a block
    one = unit_register_terms("softmax", {**p, "SHARE_JOINTS": 1}, "xc7")
    assert one["joints"] == 25 and one["digits"] == 66 and one["steps"] == 11 * 35
    p = {**parameters("clip_mean"), "MEAN_BITS": 6, "MEAN_COUNT_BITS": 3, "MEAN_SUM_BITS": 9}
    logic = unit_logic_terms("clip_mean", p, "xc7")
    assert logic["steps"] == 7 * 5 and logic["sums"] == LANES * 9 and logic["count"] == 3
    rests = 1 + 2 + 3 + 4 + 5 + 5 + 5
    assert unit_register_terms("clip_mean", p, "xc7")["steps"] == rests + 7 * 4


def test_memories_of_units() -> None:
    p, shapes = parameters("layer_norm"), {m.name: m for m in area("layer_norm", "xc7").memories}
    assert (shapes["seeds"].lines, shapes["seeds"].line_bits) == (p["SEEDS"], 20) == (48, 20)
    p, shapes = parameters("clip_mean"), {m.name: m for m in area("clip_mean", "ice40").memories}
    bits = shapes["sums of a clip"].line_bits
    assert bits == LANES * p["MEAN_SUM_BITS"] and shapes["sums of a clip"].lines == 4  # 16 channels
    p, shapes = parameters("softmax"), {m.name: m for m in area("softmax", "xc7").memories}
    for name, depth in {"coarse exponentials": "COARSES", "fine exponentials": "FINES"}.items():
        assert (shapes[name].lines, shapes[name].line_bits) == (p[depth], p["SHARE_ENTRY_BITS"])
    assert "largest words" not in shapes  # of one joint: a register


def test_a_softmax_of_many_joints_has_look_up_tables_as_memory() -> None:
    graph, _ = make(CASES["shares"])
    found = estimate(graph, machine(2, target="xcup")).area
    assert found is not None
    shapes = {memory.name: memory for memory in found.memories}
    assert shapes["sums of exponentials"].lines == 2
    assert shapes["sums of exponentials"].blocks.lutram_luts > 0
    cells = estimate(graph, machine(2, target="ice40")).area
    assert cells is not None
    assert "sums of exponentials" not in {memory.name for memory in cells.memories}


@pytest.mark.parametrize("target", TARGETS)
def test_models_of_units_hold_their_held_out_error(target: Target) -> None:
    for unit, about in load_calibration(target).units.items():
        size = about.models["nand2" if target == "osu018" else "luts"]
        assert size.mean_error <= 7 and size.worst_error <= 12, unit
        for name, model in about.models.items():
            wrong = [
                100 * abs(row.estimated[name] / row.measured[name] - 1) for row in about.held_out
            ]
            assert model.worst_error == pytest.approx(max(wrong), abs=0.2)
            assert model.mean_error == pytest.approx(sum(wrong) / len(wrong), abs=0.2)


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("target", ["xc7", "osu018"])
@pytest.mark.parametrize("unit", UNITS)
def test_a_whole_engine_with_a_unit_takes_what_is_estimated(
    unit: Unit, target: Target, tmp_path: Path
) -> None:
    """No price was fitted to an engine with a unit: their models add up."""
    graph, kept = filled(network(unit, 7, 9)), tmp_path / "results.jsonl"
    point = Point("whole", design_of(graph, 3), held_out=True)
    ((result, _),) = synthesise([target], [point], kept, LIBERTY)
    found = estimate(graph, machine(3, target=target)).area
    assert found is not None
    assert result.measured.get("dsps", 0) == found.dsps
    for name, measured in result.measured.items():
        if name != "dsps":
            wrong = 100 * abs(getattr(found, name).value / measured - 1)
            assert wrong <= 12, (name, wrong)


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("case", ["normed", "shares", "clip"])
@pytest.mark.parametrize(
    ("device", "command"),
    [
        ("xc7", "synth_xilinx -family xc7 -flatten -top engine -run begin:map_ffram"),
        ("ice40", "synth_ice40 -top engine -run begin:map_ffram"),
    ],
)
def test_yosys_maps_the_memories_of_units_to_these_blocks(
    case: str, device: Target, command: str
) -> None:
    graph, _ = make(CASES[case])
    design = design_of(graph, CASES[case].lanes)
    texts = {**rtl_sources(), **include_files(design)}
    names = " ".join(name for name in texts if name.endswith(".sv"))
    found = netlists(texts, [f"read_verilog -sv -defer {names}", command])["engine"]
    area = estimate(graph, machine(CASES[case].lanes, target=device)).area
    assert area is not None
    assert {m.name for m in area.memories} >= memory_shapes(design).keys()
    blocks = sum((memory.blocks for memory in area.memories), Blocks())
    cells = {cell: count for cell, count in found.cells.items() if cell != "$mem_v2"}
    assert short(replace(found, cells=cells)) == short_blocks(replace(blocks, register_bits=0))
