"""Matrix products whose sums never leave the registers before they are rounded and stored.

    acc[r, n] = bias[n] + sum_t sum_i x_t[r, i] * weight[t, i, n]     taps t, one for a 1x1
    word      = clamp(acc >> shift) -> out                             up to two casts of it

Rows are the joints of frames, columns the output channels, in panels; with AVX-512 a tile of 5 rows
by 64 columns fills 20 of 32 vector registers with sums (`fxp.kernels.forms`).

Sums are modulo 2**32, and the certified range says that the last one fits. A product is a table of
int64 (`Product`) and an array of constants (`ProductConstant`), int32 (constants, columns in full
vectors).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from llvmlite import ir

from fxp.kernels.forms import (
    LANES,
    SUMS,
    Form,
    add_halves,
    dot_bytes,
    dot_halves,
    plain_halves,
)
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

Multiply: TypeAlias = Callable[[Value, Value, Value], Value]  # (sums, operands, weights) -> sums


class Panel:
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
        """For columns from `first` on, with all lanes of the last vector or with some."""
        self.b, self.table, self.form = b, table, form
        self.first, self.vectors = first, vectors
        self.columns = self.field(Product.COLUMNS)
        self.last = b.sub(self.columns, b.add(first, long(LANES * (vectors - 1))))
        self.mask = None if full else below(b, self.last, LANES)
        self.padded = b.and_(b.add(self.columns, long(LANES - 1)), long(-LANES))

    def field(self, which: Product) -> Value:
        """An entry of the table."""
        return field(self.b, self.table, which)

    def constant(self, row: ProductConstant, j: int) -> Value:
        """Of the columns of vector j."""
        b = self.b
        at = b.add(b.add(b.mul(long(row), self.padded), self.first), long(LANES * j))
        return load(b, offset(b, self.field(Product.CONSTANTS), at, 4), SUMS)

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
        """One row after the other, bias included."""
        b, n = self.b, self.vectors
        groups = self.field(Product.GROUPS)
        flip = splat(b, b.trunc(self.field(Product.FLIP), WORD), LANES)
        bias = [self.constant(ProductConstant.BIAS, j) for j in range(n)]
        stride = self.field(Product.ROW)

        def multiply(acc: Value, x: Value, w: Value) -> Value:
            return self.form.multiply(b, acc, b.xor(x, flip), w)

        def tap(t: Value, state: list[Value]) -> list[Value]:
            weight, *acc = state
            x = b.add(load(b, offset(b, taps, t, 8), LONG), b.mul(row, stride))
            weight, _, *acc = self.groups(groups, [weight, x, *acc], stride, multiply)
            return [weight, *acc]

        start = [self.weights(Product.WEIGHT, b.mul(groups, self.field(Product.TAPS)))]
        return repeat(b, self.field(Product.TAPS), [*start, *(bias * rows)], tap)[1:]

    def weights(self, which: Product, lines: Value) -> Value:
        """Where this panel's begin, of so many lines of groups."""
        b = self.b
        return b.add(self.field(which), b.mul(self.first, b.mul(lines, long(4))))

    def groups(
        self, count: Value, state: list[Value], stride: Value, multiply: Multiply
    ) -> list[Value]:
        """Multiply so many groups of operands, whose rows are `stride` bytes apart.

        `state` is (weights, operands, *sums) and moves on.
        """
        b, n = self.b, self.vectors

        def group(_: Value, state: list[Value]) -> list[Value]:
            weight, x, *sums = state
            w = [load(b, b.add(weight, long(64 * j)), SUMS) for j in range(n)]
            acc = []
            for r in range(len(sums) // n):
                word = load(b, b.add(x, b.mul(stride, long(r))), WORD)
                each = splat(b, word, LANES)
                acc += [multiply(sums[r * n + j], each, w[j]) for j in range(n)]
            return [b.add(weight, long(64 * n)), b.add(x, long(4)), *acc]

        return repeat(b, count, state, group)

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
    to_halves = intrinsic_function(b, "llvm.x86.avx512.packssdw.512", halves, [SUMS] * 2)
    to_bytes = intrinsic_function(b, "llvm.x86.avx512.packsswb.512", bytes_, [halves] * 2)
    pairs = [b.call(to_halves, vectors[k : k + 2]) for k in (0, 2)]
    mixed = b.bitcast(b.call(to_bytes, pairs), SUMS)
    # packing works within 16 bytes: group k of four words is at 4 * (k % 4) + k // 4
    order = ir.Constant(SUMS, [4 * (k % 4) + k // 4 for k in range(LANES)])
    return b.bitcast(b.shuffle_vector(mixed, ir.Constant(SUMS, ir.Undefined), order), bytes_)


_CODE = {1: 0, 2: 1, 4: 2, 8: 3}  # bytes of a word to a code


def emit_panels(
    b: Builder, table: Value, taps: Value, rows: Value, form: Form, kind: type[Panel]
) -> None:
    """All columns in panels, all rows in tiles."""
    columns = field(b, table, Product.COLUMNS)
    width, tile_rows = LANES * form.panel, form.rows
    whole = b.sdiv(columns, long(width))
    left = b.srem(columns, long(width))

    def down(panel: Panel) -> None:
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
        down(kind(b, table, form, b.mul(i, long(width)), form.panel, full=True))
        return state

    def narrow(vectors: int) -> Callable[[], None]:
        first = b.mul(whole, long(width))
        return lambda: down(kind(b, table, form, first, vectors, full=False))

    repeat(b, whole, [], across)
    vectors = b.sdiv(b.add(left, long(LANES - 1)), long(LANES))
    switch(b, vectors, [lambda: None, *(narrow(n) for n in range(1, form.panel + 1))])


def product_of(form: Form, kind: type[Panel] = Panel) -> Any:
    """What compiled code calls to run a product: (table, taps, rows)."""

    def product(b: Builder, table: Value, taps: Value, rows: Value) -> None:
        emit_panels(b, table, taps, rows, form, kind)

    return emitted(product, 3)


WIDE_PANEL, NARROW_PANEL = 4, 2  # vectors of 64 bytes: of 32 such registers, of 16 of 32 bytes

_bytes = product_of(Form(dot_bytes, 5, WIDE_PANEL, packs=True))
_halves = product_of(Form(dot_halves, 5, WIDE_PANEL, packs=True))
_added = product_of(Form(add_halves, 2, NARROW_PANEL, packs=False))
_plain = product_of(Form(plain_halves, 2, NARROW_PANEL, packs=False))


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
