"""One pass over frames for a chain of nodes: the values in between never leave the registers.

    acc  = start + sum_e factor[e] * source[e]        a graph product or joint mean, or one source
    word = clamp(acc >> shift)                        [cast]
    acc  = running sum of the words                   [temporal sum]
    acc  = scale * acc + bias                         [affine]
    word = clamp(acc >> shift)                        [cast]
    acc  = left * word + right * other + offset       [addition]
    word = clamp(acc >> shift) -> out                 [up to two casts of one accumulator]

What stands in brackets may be absent; each step is what the kernels of `pointwise`, `graph` and
`temporal` do alone. Lanes are as wide as the widest value on the way, rounding included, so
arithmetic modulo their width is exact. Rounding constants are added beforehand: to `start`, `bias`
and `offset`. Casts that round half to even take them off again to see whether the word is odd.

A pass is a table of int64 (`Rows`) and an array of constants (`RowsConstant`), lanes of the pass,
one per channel: shape (constants, C).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fxp.kernels.tables import Rows, RowsConstant
from fxp.kernels.vector import (
    HALF,
    LONG,
    VECTOR_BYTES,
    WORD,
    Builder,
    Value,
    below,
    clamp,
    either,
    emitted,
    field,
    load,
    load_row,
    long,
    offset,
    reachable,
    repeat,
    splat,
    store_row,
    switch,
    until_zero,
)

EDGE_BYTES = 24
VECTORS = 2  # of a full block: loop overhead and mispredicted branches are shared


class _Block:
    """Emits the code for one block of channels: some vectors of them, or part of one."""

    def __init__(
        self,
        b: Builder,
        fields: Mapping[Rows, Value],
        element: Any,
        first: Value,
        vectors: int,
        *,
        whole: bool,
    ) -> None:
        self.b, self.fields, self.element = b, fields, element
        self.lanes = 8 * VECTOR_BYTES // element.width
        self.channels = self.field(Rows.CHANNELS)
        self.first, self.vectors = first, vectors
        self.mask = None if whole else below(b, b.sub(self.channels, first), self.lanes)
        self.constants = [self._constant(row) for row in RowsConstant]

    def field(self, which: Rows) -> Value:
        return self.fields[which]

    def _constant(self, row: RowsConstant) -> list[Value]:
        b, size = self.b, self.element.width // 8
        at = b.add(b.mul(long(row), self.channels), self.first)
        address = offset(b, self.field(Rows.CONSTANTS), at, size)
        return self._load(long(_CODE[size]), address)

    def _load(self, code: Value, address: Value) -> list[Value]:
        """The block's words from an address on."""
        masks = [self.mask] * self.vectors
        return load_row(self.b, code, address, self.element, self.lanes, masks)

    def _words(self, base: Rows, code: Rows, item: Rows, frame: Value, joint: Value) -> Any:
        """This block's words of a joint, in an array (frames, V, C)."""
        return self._load(self.field(code), self._at(base, item, frame, joint))

    def _keep(
        self, x: list[Value], base: Rows, code: Rows, item: Rows, frame: Value, joint: Value
    ) -> None:
        masks = [self.mask] * self.vectors
        store_row(self.b, self.field(code), x, self._at(base, item, frame, joint), masks)

    def _at(self, base: Rows, item: Rows, frame: Value, joint: Value) -> Value:
        b = self.b
        row = b.add(b.mul(frame, self.field(Rows.JOINTS)), joint)
        word = b.add(b.mul(row, self.channels), self.first)
        return b.add(self.field(base), b.mul(word, self.field(item)))

    def _plus(self, x: list[Value], row: RowsConstant) -> list[Value]:
        return [self.b.add(a, k) for a, k in zip(x, self.constants[row], strict=True)]

    def _cast(self, flag: Rows, first: RowsConstant, x: list[Value]) -> list[Value]:
        """x as the flag asks for it (`CastKind`); it has the rounding offset in it."""
        b = self.b
        columns = list(zip(*self.constants[first : first + 5], strict=True))

        def clamped(words: list[Value]) -> list[Value]:
            return [
                clamp(b, b.ashr(word, shift), low, high)
                for word, (_, shift, low, high, _) in zip(words, columns, strict=True)
            ]

        def even() -> list[Value]:
            return clamped(
                [
                    b.add(word, b.and_(b.ashr(b.sub(word, away), shift), odd))
                    for word, (away, shift, _, _, odd) in zip(x, columns, strict=True)
                ]
            )

        def wrapped() -> list[Value]:
            return [
                b.add(b.and_(b.sub(b.ashr(word, shift), low), high), low)
                for word, (_, shift, low, high, _) in zip(x, columns, strict=True)
            ]

        cases = [lambda: x, lambda: clamped(x), even, wrapped]
        return _each(switch(b, self.field(flag), cases))

    def _source(self, frame: Value, joint: Value, first: Value) -> list[Value]:
        """`start + sum_e factor[e] * source[e]`."""
        b, item, code = self.b, self.field(Rows.SOURCE_ITEM), self.field(Rows.SOURCE_CODE)
        start = self.constants[RowsConstant.SOURCE_OFFSET]
        base = b.add(self.field(Rows.SOURCE), b.mul(frame, self.field(Rows.SOURCE_FRAME)))
        base = b.add(base, b.mul(self.first, item))

        def single() -> list[Value]:
            address = b.add(base, b.mul(b.mul(joint, self.channels), item))
            return self._plus(self._load(code, address), RowsConstant.SOURCE_OFFSET)

        def edges(code: int) -> list[Value]:
            edge = offset(b, self.field(Rows.EDGE_LIST), first, EDGE_BYTES)

            def body(state: list[Value]) -> tuple[Value, list[Value]]:
                edge, *sums = state
                where = b.add(base, load(b, edge, LONG))
                factor = load(b, b.add(edge, long(8)), self.element)
                more = load(b, b.add(edge, long(16)), LONG)
                each = splat(b, factor, self.lanes)
                x = self._load(long(code), where)
                sums = [b.add(a, b.mul(word, each)) for a, word in zip(sums, x, strict=True)]
                return more, [b.add(edge, long(EDGE_BYTES)), *sums]

            return until_zero(b, [edge, *start], body)[1:]

        # outside of the loop, which then has no branch but its own
        cases = [partial(edges, each) for each in reachable(self.element)]

        return _each(either(b, self.field(Rows.EDGES), lambda: switch(b, code, cases), single))

    def _window(self, x: list[Value], slot: Value, phase: Value, joint: Value) -> list[Value]:
        """The running sum of its phase, with x in and the oldest word of the FIFO out."""
        b = self.b
        fifo = (Rows.FIFO, Rows.FIFO_CODE, Rows.FIFO_ITEM, slot, joint)
        total = (Rows.TOTAL, Rows.TOTAL_CODE, Rows.TOTAL_ITEM, phase, joint)

        def run() -> list[Value]:
            gone, before = self._words(*fifo), self._words(*total)
            now = [b.sub(b.add(t, w), g) for t, w, g in zip(before, x, gone, strict=True)]
            self._keep(x, *fifo)
            self._keep(now, *total)
            return now

        return _each(either(b, self.field(Rows.WINDOW), run, lambda: x))

    def _affine(self, x: list[Value]) -> list[Value]:
        b = self.b

        def scaled() -> list[Value]:
            scale = self.constants[RowsConstant.SCALE]
            product = [b.mul(a, k) for a, k in zip(x, scale, strict=True)]
            return self._plus(product, RowsConstant.BIAS)

        return _each(either(b, self.field(Rows.AFFINE), scaled, lambda: x))

    def _added(self, x: list[Value], frame: Value, joint: Value) -> list[Value]:
        b, k = self.b, self.constants

        def other() -> list[Value]:
            return _each(self._words(Rows.OTHER, Rows.OTHER_CODE, Rows.OTHER_ITEM, frame, joint))

        def plain() -> list[Value]:
            return [b.add(a, c) for a, c in zip(x, other(), strict=True)]

        def aligned() -> list[Value]:
            terms = zip(x, k[RowsConstant.LEFT], other(), k[RowsConstant.RIGHT], strict=True)
            return [b.add(b.mul(a, left), b.mul(c, right)) for a, left, c, right in terms]

        return _each(switch(b, self.field(Rows.ADD), [lambda: x, plain, aligned]))

    def joint(self, frame: Value, slot: Value, phase: Value, joint: Value, edge: Value) -> None:
        """The whole chain, for the channels of this block at one joint of one frame."""
        x = self._source(frame, joint, edge)
        x = self._cast(Rows.CAST_SOURCE, RowsConstant.SOURCE_OFFSET, x)
        x = self._affine(self._window(x, slot, phase, joint))
        x = self._cast(Rows.CAST_AFFINE, RowsConstant.AFFINE_OFFSET, x)
        x = self._added(x, frame, joint)
        y = self._cast(
            Rows.CAST_OUT, RowsConstant.OUT_OFFSET, self._plus(x, RowsConstant.OUT_OFFSET)
        )
        self._keep(y, Rows.OUT, Rows.OUT_CODE, Rows.OUT_ITEM, frame, joint)

        def second() -> None:
            z = self._plus(x, RowsConstant.SECOND_OFFSET)
            z = self._cast(Rows.CAST_SECOND, RowsConstant.SECOND_OFFSET, z)
            where = (Rows.SECOND, Rows.SECOND_CODE, Rows.SECOND_ITEM, frame, joint)
            self._keep(z, *where)

        either(self.b, self.field(Rows.SECOND), second, lambda: None)

    def joints(self, frame: Value, slot: Value, phase: Value) -> None:
        """This block's channels at all joints of a frame."""
        b = self.b

        def joint(place: Value, state: list[Value]) -> list[Value]:
            entry = offset(b, self.field(Rows.ORDER), place, 16)
            self.joint(
                frame, slot, phase, load(b, entry, LONG), load(b, b.add(entry, long(8)), LONG)
            )
            return state

        repeat(self.b, self.field(Rows.JOINTS), [], joint)


def _each(values: Any) -> list[Value]:
    """What `switch` gives here, as what it is: one value for each vector."""
    return list(values)


_CODE = {2: 1, 4: 2, 8: 3}  # bytes of a lane to the code of a word stored like it


def _around(b: Builder, index: Value, size: Value) -> Value:
    following = b.add(index, long(1))
    return b.select(b.icmp_signed("<", following, size), following, long(0))


def _emit(b: Builder, table: Value, count: Value, seen: Value, element: Any) -> None:
    """Frame by frame, so that what a frame needs stays in the first cache; then block by block."""
    # read once: for all that the compiler knows, a store could change the table
    fields = {which: field(b, table, which) for which in Rows}
    channels, depth, dilation = (
        fields[which] for which in (Rows.CHANNELS, Rows.DEPTH, Rows.DILATION)
    )
    lanes = 8 * VECTOR_BYTES // element.width
    wide = long(lanes * VECTORS)
    blocks, rest = b.sdiv(channels, wide), b.srem(channels, wide)

    def frame(f: Value, at: list[Value]) -> list[Value]:
        def block(index: Value, state: list[Value]) -> list[Value]:
            _Block(b, fields, element, b.mul(index, wide), VECTORS, whole=True).joints(f, *at)
            return state

        def single(index: Value, state: list[Value]) -> list[Value]:
            first = b.add(b.mul(blocks, wide), b.mul(index, long(lanes)))
            _Block(b, fields, element, first, 1, whole=True).joints(f, *at)
            return state

        def part() -> None:
            first = b.sub(channels, b.srem(channels, long(lanes)))
            _Block(b, fields, element, first, 1, whole=False).joints(f, *at)

        repeat(b, blocks, [], block)
        repeat(b, b.sdiv(rest, long(lanes)), [], single)
        either(b, b.srem(rest, long(lanes)), part, lambda: None)
        return [_around(b, at[0], depth), _around(b, at[1], dilation)]

    repeat(b, count, [b.srem(seen, depth), b.srem(seen, dilation)], frame)


def _emit_in(element: Any) -> Callable[[Builder, Value, Value, Value], None]:
    def rows(b: Builder, table: Value, count: Value, seen: Value) -> None:
        _emit(b, table, count, seen, element)

    return rows


_pass16, _pass32, _pass64 = (emitted(_emit_in(element), 3) for element in (HALF, WORD, LONG))


def pass16(table: int, count: int, seen: int) -> None:
    """Run the pass at a table on `count` frames, in lanes of 16 bits; `seen` frames came before."""
    _pass16(table, count, seen)


def pass32(table: int, count: int, seen: int) -> None:
    """The same in lanes of 32 bits."""
    _pass32(table, count, seen)


def pass64(table: int, count: int, seen: int) -> None:
    """The same in lanes of 64 bits."""
    _pass64(table, count, seen)
