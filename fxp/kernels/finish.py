"""What is made of sums in two registers: rounded, clamped, narrowed, stored.

Either in 64 bits, which does for every cast; or where a sum fits 32 bits once it is moved right, in
32 bits, digit by digit from below: what is under the last place kept matters only by its carry.
Constants of the first are those of `ProductConstant` in 64 bits, with the bias in each cast's own
offset; of the second, `NarrowConstant`, int32. Columns are in full vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from llvmlite import ir

from fxp.kernels.forms import LANES, SUMS
from fxp.kernels.products import Panel
from fxp.kernels.tables import NarrowConstant, Product, ProductConstant
from fxp.kernels.vector import (
    I8,
    I16,
    I32,
    LONG,
    STORAGE,
    WORD,
    Builder,
    Value,
    below,
    clamp,
    either,
    load,
    long,
    offset,
    repeat,
    store,
    store_words,
    switch,
    vector,
)

CARRY_BITS = 16  # what stays in the low register of two
_HALF = LANES // 2  # of a vector's lanes, as 64 bits
_WIDE = vector(LONG, _HALF)

# of a vector of a tile and constants: its two registers with the bias
Digits: TypeAlias = Callable[[int, list[Value]], tuple[Value, Value]]


@dataclass(frozen=True)
class _Cast:
    """Where a cast finds its constants: bias with offset, offset alone, shift and bounds."""

    bias: ProductConstant
    away: ProductConstant
    first: ProductConstant
    even: Product
    out: Product


_FIRST = _Cast(
    ProductConstant.BIAS,
    ProductConstant.OUT_OFFSET,
    ProductConstant.OUT_OFFSET,
    Product.OUT_EVEN,
    Product.OUT,
)
_SECOND = _Cast(
    ProductConstant.SECOND_OFFSET,
    ProductConstant.SECOND_AWAY,
    ProductConstant.SECOND_OFFSET,
    Product.SECOND_EVEN,
    Product.SECOND,
)


class FinishedPanel(Panel):
    """A panel whose sums are in two registers."""

    def finish(
        self, row: Value, rows: int, high: list[Value], low: list[Value], digits: Digits
    ) -> None:
        """Cast and store the sums of a tile, in 32 bits where that does."""
        either(
            self.b,
            self.field(Product.NARROW),
            lambda: self.narrow(row, rows, digits),
            lambda: self.casts(row, high, low),
        )

    def narrow(self, row: Value, rows: int, digits: Digits) -> None:
        """One cast that does not round to even, of sums that fit 32 bits when they are moved."""
        b, n = self.b, self.vectors
        words: dict[int, Value] = {}
        for j in range(n):
            constants = [self.narrow_constant(which, j) for which in NarrowConstant]
            for k in range(j, rows * n, n):
                words[k] = narrowed(b, *digits(k, constants), constants)

        def put(code: int) -> None:
            size = np.dtype(STORAGE[code]).itemsize
            line, start = self.lines(Product.OUT, size, row)
            for k in range(rows * n):
                r, j = divmod(k, n)
                at = b.add(b.add(start, b.mul(line, long(r))), long(LANES * j * size))
                store_words(b, long(code), words[k], at, self.mask if j == n - 1 else None)

        switch(b, self.field(Product.OUT_CODE), [partial(put, c) for c in (I8, I16, I32)])

    def narrow_constant(self, row: NarrowConstant, j: int) -> Value:
        """Of a vector of columns."""
        b = self.b
        at = b.add(b.add(b.mul(long(row), self.padded), self.first), long(LANES * j))
        return load(b, offset(b, self.field(Product.NARROW), at, 4), SUMS)

    def lines(self, out: Product, size: int, row: Value) -> tuple[Value, Value]:
        """Bytes of a row of results, and where this panel's begin at a row."""
        b = self.b
        line = b.mul(self.columns, long(size))
        return line, b.add(b.add(self.field(out), b.mul(row, line)), b.mul(self.first, long(size)))

    def casts(self, row: Value, high: list[Value], low: list[Value]) -> None:
        """Up to two casts of any kind, vector by vector: a loop, as there are so many kinds."""
        b, both = self.b, [v for pair in zip(high, low, strict=True) for v in pair]
        with b.goto_entry_block():
            room = b.alloca(SUMS, len(both))
        start = b.ptrtoint(room, LONG)
        for k, part in enumerate(both):
            store(b, part, b.add(start, long(64 * k)))

        def one(k: Value, state: list[Value]) -> list[Value]:
            at = offset(b, start, k, 128)
            parts = [load(b, b.add(at, long(64 * i)), SUMS) for i in (0, 1)]
            first = b.mul(b.srem(k, long(self.vectors)), long(LANES))
            line = b.add(row, b.sdiv(k, long(self.vectors)))
            for half in (0, 1):
                column = b.add(b.add(self.first, first), long(_HALF * half))
                self.cast_both(joined(b, parts[0], parts[1], half), line, column)
            return state

        repeat(b, long(len(high)), [], one)

    def cast_both(self, x: Value, row: Value, column: Value) -> None:
        """Cast and store some columns of a row, the sums in 64 bits."""
        b = self.b
        mask = below(b, b.sub(self.columns, column), _HALF)

        def put(cast: _Cast) -> None:
            constants = self.cast_constants(cast, column)
            word = either(
                b,
                self.field(cast.even),
                partial(self.word, x, constants, to_even=True),
                partial(self.word, x, constants, to_even=False),
            )
            place = b.add(b.mul(row, self.columns), column)
            at = b.add(self.field(cast.out), b.mul(place, self.field(Product(cast.out + 2))))
            store_words(b, self.field(Product(cast.out + 1)), word, at, mask)

        put(_FIRST)
        either(b, self.field(Product.SECOND), lambda: put(_SECOND), lambda: None)

    def cast_constants(self, cast: _Cast, column: Value) -> list[Value]:
        """Bias with offset, offset, shift, bounds, and what is added to odd words."""
        b, found = self.b, []
        for row in (cast.bias, cast.away, *(cast.first + k for k in range(1, 5))):
            at = b.add(b.mul(long(row), self.padded), column)
            found.append(load(b, offset(b, self.field(Product.CONSTANTS), at, 8), _WIDE))
        return found

    def word(self, x: Value, constants: list[Value], *, to_even: bool) -> Value:
        """`clamp(x + bias >> shift)`."""
        b = self.b
        bias, away, shift, low, high, odd = constants
        x = b.add(x, bias)
        if to_even:
            x = b.add(x, b.and_(b.ashr(b.sub(x, away), shift), odd))
        return clamp(b, b.ashr(x, shift), low, high)


def each(value: int) -> Value:
    """A vector of one number."""
    return ir.Constant(SUMS, [value] * LANES)


def extended(b: Builder, x: Value, half: int) -> Value:
    """Half of a vector's lanes in 64 bits."""
    picked = ir.Constant(vector(WORD, _HALF), list(range(_HALF * half, _HALF * half + _HALF)))
    return b.sext(b.shuffle_vector(x, ir.Constant(SUMS, ir.Undefined), picked), _WIDE)


def joined(b: Builder, high: Value, low: Value, half: int) -> Value:
    """Half a vector of sums in 64 bits."""
    top, bottom = (extended(b, part, half) for part in (high, low))
    return b.add(b.shl(top, ir.Constant(_WIDE, [CARRY_BITS] * _HALF)), bottom)


def carried(b: Builder, high: Value, low: Value) -> tuple[Value, Value]:
    """The same sums, with the low register in `0..2**CARRY_BITS - 1`."""
    more = b.add(high, b.ashr(low, each(CARRY_BITS)))
    return more, b.and_(low, each((1 << CARRY_BITS) - 1))


def narrowed(b: Builder, high: Value, low: Value, constants: list[Value]) -> Value:
    """`clamp(sum >> shift)`, the bias in it."""
    high, low = carried(b, high, low)
    left, extra, right, lowest, highest = constants[NarrowConstant.LEFT :]
    word = b.add(b.ashr(b.shl(high, left), extra), b.lshr(low, right))
    return clamp(b, word, lowest, highest)
