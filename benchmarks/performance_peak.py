"""What the processor's multipliers can do at most: kernels that do nothing else.

Twenty independent sums stay in registers, as in a tile of `fxp.kernels.products`; a round
multiplies into each of them once. No memory is touched: only the multipliers limit them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numba
import numpy as np
from llvmlite import ir

from benchmarks.performance_names import FLOAT32, INT8, INT16
from fxp.fused.tiers import Tier, machine_tiers
from fxp.ir import IntArray
from fxp.kernels.vector import (
    WORD,
    Builder,
    Value,
    emitted,
    intrinsic_function,
    load,
    long,
    offset,
    repeat,
    store,
    vector,
)

SUMS = 20
LANES = 16
FLOAT = ir.FloatType()
MACS = {INT8: 4 * LANES, INT16: 2 * LANES, FLOAT32: LANES}  # of one instruction


def _dots(name: str, b: Builder, acc: Value, x: Value, w: Value) -> Value:
    kind = vector(WORD, LANES)
    return b.call(intrinsic_function(b, name, kind, [kind] * 3), [acc, x, w])


def _fused(b: Builder, acc: Value, x: Value, w: Value) -> Value:
    kind = vector(FLOAT, LANES)
    return b.call(intrinsic_function(b, "llvm.fma.v16f32", kind, [kind] * 3), [x, w, acc])


def _emit(
    element: Value,
    multiply: Callable[[Builder, Value, Value, Value], Value],
    b: Builder,
    operands: Value,
    sums: Value,
    rounds: Value,
) -> None:
    """Operands: two vectors at an address; sums: 20 vectors at another, which are added to."""
    kind = vector(element, LANES)
    x, w = (load(b, offset(b, operands, long(k), 64), kind) for k in (0, 1))
    places = [offset(b, sums, long(k), 64) for k in range(SUMS)]

    def turn(_: Value, state: list[Value]) -> list[Value]:
        return [multiply(b, acc, x, w) for acc in state]

    last = repeat(b, rounds, [load(b, place, kind) for place in places], turn)
    for place, value in zip(places, last, strict=True):
        store(b, value, place)


def _named(function: Callable[..., None], name: str) -> Callable[..., None]:
    def emit(b: Builder, operands: Value, sums: Value, rounds: Value) -> None:
        function(b, operands, sums, rounds)

    emit.__name__ = emit.__qualname__ = name
    return emit


_by_bytes = partial(_dots, "llvm.x86.avx512.vpdpbusd.512")
_by_halves = partial(_dots, "llvm.x86.avx512.vpdpwssd.512")
_bytes = emitted(_named(partial(_emit, WORD, _by_bytes), "peak_bytes"), 3)
_halves = emitted(_named(partial(_emit, WORD, _by_halves), "peak_halves"), 3)
_floats = emitted(_named(partial(_emit, FLOAT, _fused), "peak_floats"), 3)


@numba.njit(nogil=True)
def _run_bytes(operands: int, sums: int, rounds: int) -> None:
    _bytes(operands, sums, rounds)


@numba.njit(nogil=True)
def _run_halves(operands: int, sums: int, rounds: int) -> None:
    _halves(operands, sums, rounds)


@numba.njit(nogil=True)
def _run_floats(operands: int, sums: int, rounds: int) -> None:
    _floats(operands, sums, rounds)


def peaks() -> dict[str, Callable[[int], IntArray]]:
    """Kernels that this processor can run; each takes rounds and returns its sums as raw words.

    A round is `SUMS * MACS[name]` multiply-accumulates of ones.
    """
    found = {FLOAT32: _run_floats}
    if Tier.INT8 in machine_tiers():
        found = {INT8: _run_bytes, INT16: _run_halves, **found}
    return {name: partial(_called, name, kernel) for name, kernel in found.items()}


def _called(name: str, kernel: Callable[[int, int, int], None], rounds: int) -> IntArray:
    kinds = {INT8: np.int8, INT16: np.int16, FLOAT32: np.float32}
    ones = np.ones(2 * 64 // np.dtype(kinds[name]).itemsize, kinds[name])
    sums = np.zeros(SUMS * LANES, np.float32 if name == FLOAT32 else np.int32)
    kernel(ones.ctypes.data, sums.ctypes.data, rounds)
    return sums.astype(np.int64)
