"""Weights and biases of an integer network mended layer by layer, in the order it computes.

Each layer is mended with the operands it really gets: those of the integer network whose earlier
layers are mended already. So a later layer makes up for what an earlier one still loses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from fxp.calibrate import Formats
from fxp.cast import FloatArray, dequantise
from fxp.floatnet import FloatNet
from fxp.ir import Affine, Conv, Graph, IntArray, TemporalConv
from fxp.lower import lower
from fxp.outline import outline
from fxp.ptq.reference import channel_means, real_values
from fxp.ptq.rounding import adaround, gptq
from fxp.replay import Replay
from fxp.spec import WeightRounding
from fxp.validate import describe


def mend(
    net: FloatNet,
    formats: Formats,
    wide: Graph,
    clips: Sequence[IntArray],
    rounding: WeightRounding,
    bias: bool,
) -> FloatNet:
    """`net` with weights rounded by their effect and biases corrected.

    Args:
        net: the float network.
        formats: of the integer network; they stay as they are.
        wide: the reference (`fxp.ptq.reference.reference`) of the network that is to be met.
        clips: calibration words, int64 (T, C, V) each.
        rounding: how the weights of convolutions are rounded.
        bias: whether the mean of each channel of every accumulator with a bias is brought to the
            reference's (Nagel et al., "Data-free quantization", 2019, section 4.2; measured here).

    Raises:
        InputError: the clips do not fit the network's input.
    """
    layers = [n for n in outline(net.arch).nodes if isinstance(n, Conv | TemporalConv | Affine)]
    means = channel_means(wide, clips, [layer.name for layer in layers]) if bias else {}
    for layer in layers:
        if not isinstance(layer, Affine) and rounding != "nearest":
            net = _with_weight(net, formats, layer, clips, rounding)
        if bias:
            net = _with_bias(net, formats, layer.name, means[layer.name], clips)
    return net


def gram(graph: Graph, node: Conv | TemporalConv, clips: Sequence[IntArray]) -> FloatArray:
    """Mean of `x x^T` over the operands of a convolution, (n, n), n = Cin or Cin * taps.

    A temporal convolution's operand is a patch `(Cin, taps)` of frames, zeros outside the clip.
    A `Replay` keeps it: that of one operand is taken once.
    """
    if not isinstance(clips, Replay):
        return _gram(graph, node, clips)
    what = "gram"
    if isinstance(node, TemporalConv):
        what += f" {node.weight.raw.shape[2]} {node.dilation} {node.lookahead} {node.stride}"
    known = clips.known(what, graph, [node.x])
    if not known:
        known = {node.x: _gram(graph, node, clips)}
        clips.remember(what, graph, known)
    return known[node.x]


def _gram(graph: Graph, node: Conv | TemporalConv, clips: Sequence[IntArray]) -> FloatArray:
    total: FloatArray | None = None
    count = 0
    for values in real_values(graph, clips, [node.x]):
        rows = _patches(node, values[node.x])
        total = rows.T @ rows + (0.0 if total is None else total)
        count += len(rows)
    assert total is not None
    return np.asarray(total / count)


def _patches(node: Conv | TemporalConv, x: FloatArray) -> FloatArray:
    """x (T, C, V) as operands (positions, n)."""
    if isinstance(node, Conv):
        return np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(-1, x.shape[1])
    taps = node.weight.raw.shape[2]
    span = (taps - 1) * node.dilation
    padded = np.pad(x, ((span - node.lookahead, node.lookahead), (0, 0), (0, 0)))
    frames = range(0, len(x), node.stride)
    moved = [padded[k * node.dilation :][frames] for k in range(taps)]
    # (taps, T', C, V) -> (T', V, C, taps)
    return np.ascontiguousarray(np.stack(moved).transpose(1, 3, 2, 0)).reshape(
        -1, x.shape[1] * taps
    )


def _with_weight(
    net: FloatNet,
    formats: Formats,
    node: Conv | TemporalConv,
    clips: Sequence[IntArray],
    rounding: WeightRounding,
) -> FloatNet:
    key = f"{node.name}.weight"
    word_bits, frac_bits = formats.weights[key]
    weight = net.params[key].reshape(len(net.params[key]), -1)
    per_row = np.broadcast_to(np.array(frac_bits, np.int64), len(weight))
    statistics = gram(lower(net, formats), node, clips)
    match rounding:
        case "gptq":
            found = gptq(weight, statistics, word_bits, per_row)
        case "adaround":
            found = adaround(weight, statistics, word_bits, per_row)
        case "nearest":
            return net
        case _:
            assert_never(rounding)
    return replace(net, params={**net.params, key: found.reshape(net.params[key].shape)})


def _with_bias(
    net: FloatNet, formats: Formats, name: str, wanted: FloatArray, clips: Sequence[IntArray]
) -> FloatNet:
    """The bias moved by what the mean of each channel is off.

    It starts from the bias as it is stored, or its rounding would count twice.
    """
    graph = lower(net, formats)
    node = next(node for node in graph.nodes if node.name == name)
    assert isinstance(node, Conv | TemporalConv | Affine)
    frac_bits = np.array(describe(graph)[name].frac_bits)
    axes = (-1, *[1] * (node.bias.ndim - 1))
    missing = wanted - channel_means(graph, clips, [name])[name]
    bias = dequantise(node.bias, frac_bits.reshape(axes)) + missing.reshape(axes)
    return replace(net, params={**net.params, f"{name}.bias": bias})
