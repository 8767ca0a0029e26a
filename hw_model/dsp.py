"""How many DSP blocks products take, and where two of them fit into one.

A DSP48E1 (7-series) multiplies signed words of 25 x 18 bits, a DSP48E2 (UltraScale+) of 27 x 18.
Yosys 0.70 takes a block from two bits on for the narrower word and nine for the product (smaller
ones are cheaper as look-up tables), and slices a word that is too wide: up to 32 bits the product
takes one block, two or four. `tests/test_geometry.py` holds this against its results.
"""

from __future__ import annotations

from typing import Literal

from fxp.errors import InputError

DspDevice = Literal["xc7", "xcup"]

WIDE_BITS: dict[DspDevice, int] = {"xc7": 25, "xcup": 27}
NARROW_BITS = 18
SLICE_BITS = NARROW_BITS - 1  # of a word that is sliced: all slices but the last have no sign
LEAST_FACTOR_BITS = 2
LEAST_PRODUCT_BITS = 9
MOST_BITS = 64


def product_dsps(a_bits: int, b_bits: int, device: DspDevice) -> int:
    """DSP blocks of one product of signed words; 0 where it is made of look-up tables.

    Raises:
        InputError: a width outside 1..64.
    """
    narrow, wide = sorted((a_bits, b_bits))
    if narrow < 1 or wide > MOST_BITS:
        raise InputError(f"a product's words have 1..{MOST_BITS} bits, got {a_bits} x {b_bits}")
    if narrow < LEAST_FACTOR_BITS or narrow + wide < LEAST_PRODUCT_BITS:
        return 0
    if wide > WIDE_BITS[device]:
        slices, last = _slices(wide, WIDE_BITS[device])
        whole = _narrow_dsps(NARROW_BITS, narrow)
        return slices * whole + _narrow_dsps(last, narrow)
    return _narrow_dsps(wide, narrow)


def _narrow_dsps(a_bits: int, b_bits: int) -> int:
    """Those of a product whose first word fits a block, the second perhaps in slices."""
    if b_bits <= NARROW_BITS:
        return _block(a_bits, b_bits)
    slices, last = _slices(b_bits, NARROW_BITS)
    return slices * _block(a_bits, NARROW_BITS) + _block(a_bits, last)


def _slices(bits: int, most: int) -> tuple[int, int]:
    """Slices of a word beside its last one, and the bits of that."""
    slices = -(-(bits - most) // SLICE_BITS)
    return slices, bits - slices * SLICE_BITS


def _block(a_bits: int, b_bits: int) -> int:
    fits = min(a_bits, b_bits) >= LEAST_FACTOR_BITS and a_bits + b_bits >= LEAST_PRODUCT_BITS
    return int(fits)


def pair_bits(weight_bits: int, operand_bits: int) -> tuple[int, int]:
    """Widths of one product that holds two (`pair_product.sv`): of two words and the common one.

    Two weights share an operand or two operands a weight. The words are a product's width apart,
    and a negative lower one borrows from the upper one.
    """
    word = max(weight_bits, operand_bits)
    return weight_bits + operand_bits + word + 1, word


def pair_fits(weight_bits: int, operand_bits: int, device: DspDevice) -> bool:
    """Whether one DSP block makes two such products."""
    pair, word = pair_bits(weight_bits, operand_bits)
    return pair <= WIDE_BITS[device] and word <= NARROW_BITS


def lane_dsps(lanes: int, weight_bits: int, operand_bits: int, device: DspDevice) -> int:
    """DSP blocks of an engine: each lane has one product of the widest operands."""
    return lanes * product_dsps(weight_bits, operand_bits, device)
