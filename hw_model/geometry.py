"""How many memory blocks of a device a memory of `depth` words of `width` bits takes.

A device's block has a number of address bits at its narrowest width, and may trade address bits
for width in steps (a 36 Kb block of a 7-series device: 32768 x 1, 16384 x 2, ... 1024 x 36, and
512 x 72 with one port to write and one to read). A memory deeper than a block takes several banks
with a multiplexer behind, and the banks of a narrow memory may lie side by side in one wide block.
Which block and which of its shapes is taken is a matter of price; prices and rule are those of
Yosys 0.70 (`memory_libmap` with the libraries of `synth_xilinx -family xc7`, `-family xcup` and
`synth_ice40`), so that the counts equal what it maps (`tests/test_geometry.py` holds them against
its results).

Counted are memories with one clocked port that writes whole words and another that reads, and gives
the old word where both meet (`clocked=False`: one that reads without a clock). Small ones become
look-up tables used as memory where the device has them (not iCE40), or registers. Multiplexers and
registers around the blocks count as logic.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from fxp.errors import InputError

Device = Literal["xc7", "xcup", "ice40"]
Kind = Literal["distributed", "block", "huge"]

MUX_PRICE = 0.5  # of a word's bit behind each bank but the first
ENABLE_PRICE = 0.5  # of a bank's write enable, where there are several
READ_PORT_PRICE = 2
ASYNCHRONOUS_PRICE = 6  # of a port that reads without a clock
OLD_WORD_PRICE = 12  # of registers that keep the old word, where a device does not


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a memory takes: blocks of Xilinx (`bram36`, `bram18`, `uram`), of iCE40 (`ebr`, 4 Kb).

    `lutram_luts` are look-up tables used as memory, `register_bits` the bits kept in registers.
    """

    bram36: int = 0
    bram18: int = 0
    uram: int = 0
    ebr: int = 0
    lutram_luts: int = 0
    register_bits: int = 0

    def __add__(self, other: Blocks) -> Blocks:
        return Blocks(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: int) -> Blocks:
        return Blocks(*(getattr(self, f.name) * times for f in fields(self)))

    @property
    def bram36_equivalent(self) -> int:
        """Blocks of 36 Kb, two of 18 Kb in one."""
        return self.bram36 + -(-self.bram18 // 2)


@dataclass(frozen=True, slots=True)
class Shape:
    """A block as a library offers it: `widths` at `address_bits`, one less, two less, ...

    `blocks` is what one takes, `price` what one costs, of which `price_of_bits` goes with the share
    of its bits in use. `byte` is the granularity of its write enables (0: the whole word),
    `keeps_old` says that a read of the address that is written gives the old word.
    """

    kind: Kind
    blocks: Blocks
    address_bits: int
    widths: tuple[int, ...]
    price: float
    byte: int = 0
    price_of_bits: float = 0
    keeps_old: bool = True


@dataclass(frozen=True, slots=True)
class _Fit:
    """A memory on one shape: how many of it, and the price of it all."""

    shape: Shape
    count: int
    price: float


def memory_blocks(
    depth: int, width: int, device: Device, *, huge: bool = False, clocked: bool = True
) -> Blocks:
    """The blocks of a memory of `depth` words of `width` bits.

    Args:
        depth: words.
        width: bits of a word, all written at once.
        device: the family.
        huge: consider UltraRAM too (xcup, as `synth_xilinx -uram`). The SPRAM of an iCE40 has one
            port alone, so no such memory takes it.
        clocked: the port that reads; else look-up tables or registers are all there is.

    Raises:
        InputError: no words or no bits.
    """
    if depth < 1 or width < 1:
        raise InputError(f"a memory has at least one word of one bit, got {depth} x {width}")
    best, price = Blocks(register_bits=depth * width), depth * width
    kinds: list[Kind] = ["distributed"]
    if clocked:
        kinds += ["block", "huge"] if huge else ["block"]
    for kind in kinds:
        shapes = [shape for shape in SHAPES[device] if shape.kind == kind]
        fits = [_fit(shape, depth, width, clocked) for shape in shapes]
        if not fits:
            continue
        fit = min(fits, key=lambda fit: fit.price)  # the first of equals
        if fit.price < price:
            best, price = fit.shape.blocks * fit.count, int(fit.price)
    return best


def _fit(shape: Shape, depth: int, width: int, clocked: bool) -> _Fit:
    """The cheapest width of a shape, the narrowest of equals; the best price drops its fraction."""
    best: _Fit | None = None
    for step, unit in enumerate(shape.widths):
        banks = -(-depth // (1 << (shape.address_bits - step)))
        grain = min(shape.byte or unit, unit)
        count = -(-banks * _up_to(width, grain) // unit)
        price = (shape.price - shape.price_of_bits) * count
        price += shape.price_of_bits * banks * width / unit
        price += MUX_PRICE * (banks - 1) * width + READ_PORT_PRICE
        price += 0 if shape.keeps_old else OLD_WORD_PRICE
        price += 0 if clocked else ASYNCHRONOUS_PRICE
        if banks > 1:
            price += ENABLE_PRICE * banks
        if best is None or price < int(best.price):
            best = _Fit(shape, count, price)
    assert best is not None
    return best


def _up_to(width: int, grain: int) -> int:
    return -(-width // grain) * grain


def _lutram(luts: int, address_bits: int, width: int, price: float, of_bits: float) -> Shape:
    """A slice's look-up tables as a memory."""
    blocks = Blocks(lutram_luts=luts)
    return Shape("distributed", blocks, address_bits, (width,), price, 0, of_bits)


def _bram(blocks: Blocks, address_bits: int, widths: tuple[int, ...], price: float) -> Shape:
    return Shape("block", blocks, address_bits, widths, price, byte=9)


_TWO_PORTS = (1, 2, 4, 9, 18, 36)
_BRAMS = (
    _bram(Blocks(bram36=1), 15, _TWO_PORTS, 257),
    _bram(Blocks(bram18=1), 14, _TWO_PORTS[:-1], 129),
    _bram(Blocks(bram36=1), 15, (*_TWO_PORTS, 72), 257),  # one port writes, one reads
    _bram(Blocks(bram18=1), 14, _TWO_PORTS, 129),
)

# In the order of the libraries: of equal prices the first is taken.
SHAPES: dict[Device, tuple[Shape, ...]] = {
    "xc7": (
        _lutram(4, 7, 1, 8, 8),
        _lutram(4, 6, 2, 8, 8),
        _lutram(4, 5, 4, 8, 8),
        _lutram(4, 6, 3, 8, 7),
        _lutram(4, 5, 6, 8, 7),
        _bram(Blocks(bram36=2), 16, (1,), 513),  # two in a cascade
        *_BRAMS,
    ),
    "xcup": (
        _lutram(8, 6, 7, 16, 16),
        _lutram(8, 5, 14, 16, 16),
        *_BRAMS,
        Shape("huge", Blocks(uram=1), 12, (72,), 1024, byte=8),
        Shape("huge", Blocks(uram=1), 12, (72,), 1024, byte=9),
    ),
    "ice40": (
        Shape("block", Blocks(ebr=1), 11, (2, 4, 8), 64, keeps_old=False),
        Shape("block", Blocks(ebr=1), 11, (2, 4, 8, 16), 64, byte=1, keeps_old=False),
    ),
}
