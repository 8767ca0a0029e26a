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

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.core.ccallback import CFunc

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile on first use, per combination of dtypes, and keep the code on disk."""
    compiled = numba.njit(cache=True, nogil=True)(function)
    _stamp(compiled)
    return cast(Function, compiled)


@cache
def address_of(function: Callable[[int, int, int], None]) -> int:
    """The machine address of a module-level function of three int64, compiled or from the disk.

    Called by address, big kernels are compiled once, each for itself, and only those that are used.
    """
    signature = types.void(types.int64, types.int64, types.int64)
    compiled = CFunc(function, (signature.args, signature.return_type), {}, {"nogil": True})
    compiled.enable_caching()
    _stamp(compiled)
    compiled.compile()
    _kept.append(compiled)
    assert compiled.address is not None
    return compiled.address


_kept: list[Any] = []  # code lives as long as the object that owns it


def _stamp(compiled: Any) -> None:
    """Let code on the disk be as old as the newest source that can be in it.

    numba compares the file of the function alone, but kernels call others and have code emitted by
    others. Without a writable place for it there is no such file, and nothing to stamp.
    """
    file = getattr(compiled._cache, "_cache_file", None)
    if file is not None:
        file._source_stamp = _sources()


@cache
def _sources() -> str:
    """A hash of all that takes part in the generation of kernels."""
    folder = Path(__file__).parent
    found = hashlib.sha256()
    for path in sorted((*folder.glob("*.py"), folder.parent / "elementary.py")):
        found.update(path.read_bytes())
    return found.hexdigest()
