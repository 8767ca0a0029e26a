"""Work over all words of a frame: the layer norm."""

from __future__ import annotations

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
def _bit_length(number: int) -> int:
    """Bits of a positive number."""
    length = 0
    for step in (32, 16, 8, 4, 2, 1):
        if number >> step:
            number >>= step
            length += step
    return length + 1
