"""The memories of an engine: their lines and bits, and the blocks that they take."""

from __future__ import annotations

from dataclasses import dataclass

from hw_model.accelerator import Accelerator
from hw_model.area.unit_terms import DEVICES, joint_blocks, joint_memories
from hw_model.geometry import Blocks, memory_blocks
from hw_model.rtl.design import Design
from hw_model.rtl.hardware import Hardware
from hw_model.rtl.units import SEED_BITS


@dataclass(frozen=True, slots=True)
class MemoryArea:
    """One memory of the engine: `lines` of `line_bits` bits, and the blocks it takes."""

    name: str
    lines: int
    line_bits: int
    blocks: Blocks


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
    if p["HAS_LAYER_NORM"]:
        shapes["seeds"] = (p["SEEDS"], SEED_BITS)
    if p["HAS_SOFTMAX"]:
        shapes["coarse exponentials"] = (p["COARSES"], p["SHARE_ENTRY_BITS"])
        shapes["fine exponentials"] = (p["FINES"], p["SHARE_ENTRY_BITS"])
    if p["HAS_CLIP_MEAN"]:
        shapes["sums of a clip"] = (p["MEAN_LINES"], lanes * p["MEAN_SUM_BITS"])
    for at, (bits, lines) in enumerate(design.values):
        shapes[f"values {at}"] = (lines, lanes * bits)
    return shapes


def memories_of(
    hardware: Hardware, accelerator: Accelerator, spilled_bits: int
) -> tuple[MemoryArea, ...]:
    """Every memory of an engine; UltraRAM is used as far as the device has it.

    Args:
        hardware: the engine.
        accelerator: with a target.
        spilled_bits: those of past frames that are in DRAM.
    """
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
    return (*found, *_joint_memories(hardware, accelerator))


def _joint_memories(hardware: Hardware, accelerator: Accelerator) -> list[MemoryArea]:
    """Those that a softmax reads without a clock; where they are registers the unit has them."""
    assert accelerator.target is not None
    device = DEVICES.get(accelerator.target)
    found = []
    for name, (lines, bits) in joint_memories(hardware.parameters).items():
        if device is not None:
            blocks = joint_blocks(lines, bits, device)
            if not blocks.register_bits:
                found.append(MemoryArea(name, lines, bits, blocks))
    return found


def _spill(shapes: dict[str, tuple[int, int]], bits: int) -> None:
    """Take past frames out of the FIFO, then (those of temporal convolutions) out of values."""
    for name in sorted(shapes, key=lambda name: (name != "fifo", -shapes[name][0])):
        if name == "fifo" or name.startswith("values"):
            lines, line_bits = shapes[name]
            gone = min(lines - 1, bits // line_bits)
            shapes[name] = (lines - gone, line_bits)
            bits -= gone * line_bits
