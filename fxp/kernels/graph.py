"""Work across the joints of a frame: the product with the adjacency, and the mean."""

from __future__ import annotations

from fxp.ir import IntArray
from fxp.kernels.jit import kernel


@kernel
def graph_product(
    x: IntArray, first: IntArray, source: IntArray, factor: IntArray, y: IntArray
) -> None:
    """`y[t, w] = sum_e factor[e] * x[t, source[e] : source[e] + C]` over the edges into w.

    Args:
        x: flat frames (T, V * P * C).
        first: (V + 1,): edges `first[w]..first[w + 1]` go into joint w.
        source: (E,): where in a frame the C operands of edge e start.
        factor: (E,): its adjacency entry, in units of the accumulator.
        y: (T, V, C).
    """
    t = y.dtype.type
    frames, joints, channels = y.shape
    for f in range(frames):
        frame = x[f]
        for w in range(joints):
            row = y[f, w]
            row[:] = 0
            edge, last = first[w], first[w + 1]
            while edge + 1 < last:  # two edges for each load and store of the sums
                a = frame[source[edge] : source[edge] + channels]
                b = frame[source[edge + 1] : source[edge + 1] + channels]
                p, q = factor[edge], factor[edge + 1]
                for c in range(channels):
                    row[c] = t(row[c] + p * t(a[c]) + q * t(b[c]))
                edge += 2
            if edge < last:
                a, p = frame[source[edge] : source[edge] + channels], factor[edge]
                for c in range(channels):
                    row[c] = t(row[c] + p * t(a[c]))


@kernel
def joint_mean(x: IntArray, multiplier: int, y: IntArray) -> None:
    """`y[t, 0, c] = multiplier * sum_v x[t, v, c]`, shapes (T, V, C) and (T, 1, C)."""
    t = y.dtype.type
    factor = t(multiplier)
    frames, joints, channels = x.shape
    for f in range(frames):
        row = y[f, 0]
        row[:] = 0
        for v in range(joints):
            for c in range(channels):
                row[c] = t(row[c] + t(x[f, v, c]))
        for c in range(channels):
            row[c] = t(row[c] * factor)
