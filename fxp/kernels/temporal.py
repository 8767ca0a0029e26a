"""Work across frames: running sum, temporal convolution, delay. Each keeps a ring of frames.

A ring of depth D holds the last D frames a node has read; frame s is in slot `s % D`, and slots not
yet written are zero, as frames before the clip are. `seen` is the number of frames read before.
"""

from __future__ import annotations

from fxp.ir import IntArray
from fxp.kernels.conv import multiply_add
from fxp.kernels.jit import kernel


@kernel
def temporal_sum(x: IntArray, seen: int, fifo: IntArray, total: IntArray, y: IntArray) -> None:
    """`total[phase] += x_t - x_{t - window * dilation}`, `y_t = total[phase]`.

    The phase is `t % dilation`. Shapes: x and y (T, F); fifo (window * dilation, F);
    total (dilation, F).
    """
    t = y.dtype.type
    depth, size = fifo.shape
    dilation = total.shape[0]
    slot, phase = seen % depth, seen % dilation
    for f in range(x.shape[0]):
        new, old, acc, out = x[f], fifo[slot], total[phase], y[f]
        for i in range(size):
            value = t(acc[i] + t(new[i]) - t(old[i]))
            old[i] = new[i]
            acc[i] = value
            out[i] = value
        slot = slot + 1 if slot + 1 < depth else 0
        phase = phase + 1 if phase + 1 < dilation else 0


@kernel
def temporal_conv(
    x: IntArray,
    flush: int,
    seen: int,
    lookahead: int,
    stride: int,
    dilation: int,
    ring: IntArray,
    weight: IntArray,
    bias: IntArray,
    y: IntArray,
) -> None:
    """The frames a temporal convolution can complete when it reads x and then `flush` zero frames.

    Reading frame s completes output `(s - lookahead) / stride` where that is whole. Shapes: x
    (T, V, Cin); ring ((taps - 1) * dilation + 1, V, Cin); weight (taps, Cin, Cout); bias (Cout,);
    y (outputs, V, Cout) with as many outputs as are completed.
    """
    depth, taps = ring.shape[0], weight.shape[0]
    first = (max(seen - lookahead, 0) + stride - 1) // stride
    for f in range(x.shape[0] + flush):
        s = seen + f
        if f < x.shape[0]:
            ring[s % depth] = x[f]
        else:
            ring[s % depth] = 0
        if s < lookahead or (s - lookahead) % stride:
            continue
        out = y[(s - lookahead) // stride - first]
        out[:] = bias
        for k in range(taps):
            slot = (s - (taps - 1 - k) * dilation) % depth
            multiply_add(ring[slot], weight[k], out)


@kernel
def clip_mean(x: IntArray, frames: int, shift: int, total: IntArray, y: IntArray) -> None:
    """`total += x`; if y has a frame, it is `total * 2**shift / frames`, half up.

    Shapes: x (T, F), total (1, F) int64, y (0 or 1, F).
    """
    for f in range(x.shape[0]):
        for i in range(x.shape[1]):
            total[0, i] += x[f, i]
    for i in range(y.shape[1] * y.shape[0]):
        y[0, i] = (2 * (total[0, i] << shift) + frames) // (2 * frames)


@kernel
def delay(x: IntArray, seen: int, first: int, ring: IntArray, y: IntArray) -> None:
    """The frames from `first` on of a value whose new frames x, from `seen` on, are there early.

    Shapes: x (T, F); ring (depth, F), depth at least `seen - first`; y (outputs, F).
    """
    depth = ring.shape[0]
    for i in range(y.shape[0]):
        frame = first + i
        if frame < seen:
            y[i] = ring[frame % depth]
        else:
            y[i] = x[frame - seen]
    for f in range(x.shape[0]):
        ring[(seen + f) % depth] = x[f]
