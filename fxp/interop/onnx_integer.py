"""A network as ONNX nodes over int64 words: every kind of node, equal to the last bit.

Nothing is a float here, so nothing depends on how a runtime adds: any that has MatMul, Div and Mod
of int64 (onnxruntime has) computes the network's words. The layout is that of `fxp`, (T, C, V), T
left open. ONNX shifts no signed integers: a right shift is a division of what a Mod left divisible
(a Mod of integers has the sign of its divisor), a left one a product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import assert_never

import numpy as np

from fxp.errors import InputError
from fxp.interop.integer_cast import cast
from fxp.interop.integer_division import normed, shared
from fxp.interop.integer_steps import floor_div, sum_last
from fxp.interop.magnitude import fracs
from fxp.interop.onnx_builder import OnnxBuilder
from fxp.interop.onnx_ends import frames_of, output_names
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
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    operands,
)
from fxp.ranges import Signal, analyse, certify

RANK = 3  # of (T, C, V)


def export_integer(graph: Graph, path: Path, taps: Sequence[str] = ()) -> None:
    """Write `graph` as int64 operators; input and outputs are raw words, int64 (T, C, V).

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: a tap that is no node, a label of words too far apart for 63 bits, a file that
            cannot be written, or the package `onnx` is missing.
    """
    certify(graph)
    b, signals = OnnxBuilder(), analyse(graph)
    for node in graph.nodes[1:]:
        _emit_node(b, signals, node, operands(node))
    names = [graph.nodes[0].name, *output_names(graph, taps)]
    infos = []
    for name in names:
        shape = (frames_of(graph, name, "time"), signals[name].channels, signals[name].joints)
        infos.append(b.info(name, np.int64, shape))
    b.save(graph, (infos[:1], infos[1:]), {}, path)


def _emit_node(b: OnnxBuilder, signals: Mapping[str, Signal], node: Node, x: Sequence[str]) -> None:
    name = node.name
    match node:
        case Input():
            raise AssertionError(f"{name}: an Input stands in front only")
        case Conv():
            weight = b.constant(f"{name}/weight", node.weight.raw, np.int64)
            product = b.add("MatMul", [weight, x[0]], f"{name}/product")  # (T, Cout, V)
            b.add("Add", [product, _column(b, f"{name}/bias", node.bias)], name)
        case GraphProduct():
            _graph_product(b, signals, node, x[0])
        case TemporalSum():
            b.window_sum(x[0], node.window, node.dilation, (0, RANK, b.scalar(0, np.int64)), name)
        case TemporalConv():
            _temporal_conv(b, node, x[0])
        case Affine():
            scale = b.constant(f"{name}/scale", node.scale.raw, np.int64)
            bias = b.constant(f"{name}/bias", node.bias, np.int64)
            b.add("Add", [b.add("Mul", [x[0], scale], f"{name}/scaled"), bias], name)
        case Add():
            _add(b, signals, node)
        case Flatten():
            b.joints_to_channels(x[0], (2, 1), signals[x[0]].joints, name)
        case JointMean():
            total = sum_last(b, x[0], signals[x[0]].joints, f"{name}/sum")
            b.add("Mul", [total, b.scalar(node.multiplier, np.int64)], name)
        case ClipMean():
            _clip_mean(b, node, x[0])
        case LayerNorm():
            normed(b, node, signals[x[0]].channels * signals[x[0]].joints)
        case Softmax():
            shared(b, node, signals[x[0]].channels)
        case Requantise():
            cast(b, node, signals[x[0]])
        case Argmax():
            _argmax(b, signals, node)
        case _:
            assert_never(node)


def _graph_product(
    b: OnnxBuilder, signals: Mapping[str, Signal], node: GraphProduct, x: str
) -> None:
    """(T, C, P * V) by (P * V, V), the entries of coarser partitions shifted left."""
    raw, frac_bits = node.adjacency.raw, node.adjacency.frac_bits
    left = np.array([_power(max(frac_bits) - frac) for frac in frac_bits], np.int64)
    name, channels = node.name, signals[node.name].channels
    partitions, joints, _ = raw.shape
    matrix = (raw * left[:, None, None]).reshape(partitions * joints, joints)
    adjacency = b.constant(f"{name}/adjacency", matrix, np.int64)
    split = b.ints([-1, partitions, channels, joints])
    parts = b.add("Reshape", [x, split], f"{name}/parts")
    turned = b.add("Transpose", [parts], f"{name}/turned", {"perm": [0, 2, 1, 3]})
    rows = b.ints([-1, channels, partitions * joints])
    b.add("MatMul", [b.add("Reshape", [turned, rows], f"{name}/rows"), adjacency], name)


def _temporal_conv(b: OnnxBuilder, node: TemporalConv, x: str) -> None:
    """A product per tap: tap k reads x padded, from frame k * dilation on, every stride-th."""
    name, taps = node.name, node.weight.raw.shape[2]
    reach = (taps - 1) * node.dilation
    pads = b.ints([reach - node.lookahead, 0, 0, node.lookahead, 0, 0])
    padded = b.add("Pad", [x, pads, b.scalar(0, np.int64)], f"{name}/padded")
    total = _column(b, f"{name}/bias", node.bias)
    for k in range(taps):
        at = f"{name}/tap{k}"
        end = (k - taps + 1) * node.dilation or np.iinfo(np.int64).max
        limits = [b.ints([i]) for i in (k * node.dilation, end, 0, node.stride)]
        frames = b.add("Slice", [padded, *limits], f"{at}/frames")
        weight = b.constant(f"{at}/weight", node.weight.raw[:, :, k], np.int64)
        product = b.add("MatMul", [weight, frames], f"{at}/product")
        total = b.add("Add", [total, product], name if k == taps - 1 else f"{at}/sum")


def _add(b: OnnxBuilder, signals: Mapping[str, Signal], node: Add) -> None:
    aligned = []
    for side, x in (("a", node.a), ("b", node.b)):
        places = zip(fracs(signals[node.name]), fracs(signals[x]), strict=True)
        left = [_power(to - frac) for to, frac in places]
        if any(factor != 1 for factor in left):
            factor = _column(b, f"{node.name}/{side}/left", np.array(left, np.int64))
            x = b.add("Mul", [x, factor], f"{node.name}/{side}")
        aligned.append(x)
    b.add("Add", aligned, node.name)


def _clip_mean(b: OnnxBuilder, node: ClipMean, x: str) -> None:
    """`floor((2 * (S << shift) + T) / (2 * T))`."""
    name = node.name
    sums = b.add("CumSum", [x, b.scalar(0, np.int64)], f"{name}/sums")
    limits = [b.ints([i]) for i in (-1, np.iinfo(np.int64).max, 0)]
    total = b.add("Slice", [sums, *limits], f"{name}/sum")
    twice = b.add("Mul", [total, b.scalar(1 << (node.shift + 1), np.int64)], f"{name}/twice")
    frames = b.add("Shape", [x], f"{name}/frames", {"start": 0, "end": 1})
    numerator = b.add("Add", [twice, frames], f"{name}/numerator")
    divisor = b.add("Mul", [frames, b.scalar(2, np.int64)], f"{name}/divisor")
    floor_div(b, numerator, divisor, name)


def _argmax(b: OnnxBuilder, signals: Mapping[str, Signal], node: Argmax) -> None:
    """Words aligned to the finest `frac_bits` first."""
    signal, x = signals[node.x], node.x
    most = max(signal.frac_bits)
    left = np.array([_power(most - frac) for frac in fracs(signal)], np.int64)
    ends = zip(signal.lo, signal.hi, left.tolist(), strict=True)
    if any(max(abs(lo), abs(hi)) * factor >> 62 for lo, hi, factor in ends) or not left.all():
        raise InputError(f"node `{node.name}`: aligned words of `{x}` need more than 63 bits")
    if (left != 1).any():
        x = b.add("Mul", [x, _column(b, f"{node.name}/left", left)], f"{node.name}/aligned")
    b.add("ArgMax", [x], node.name, {"axis": 1, "keepdims": 1, "select_last_index": 0})


def _column(b: OnnxBuilder, name: str, values: IntArray) -> str:
    """Constants per channel, against (T, C, V)."""
    return b.constant(name, values[:, None], np.int64)


def _power(exponent: int) -> int:
    """`2**exponent`; 0 beyond 62, where only a zero fits 63 bits when shifted."""
    return 1 << exponent if exponent < 63 else 0
