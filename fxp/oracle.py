"""The definition of the integer network, in plain Python integers (text: docs/arithmetic.md).

One small function per kind of node, written to be read and never to be fast: no array arithmetic,
no running sums, no state. The simulator, the quantisation-aware training and the RTL equal it word
for word. A frame is a list of channels, a channel a list of joints, a clip a list of frames.
"""

from __future__ import annotations

from operator import mul
from typing import TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from fxp.cast import requantise
from fxp.elementary import exponential, layer_norm_word, normalise, reciprocal_root
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    Graph,
    GraphProduct,
    Input,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    operands,
)
from fxp.validate import Value, check_clip, check_length, describe, longest_clip

Frame: TypeAlias = list[list[int]]  # (C, V)
Clip: TypeAlias = list[Frame]  # (T, C, V)


def evaluate(graph: Graph, clip: npt.ArrayLike) -> dict[str, npt.NDArray[np.int64 | np.object_]]:
    """Every value of the graph for a whole clip.

    Args:
        graph: a valid graph; accumulators may have any width here.
        clip: raw input words, integers `(T, C, V)`.

    Returns:
        Name to array `(T, C, V)` of raw values, fewer frames behind strides and means: int64, or
        Python integers (dtype object) where a value does not fit 64 bits.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the clip has another shape, is not made of integers, or a word of it does not
            fit the input format, or it is longer than a `ClipMean` allows.
    """
    about = describe(graph)
    words = check_clip(graph, clip).tolist()
    check_length(graph, len(words), longest_clip(graph))
    clips = {graph.nodes[0].name: words}
    for node in graph.nodes[1:]:
        x = [clips[name] for name in operands(node)]
        clips[node.name] = _evaluate_node(node, x, [about[name] for name in operands(node)])
    return {name: _as_array(value) for name, value in clips.items()}


def _evaluate_node(node: Node, x: list[Clip], about: list[Value]) -> Clip:
    """The clip a node makes of the clips `x` it reads, which `about` describes."""
    if isinstance(node, ClipMean):
        return [frame_of(node, x, about, 0)]
    stride = node.stride if isinstance(node, TemporalConv) else 1
    return [frame_of(node, x, about, t) for t in range(0, len(x[0]), stride)]


def frame_of(node: Node, x: list[Clip], about: list[Value], t: int) -> Frame:
    """The frame a node makes at frame t of the clips `x` it reads; a `ClipMean` makes one."""
    match node:
        case Input():
            raise AssertionError("describe() lets an Input stand in front only")
        case Conv():
            return _conv(node, x[0][t])
        case GraphProduct():
            return _graph_product(node, x[0][t])
        case TemporalSum():
            return _temporal_sum(node, x[0], t)
        case TemporalConv():
            return _temporal_conv(node, x[0], t)
        case Affine():
            return _affine(node, x[0][t])
        case Add():
            return _add(x[0][t], x[1][t], about[0], about[1])
        case Flatten():
            return _flatten(x[0][t])
        case JointMean():
            return [[node.multiplier * sum(row)] for row in x[0][t]]
        case ClipMean():
            return _clip_mean(node, x[0])
        case LayerNorm():
            return _layer_norm(node, x[0][t])
        case Softmax():
            return _softmax(node, x[0][t])
        case Requantise():
            return _requantise(node, x[0][t], about[0])
        case Argmax():
            return _argmax(x[0][t], about[0])
        case _:
            assert_never(node)


def _conv(node: Conv, x: Frame) -> Frame:
    """`y[o][v] = bias[o] + sum_i weight[o][i] * x[i][v]`."""
    columns = _columns(x)  # joint -> its channels
    return [
        [bias + sum(map(mul, row, column)) for column in columns]
        for row, bias in zip(node.weight.raw.tolist(), node.bias.tolist(), strict=True)
    ]


def _graph_product(node: GraphProduct, x: Frame) -> Frame:
    """`y[c][w] = sum_p (sum_v x[p*C + c][v] * adjacency[p][v][w]) << (F_max - F_p)`."""
    adjacency = node.adjacency.raw.tolist()
    partitions = len(adjacency)
    channels = len(x) // partitions
    frac_bits = node.adjacency.frac_bits
    y = [[0] * len(x[0]) for _ in range(channels)]
    for p in range(partitions):
        left = max(frac_bits) - frac_bits[p if len(frac_bits) > 1 else 0]
        columns = _columns(adjacency[p])  # target joint w -> its sources v
        for c in range(channels):
            for w, column in enumerate(columns):
                y[c][w] += sum(map(mul, x[p * channels + c], column)) << left
    return y


def _temporal_sum(node: TemporalSum, x: Clip, t: int) -> Frame:
    """`y_t = sum_{k < window} x_{t - k * dilation}`, frames before the clip being zero."""
    past = [t - k * node.dilation for k in range(node.window)]
    frames = [x[s] for s in past if s >= 0]
    return [
        [sum(frame[c][v] for frame in frames) for v in range(len(x[t][c]))]
        for c in range(len(x[t]))
    ]


def _temporal_conv(node: TemporalConv, x: Clip, t: int) -> Frame:
    """`y_t[o][v] = bias[o] + sum_{i,k} weight[o][i][k] * x_s[i][v]`, s the frame of tap k."""
    weight = node.weight.raw.tolist()
    y = [[bias] * len(x[t][0]) for bias in node.bias.tolist()]
    taps = len(weight[0][0])
    for k in range(taps):
        s = t + node.lookahead - (taps - 1 - k) * node.dilation
        if 0 <= s < len(x):  # frames outside the clip are zero
            columns = _columns(x[s])
            for o, rows in enumerate(weight):
                row = [tap[k] for tap in rows]
                for v, column in enumerate(columns):
                    y[o][v] += sum(map(mul, row, column))
    return y


def _affine(node: Affine, x: Frame) -> Frame:
    """`y[c][v] = scale[c][v] * x[c][v] + bias[c][v]`, a single column standing for all joints."""
    y = []
    for scale, bias, row in zip(node.scale.raw.tolist(), node.bias.tolist(), x, strict=True):
        scales = scale if len(scale) == len(row) else scale * len(row)
        biases = bias if len(bias) == len(row) else bias * len(row)
        y.append([s * word + b for s, word, b in zip(scales, row, biases, strict=True)])
    return y


def _add(a: Frame, b: Frame, about_a: Value, about_b: Value) -> Frame:
    """`y = a + b`, channel by channel at the larger number of fractional bits."""
    y = []
    for c, (row_a, row_b) in enumerate(zip(a, b, strict=True)):
        frac_bits = max(about_a.frac(c), about_b.frac(c))
        left_a, left_b = frac_bits - about_a.frac(c), frac_bits - about_b.frac(c)
        y.append([(i << left_a) + (j << left_b) for i, j in zip(row_a, row_b, strict=True)])
    return y


def _flatten(x: Frame) -> Frame:
    """`y[v * C + c][0] = x[c][v]`."""
    return [[word] for column in _columns(x) for word in column]


def _clip_mean(node: ClipMean, x: Clip) -> Frame:
    """`y[c][v] = sum_t x_t[c][v] * 2**shift / T`, rounded half up."""
    frames = len(x)
    return [
        [
            (2 * (sum(words) << node.shift) + frames) // (2 * frames)
            for words in zip(*rows, strict=True)  # one joint, all frames
        ]
        for rows in zip(*x, strict=True)  # one channel, all frames
    ]


def _layer_norm(node: LayerNorm, x: Frame) -> Frame:
    """`y = (N * x - S0) / sqrt(N * S1 - S0**2 + epsilon)`, the root by table and Newton steps."""
    words = [word for row in x for word in row]
    size, total, squares = len(words), sum(words), sum(word * word for word in words)
    variance = size * squares - total * total + int(node.epsilon[0])
    if variance == 0:  # all words are equal: every numerator is zero
        return [[0] * len(row) for row in x]
    mantissa, k = normalise(variance)
    root = reciprocal_root(mantissa, node.seeds.tolist(), node.newton_steps)
    return [
        [layer_norm_word(size * word - total, root, k, node.frac_bits) for word in row] for row in x
    ]


def _softmax(node: Softmax, x: Frame) -> Frame:
    """`y[c] = floor((e[c] << frac_bits) / sum(e))`, e the exponentials below the largest word."""
    coarse, fine = node.coarse.tolist(), node.fine.tolist()
    columns = []
    for column in _columns(x):
        top = max(column)
        powers = [exponential(top - word, coarse, fine, node.exp_bits) for word in column]
        columns.append([(power << node.frac_bits) // sum(powers) for power in powers])
    return _columns(columns)


def _requantise(node: Requantise, x: Frame, about: Value) -> Frame:
    """Round, overflow, ReLU of every word."""
    return [
        [requantise(word, about.frac(c), node.cast, node.relu) for word in row]
        for c, row in enumerate(x)
    ]


def _argmax(x: Frame, about: Value) -> Frame:
    """`y[0][v]`: the lowest channel whose number (not word) no other exceeds."""
    most = max(about.frac_bits)
    aligned = [[word << (most - about.frac(c)) for word in row] for c, row in enumerate(x)]
    return [[column.index(max(column)) for column in _columns(aligned)]]


def _columns(x: Frame) -> Frame:
    """The transpose."""
    return [list(column) for column in zip(*x, strict=True)]


def _as_array(clip: Clip) -> npt.NDArray[np.int64 | np.object_]:
    try:
        return np.array(clip, dtype=np.int64)
    except OverflowError:
        return np.array(clip, dtype=object)
