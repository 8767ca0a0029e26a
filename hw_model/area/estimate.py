"""The area of an accelerator that runs a network: logic from the models, memories block by block.

The engine is the one of `hw_model/rtl`, built for the network: its widths and memories are those of
the design that would be synthesised. A network of zero weights is filled with the largest ones
first, so that its accumulators are as wide as those of any network of its formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fxp.errors import InputError
from fxp.ir import Conv, Graph
from hw_model.accelerator import Accelerator, Lanes, Resources, Target
from hw_model.area.calibration import AreaModel, load_calibration
from hw_model.area.memories import MemoryArea, memories_of
from hw_model.area.terms import Parameters, Terms, gate_terms, logic_terms, register_terms
from hw_model.area.unit_terms import (
    Unit,
    unit_dsps,
    unit_gate_terms,
    unit_logic_terms,
    unit_register_terms,
    units_of,
)
from hw_model.blueprint import filled
from hw_model.dsp import DspDevice, lane_dsps, pair_bits, pair_fits, product_dsps
from hw_model.flow import is_matrix
from hw_model.geometry import Blocks
from hw_model.loops import Loop
from hw_model.memory import Placement
from hw_model.rtl.design import hardware_of
from hw_model.schedule import is_paired

DSP_DEVICES: Mapping[Target, DspDevice] = {"xc7": "xc7", "xcup": "xcup"}
TERMS: Mapping[str, Callable[[Parameters], Terms]] = {
    "luts": logic_terms,
    "ffs": register_terms,
    "nand2": gate_terms,
}
UNIT_TERMS: Mapping[str, Callable[[Unit, Parameters, Target], Terms]] = {
    "luts": unit_logic_terms,
    "ffs": unit_register_terms,
    "nand2": unit_gate_terms,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate, and its relative errors on what it was not fitted to, in percent.

    Those of a sum are the errors of its parts, each by its share: what they come to at most.
    """

    value: int
    mean_error: float
    worst_error: float


@dataclass(frozen=True, slots=True)
class UnitArea:
    """The part of a unit in the figures of `Area`."""

    unit: Unit
    luts: Figure | None
    ffs: Figure | None
    nand2: Figure | None
    dsps: int


@dataclass(frozen=True, slots=True)
class Area:
    """What an engine takes on `target`.

    `luts` and `ffs` are those of logic, `units` what is theirs of it; memories that are look-up
    tables or registers are in `blocks`, the sum over `memories`. Standard cells have `nand2`, the
    area of all cells as so many NAND gates of two inputs; their memories are apart (`memories` has
    the bits).
    """

    target: Target
    luts: Figure | None
    ffs: Figure | None
    nand2: Figure | None
    dsps: int
    units: tuple[UnitArea, ...]
    memories: tuple[MemoryArea, ...]
    blocks: Blocks

    @property
    def luts_all(self) -> int | None:
        """Look-up tables of logic and of memories."""
        return None if self.luts is None else self.luts.value + self.blocks.lutram_luts


def area_of(
    graph: Graph,
    loops: Sequence[Loop],
    accelerator: Accelerator,
    placement: Placement,
) -> Area | None:
    """The area of an accelerator for a network.

    None where no target is named, or the engine of `hw_model/rtl` cannot run the network.

    Where multipliers pack products, each lane has one multiplier and, behind it, the rest of as
    many lanes as there are products.
    """
    target, engine = accelerator.target, accelerator.engine
    if target is None or not isinstance(engine, Lanes):
        return None
    products, paired = _products(loops, accelerator), is_paired(loops, accelerator)
    lanes, dense = engine.lanes * products, accelerator.adjacency == "dense"
    try:
        hardware = hardware_of(_weighted(graph), lanes, dense, placement.streamed, paired=paired)
    except InputError:
        return None
    p = hardware.parameters
    dsps = _lane_dsps(loops, target, p, engine.lanes, products)
    units = tuple(_unit(unit, target, p) for unit in units_of(p))
    figures = _figures(target, p, dsps)
    for name, own in figures.items():
        parts = [getattr(unit, name) for unit in units]
        figures[name] = _together([own, *parts])
    memories = memories_of(hardware, accelerator, _spilled_frames_bits(loops, placement))
    return Area(
        target,
        figures.get("luts"),
        figures.get("ffs"),
        figures.get("nand2"),
        dsps + sum(unit.dsps for unit in units),
        units,
        memories,
        sum((memory.blocks for memory in memories), Blocks()),
    )


def resource_reasons(area: Area, resources: Resources) -> list[str]:
    """What a device has too little of."""
    needs = {
        "luts": area.luts_all,
        "dsps": area.dsps,
        "bram36": area.blocks.bram36_equivalent,
        "uram": area.blocks.uram,
        "ebr": area.blocks.ebr,
    }
    reasons = []
    for name, needed in needs.items():
        there = getattr(resources, name)
        if needed is not None and there is not None and needed > there:
            reasons.append(f"needs {needed} {name}, the device has {there}")
    return reasons


def _lane_dsps(
    loops: Sequence[Loop], target: Target, p: Parameters, lanes: int, products: int
) -> int:
    """DSP blocks of `lanes` multipliers, each of so many products."""
    device = DSP_DEVICES.get(target)
    if device is None:
        return 0
    if p["PAIRED"]:
        return lanes * product_dsps(*pair_bits(p["MULT_W_BITS"], p["X_BITS"]), device)
    if products > 1:
        return lanes * (1 if _pairs_fit(loops, device) else products)
    return lane_dsps(lanes, p["MULT_W_BITS"], p["X_BITS"], device)


def _products(loops: Sequence[Loop], accelerator: Accelerator) -> int:
    products = accelerator.multiplier.products
    matrices = [loop for loop in loops if is_matrix(loop.kind)]
    return max((products(loop.weight_bits, loop.operand_bits) for loop in matrices), default=1)


def _pairs_fit(loops: Sequence[Loop], device: DspDevice) -> bool:
    """Whether one block makes two products of the widest operands of the matrix nodes."""
    matrices = [loop for loop in loops if is_matrix(loop.kind)]
    weights = max(loop.weight_bits for loop in matrices)
    operands = max(loop.operand_bits for loop in matrices)
    return pair_fits(weights, operands, device)


def _weighted(graph: Graph) -> Graph:
    """The network, filled where all its weights are zero."""
    weights = [node.weight.raw for node in graph.nodes if isinstance(node, Conv)]
    return graph if any(np.any(raw) for raw in weights) else filled(graph)


def _figures(target: Target, p: Parameters, dsps: int) -> dict[str, Figure]:
    """Logic by quantity; products too small for a DSP block are look-up tables."""
    models = load_calibration(_without_dsps(target, dsps)).models
    return {name: _figure(model, TERMS[name](p)) for name, model in models.items()}


def _unit(unit: Unit, target: Target, p: Parameters) -> UnitArea:
    device = DSP_DEVICES.get(target)
    dsps = 0 if device is None else unit_dsps(unit, p, device)
    chosen = target if unit == "clip_mean" else _without_dsps(target, dsps)  # it has no product
    models = load_calibration(chosen).units[unit].models
    found = {
        name: _figure(model, UNIT_TERMS[name](unit, p, target)) for name, model in models.items()
    }
    return UnitArea(unit, found.get("luts"), found.get("ffs"), found.get("nand2"), dsps)


def _without_dsps(target: Target, dsps: int) -> Target:
    return "xc7-nodsp" if target in DSP_DEVICES and dsps == 0 else target


def _figure(model: AreaModel, terms: Terms) -> Figure:
    return Figure(round(model.estimate(terms)), model.mean_error, model.worst_error)


def _together(parts: Sequence[Figure]) -> Figure:
    """The sum of what several models say."""
    if len(parts) == 1:
        return parts[0]
    whole = sum(part.value for part in parts)
    mean = sum(part.value * part.mean_error for part in parts) / whole
    worst = sum(part.value * part.worst_error for part in parts) / whole
    return Figure(whole, round(mean, 2), round(worst, 2))


def _spilled_frames_bits(loops: Sequence[Loop], placement: Placement) -> int:
    """Bits of past frames that are in DRAM; streamed weights are not in the design's memory."""
    weights_bits = sum(loop.weights.bits for loop in loops if loop.name in placement.streamed)
    return max(0, placement.spilled_bits - weights_bits)
