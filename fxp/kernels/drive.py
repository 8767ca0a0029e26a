"""The compiled loop over a plan's records: one call for any number of frames, no allocation.

A record is a row of int64: a head, which says what to do and for how many frames, and the table of
the kernel that does it (`fxp.kernels.rows`, `fxp.kernels.products`). How many frames a value has
follows from the clip's alone (`fxp.ir.complete_frames`).
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from fxp.ir import IntArray
from fxp.kernels.jit import kernel
from fxp.kernels.tables import HEAD, RECORD, Head, Op, Product
from fxp.kernels.vector import (
    BYTE,
    LONG,
    Builder,
    Value,
    emitted,
    intrinsic_function,
    load,
    store,
    switch,
)

# Of what numba compiles, the enumerations' values: an array takes no member of one as an index
(
    _OP,
    _X_PERIOD,
    _X_LOOKAHEAD,
    _OUT_PERIOD,
    _OUT_LOOKAHEAD,
    _X,
    _FRAME,
    _OUT,
    _JOINTS,
    _CHANNELS,
    _TAPS,
    _DILATION,
    _LOOKAHEAD,
    _STRIDE,
    _ADDRESSES,
    _BIAS,
    _RING,
    _SLOTS,
    _CODE,
    _LEFT,
    _OUT_CODE,
    _SECOND,
    _KERNEL,
) = (int(entry) for entry in Head)
_ROWS, _PRODUCT, _TAPS_OP, _DELAY, _PICK = (int(op) for op in Op)
_OUT_ADDRESS, _OUT_ITEM, _SECOND_ADDRESS, _SECOND_ITEM = (
    int(entry) for entry in (Product.OUT, Product.OUT_ITEM, Product.SECOND, Product.SECOND_ITEM)
)
_INT64 = 3  # the code of a word of 64 bits


@kernel
def drive(records: IntArray, first: int, last: int, before: int, count: int, ended: bool) -> None:
    """Run records `first..last` for `count` more frames of the clip after `before` frames.

    `ended` says that none will follow. Shape: records (n, RECORD).
    """
    base = records.ctypes.data
    for i in range(first, last):
        head = records[i]
        seen = complete(head[_OUT_PERIOD], head[_OUT_LOOKAHEAD], before, False)
        frames = complete(head[_OUT_PERIOD], head[_OUT_LOOKAHEAD], before + count, ended) - seen
        table = base + 8 * (i * RECORD + HEAD)
        op = head[_OP]
        if op == _ROWS:
            call(head[_KERNEL], table, frames, seen)
        elif op == _PRODUCT:
            if head[_BIAS]:
                _fill(head, frames)
            store_word(head[_ADDRESSES], _INT64, head[_X])
            call(head[_KERNEL], table, head[_ADDRESSES], frames * head[_JOINTS])
        elif op == _PICK:
            _pick(head, frames)
        else:
            there = complete(head[_X_PERIOD], head[_X_LOOKAHEAD], before, False)
            new = complete(head[_X_PERIOD], head[_X_LOOKAHEAD], before + count, ended) - there
            if op == _TAPS_OP:
                _taps(head, table, there, new, seen, frames, ended)
            else:
                _delay(head, there, new, seen, frames)


@kernel
def complete(period: int, lookahead: int, seen: int, ended: bool) -> int:
    """`fxp.ir.complete_frames`."""
    if period == 0:
        return 1 if ended and seen > 0 else 0
    late = 0 if ended else lookahead
    return max(0, (seen - late + period - 1) // period)


@kernel
def _fill(head: IntArray, frames: int) -> None:
    """Start every row of an int64 result with the bias."""
    size = 8 * head[_CHANNELS]
    for row in range(frames * head[_JOINTS]):
        copy_bytes(head[_OUT] + row * size, head[_BIAS], size)


@kernel
def _taps(
    head: IntArray, table: int, there: int, new: int, seen: int, outputs: int, ended: bool
) -> None:
    """A temporal convolution reads `new` frames, and zeros after the last of a clip that ended.

    The ring holds more frames than the taps reach back, so frames come in pieces of what is left.
    """
    taps, dilation, lookahead, stride = (
        head[_TAPS],
        head[_DILATION],
        head[_LOOKAHEAD],
        head[_STRIDE],
    )
    slots, size = head[_SLOTS], head[_FRAME]
    zeros = 0
    if ended and outputs > 0:
        zeros = max(0, (seen + outputs - 1) * stride + lookahead - (there + new - 1))
    piece = slots - (taps - 1) * dilation
    made = fed = 0
    while fed < new + zeros:
        some = min(piece, new + zeros - fed)
        for f in range(fed, fed + some):
            slot = head[_RING] + (there + f) % slots * size
            if f < new:
                copy_bytes(slot, head[_X] + f * size, size)
            else:
                clear_bytes(slot, size)
        fed += some
        while made < outputs:
            newest = (seen + made) * stride + lookahead
            if newest >= there + fed:
                break
            run = _run_length(head, newest, there + fed) if stride == 1 else 1
            run = min(run, outputs - made)
            for k in range(taps):
                slot = (newest - (taps - 1 - k) * dilation) % slots
                store_word(head[_ADDRESSES] + 8 * k, _INT64, head[_RING] + slot * size)
            _moved(head, table, made)
            call(head[_KERNEL], table, head[_ADDRESSES], run * head[_JOINTS])
            made += run
    _moved(head, table, 0)


@kernel
def _run_length(head: IntArray, newest: int, known: int) -> int:
    """How many results in a row find the frames of every tap in a row."""
    run = known - newest
    for k in range(head[_TAPS]):
        slot = (newest - (head[_TAPS] - 1 - k) * head[_DILATION]) % head[_SLOTS]
        run = min(run, head[_SLOTS] - slot)
    return run


@kernel
def _moved(head: IntArray, table: int, frame: int) -> None:
    """Let a product write from this frame of its results on.

    Its table has the addresses of its results, and the bytes of their words.
    """
    words = frame * head[_JOINTS] * head[_CHANNELS]
    store_word(
        table + 8 * _OUT_ADDRESS,
        _INT64,
        head[_OUT] + words * load_word(table + 8 * _OUT_ITEM, _INT64),
    )
    if head[_SECOND]:
        store_word(
            table + 8 * _SECOND_ADDRESS,
            _INT64,
            head[_SECOND] + words * load_word(table + 8 * _SECOND_ITEM, _INT64),
        )


@kernel
def _delay(head: IntArray, there: int, new: int, first: int, frames: int) -> None:
    """As `fxp.kernels.temporal.delay`."""
    size, ring, depth = head[_FRAME], head[_RING], head[_SLOTS]
    for i in range(frames):
        frame = first + i
        known = ring + frame % depth * size
        source = known if frame < there else head[_X] + (frame - there) * size
        copy_bytes(head[_OUT] + i * size, source, size)
    for f in range(new):
        copy_bytes(ring + (there + f) % depth * size, head[_X] + f * size, size)


@kernel
def _pick(head: IntArray, frames: int) -> None:
    """As `fxp.kernels.pointwise.argmax`."""
    channels, code, left = head[_CHANNELS], head[_CODE], head[_LEFT]
    for row in range(frames * head[_JOINTS]):
        at = head[_X] + row * channels * (1 << code)
        best = 0
        for c in range(1, channels):
            a, b = load_word(at + (c << code), code), load_word(at + (best << code), code)
            more = load_word(left + 8 * c, _INT64) - load_word(left + 8 * best, _INT64)
            up, down = min(max(more, 0), 63), min(max(-more, 0), 63)
            if (a > b >> up) if more >= 0 else (a - 1 >> down >= b):
                best = c
        store_word(head[_OUT] + row * (1 << head[_OUT_CODE]), head[_OUT_CODE], best)


def _call(b: Builder, address: Value, *arguments: Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [LONG] * len(arguments))
    b.call(b.inttoptr(address, kind.as_pointer()), arguments)


def _load_word(b: Builder, address: Value, code: Value) -> Value:
    def case(bits: int) -> Value:
        word = load(b, address, ir.IntType(bits))
        return word if bits == 64 else b.sext(word, LONG)

    return switch(b, code, [partial(case, bits) for bits in _WORD_BITS])


def _store_word(b: Builder, address: Value, code: Value, word: Value) -> None:
    def case(bits: int) -> None:
        store(b, word if bits == 64 else b.trunc(word, ir.IntType(bits)), address)

    switch(b, code, [partial(case, bits) for bits in _WORD_BITS])


def _copy_bytes(b: Builder, target: Value, source: Value, size: Value) -> None:
    pointer, flag = BYTE.as_pointer(), ir.IntType(1)
    kinds = [pointer, pointer, LONG, flag]
    f = intrinsic_function(b, "llvm.memcpy.p0.p0.i64", ir.VoidType(), kinds)
    ends = [b.inttoptr(address, pointer) for address in (target, source)]
    b.call(f, [*ends, size, ir.Constant(flag, 0)])


def _clear_bytes(b: Builder, target: Value, size: Value) -> None:
    pointer, flag = BYTE.as_pointer(), ir.IntType(1)
    kinds = [pointer, BYTE, LONG, flag]
    f = intrinsic_function(b, "llvm.memset.p0.i64", ir.VoidType(), kinds)
    zero, no = ir.Constant(BYTE, 0), ir.Constant(flag, 0)
    b.call(f, [b.inttoptr(target, pointer), zero, size, no])


_WORD_BITS = (8, 16, 32, 64)  # of a stored word of each code
# call(address, a, b, c): the kernel at an address (`fxp.kernels.jit.address_of`)
call = emitted(_call, 4)
# load_word(address, code), store_word(address, code, word): a stored word, as int64
load_word = emitted(_load_word, 2, gives=True)
store_word = emitted(_store_word, 3)
# copy_bytes(target, source, size), which do not overlap; clear_bytes(target, size)
copy_bytes = emitted(_copy_bytes, 3)
clear_bytes = emitted(_clear_bytes, 2)
