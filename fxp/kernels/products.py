"""Matrix products whose sums never leave the registers before they are rounded and stored.

    acc[r, n] = bias[n] + sum_t sum_i x_t[r, i] * weight[t, i, n]     taps t, one for a 1x1
    word      = clamp(acc >> shift) -> out                             up to two casts of it

Rows are the joints of frames, columns the output channels, in panels; with AVX-512 a tile of 5 rows
by 64 columns fills 20 of 32 vector registers with sums. Forms differ in how many products one
instruction adds up in a lane of 32 bits:

- `dot8`: four of bytes, `vpdpbusd` (AVX-512 VNNI). It wants unsigned operands: signed ones have
  their top bit flipped on the way, which adds 128, and 128 times the sum of the weights is taken
  off the bias beforehand.
- `dot16`, `add16`, `plain16`: two of 16 bits, by `vpdpwssd`, by `vpmaddwd` and an addition, and by
  whatever the processor has. The last two have tiles for 16 registers of 32 bytes.

Sums are modulo 2**32, and the certified range says that the last one fits. A product is a table of
int64 (`Product`) and an array of constants (`ProductConstant`), int32 (constants, columns in full
vectors).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir

from fxp.kernels.tables import Product, ProductConstant
from fxp.kernels.vector import (
    BYTE,
    HALF,
    I64,
    LONG,
    WORD,
    Builder,
    Value,
    below,
    clamp,
    either,
    emitted,
    field,
    intrinsic_function,
    load,
    load_words,
    long,
    offset,
    repeat,
    resize,
    splat,
    store,
    store_words,
    switch,
    vector,
)

LANES = 16  # sums in a vector
_SUMS = vector(WORD, LANES)


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


def _dot_bytes(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    f = intrinsic_function(b, "llvm.x86.avx512.vpdpbusd.512", _SUMS, [_SUMS] * 3)
    return b.call(f, [acc, x, w])


def _dot_halves(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    f = intrinsic_function(b, "llvm.x86.avx512.vpdpwssd.512", _SUMS, [_SUMS] * 3)
    return b.call(f, [acc, x, w])


def _add_halves(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    """Two registers of 32 bytes."""
    half, sums = vector(HALF, LANES), vector(WORD, LANES // 2)
    f = intrinsic_function(b, "llvm.x86.avx2.pmadd.wd", sums, [half] * 2)
    parts = []
    for first in (0, LANES // 2):
        picked = ir.Constant(sums, list(range(first, first + LANES // 2)))
        a, c = (
            b.bitcast(b.shuffle_vector(v, ir.Constant(_SUMS, ir.Undefined), picked), half)
            for v in (x, w)
        )
        parts.append(b.call(f, [a, c]))
    return b.add(acc, b.shuffle_vector(*parts, ir.Constant(_SUMS, list(range(LANES)))))


def _plain_halves(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    """On any processor."""
    sixteen = ir.Constant(_SUMS, [16] * LANES)
    low = b.mul(*(b.ashr(b.shl(v, sixteen), sixteen) for v in (x, w)))
    high = b.mul(*(b.ashr(v, sixteen) for v in (x, w)))
    return b.add(acc, b.add(low, high))


class _Panel:
    """Emits the code for the columns of one panel, `vectors` vectors wide."""

    def __init__(
        self,
        b: Builder,
        table: Value,
        form: Form,
        first: Value,
        vectors: int,
        *,
        full: bool,
    ):
        self.b, self.table, self.form = b, table, form
        self.first, self.vectors = first, vectors
        self.columns = self.field(Product.COLUMNS)
        last = b.sub(self.columns, b.add(first, long(LANES * (vectors - 1))))
        self.mask = None if full else below(b, last, LANES)
        self.padded = b.and_(b.add(self.columns, long(LANES - 1)), long(-LANES))

    def field(self, which: Product) -> Value:
        return field(self.b, self.table, which)

    def constant(self, row: ProductConstant, j: int) -> Value:
        b = self.b
        at = b.add(b.add(b.mul(long(row), self.padded), self.first), long(LANES * j))
        return load(b, offset(b, self.field(Product.CONSTANTS), at, 4), _SUMS)

    def tile(self, taps: Value, row: Value, rows: int) -> None:
        """The sums of `rows` rows from `row` on, and what is made of them."""
        sums = self.sums(taps, row, rows)

        def first() -> None:
            first, even = ProductConstant.OUT_OFFSET, Product.OUT_EVEN
            done = self.rounded(sums, first, even, ProductConstant.OUT_OFFSET)
            self.write(done, first, row, (Product.OUT, Product.OUT_CODE, Product.OUT_ITEM))

        def both() -> None:  # apart: where it is not wanted no sum outlives the first cast
            first()
            more = [
                self.b.add(x, self.constant(ProductConstant.SECOND_OFFSET, j % self.vectors))
                for j, x in enumerate(sums)
            ]
            first_, even = ProductConstant.SECOND_OFFSET, Product.SECOND_EVEN
            done = self.rounded(more, first_, even, ProductConstant.SECOND_AWAY)
            self.write(
                done, first_, row, (Product.SECOND, Product.SECOND_CODE, Product.SECOND_ITEM)
            )

        either(self.b, self.field(Product.SECOND), both, first)

    def sums(self, taps: Value, row: Value, rows: int) -> list[Value]:
        b, n = self.b, self.vectors
        stride = self.field(Product.ROW)
        skip = b.mul(row, stride)
        groups = self.field(Product.GROUPS)
        flip = splat(b, b.trunc(self.field(Product.FLIP), WORD), LANES)
        weight = b.mul(self.first, b.mul(b.mul(groups, self.field(Product.TAPS)), long(4)))
        bias = [self.constant(ProductConstant.BIAS, j) for j in range(n)]

        def tap(t: Value, state: list[Value]) -> list[Value]:
            x = b.add(load(b, offset(b, taps, t, 8), LONG), skip)

            def group(_: Value, state: list[Value]) -> list[Value]:
                w = [load(b, b.add(state[0], long(64 * j)), _SUMS) for j in range(n)]
                x, acc = state[1], []
                for r in range(rows):
                    word = load(b, b.add(x, b.mul(stride, long(r))), WORD)
                    each = b.xor(splat(b, word, LANES), flip)
                    acc += [
                        self.form.multiply(b, state[2 + r * n + j], each, w[j]) for j in range(n)
                    ]
                return [b.add(state[0], long(64 * n)), b.add(x, long(4)), *acc]

            weight, *acc = state
            weight, _, *acc = repeat(b, groups, [weight, x, *acc], group)
            return [weight, *acc]

        start = [b.add(self.field(Product.WEIGHT), weight), *(bias * rows)]
        return repeat(b, self.field(Product.TAPS), start, tap)[1:]

    def rounded(
        self, sums: list[Value], first: ProductConstant, even: Product, away: ProductConstant
    ) -> list[Value]:
        """`x >> shift`; x has the rounding offset in it."""
        b, n = self.b, self.vectors
        shift, odd = (
            [self.constant(ProductConstant(first + k), j) for j in range(n)] for k in (1, 4)
        )

        def to_even() -> list[Value]:
            gone = [self.constant(away, j) for j in range(n)]
            found = []
            for k, x in enumerate(sums):
                j = k % n
                whole = b.ashr(b.sub(x, gone[j]), shift[j])
                found.append(b.add(x, b.and_(whole, odd[j])))
            return found

        ready = either(b, self.field(even), to_even, lambda: sums)
        return [b.ashr(x, shift[k % n]) for k, x in enumerate(ready)]

    def write(
        self,
        results: list[Value],
        first: ProductConstant,
        row: Value,
        where: tuple[Product, Product, Product],
    ) -> None:
        """Clamp and store rows of results."""
        b, n = self.b, self.vectors
        base, code, item = (self.field(which) for which in where)
        line = b.mul(self.columns, item)
        start = b.add(b.add(base, b.mul(row, line)), b.mul(self.first, item))
        low, high = (self.constant(ProductConstant(first + k), 0) for k in (2, 3))

        def put(element: Any, *, add: bool = False) -> None:
            size = element.width // 8
            for k, x in enumerate(results):
                r, j = divmod(k, n)
                address = b.add(b.add(start, b.mul(line, long(r))), long(LANES * j * size))
                mask = self.mask if j == n - 1 else None
                y = resize(b, clamp(b, x, low, high), element)
                if add:
                    places = splat(b, self.field(Product.PLACES), LANES)
                    before = load_words(b, long(I64), address, LONG, LANES, mask)
                    y = b.add(b.shl(y, places), before)
                if mask is None:
                    store(b, y, address)
                else:
                    store_words(b, long(_CODE[size]), y, address, mask)

        def put_bytes() -> None:
            floor, ceiling = (
                splat(b, b.trunc(b.extract_element(v, ir.Constant(WORD, 0)), BYTE), 4 * LANES)
                for v in (low, high)
            )
            for r in range(len(results) // n):
                packed = _pack_bytes(b, results[r * n : r * n + n])
                store(b, clamp(b, packed, floor, ceiling), b.add(start, b.mul(line, long(r))))

        bytes_ = put_bytes if self.form.packs and self.mask is None else lambda: put(BYTE)
        wider = [partial(put, HALF), partial(put, WORD)]
        switch(b, code, [bytes_, *wider, lambda: put(LONG, add=True)])


def _pack_bytes(b: Builder, vectors: list[Value]) -> Value:
    """Four vectors of 32-bit lanes as one of bytes, saturated: narrower bounds may follow."""
    halves, bytes_ = vector(HALF, 2 * LANES), vector(BYTE, 4 * LANES)
    to_halves = intrinsic_function(b, "llvm.x86.avx512.packssdw.512", halves, [_SUMS] * 2)
    to_bytes = intrinsic_function(b, "llvm.x86.avx512.packsswb.512", bytes_, [halves] * 2)
    pairs = [b.call(to_halves, vectors[k : k + 2]) for k in (0, 2)]
    mixed = b.bitcast(b.call(to_bytes, pairs), _SUMS)
    # packing works within 16 bytes: group k of four words is at 4 * (k % 4) + k // 4
    order = ir.Constant(_SUMS, [4 * (k % 4) + k // 4 for k in range(LANES)])
    return b.bitcast(b.shuffle_vector(mixed, ir.Constant(_SUMS, ir.Undefined), order), bytes_)


_CODE = {1: 0, 2: 1, 4: 2, 8: 3}  # bytes of a word to a code


def _emit(b: Builder, table: Value, taps: Value, rows: Value, form: Form) -> None:
    columns = field(b, table, Product.COLUMNS)
    width, tile_rows = LANES * form.panel, form.rows
    whole = b.sdiv(columns, long(width))
    left = b.srem(columns, long(width))

    def down(panel: _Panel) -> None:
        tiles = b.sdiv(rows, long(tile_rows))

        def tile(i: Value, state: list[Value]) -> list[Value]:
            panel.tile(taps, b.mul(i, long(tile_rows)), tile_rows)
            return state

        def single(i: Value, state: list[Value]) -> list[Value]:
            panel.tile(taps, b.add(b.mul(tiles, long(tile_rows)), i), 1)
            return state

        repeat(b, tiles, [], tile)
        repeat(b, b.srem(rows, long(tile_rows)), [], single)

    def across(i: Value, state: list[Value]) -> list[Value]:
        down(_Panel(b, table, form, b.mul(i, long(width)), form.panel, full=True))
        return state

    def narrow(vectors: int) -> Callable[[], None]:
        first = b.mul(whole, long(width))
        return lambda: down(_Panel(b, table, form, first, vectors, full=False))

    repeat(b, whole, [], across)
    vectors = b.sdiv(b.add(left, long(LANES - 1)), long(LANES))
    switch(b, vectors, [lambda: None, *(narrow(n) for n in range(1, form.panel + 1))])


def _emit_for(form: Form) -> Callable[[Builder, Value, Value, Value], None]:
    def product(b: Builder, table: Value, taps: Value, rows: Value) -> None:
        _emit(b, table, taps, rows, form)

    return product


WIDE_PANEL, NARROW_PANEL = 4, 2  # vectors of 64 bytes: of 32 such registers, of 16 of 32 bytes

_bytes = emitted(_emit_for(Form(_dot_bytes, 5, WIDE_PANEL, packs=True)), 3)
_halves = emitted(_emit_for(Form(_dot_halves, 5, WIDE_PANEL, packs=True)), 3)
_added = emitted(_emit_for(Form(_add_halves, 2, NARROW_PANEL, packs=False)), 3)
_plain = emitted(_emit_for(Form(_plain_halves, 2, NARROW_PANEL, packs=False)), 3)


def dot8(table: int, taps: int, rows: int) -> None:
    """Run the product at a table on `rows` rows, from the address that each tap's rows have."""
    _bytes(table, taps, rows)


def dot16(table: int, taps: int, rows: int) -> None:
    """The same with operands and weights of 16 bits."""
    _halves(table, taps, rows)


def add16(table: int, taps: int, rows: int) -> None:
    """As `dot16`, by `vpmaddwd` and an addition."""
    _added(table, taps, rows)


def plain16(table: int, taps: int, rows: int) -> None:
    """As `dot16`, by plain multiplications."""
    _plain(table, taps, rows)
