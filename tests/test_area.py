import importlib.util
from dataclasses import replace
from typing import Any

import pytest

from dse.metrics import COSTS, cost_metrics
from fxp.errors import InputError
from fxp.spec import ArchSpec, QuantSpec
from hw_model.accelerator import Accelerator, Resources, load_accelerator
from hw_model.area.calibration import AreaModel, load_calibration
from hw_model.area.estimate import Area, Figure, resource_reasons
from hw_model.area.memories import MemoryArea, memory_shapes
from hw_model.area.terms import gate_terms, logic_terms, register_terms
from hw_model.blueprint import blueprint, filled
from hw_model.calibrate.fitting import BASE, OWN
from hw_model.calibrate.points import points
from hw_model.calibrate.synthesis import rtl_sources
from hw_model.calibrate.targets import TARGETS
from hw_model.calibrate.yosys import netlists
from hw_model.cost import estimate
from hw_model.dsp import product_dsps
from hw_model.geometry import Blocks, memory_blocks
from hw_model.loops import loop_nest
from hw_model.passes import passes_of
from hw_model.rtl.design import design_of, include_files
from tests.accelerators import machine
from tests.golden.mapping import short
from tests.test_geometry import short as short_blocks

ARCH = ArchSpec(
    family="rtstgcn",
    skeleton="hugadb",
    in_channels=6,
    embedding=8,
    channels=(8, 16),
    window=(5,),
    classes=8,
)
QUANT = QuantSpec(weight_bits=8, activation_bits=8)
GRAPH = blueprint(ARCH, QUANT)


def board(**changes: Any) -> Accelerator:
    return machine(4, **{"target": "xc7", **changes})


def area(accelerator: Accelerator) -> Area:
    found = estimate(GRAPH, accelerator).area
    assert found is not None
    return found


def parameters() -> dict[str, int]:
    return dict(design_of(filled(GRAPH), 4).parameters)


def test_terms_count_a_lane_as_often_as_there_are_lanes() -> None:
    p = parameters()
    once, twice = logic_terms({**p, "LANES": 1}), logic_terms({**p, "LANES": 2})
    control = {"engine", "rings", "addresses", "tiles", "turns", "cast control"}
    for name, value in once.items():
        assert twice[name] == (value if name in control else 2 * value), name
    assert once["product"] == p["X_BITS"] * p["MULT_W_BITS"] == 8 * 8
    assert once["digit"] == (3 - 1) * 8 and once["digit sum"] == p["ACC_BITS"]
    assert once["turns"] == 6 * (2 + 2) and once["pair"] == 0  # 2 x 3 digits of the input norm
    pair = logic_terms({**p, "LANES": 2, "PAIRED": 1})
    assert pair["product"] == 25 * 8 and pair["pair"] == 2 * 16


def test_terms_by_hand() -> None:
    p = parameters() | {
        "LANES": 3,
        "VALUES": 2,
        "ACC_BITS": 20,
        "ADD_BITS": 21,
        "HAS_CAST0": 1,
        "HAS_CAST1": 0,
        "CAST0_MIN": -2,
        "CAST0_MAX": 6,
        "EMIT_MIN": 0,
        "EMIT_MAX": 0,
    }
    assert logic_terms(p)["cast"] == 3 * (22 + 2 * 21)
    assert logic_terms(p)["cast shift"] == 3 * (22 * 4 + 2 * 21 * 0)
    assert logic_terms(p)["cast control"] == 22 * 4
    assert logic_terms(p | {"HAS_DELTA": 1})["cast control"] == 3 * 22 * 4
    registers = p | {"READ_BITS": 12, "X_BITS": 4, "MULT_W_BITS": 5, "EMIT_BITS": 7}
    for stage in ("CAST0", "SUM", "SHIFT", "CAST1"):
        registers[f"{stage}_BITS"] = 10
    registers |= {"HAS_SUM": 1, "HAS_SHIFT": 1, "HAS_CAST1": 0, "HAS_ADD": 1}
    lane = 12 + 20 + 4 * 10 + 21 + 12 + 5 + 2 * 7  # product, sum, slots, addition, operands, words
    assert register_terms(registers)["lane"] == 3 * lane
    assert register_terms(registers)["shift registers"] == 0
    bare = register_terms(registers | {"HAS_SHIFT": 0, "SHIFT_BITS": 9})
    assert bare["shift registers"] == 3 * 3 * 9  # running sum, shift and second cast in a row
    assert bare["lane"] == 3 * (lane - 1 - 27)
    gates = gate_terms(registers)
    assert gates["registers: lane"] == 3 * lane
    assert gates["product"] == 3 * 20


def test_estimate_of_an_engine() -> None:
    found = area(board())
    p = parameters()
    model = load_calibration("xc7").models["luts"]
    expected = round(model.estimate(logic_terms(p)))
    assert found.luts == Figure(expected, model.mean_error, model.worst_error)
    assert found.dsps == 4 * product_dsps(p["X_BITS"], p["W_BITS"], "xc7")
    assert found.nand2 is None and found.ffs is not None
    assert found.blocks == sum((memory.blocks for memory in found.memories), Blocks())
    assert found.luts_all == expected + found.blocks.lutram_luts


def test_more_lanes_or_bits_take_more() -> None:
    small, wide = area(board()), area(board(engine={"kind": "lanes", "lanes": 8}))
    assert small.luts is not None and wide.luts is not None
    assert small.luts.value < wide.luts.value and small.dsps * 2 == wide.dsps
    bits = dict.fromkeys(("weight_bits", "activation_bits", "input_bits", "norm_bits"), 4)
    narrow = estimate(blueprint(ARCH, QuantSpec(**bits, logit_bits=8)), board()).area
    assert narrow is not None and narrow.luts is not None
    assert narrow.luts.value < small.luts.value


def test_memories_are_those_of_the_design() -> None:
    design = design_of(filled(GRAPH), 4)
    shapes = memory_shapes(design)
    for name, boot in {"weights": "weights", "biases": "bias", "edges": "edges"}.items():
        bits, lines = design.memories[boot]
        assert shapes[name] == (max(1, len(lines)), bits)
    bits, words = design.memories["program"]
    assert shapes["program"] == (len(words), bits)
    found = {memory.name: memory for memory in area(board()).memories}
    assert {name: (m.lines, m.line_bits) for name, m in found.items()} == shapes
    for name, (lines, width) in shapes.items():
        assert found[name].blocks == memory_blocks(lines, width, "xc7")


def test_no_target_and_no_rtl_engine_have_no_area() -> None:
    assert estimate(GRAPH, machine(4)).area is None
    assert estimate(GRAPH, load_accelerator("array-8x8-16b")).area is None


def test_weights_that_stream_are_not_in_the_memory() -> None:
    memory = {"capacity_bits": 20_000, "ports": 10**6, "port_bits": 32, "stream_buffer_bits": 9000}
    dram = {"bytes_per_s": 1e9, "latency_s": 0}
    before = {m.name: m.lines for m in area(board()).memories}
    after = {m.name: m.lines for m in area(board(memory=memory, dram=dram)).memories}
    assert after["weights"] < before["weights"] and after["fifo"] < before["fifo"]
    assert after.keys() - before.keys() == {"tiles of weights", "stream buffer"}


def test_uram_is_used_as_far_as_it_goes() -> None:
    resources = {"uram": 1}
    with_one = area(board(target="xcup", resources=resources))
    assert with_one.blocks.uram <= 1


def test_what_a_device_lacks_is_a_reason() -> None:
    few = Resources(luts=1000, dsps=3, bram36=1)
    blocks = Blocks(bram36=1, bram18=1, lutram_luts=200)
    memory = MemoryArea("weights", 1, 1, blocks)
    found = Area("xc7", Figure(900, 1, 2), None, None, 4, (), (memory,), blocks)
    assert resource_reasons(found, few) == [
        "needs 1100 luts, the device has 1000",
        "needs 4 dsps, the device has 3",
        "needs 2 bram36, the device has 1",
    ]
    assert resource_reasons(found, Resources()) == []
    cost = estimate(GRAPH, board(resources={"dsps": 3}))
    assert not cost.fits and cost.reasons[-1] == "needs 4 dsps, the device has 3"


def test_a_packed_multiplier_is_one_dsp() -> None:
    packing = [{"max_weight_bits": 8, "max_activation_bits": 8, "products": 2}]
    limits = {"max_weight_bits": 32, "max_activation_bits": 32}
    plain = area(board(target="xcup"))
    packed = area(board(target="xcup", multiplier={**limits, "packing": packing}))
    assert packed.dsps == 4 and plain.dsps == 4
    assert packed.luts is not None and plain.luts is not None
    assert packed.luts.value > plain.luts.value
    wide = [{"max_weight_bits": 8, "max_activation_bits": 16, "products": 2}]
    loose = estimate(
        blueprint(ARCH, QuantSpec(weight_bits=8, activation_bits=16)),
        board(target="xcup", multiplier={**limits, "packing": wide}),
    ).area
    assert loose is not None and loose.dsps == 8  # 8 + 16 + 8 bits side by side are too wide


def test_an_array_takes_no_target() -> None:
    array = load_accelerator("array-8x8-16b").model_dump(mode="json")
    with pytest.raises(ValueError, match="`target` needs a lanes engine"):
        Accelerator.model_validate({**array, "target": "xc7"})


@pytest.mark.parametrize("target", TARGETS)
def test_models_hold_the_held_out_error(target: str) -> None:
    calibration = load_calibration(target)  # type: ignore[arg-type]
    assert calibration.target == target
    size = calibration.models["nand2" if target == "osu018" else "luts"]
    assert size.mean_error <= 7 and size.worst_error <= 12
    for name, model in calibration.models.items():
        wrong = [
            100 * abs(row.estimated[name] / row.measured[name] - 1) for row in calibration.held_out
        ]
        mean, worst = sum(wrong) / len(wrong), max(wrong)
        if target not in OWN:  # its prices follow from others, whose errors it has at least
            base = load_calibration(BASE).models["luts" if name == "nand2" else name]
            mean, worst = max(mean, base.mean_error), max(worst, base.worst_error)
        assert model.worst_error == pytest.approx(worst, abs=0.2)
        assert model.mean_error == pytest.approx(mean, abs=0.2)


def test_areas_are_metrics_of_a_design_space() -> None:
    names = ("luts", "dsps", "bram36", "uram", "nand2")
    assert set(names) <= COSTS.keys()
    without = cost_metrics(estimate(GRAPH, machine(4)))
    assert [without[name] for name in names] == [None] * 5
    cost = estimate(GRAPH, board())
    assert cost.area is not None
    found = cost_metrics(cost)
    assert found["luts"] == cost.area.luts_all and found["dsps"] == cost.area.dsps
    assert found["bram36"] == cost.area.blocks.bram36_equivalent and found["nand2"] is None
    cells = cost_metrics(estimate(GRAPH, board(target="osu018")))
    assert cells["luts"] is None and cells["nand2"]


def test_a_model_sums_its_terms() -> None:
    model = AreaModel(prices={"a": 2.0, "b": 0.5}, mean_error=0, worst_error=0)
    assert model.estimate({"a": 3, "b": 4, "c": 100}) == 8


def test_a_filled_network_is_as_wide_as_its_formats_allow() -> None:
    design, empty = design_of(filled(GRAPH), 4), design_of(GRAPH, 4)
    assert design.parameters["ACC_BITS"] > empty.parameters["ACC_BITS"]
    assert filled(GRAPH).nodes[0] == GRAPH.nodes[0]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pyosys") is None, reason="pyosys is not installed")
@pytest.mark.parametrize(
    ("device", "command"),
    [
        ("xc7", "synth_xilinx -family xc7 -flatten -top engine -run begin:map_ffram"),
        ("ice40", "synth_ice40 -top engine -run begin:map_ffram"),
    ],
)
def test_yosys_maps_the_memories_of_an_engine_to_these_blocks(device: str, command: str) -> None:
    point = points(1, 0)[0]
    texts = {**rtl_sources(), **include_files(point.design)}
    names = " ".join(name for name in texts if name.endswith(".sv"))
    found = netlists(texts, [f"read_verilog -sv -defer {names}", command])["engine"]
    blocks = sum(
        (
            memory_blocks(lines, bits, device)  # type: ignore[arg-type]
            for lines, bits in memory_shapes(point.design).values()
        ),
        Blocks(),
    )
    assert short(replace(found, cells=_memory_cells(found.cells))) == short_blocks(blocks)


def _memory_cells(cells: Any) -> dict[str, int]:
    """Registers of small memories are no blocks."""
    return {cell: count for cell, count in cells.items() if cell != "$mem_v2"}


def test_a_calibration_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        load_calibration("nowhere")  # type: ignore[arg-type]


def test_a_filled_network_has_the_passes_of_its_own() -> None:
    """A norm that is a shift does not become a multiplication."""
    own, full = (passes_of(loop_nest(graph)) for graph in (GRAPH, filled(GRAPH)))
    assert own == full
