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
from hw_model.area.calibration import load_calibration
from hw_model.area.terms import Parameters, Terms, gate_terms, logic_terms, register_terms
from hw_model.blueprint import filled
from hw_model.dsp import DspDevice, lane_dsps, pair_fits
from hw_model.flow import is_matrix
from hw_model.geometry import Blocks, Device, memory_blocks
from hw_model.loops import Loop
from hw_model.memory import Placement
from hw_model.rtl.datapath import UNITS
from hw_model.rtl.design import Design, hardware_of
from hw_model.rtl.hardware import Hardware

DEVICES: Mapping[Target, Device] = {
    "xc7": "xc7",
    "xc7-nodsp": "xc7",
    "xcup": "xcup",
    "ice40": "ice40",
}
DSP_DEVICES: Mapping[Target, DspDevice] = {"xc7": "xc7", "xcup": "xcup"}
TERMS: Mapping[str, Callable[[Parameters], Terms]] = {
    "luts": logic_terms,
    "ffs": register_terms,
    "nand2": gate_terms,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate, and its relative errors on engines that it was not fitted to, in percent."""

    value: int
    mean_error: float
    worst_error: float


@dataclass(frozen=True, slots=True)
class MemoryArea:
    """One memory of the engine: `lines` of `line_bits` bits, and the blocks it takes."""

    name: str
    lines: int
    line_bits: int
    blocks: Blocks


@dataclass(frozen=True, slots=True)
class Area:
    """What an engine takes on `target`.

    `luts` and `ffs` are those of logic; memories that are look-up tables or registers are in
    `blocks`, the sum over `memories`. Standard cells have `nand2`, the area of all cells as so many
    NAND gates of two inputs; their memories are apart (`memories` has the bits).
    """

    target: Target
    luts: Figure | None
    ffs: Figure | None
    nand2: Figure | None
    dsps: int
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

    None where no target is named, the engine of `hw_model/rtl` cannot run the network, or it needs
    one of the units that no model has a price for (layer norms, softmax, means over a clip).

    Where multipliers pack products, each lane has one multiplier and, behind it, the rest of as
    many lanes as there are products.
    """
    target, engine = accelerator.target, accelerator.engine
    if target is None or not isinstance(engine, Lanes):
        return None
    products = _products(loops, accelerator)
    lanes, dense = engine.lanes * products, accelerator.adjacency == "dense"
    try:
        hardware = hardware_of(_weighted(graph), lanes, dense, placement.streamed)
    except InputError:
        return None
    p = hardware.parameters
    if any(p[name] for name in UNITS if name.startswith("HAS_")):
        return None
    device = DSP_DEVICES.get(target)
    dsps = 0
    if device is not None and products > 1:
        dsps = engine.lanes * (1 if _pairs_fit(loops, device) else products)
    elif device is not None:
        dsps = lane_dsps(engine.lanes, p["W_BITS"], p["X_BITS"], device)
    memories = _memories(hardware, accelerator, _spilled_frames_bits(loops, placement))
    figures = _figures(target, p, dsps)
    blocks = sum((memory.blocks for memory in memories), Blocks())
    return Area(
        target,
        figures.get("luts"),
        figures.get("ffs"),
        figures.get("nand2"),
        dsps,
        memories,
        blocks,
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


def _products(loops: Sequence[Loop], accelerator: Accelerator) -> int:
    products = accelerator.multiplier.products
    matrices = [loop for loop in loops if is_matrix(loop.kind)]
    return max((products(loop.weight_bits, loop.operand_bits) for loop in matrices), default=1)


def _pairs_fit(loops: Sequence[Loop], device: DspDevice) -> bool:
    """Whether one block makes two products of the widest operands of the matrix nodes."""
    matrices = [loop for loop in loops if is_matrix(loop.kind)]
    weights = max(loop.weight_bits for loop in matrices)
    operands = max(loop.operand_bits for loop in matrices)
    return pair_fits(weights, operands, 0, device)


def _weighted(graph: Graph) -> Graph:
    """The network, filled where all its weights are zero."""
    weights = [node.weight.raw for node in graph.nodes if isinstance(node, Conv)]
    return graph if any(np.any(raw) for raw in weights) else filled(graph)


def _figures(target: Target, p: Parameters, dsps: int) -> dict[str, Figure]:
    """Logic by quantity; products too small for a DSP block are look-up tables."""
    chosen: Target = "xc7-nodsp" if target in DSP_DEVICES and dsps == 0 else target
    models = load_calibration(chosen).models
    return {
        name: Figure(round(model.estimate(TERMS[name](p))), model.mean_error, model.worst_error)
        for name, model in models.items()
    }


def _spilled_frames_bits(loops: Sequence[Loop], placement: Placement) -> int:
    """Bits of past frames that are in DRAM; streamed weights are not in the design's memory."""
    weights_bits = sum(loop.weights.bits for loop in loops if loop.name in placement.streamed)
    return max(0, placement.spilled_bits - weights_bits)


def _memories(
    hardware: Hardware, accelerator: Accelerator, spilled_bits: int
) -> tuple[MemoryArea, ...]:
    """Every memory of the engine; UltraRAM is used as far as the device has it."""
    assert accelerator.target is not None
    device = DEVICES.get(accelerator.target)
    shapes = memory_shapes(hardware)
    if spilled_bits:
        _spill(shapes, spilled_bits)
        port = accelerator.memory.port_bits
        shapes["stream buffer"] = (max(1, accelerator.memory.stream_buffer_bits // port), port)
    left = accelerator.resources.uram or 0
    found = []
    for name, (lines, bits) in sorted(shapes.items(), key=lambda item: -item[1][0] * item[1][1]):
        blocks = Blocks()
        if device is not None:
            blocks = memory_blocks(lines, bits, device, huge=left > 0)
            if blocks.uram > left:
                blocks = memory_blocks(lines, bits, device)
            left -= blocks.uram
        found.append(MemoryArea(name, lines, bits, blocks))
    return tuple(found)


def _spill(shapes: dict[str, tuple[int, int]], bits: int) -> None:
    """Take past frames out of the FIFO, then (those of temporal convolutions) out of values."""
    for name in sorted(shapes, key=lambda name: (name != "fifo", -shapes[name][0])):
        if name == "fifo" or name.startswith("values"):
            lines, line_bits = shapes[name]
            gone = min(lines - 1, bits // line_bits)
            shapes[name] = (lines - gone, line_bits)
            bits -= gone * line_bits


def memory_shapes(design: Design | Hardware) -> dict[str, tuple[int, int]]:
    """Lines and bits of a line of each memory in the engine's RTL, by name."""
    p, lanes = design.parameters, design.parameters["LANES"]
    shapes = {
        "program": (p["PASSES"], p["PASS_BITS"]),
        "weights": (p["WEIGHTS"], lanes * p["W_BITS"]),
        "biases": (p["BIASES"], lanes * p["BIAS_BITS"]),
        "edges": (p["EDGES"], p["EDGE_BITS"]),
    }
    if p["HAS_SHIFT"]:
        shapes["norms"] = (p["NORMS"], lanes * p["NORM_BITS"])
    if p["HAS_DELTA"]:
        shapes["shifts by channel"] = (p["DELTAS"], lanes * p["DELTA_BITS"])
    if p["HAS_TILES"]:
        shapes["tiles of weights"] = (2 << p["TILE_BITS"], lanes * p["W_BITS"])
    if p["HAS_SUM"]:
        shapes["fifo"] = (p["FIFO_LINES"], lanes * p["FIFO_BITS"])
        shapes["totals"] = (p["TOTAL_LINES"], lanes * p["TOTAL_BITS"])
    for at, (bits, lines) in enumerate(design.values):
        shapes[f"values {at}"] = (lines, lanes * bits)
    return shapes
