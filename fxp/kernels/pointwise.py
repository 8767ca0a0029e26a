"""Work word by word: casts, affine, addition, argmax.

Constants are given per position of a frame, `(V * C,)`, or as one entry for all.
"""

from __future__ import annotations

from fxp.ir import IntArray
from fxp.kernels.jit import kernel


@kernel
def round_saturate(
    x: IntArray, offset: IntArray, shift: IntArray, low: IntArray, high: IntArray, y: IntArray
) -> None:
    """`y = clamp((x + offset) >> shift, low, high)`: the casts that need nothing more.

    The arithmetic is as wide as `offset`'s dtype. Shapes: x and y (T, F); the others (F,) or (1,).
    """
    t = offset.dtype.type
    frames, size = x.shape
    mask = 8 * offset.itemsize - 1  # tells the compiler that no shift is oversized
    if offset.size == 1:
        one_offset, one_shift, one_low, one_high = offset[0], shift[0] & mask, low[0], high[0]
        for f in range(frames):
            row, out = x[f], y[f]
            for i in range(size):
                word = t(t(t(row[i]) + one_offset) >> one_shift)
                out[i] = min(max(word, one_low), one_high)
    else:
        for f in range(frames):
            row, out = x[f], y[f]
            for i in range(size):
                word = t(t(t(row[i]) + offset[i]) >> (shift[i] & mask))
                out[i] = min(max(word, low[i]), high[i])


@kernel
def cast_saturate(
    x: IntArray,
    offset: IntArray,
    negative: IntArray,
    odd: IntArray,
    shift: IntArray,
    left: IntArray,
    low: IntArray,
    high: IntArray,
    bounds: IntArray,
    y: IntArray,
) -> None:
    """Any rounding and any shift, with an overflow that replaces words out of range.

    `r = (x + offset + (negative where x < 0) + (odd where x >> shift is odd)) >> shift`, then
    `y = r << left` if `low <= r <= high`, else `bounds[0]` below and `bounds[1]` above, and never
    less than `bounds[2]` (the ReLU). All int64; shapes as in `round_saturate`, bounds (3,).
    """
    under, over, floor = bounds
    frames, size = x.shape
    step = 0 if offset.size == 1 else 1
    for f in range(frames):
        row, out = x[f], y[f]
        for i in range(size):
            j = i * step
            word = _rounded(row[i], offset[j], negative[j], odd[j], shift[j])
            kept = word << (left[j] & 63)
            clamped = under if word < low[j] else (over if word > high[j] else kept)
            out[i] = max(clamped, floor)


@kernel
def cast_wrap(
    x: IntArray,
    offset: IntArray,
    negative: IntArray,
    odd: IntArray,
    shift: IntArray,
    left: IntArray,
    bounds: IntArray,
    y: IntArray,
) -> None:
    """As `cast_saturate`, but what overflows keeps its low bits.

    `bounds` holds the format's lowest word, a mask of its width, and the floor of the ReLU.
    """
    lowest, mask, floor = bounds
    frames, size = x.shape
    step = 0 if offset.size == 1 else 1
    for f in range(frames):
        row, out = x[f], y[f]
        for i in range(size):
            j = i * step
            word = _rounded(row[i], offset[j], negative[j], odd[j], shift[j]) << (left[j] & 63)
            out[i] = max(((word - lowest) & mask) + lowest, floor)


@kernel
def _rounded(word: int, offset: int, negative: int, odd: int, shift: int) -> int:
    whole = word >> (shift & 63)
    return (word + offset + ((word >> 63) & negative) + (whole & odd)) >> (shift & 63)


@kernel
def affine(x: IntArray, scale: IntArray, bias: IntArray, y: IntArray) -> None:
    """`y = scale * x + bias`; shapes x and y (T, F), scale and bias (F,)."""
    t = y.dtype.type
    frames, size = x.shape
    for f in range(frames):
        row, out = x[f], y[f]
        for i in range(size):
            out[i] = t(scale[i] * t(row[i]) + bias[i])


@kernel
def add(a: IntArray, b: IntArray, factor_a: IntArray, factor_b: IntArray, y: IntArray) -> None:
    """`y = factor_a * a + factor_b * b`; shapes a, b, y (T, F), the factors (F,)."""
    t = y.dtype.type
    frames, size = y.shape
    for f in range(frames):
        row_a, row_b, out = a[f], b[f], y[f]
        for i in range(size):
            out[i] = t(factor_a[i] * t(row_a[i]) + factor_b[i] * t(row_b[i]))


@kernel
def argmax(x: IntArray, left: IntArray, y: IntArray) -> None:
    """`y[t, v, 0]`: the lowest channel c with the largest `x[t, v, c] * 2**left[c]`.

    Compared without forming the shifted words, which may not fit 64 bits: with d >= 0,
    `a * 2**d > b` exactly if `a > floor(b / 2**d)`, and `a > b * 2**d` exactly if
    `floor((a - 1) / 2**d) >= b`. Shapes x (T, V, C), left (C,), y (T, V, 1).
    """
    frames, joints, channels = x.shape
    for f in range(frames):
        for v in range(joints):
            best = 0
            for c in range(1, channels):
                a, b, more = x[f, v, c], x[f, v, best], left[c] - left[best]
                up, down = min(max(more, 0), 63), min(max(-more, 0), 63)
                if (a > b >> up) if more >= 0 else (a - 1 >> down >= b):
                    best = c
            y[f, v, 0] = best
