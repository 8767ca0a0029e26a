"""How the products of integers are added up, in lanes of 32 bits.

Forms differ in how many products one instruction adds up in a lane:

- `dot_bytes`: four of bytes, `vpdpbusd` (AVX-512 VNNI). It wants unsigned operands: signed ones
  have their top bit flipped on the way, which adds 128, and 128 times the sum of the weights is
  taken off the bias beforehand.
- `dot_halves`, `add_halves`, `plain_halves`: two of 16 bits, by `vpdpwssd`, by `vpmaddwd` and an
  addition, and by whatever the processor has. The last two have tiles for 16 registers of 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from fxp.kernels.vector import HALF, WORD, Builder, Value, intrinsic_function, vector

LANES = 16  # sums in a vector
SUMS = vector(WORD, LANES)


@dataclass(frozen=True)
class Form:
    """How sums are formed, `multiply(b, acc, x, w)`, in tiles of `rows` by `panel` vectors.

    As many sums as registers hold beside what they are made of. `packs`: AVX-512 packs words into
    bytes.
    """

    multiply: Callable[[Builder, Value, Value, Value], Value]
    rows: int
    panel: int
    packs: bool


def dot_bytes(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    """Four products of bytes a lane, of the first operand's without signs."""
    f = intrinsic_function(b, "llvm.x86.avx512.vpdpbusd.512", SUMS, [SUMS] * 3)
    return b.call(f, [acc, x, w])


def dot_halves(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    """Two products of 16 bits a lane."""
    f = intrinsic_function(b, "llvm.x86.avx512.vpdpwssd.512", SUMS, [SUMS] * 3)
    return b.call(f, [acc, x, w])


def add_halves(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    """The same in two registers of 32 bytes."""
    half, sums = vector(HALF, LANES), vector(WORD, LANES // 2)
    f = intrinsic_function(b, "llvm.x86.avx2.pmadd.wd", sums, [half] * 2)
    parts = []
    for first in (0, LANES // 2):
        picked = ir.Constant(sums, list(range(first, first + LANES // 2)))
        a, c = (
            b.bitcast(b.shuffle_vector(v, ir.Constant(SUMS, ir.Undefined), picked), half)
            for v in (x, w)
        )
        parts.append(b.call(f, [a, c]))
    return b.add(acc, b.shuffle_vector(*parts, ir.Constant(SUMS, list(range(LANES)))))


def plain_halves(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    """The same on any processor."""
    sixteen = ir.Constant(SUMS, [16] * LANES)
    low = b.mul(*(b.ashr(b.shl(v, sixteen), sixteen) for v in (x, w)))
    high = b.mul(*(b.ashr(v, sixteen) for v in (x, w)))
    return b.add(acc, b.add(low, high))
