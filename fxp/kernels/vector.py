"""Vector code by hand: the few LLVM instructions that the fused kernels are written in.

A numba `@intrinsic` hands over an `IRBuilder`; these functions put loads, stores, loops and
arithmetic on vectors through it. Vectors are 64 bytes, whatever the processor: LLVM splits them
where its registers are shorter. Addresses are int64, arithmetic is modulo the width of a lane.

How a stored word lies in memory is a *code*, known at run time only, so that one kernel serves all
storage types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter, Signature
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

Builder: TypeAlias = Any  # llvmlite ships no types
Value: TypeAlias = Any

VECTOR_BYTES = 64
BYTE, HALF, WORD, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
STORAGE = (np.int8, np.int16, np.int32, np.int64)  # dtype of each code
I8, I16, I32, I64 = range(4)
_ELEMENTS = (BYTE, HALF, WORD, LONG)


def emitted(emit: Callable[..., Value], arity: int, *, gives: bool = False) -> Any:
    """What compiled code calls to have `emit(b, *arguments)` generated in its place.

    Takes `arity` int64, and gives one if `gives`.
    """

    def typed(_context: Any, *_: Any) -> Any:
        def generate(context: Any, b: Builder, _signature: Any, arguments: Any) -> Value:
            result = emit(b, *arguments)
            return result if gives else context.get_dummy_value()

        result = types.int64 if gives else types.void
        return result(*[types.int64] * arity), generate

    names = ["context", *(f"argument{i}" for i in range(arity))]  # numba wants to know how many
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    typed.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    typed.__name__, typed.__qualname__ = emit.__name__, emit.__qualname__
    return intrinsic(typed)


def code_of(dtype: Any) -> int:
    """The code of a dtype of `STORAGE`."""
    return [np.dtype(t) for t in STORAGE].index(np.dtype(dtype))


def long(value: int) -> Value:
    """An int64 constant."""
    return ir.Constant(LONG, value)


def vector(element: Any, lanes: int) -> Any:
    """The type of `lanes` integers."""
    return ir.VectorType(element, lanes)


def offset(b: Builder, address: Value, count: Value, stride: int) -> Value:
    """`address + count * stride`."""
    return b.add(address, b.mul(count, long(stride)))


def load(b: Builder, address: Value, kind: Any) -> Value:
    """An unaligned load."""
    found = b.load(b.inttoptr(address, kind.as_pointer()))
    found.align = 1
    return found


def store(b: Builder, value: Value, address: Value) -> None:
    """An unaligned store."""
    b.store(value, b.inttoptr(address, value.type.as_pointer())).align = 1


def field(b: Builder, table: Value, index: int) -> Value:
    """Entry `index` of a table of int64."""
    return load(b, b.add(table, long(8 * index)), LONG)


def splat(b: Builder, scalar: Value, lanes: int) -> Value:
    """A vector of one scalar."""
    kind = vector(scalar.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    one = b.insert_element(undefined, scalar, ir.Constant(WORD, 0))
    return b.shuffle_vector(one, undefined, ir.Constant(vector(WORD, lanes), [0] * lanes))


def clamp(b: Builder, x: Value, low: Value, high: Value) -> Value:
    """Signed, lane by lane."""
    x = b.select(b.icmp_signed("<", x, low), low, x)
    return b.select(b.icmp_signed(">", x, high), high, x)


def resize(b: Builder, x: Value, element: Any) -> Value:
    """Lanes of another width: cut off, or extended by their sign."""
    kind = vector(element, x.type.count)
    if element.width < x.type.element.width:
        return b.trunc(x, kind)
    if element.width == x.type.element.width:
        return x
    return b.sext(x, kind)


def below(b: Builder, count: Value, lanes: int) -> Value:
    """A mask of the first `count` lanes."""
    each = ir.Constant(vector(LONG, lanes), list(range(lanes)))
    return b.icmp_signed("<", each, splat(b, count, lanes))


def load_words(
    b: Builder, code: Value, address: Value, element: Any, lanes: int, mask: Value | None
) -> Value:
    """`lanes` stored words of a code as lanes of `element`; those that are masked out are zero."""
    return load_row(b, code, address, element, lanes, [mask])[0]


def load_row(
    b: Builder,
    code: Value,
    address: Value,
    element: Any,
    lanes: int,
    masks: Sequence[Value | None],
) -> list[Value]:
    """The same for so many vectors that lie behind each other."""

    def case(code: int) -> list[Value]:
        kind = vector(_ELEMENTS[code], lanes)
        found = []
        for j, mask in enumerate(masks):
            at = b.add(address, long(j * lanes << code))
            words = load(b, at, kind) if mask is None else _masked_load(b, at, kind, mask)
            found.append(resize(b, words, element))
        return found

    return list(switch(b, code, [partial(case, c) for c in reachable(element)]))


def store_words(b: Builder, code: Value, x: Value, address: Value, mask: Value | None) -> None:
    """Lanes as stored words of a code, which holds them all."""
    store_row(b, code, [x], address, [mask])


def store_row(
    b: Builder,
    code: Value,
    row: Sequence[Value],
    address: Value,
    masks: Sequence[Value | None],
) -> None:
    """The same for vectors, one behind the other."""

    def case(code: int) -> None:
        for j, (x, mask) in enumerate(zip(row, masks, strict=True)):
            words = resize(b, x, _ELEMENTS[code])
            at = b.add(address, long(j * x.type.count << code))
            if mask is None:
                store(b, words, at)
            else:
                _masked_store(b, words, at, mask)

    switch(b, code, [partial(case, c) for c in reachable(row[0].type.element)])


def reachable(element: Any) -> range:
    """The codes that lanes of a width are ever loaded from or stored to: no wider ones."""
    return range(1 + max(c for c, kind in enumerate(_ELEMENTS) if kind.width <= element.width))


def switch(b: Builder, code: Value, cases: Sequence[Callable[[], Any]]) -> Any:
    """What `cases[code]()` gives, a value, a list of values or None.

    The last one stands for all codes from there on.
    """
    done = b.append_basic_block("switched")
    found = []
    for number, case in enumerate(cases):
        if number < len(cases) - 1:
            here, other = b.append_basic_block("case"), b.append_basic_block("other")
            b.cbranch(b.icmp_signed("==", code, long(number)), here, other)
            b.position_at_end(here)
        found.append((case(), b.block))
        b.branch(done)
        if number < len(cases) - 1:
            b.position_at_end(other)
    b.position_at_end(done)
    blocks = [block for _, block in found]
    match found[0][0]:
        case None:
            return None
        case list():
            columns = zip(*(values for values, _ in found), strict=True)
            return [_merged(b, column, blocks) for column in columns]
        case _:
            return _merged(b, [value for value, _ in found], blocks)


def _merged(b: Builder, values: Sequence[Value], blocks: Sequence[Any]) -> Value:
    phi = b.phi(values[0].type)
    for value, block in zip(values, blocks, strict=True):
        phi.add_incoming(value, block)
    return phi


def either(
    b: Builder, condition: Value, then: Callable[[], Any], otherwise: Callable[[], Any]
) -> Any:
    """`then()` if the int64 `condition` is not 0, else `otherwise()`."""
    wanted = b.select(b.icmp_signed("!=", condition, long(0)), long(0), long(1))
    return switch(b, wanted, [then, otherwise])


def repeat(
    b: Builder,
    count: Value,
    state: Sequence[Value],
    body: Callable[[Value, list[Value]], Sequence[Value]],
) -> list[Value]:
    """`for i in range(count): state = body(i, state)`; returns the last state."""
    before = b.block
    head, inside, after = (b.append_basic_block(name) for name in ("head", "body", "after"))
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(LONG)
    index.add_incoming(long(0), before)
    carried = []
    for value in state:
        phi = b.phi(value.type)
        phi.add_incoming(value, before)
        carried.append(phi)
    b.cbranch(b.icmp_signed("<", index, count), inside, after)
    b.position_at_end(inside)
    changed = body(index, carried)
    index.add_incoming(b.add(index, long(1)), b.block)
    for phi, value in zip(carried, changed, strict=True):
        phi.add_incoming(value, b.block)
    b.branch(head)
    b.position_at_end(after)
    return carried


def until_zero(
    b: Builder, state: Sequence[Value], body: Callable[[list[Value]], tuple[Value, list[Value]]]
) -> list[Value]:
    """`do: more, state = body(state); while more != 0`.

    The compiler can't know how often, so it doesn't unroll: for a few rounds that costs more.
    """
    before = b.block
    head, after = b.append_basic_block("do"), b.append_basic_block("done")
    b.branch(head)
    b.position_at_end(head)
    carried = []
    for value in state:
        phi = b.phi(value.type)
        phi.add_incoming(value, before)
        carried.append(phi)
    more, changed = body(carried)
    for phi, value in zip(carried, changed, strict=True):
        phi.add_incoming(value, b.block)
    b.cbranch(b.icmp_signed("!=", more, long(0)), head, after)
    b.position_at_end(after)
    return list(changed)


def intrinsic_function(b: Builder, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """An LLVM intrinsic of this module."""
    known = b.module.globals.get(name)
    kind = ir.FunctionType(result, list(arguments))
    return ir.Function(b.module, kind, name) if known is None else known


def _masked_load(b: Builder, address: Value, kind: Any, mask: Value) -> Value:
    pointer = b.inttoptr(address, kind.as_pointer())
    name = f"llvm.masked.load.v{kind.count}i{kind.element.width}.p0"
    types = [pointer.type, WORD, mask.type, kind]
    f = intrinsic_function(b, name, kind, types)
    return b.call(f, [pointer, ir.Constant(WORD, 1), mask, ir.Constant(kind, None)])


def _masked_store(b: Builder, words: Value, address: Value, mask: Value) -> None:
    pointer = b.inttoptr(address, words.type.as_pointer())
    name = f"llvm.masked.store.v{words.type.count}i{words.type.element.width}.p0"
    types = [words.type, pointer.type, WORD, mask.type]
    f = intrinsic_function(b, name, ir.VoidType(), types)
    b.call(f, [words, pointer, ir.Constant(WORD, 1), mask])
