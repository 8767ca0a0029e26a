"""Matrix product of joints by channels: the 1x1 convolution, and each tap of a temporal one."""

from __future__ import annotations

from fxp.ir import IntArray
from fxp.kernels.jit import kernel


@kernel
def multiply_add(x: IntArray, weight: IntArray, y: IntArray) -> None:
    """`y[r, o] += sum_i x[r, i] * weight[i, o]`, shapes (R, Cin), (Cin, Cout), (R, Cout).

    Two rows by four inputs at a time: each weight and each partial sum is loaded once for eight
    products, and the innermost loop runs over the contiguous output channels.
    """
    t = y.dtype.type
    rows, inputs = x.shape
    outputs = y.shape[1]
    paired = rows - rows % 2
    blocked = inputs - inputs % 4
    for r in range(0, paired, 2):
        for i in range(0, blocked, 4):
            a0, a1, a2, a3 = t(x[r, i]), t(x[r, i + 1]), t(x[r, i + 2]), t(x[r, i + 3])
            b0, b1 = t(x[r + 1, i]), t(x[r + 1, i + 1])
            b2, b3 = t(x[r + 1, i + 2]), t(x[r + 1, i + 3])
            for o in range(outputs):
                w0, w1, w2, w3 = weight[i, o], weight[i + 1, o], weight[i + 2, o], weight[i + 3, o]
                y[r, o] = t(y[r, o] + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3)
                y[r + 1, o] = t(y[r + 1, o] + b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3)
        for i in range(blocked, inputs):
            a0, b0 = t(x[r, i]), t(x[r + 1, i])
            for o in range(outputs):
                w0 = weight[i, o]
                y[r, o] = t(y[r, o] + a0 * w0)
                y[r + 1, o] = t(y[r + 1, o] + b0 * w0)
    for r in range(paired, rows):
        for i in range(inputs):
            a0 = t(x[r, i])
            for o in range(outputs):
                y[r, o] = t(y[r, o] + a0 * weight[i, o])


@kernel
def conv(x: IntArray, weight: IntArray, bias: IntArray, y: IntArray) -> None:
    """`y = bias + x @ weight`, shapes (R, Cin), (Cin, Cout), (Cout,), (R, Cout)."""
    y[:] = bias
    multiply_add(x, weight, y)
