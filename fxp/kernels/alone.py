"""Nodes that share no pass, in the compiled loop: 64-bit words in, 64-bit words out.

Each calls the kernel of its node (`fxp.kernels.norm`, `fxp.kernels.pointwise`) on arrays that lie
where its table (`Field`) says.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fxp.ir import IntArray
from fxp.kernels.drive import load_word, store_word
from fxp.kernels.jit import kernel
from fxp.kernels.norm import layer_norm, softmax
from fxp.kernels.pointwise import cast_saturate, cast_wrap
from fxp.kernels.temporal import clip_mean
from fxp.kernels.vector import Builder, Value


class Field(IntEnum):
    """Entries of a table: addresses of int64, and numbers."""

    X = 0
    OUT = 1
    JOINTS = 2
    CHANNELS = 3
    A = 4  # arrays of constants, in the order in which the node's kernel takes them
    A_SIZE = 5
    B = 6
    B_SIZE = 7
    FIRST = 8  # numbers, likewise
    SECOND = 9
    THIRD = 10
    COUNT = 11  # address of how many frames a `ClipMean` has read


_X, _OUT, _JOINTS, _CHANNELS, _A, _A_SIZE, _B, _B_SIZE, _FIRST, _SECOND, _THIRD, _COUNT = (
    int(entry) for entry in Field
)
_INT64 = 3  # code of a stored word


@intrinsic
def _pointer(_context: Any, _address: Any) -> Any:
    def generate(_: Any, b: Builder, _signature: Any, arguments: Any) -> Value:
        return b.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@kernel
def _number(table: int, entry: int) -> int:
    found: int = load_word(table + 8 * entry, _INT64)
    return found


@kernel
def _array(address: int, size: int) -> IntArray:
    return numba.carray(_pointer(address), (size,), np.int64)  # type: ignore[call-arg, attr-defined]


@kernel
def _flat(table: int, entry: int, frames: int) -> IntArray:
    """Frames as rows, (T, V * C)."""
    size = _number(table, _JOINTS) * _number(table, _CHANNELS)
    return _array(_number(table, entry), frames * size).reshape(frames, size)


def layer_norm_alone(table: int, frames: int, _seen: int) -> None:
    """A `LayerNorm`: seeds; epsilon, Newton's steps, fractional bits."""
    layer_norm(
        _flat(table, _X, frames),
        _number(table, _FIRST),
        _array(_number(table, _A), _number(table, _A_SIZE)),
        _number(table, _SECOND),
        _number(table, _THIRD),
        _flat(table, _OUT, frames),
    )


def softmax_alone(table: int, frames: int, _seen: int) -> None:
    """A `Softmax`: coarse and fine table; their fractional bits, those of the result."""
    shape = (frames, _number(table, _JOINTS), _number(table, _CHANNELS))
    softmax(
        _flat(table, _X, frames).reshape(shape),
        _array(_number(table, _A), _number(table, _A_SIZE)),
        _array(_number(table, _B), _number(table, _B_SIZE)),
        _number(table, _FIRST),
        _number(table, _SECOND),
        _flat(table, _OUT, frames).reshape(shape),
    )


def recast_alone(table: int, frames: int, _seen: int) -> None:
    """A `Requantise` of any kind: its constants one after the other, bounds; whether it wraps."""
    size = _number(table, _A_SIZE)
    constants = _array(_number(table, _A), 7 * size).reshape(7, size)
    offset, negative, odd = constants[0], constants[1], constants[2]
    shift, left, low, high = constants[3], constants[4], constants[5], constants[6]
    bounds = _array(_number(table, _B), 3)
    x, y = _flat(table, _X, frames), _flat(table, _OUT, frames)
    if _number(table, _FIRST):
        cast_wrap(x, offset, negative, odd, shift, left, bounds, y)
    else:
        cast_saturate(x, offset, negative, odd, shift, left, low, high, bounds, y)


def clip_sum_alone(table: int, frames: int, seen: int) -> None:
    """The sum of a `ClipMean`, in A, of new frames; and how many there are now."""
    clip_mean(_flat(table, _X, frames), 1, 0, _flat(table, _A, 1), _flat(table, _OUT, 0))
    store_word(_number(table, _COUNT), _INT64, seen + frames)


def clip_mean_alone(table: int, frames: int, _seen: int) -> None:
    """A `ClipMean`, of the sum in A: the shift; one frame at the end of a clip, or none."""
    clip_mean(
        _flat(table, _X, 0),
        load_word(_number(table, _COUNT), _INT64),
        _number(table, _FIRST),
        _flat(table, _A, 1),
        _flat(table, _OUT, frames),
    )
