"""How a kernel is compiled, and the conventions all kernels keep.

Kernels are module-level functions (numba's disk cache never finds closures), release the GIL and
spawn no threads. Arrays are C-contiguous, frames `(T, V, C)` with the channels innermost; pointwise
kernels see a frame flat, `(T, V * C)`.

Sums and products are taken modulo the width of the result's dtype, which is wide enough for every
value the result can have (`fxp.ranges`). Wrapping on the way there is therefore harmless, in
whatever order the terms come, and constants may be reduced modulo that width beforehand.
`t = y.dtype.type` followed by `t(...)` keeps numba from widening 32-bit arithmetic to 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba
from numba import types

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile on first use, per combination of dtypes, and keep the code on disk."""
    return cast(Function, numba.njit(cache=True, nogil=True)(function))


@cache
def address_of(function: Callable[[int, int, int], None]) -> int:
    """The machine address of a module-level function of three int64, compiled or from the disk.

    Called by address, big kernels are compiled once, each for itself, and only those that are used.
    """
    signature = types.void(types.int64, types.int64, types.int64)
    compiled = numba.cfunc(signature, cache=True)(function)
    _kept.append(compiled)
    return int(compiled.address)


_kept: list[Any] = []  # code lives as long as the object that owns it
