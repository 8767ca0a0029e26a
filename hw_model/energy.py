"""Energy of one frame: operations by operand width, memory accesses by memory size, DRAM.

Tables come with the accelerator. Between their entries energy is interpolated: of a multiplication
linearly in the product of both operand widths (an array of one-bit products), of an addition
linearly in its width, of a memory access as a power of the memory's size. Outside the entries
multiplications and additions continue the nearest segment (the first one starts at nothing for no
bits), memories smaller than the first entry cost as much as that one. Every function is monotone.

Not in it: leakage, clock tree, registers, control, the host. It ranks designs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hw_model.accelerator import Accelerator, EnergyTable, OnChipMemory
from hw_model.memory import Memory
from hw_model.schedule import Step


@dataclass(frozen=True, slots=True)
class Energy:
    """pJ per frame: products and sums, on-chip memory by kind, DRAM."""

    multiply_pj: float
    add_pj: float
    weights_pj: float
    state_pj: float
    activations_pj: float
    dram_pj: float

    @property
    def total_pj(self) -> float:
        """All of it."""
        operations = self.multiply_pj + self.add_pj
        return operations + self.weights_pj + self.state_pj + self.activations_pj + self.dram_pj

    def __add__(self, other: Energy) -> Energy:
        return Energy(
            self.multiply_pj + other.multiply_pj,
            self.add_pj + other.add_pj,
            self.weights_pj + other.weights_pj,
            self.state_pj + other.state_pj,
            self.activations_pj + other.activations_pj,
            self.dram_pj + other.dram_pj,
        )


NO_ENERGY = Energy(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Prices:
    """pJ per bit of each memory of one network on one accelerator."""

    weights_pj: float
    state_pj: float
    activations_pj: float
    dram_pj: float


def multiply_pj(table: EnergyTable, weight_bits: int, operand_bits: int) -> float:
    """One multiplication of `weight_bits x operand_bits`."""
    points = [(float(bits * bits), pj) for bits, pj in table.multiply_pj]
    return _linear(points, weight_bits * operand_bits)


def add_pj(table: EnergyTable, bits: int) -> float:
    """One addition of words of `bits` bits."""
    return _linear([(float(width), pj) for width, pj in table.add_pj], bits)


def sram_pj_per_bit(table: EnergyTable, size_bits: int) -> float:
    """One bit read from or written to a memory of `size_bits`."""
    size = max(size_bits / 8, table.sram_pj_per_bit[0][0])
    points = [(math.log(entry), math.log(pj)) for entry, pj in table.sram_pj_per_bit]
    if len(points) == 1:
        return table.sram_pj_per_bit[0][1]
    return math.exp(_segment(points, math.log(size)))


def prices(accelerator: Accelerator, memory: Memory) -> Prices:
    """Each kind is one memory of its size, but no larger than a bank or the chip."""
    table, chip = accelerator.energy, accelerator.memory
    state_bits = memory.fifo.bits + memory.accumulators.bits + memory.delays.bits
    return Prices(
        sram_pj_per_bit(table, _switched_bits(chip, memory.weights.bits)),
        sram_pj_per_bit(table, _switched_bits(chip, state_bits)),
        sram_pj_per_bit(table, _switched_bits(chip, memory.activations.bits)),
        table.dram_pj_per_bit,
    )


def energy_of(step: Step, dram_bits: int, price: Prices, table: EnergyTable) -> Energy:
    """The energy of one node for one frame."""
    loop, moved = step.loop, step.accesses
    return Energy(
        (step.macs + loop.multiplies) * multiply_pj(table, loop.weight_bits, loop.operand_bits),
        (step.macs + loop.adds) * add_pj(table, loop.accumulator_bits),
        moved.weight_reads.bits * price.weights_pj,
        moved.state * price.state_pj,
        moved.activations * price.activations_pj,
        dram_bits * price.dram_pj,
    )


def _switched_bits(chip: OnChipMemory, kind_bits: int) -> int:
    return min(kind_bits, chip.bank_bits or chip.capacity_bits, chip.capacity_bits)


def _linear(points: Sequence[tuple[float, float]], at: float) -> float:
    return _segment([(0.0, 0.0), *points], at)


def _segment(points: Sequence[tuple[float, float]], at: float) -> float:
    """Linear between the points, beyond the last one along the last segment."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if at <= x1 or x1 == points[-1][0]:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    raise AssertionError("at least two points are needed")
