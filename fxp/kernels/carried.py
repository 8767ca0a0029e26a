"""Products of 16-bit words whose sums need more than 32 bits, nearly as fast as those that do not.

Sums grow in lanes of 32 bits as in `fxp.kernels.products`. After so many operands that no lane can
have overflowed, what is above their low 16 bits moves on to a second register:

    low  += products of `carry` groups of operands
    high += low >> 16;  low &= 0xffff

At the end `high * 2**16 + low` is the sum, in 64 bits, where it is rounded, clamped and narrowed.
Operands are lowered by the middle of their range (`Product.CENTRE`), which the bias makes good: a
word of 15 bits without a sign reaches as far, then, as one of 15 with it.

A table is that of a product; constants are those of `ProductConstant` in 64 bits, where the bias is
added last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TypeAlias

import numpy as np
from llvmlite import ir

from fxp.kernels.forms import (
    LANES,
    SUMS,
    Form,
    add_halves,
    dot_halves,
    plain_halves,
)
from fxp.kernels.products import NARROW_PANEL, WIDE_PANEL, Panel, product_of
from fxp.kernels.tables import Product, ProductConstant
from fxp.kernels.vector import (
    HALF,
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
    splat,
    store_words,
    switch,
    vector,
)

CARRY_BITS = 16  # what stays in the low register
_HALF = LANES // 2  # of a vector's lanes, as 64 bits
_WIDE = vector(LONG, _HALF)


Sums: TypeAlias = Callable[[int, int], Value]  # of a vector of a tile, half of it, in 64 bits


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


class CarriedPanel(Panel):
    """As `Panel`, with two registers for each vector of sums."""

    def wide_constant(self, row: ProductConstant, j: int, half: int) -> Value:
        """Of half a vector of columns, in 64 bits."""
        b = self.b
        at = b.add(b.mul(long(row), self.padded), self.first)
        at = b.add(at, long(LANES * j + _HALF * half))
        return load(b, offset(b, self.field(Product.CONSTANTS), at, 8), _WIDE)

    def tile(self, taps: Value, row: Value, rows: int) -> None:
        """The sums of `rows` rows from `row` on, and what is made of them."""
        high, low = self.carried(taps, row, rows, lowered=True)
        self.casts(row, rows, lambda k, half: self.joined(high[k], low[k], half))

    def carried(
        self, taps: Value, row: Value, rows: int, *, lowered: bool
    ) -> tuple[list[Value], list[Value]]:
        """The high and the low registers of all sums, of operands that are lowered on the way."""
        b, groups, carry = self.b, self.field(Product.GROUPS), self.field(Product.CARRY)
        centre = splat(b, b.trunc(self.field(Product.CENTRE), HALF), 2 * LANES)
        pieces = b.sdiv(b.add(groups, b.sub(carry, long(1))), carry)
        stride, count = self.field(Product.ROW), rows * self.vectors

        def multiply(acc: Value, x: Value, w: Value) -> Value:
            if lowered:
                x = b.bitcast(b.sub(b.bitcast(x, centre.type), centre), SUMS)
            return self.form.multiply(b, acc, x, w)

        def tap(t: Value, state: list[Value]) -> list[Value]:
            def piece(i: Value, state: list[Value]) -> list[Value]:
                left = b.sub(groups, b.mul(i, carry))
                some = b.select(b.icmp_signed("<", left, carry), left, carry)
                moved = self.groups(some, state[: 2 + count], stride, multiply)
                return [*moved[:2], *_carried(b, moved[2:], state[2 + count :])]

            weight, *sums = state
            x = b.add(load(b, offset(b, taps, t, 8), LONG), b.mul(row, stride))
            weight, _, *sums = repeat(b, pieces, [weight, x, *sums], piece)
            return [weight, *sums]

        start = self.weights(Product.WEIGHT, b.mul(groups, self.field(Product.TAPS)))
        state = [start, *[_each(0)] * (2 * count)]
        sums = repeat(b, self.field(Product.TAPS), state, tap)[1:]
        return sums[count:], sums[:count]

    def joined(self, high: Value, low: Value, half: int) -> Value:
        """Half a vector of sums in 64 bits."""
        b = self.b
        top, bottom = (extended(b, part, half) for part in (high, low))
        return b.add(b.shl(top, ir.Constant(_WIDE, [CARRY_BITS] * _HALF)), bottom)

    def casts(self, row: Value, rows: int, sums: Sums) -> None:
        """Cast and store the sums of a tile, up to twice."""

        def once(cast: _Cast) -> None:
            def put(code: int) -> None:
                either(
                    self.b,
                    self.field(cast.even),
                    partial(self.put, cast, code, row, rows, sums, to_even=True),
                    partial(self.put, cast, code, row, rows, sums, to_even=False),
                )

            code = self.field(Product(cast.out + 1))
            switch(self.b, code, [partial(put, each) for each in range(len(STORAGE))])

        once(_FIRST)
        either(self.b, self.field(Product.SECOND), lambda: once(_SECOND), lambda: None)

    def put(
        self, cast: _Cast, code: int, row: Value, rows: int, sums: Sums, *, to_even: bool
    ) -> None:
        """Store all words of a tile in one type."""
        b, n, size = self.b, self.vectors, np.dtype(STORAGE[code]).itemsize
        line = b.mul(self.columns, long(size))
        start = b.add(self.field(cast.out), b.mul(row, line))
        start = b.add(start, b.mul(self.first, long(size)))
        for j, half in product(range(n), (0, 1)):
            mask = None
            if self.mask is not None and j == n - 1:
                mask = below(b, b.sub(self.last, long(_HALF * half)), _HALF)
            # read before anything is stored, which could change them for all the compiler knows
            constants = self.cast_constants(cast, j, half)
            for r in range(rows):
                word = self.word(sums(r * n + j, half), constants, to_even=to_even)
                at = b.add(start, b.mul(line, long(r)))
                at = b.add(at, long((LANES * j + _HALF * half) * size))
                store_words(b, long(code), word, at, mask)

    def cast_constants(self, cast: _Cast, j: int, half: int) -> list[Value]:
        """Bias with offset, offset, shift, bounds, and what is added to odd words."""
        rows = [cast.bias, cast.away, *(cast.first + k for k in range(1, 5))]
        return [self.wide_constant(ProductConstant(row), j, half) for row in rows]

    def word(self, x: Value, constants: list[Value], *, to_even: bool) -> Value:
        """`clamp(x + bias >> shift)`."""
        b = self.b
        bias, away, shift, low, high, odd = constants
        x = b.add(x, bias)
        if to_even:
            x = b.add(x, b.and_(b.ashr(b.sub(x, away), shift), odd))
        return clamp(b, b.ashr(x, shift), low, high)


def _each(value: int) -> Value:
    return ir.Constant(SUMS, [value] * LANES)


def _carried(b: Builder, low: list[Value], high: list[Value]) -> list[Value]:
    """What is above `CARRY_BITS` moves from low to high; both, low first."""
    places, mask = _each(CARRY_BITS), _each((1 << CARRY_BITS) - 1)
    more = [b.add(h, b.ashr(v, places)) for v, h in zip(low, high, strict=True)]
    return [*(b.and_(v, mask) for v in low), *more]


def extended(b: Builder, x: Value, half: int) -> Value:
    """Half of a vector's lanes in 64 bits."""
    picked = ir.Constant(vector(WORD, _HALF), list(range(_HALF * half, _HALF * half + _HALF)))
    return b.sext(b.shuffle_vector(x, ir.Constant(SUMS, ir.Undefined), picked), _WIDE)


DOT_CARRIED = Form(dot_halves, 5, WIDE_PANEL, packs=False)
ADD_CARRIED = Form(add_halves, 2, NARROW_PANEL, packs=False)
PLAIN_CARRIED = Form(plain_halves, 2, NARROW_PANEL, packs=False)
_dot, _add, _plain = (
    product_of(form, CarriedPanel) for form in (DOT_CARRIED, ADD_CARRIED, PLAIN_CARRIED)
)


def dot_carried(table: int, taps: int, rows: int) -> None:
    """As `fxp.kernels.products.dot16`, for sums of up to 47 bits."""
    _dot(table, taps, rows)


def add_carried(table: int, taps: int, rows: int) -> None:
    """The same by `vpmaddwd` and an addition."""
    _add(table, taps, rows)


def plain_carried(table: int, taps: int, rows: int) -> None:
    """The same by plain multiplications."""
    _plain(table, taps, rows)
