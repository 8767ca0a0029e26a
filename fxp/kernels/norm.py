"""Work that divides: the layer norm of a frame, the softmax of each joint."""

from __future__ import annotations

import numpy as np

from fxp.elementary import LEAST_MANTISSA, MANTISSA_BITS, ROOT_BITS
from fxp.ir import IntArray
from fxp.kernels.jit import kernel


@kernel
def layer_norm(
    x: IntArray, epsilon: int, seeds: IntArray, newton_steps: int, frac_bits: int, y: IntArray
) -> None:
    """`y = (N * x - S0) / sqrt(N * S1 - S0**2 + epsilon)` frame by frame, as `fxp.elementary` does.

    All sums are int64, whatever the dtypes of x and y. Shapes: x and y (T, N), seeds (3 * 2**j,).
    """
    frames, size = x.shape
    per_seed = 3 * LEAST_MANTISSA // len(seeds)
    for f in range(frames):
        row, out = x[f], y[f]
        total = squares = 0
        for i in range(size):
            word = int(row[i])
            total += word
            squares += word * word
        variance = size * squares - total * total + epsilon
        if variance == 0:
            out[:] = 0
            continue
        k = (_bit_length(variance) + 1) // 2
        shift = 2 * k - MANTISSA_BITS
        mantissa = variance >> shift if shift > 0 else variance << -shift
        root = seeds[(mantissa - LEAST_MANTISSA) // per_seed]
        for _ in range(newton_steps):
            product = (mantissa * ((root * root) >> ROOT_BITS)) >> MANTISSA_BITS
            root = (root * ((3 << ROOT_BITS) - product)) >> (ROOT_BITS + 1)
        drop = ROOT_BITS + k - frac_bits
        half = 1 << (drop - 1)
        for i in range(size):
            out[i] = ((size * int(row[i]) - total) * root + half) >> drop


@kernel
def softmax(
    x: IntArray, coarse: IntArray, fine: IntArray, exp_bits: int, frac_bits: int, y: IntArray
) -> None:
    """`y = floor((e << frac_bits) / sum(e))` over channels, e as `fxp.elementary.exponential`.

    Shapes: x and y (T, V, C), coarse (n,), fine (2**j,).
    """
    frames, joints, channels = x.shape
    last, mask, half = len(coarse) - 1, len(fine) - 1, 1 << (exp_bits - 1)
    bits = _bit_length(len(fine)) - 1
    powers = np.empty(channels, np.int64)
    for f in range(frames):
        for v in range(joints):
            row, out = x[f, v], y[f, v]
            top = int(row[0])
            for c in range(1, channels):
                top = max(top, int(row[c]))
            total = 0
            for c in range(channels):
                below = top - int(row[c])
                product = coarse[min(below >> bits, last)] * fine[below & mask]
                powers[c] = (product + half) >> exp_bits
                total += powers[c]
            for c in range(channels):
                out[c] = (powers[c] << frac_bits) // total


@kernel
def _bit_length(number: int) -> int:
    """Bits of a positive number."""
    length = 0
    for step in (32, 16, 8, 4, 2, 1):
        if number >> step:
            number >>= step
            length += step
    return length + 1
