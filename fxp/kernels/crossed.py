"""Products of words and weights of up to 27 bits, as three products of digits in place of four.

    x = x1 * 2**n + x0,  w = w1 * 2**n + w0        n low bits
    x * w = x1 * w1 * 4**n + ((x1 + x0) * (w1 + w0) - x1 * w1 - x0 * w0) * 2**n + x0 * w0

(A. Karatsuba and Yu. Ofman, "Multiplication of many-digital numbers by automatic computers", 1962.)
Low digits are of 12 bits, with a sign; or where the others stay within 16 bits, of 8 bits, those of
words without a sign, and then they are multiplied as bytes, twice as many at a time. Of the sum in
the middle 32 bits are enough, wherever its terms wrap, since it fits them itself. That of the high
digits is carried, as in `fxp.kernels.carried`. What is below the last place of a word matters only
by its carry: the sum of low digits is moved right and added to that in the middle, and this to the
third.

`split_words` makes the three operands of words, once for all columns.
"""

from __future__ import annotations

from functools import partial

from fxp.kernels.carried import ADD_CARRIED, DOT_CARRIED, PLAIN_CARRIED, CarriedPanel
from fxp.kernels.finish import CARRY_BITS, each
from fxp.kernels.forms import LANES, dot_bytes
from fxp.kernels.products import Multiply, product_of
from fxp.kernels.tables import NarrowConstant, Product, Split
from fxp.kernels.vector import (
    I16,
    WORD,
    Builder,
    Value,
    below,
    either,
    emitted,
    field,
    load_words,
    long,
    repeat,
    splat,
    store_words,
)

_LOW = (Product.LOW, Product.LOW_ROW, Product.LOW_GROUPS, Product.LOW_WEIGHT)
_BOTH = (Product.BOTH, Product.ROW, Product.GROUPS, Product.BOTH_WEIGHT)


class CrossedPanel(CarriedPanel):
    """As `CarriedPanel`, with sums made of three products."""

    def tile(self, taps: Value, row: Value, rows: int) -> None:
        """The sums of `rows` rows from `row` on, and what is made of them."""
        b = self.b
        places = splat(b, b.trunc(self.field(Product.LOW_BITS), WORD), LANES)
        low = self.plain(_LOW, NarrowConstant.LOW_BIAS, self.low_multiply, row, rows)
        halves = partial(self.form.multiply, b)
        both = self.plain(_BOTH, NarrowConstant.MIDDLE_BIAS, halves, row, rows)
        middle = [
            b.add(b.sub(whole, least), b.ashr(least, places))
            for whole, least in zip(both, low, strict=True)
        ]
        high, rest = self.carried(taps, row, rows, lowered=False)

        def digits(k: int, constants: list[Value]) -> tuple[Value, Value]:
            more, own = (constants[c] for c in (NarrowConstant.HIGH_BIAS, NarrowConstant.BIAS))
            product = b.add(b.shl(high[k], each(CARRY_BITS)), rest[k])
            carry = b.ashr(b.sub(middle[k], product), places)
            return b.add(high[k], more), b.add(b.add(rest[k], own), carry)

        self.narrow(row, rows, digits)

    def low_multiply(self, acc: Value, x: Value, w: Value) -> Value:
        """Products of low digits."""
        return self.form.multiply(self.b, acc, x, w)

    def plain(
        self,
        where: tuple[Product, ...],
        bias: NarrowConstant,
        multiply: Multiply,
        row: Value,
        rows: int,
    ) -> list[Value]:
        """Sums in 32 bits: operands, bytes of a row of them, groups, weights."""
        b = self.b
        x, stride, groups = (self.field(which) for which in where[:3])
        start = [self.weights(where[3], groups), b.add(x, b.mul(row, stride))]
        first = [self.narrow_constant(bias, j) for j in range(self.vectors)]
        return self.groups(groups, [*start, *(first * rows)], stride, multiply)[2:]


class BytesPanel(CrossedPanel):
    """The same with low digits of bytes."""

    def low_multiply(self, acc: Value, x: Value, w: Value) -> Value:
        """Products of low digits."""
        return dot_bytes(self.b, acc, x, w)


def _split(b: Builder, table: Value, frames: Value, _seen: Value) -> None:
    fields = {which: field(b, table, which) for which in Split}
    centre, rounding, bits = (
        splat(b, b.trunc(fields[which], WORD), LANES)
        for which in (Split.CENTRE, Split.ROUNDING, Split.LOW_BITS)
    )
    count = b.mul(frames, fields[Split.WORDS])

    def some(first: Value, mask: Value | None) -> None:
        def at(base: Split, code: Value) -> Value:
            return b.add(fields[base], b.shl(first, code))

        code = fields[Split.CODE]
        x = b.sub(load_words(b, code, at(Split.X, code), WORD, LANES, mask), centre)
        high = b.ashr(b.add(x, rounding), bits)
        low = b.sub(x, b.shl(high, bits))
        code = fields[Split.LOW_CODE]
        store_words(b, code, low, at(Split.LOW, code), mask)
        for which, words in ((Split.HIGH, high), (Split.BOTH, b.add(low, high))):
            store_words(b, long(I16), words, at(which, long(I16)), mask)

    def whole(i: Value, state: list[Value]) -> list[Value]:
        some(b.mul(i, long(LANES)), None)
        return state

    repeat(b, b.sdiv(count, long(LANES)), [], whole)
    left = b.srem(count, long(LANES))
    either(b, left, lambda: some(b.sub(count, left), below(b, left, LANES)), lambda: None)


_bytes = product_of(DOT_CARRIED, BytesPanel)
_dot, _add, _plain = (
    product_of(form, CrossedPanel) for form in (DOT_CARRIED, ADD_CARRIED, PLAIN_CARRIED)
)
_splitted = emitted(_split, 3)


def bytes_crossed(table: int, taps: int, rows: int) -> None:
    """Run the product at a table on `rows` rows; `taps` has the address of their high digits."""
    _bytes(table, taps, rows)


def dot_crossed(table: int, taps: int, rows: int) -> None:
    """The same with low digits of 16 bits."""
    _dot(table, taps, rows)


def add_crossed(table: int, taps: int, rows: int) -> None:
    """As `dot_crossed`, by `vpmaddwd` and an addition."""
    _add(table, taps, rows)


def plain_crossed(table: int, taps: int, rows: int) -> None:
    """As `dot_crossed`, by plain multiplications."""
    _plain(table, taps, rows)


def split_words(table: int, frames: int, seen: int) -> None:
    """Split the words of so many frames into digits and their sums; differences fit 32 bits."""
    _splitted(table, frames, seen)
