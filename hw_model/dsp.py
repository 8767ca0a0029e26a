"""How many DSP blocks products take, and where two of them fit into one.

A DSP48E1 (7-series) multiplies signed words of 25 x 18 bits, a DSP48E2 (UltraScale+) of 27 x 18.
Yosys 0.70 takes a block from two bits on for the narrower word and nine for the product (smaller
ones are cheaper as look-up tables), and splits a word that is too wide in two: up to 32 bits that
is one block, two or four. `tests/test_geometry.py` holds this against its results.
"""

from __future__ import annotations

from typing import Literal

from fxp.errors import InputError

DspDevice = Literal["xc7", "xcup"]

WIDE_BITS: dict[DspDevice, int] = {"xc7": 25, "xcup": 27}
NARROW_BITS = 18
LEAST_FACTOR_BITS = 2
LEAST_PRODUCT_BITS = 9
MOST_BITS = 32


def product_dsps(a_bits: int, b_bits: int, device: DspDevice) -> int:
    """DSP blocks of one product of signed words; 0 where it is made of look-up tables.

    Raises:
        InputError: a width outside 1..32.
    """
    narrow, wide = sorted((a_bits, b_bits))
    if narrow < 1 or wide > MOST_BITS:
        raise InputError(f"a product's words have 1..{MOST_BITS} bits, got {a_bits} x {b_bits}")
    if narrow < LEAST_FACTOR_BITS or narrow + wide < LEAST_PRODUCT_BITS:
        return 0
    return (1 if wide <= WIDE_BITS[device] else 2) * (1 if narrow <= NARROW_BITS else 2)


def pair_bits(weight_bits: int, operand_bits: int, guard_bits: int) -> tuple[int, int]:
    """Widths of one product that holds two: of two weights side by side, and of the operand.

    The weights are as far apart as a product and `guard_bits` for sums of products are wide.
    """
    return weight_bits + operand_bits + guard_bits + weight_bits, operand_bits


def pair_fits(weight_bits: int, operand_bits: int, guard_bits: int, device: DspDevice) -> bool:
    """Whether one DSP block makes two products that share their operand."""
    pair, operand = pair_bits(weight_bits, operand_bits, guard_bits)
    return pair <= WIDE_BITS[device] and operand <= NARROW_BITS


def lane_dsps(lanes: int, weight_bits: int, operand_bits: int, device: DspDevice) -> int:
    """DSP blocks of an engine: each lane has one product of the widest operands."""
    return lanes * product_dsps(weight_bits, operand_bits, device)
