"""A network as ONNX nodes over floats that hold the numbers `raw * 2**-frac_bits`.

The layout is (1, C, T, V), T left open. Floats are exact as long as all sums fit their mantissa
(`fxp.interop.magnitude`): a value that needs up to 24 bits is carried in float32, one that needs up
to 53 in float64, any other is refused. How constants and casts are written is the dialect's own:
`fxp.interop.qdq` and `fxp.interop.qonnx`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, assert_never

import numpy as np
import numpy.typing as npt

from fxp.cast import dequantise
from fxp.interop.carriers import Floating, Network
from fxp.interop.magnitude import fracs
from fxp.interop.onnx_builder import OnnxBuilder
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
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
    Weights,
    operands,
)

TIME, RANK = 2, 4  # of (1, C, T, V)


class Dialect(Protocol):
    """How one format writes what is special to it; each method returns the value's name."""

    def constant(self, name: str, weights: Weights, shape: Sequence[int], carrier: Floating) -> str:
        """A quantised constant of `shape`, its `frac_bits` along the first axis."""
        ...

    def matrix(self, name: str, weights: Weights, carrier: Floating) -> str:
        """The right operand of a MatMul, `(V, V)`."""
        ...

    def source(self, node: Input) -> str:
        """The input's words in their format."""
        ...

    def cast(self, node: Requantise, x: str) -> str:
        """The result of a cast of x (in `within`), in the carrier of the node's value."""
        ...

    def ratio(self, node: LayerNorm | Softmax) -> str:
        """A node that divides: refused, or an operator of the runtime's own arithmetic."""
        ...


def emit(b: OnnxBuilder, net: Network, dialect: Dialect) -> None:
    """All nodes of the network, in order; each value gets the name of its node."""
    for node in net.graph.nodes:
        x = [_carried(b, net, name, node) for name in operands(node)]
        _emit_node(b, net, dialect, node, x)


def _carried(b: OnnxBuilder, net: Network, name: str, node: Node) -> str:
    """An operand in the float type of the node that reads it.

    A node that counts fewer bits than its operand's carrier has is one whose operand fits them.
    """
    carrier = net.within.get(node.name, net.carriers[node.name])
    own = isinstance(node, Argmax | LayerNorm | Softmax)  # read their operand as it is
    if own or net.carriers[name] is carrier:
        return name
    return carried(b, name, carrier, f"{name}/{carrier.__name__}")


def carried(b: OnnxBuilder, x: str, carrier: Floating, name: str) -> str:
    """x as the other float type, one conversion for all who want it."""
    if not any(node.name == name for node in b.nodes):
        b.add("Cast", [x], name, {"to": b.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(carrier))})
    return name


def _emit_node(
    b: OnnxBuilder, net: Network, dialect: Dialect, node: Node, x: Sequence[str]
) -> None:
    carrier = net.carriers[node.name]
    name = node.name
    match node:
        case Input():
            dialect.source(node)
        case Requantise():
            dialect.cast(node, x[0])
        case LayerNorm() | Softmax():
            dialect.ratio(node)
        case Conv():
            shape = (*node.weight.raw.shape, 1, 1)
            weight = dialect.constant(f"{name}/weight", node.weight, shape, carrier)
            _conv(b, net, node, x[0], weight, {})
        case TemporalConv():
            _temporal_conv(b, net, dialect, node, x[0])
        case GraphProduct():
            _graph_product(b, net, dialect, node, x[0])
        case TemporalSum():
            _temporal_sum(b, net, dialect, node, x[0])
        case Affine():
            channels, columns = node.scale.raw.shape
            shape = (channels, 1, columns)
            scale = dialect.constant(f"{name}/scale", node.scale, shape, carrier)
            scaled = b.add("Mul", [x[0], scale], f"{name}/scaled")
            b.add("Add", [scaled, _bias(b, net, node, node.bias)], name)
        case Add():
            b.add("Add", x, name)
        case Flatten():  # one joint's channels behind the other's, as in a graph product no Reshape
            b.joints_to_channels(x[0], (3, 1), net.signals[node.x].joints, name)
        case JointMean():
            total = b.add("ReduceSum", [x[0], b.ints([3])], f"{name}/sum")
            factor = b.scalar(float(np.ldexp(node.multiplier, -node.shift)), carrier)
            b.add("Mul", [total, factor], name)
        case ClipMean():
            _clip_mean(b, net, node, x[0])
        case Argmax():
            b.add("ArgMax", x, name, {"axis": 1, "keepdims": 1, "select_last_index": 0})
        case _:
            assert_never(node)


def numbers(weights: Weights, shape: Sequence[int]) -> npt.NDArray[np.float64]:
    """What the words of a constant stand for, its `frac_bits` along the first axis of `shape`."""
    tall = np.array(weights.frac_bits, np.int64).reshape(-1, *[1] * (len(shape) - 1))
    found: npt.NDArray[np.float64] = dequantise(weights.raw.reshape(shape), tall)
    return found


def _conv(
    b: OnnxBuilder,
    net: Network,
    node: Conv | TemporalConv,
    x: str,
    weight: str,
    attributes: Mapping[str, Sequence[int]],
) -> None:
    """A float32 convolution; a float64 one, which runtimes lack, as a product over channels."""
    name = node.name
    bias = _bias(b, net, node, node.bias)
    if net.carriers[name] is np.float32:
        b.add("Conv", [x, weight, bias], name, attributes)
        return
    product = b.add("Einsum", [weight, x], f"{name}/product", {"equation": "oiab,nitv->notv"})
    b.add("Add", [product, bias], name)


def _temporal_conv(
    b: OnnxBuilder, net: Network, dialect: Dialect, node: TemporalConv, x: str
) -> None:
    taps = node.weight.raw.shape[2]
    reach = (taps - 1) * node.dilation
    name, carrier = node.name, net.carriers[node.name]
    weight = dialect.constant(f"{name}/weight", node.weight, (*node.weight.raw.shape, 1), carrier)
    if carrier is np.float32:
        attributes = {
            "dilations": [node.dilation, 1],
            "strides": [node.stride, 1],
            "pads": [reach - node.lookahead, 0, node.lookahead, 0],
        }
        b.add("Conv", [x, weight, _bias(b, net, node, node.bias)], name, attributes)
        return
    total = _bias(b, net, node, node.bias)
    pads = b.ints([0, 0, reach - node.lookahead, 0, 0, 0, node.lookahead, 0])
    padded = b.add("Pad", [x, pads, b.scalar(0.0, carrier)], f"{name}/padded")
    for k in range(taps):  # tap k reads frames k * dilation, k * dilation + stride, ...
        at = f"{name}/tap{k}"
        end = (k - taps + 1) * node.dilation or np.iinfo(np.int64).max
        limits = [b.ints([i]) for i in (k * node.dilation, end, TIME, node.stride)]
        frames = b.add("Slice", [padded, *limits], f"{at}/frames")
        slices = [b.ints([i]) for i in (k, k + 1, 2)]
        row = b.add("Slice", [weight, *slices], f"{at}/weight")
        product = b.add("Einsum", [row, frames], f"{at}/product", {"equation": "oiab,nitv->notv"})
        total = b.add("Add", [total, product], name if k == taps - 1 else f"{at}/sum")


def _graph_product(
    b: OnnxBuilder, net: Network, dialect: Dialect, node: GraphProduct, x: str
) -> None:
    """A product for each partition's channels, then their sum.

    A Split, not a Reshape to (1, P, C, T, V): onnxruntime moves quantised words through a Reshape
    or a Slice and then fails to load the model (its issue 25526).
    """
    raw, frac_bits = node.adjacency.raw, node.adjacency.frac_bits
    name, carrier, partitions = node.name, net.carriers[node.name], len(raw)
    parts = [x]
    if partitions > 1:
        parts = [f"{name}/part{p}" for p in range(partitions)]
        b.split(x, 1, parts)
    total = ""
    for p, part in enumerate(parts):
        own = Weights(
            raw[p], node.adjacency.word_bits, (frac_bits[p if len(frac_bits) > 1 else 0],)
        )
        matrix = dialect.matrix(f"{name}/adjacency{p}", own, carrier)
        product = b.add("MatMul", [part, matrix], name if partitions == 1 else f"{name}/product{p}")
        if p:
            last = name if p == partitions - 1 else f"{name}/sum{p}"
            total = b.add("Add", [total, product], last)
        else:
            total = product


def _temporal_sum(
    b: OnnxBuilder, net: Network, dialect: Dialect, node: TemporalSum, x: str
) -> None:
    """A causal convolution with ones, channel by channel."""
    name, channels = node.name, net.signals[node.name].channels
    if net.carriers[name] is np.float64:
        place = (TIME, RANK, b.scalar(0.0, np.float64))
        b.window_sum(x, node.window, node.dilation, place, name)
        return
    shape = (channels, 1, node.window, 1)
    ones = Weights(np.ones(shape, np.int64), 2, (0,))
    weight = dialect.constant(f"{name}/ones", ones, shape, np.float32)
    attributes = {
        "group": channels,
        "dilations": [node.dilation, 1],
        "pads": [(node.window - 1) * node.dilation, 0, 0, 0],
    }
    b.add("Conv", [x, weight], name, attributes)


def _clip_mean(b: OnnxBuilder, net: Network, node: ClipMean, x: str) -> None:
    """`floor((2 * S + T) / (2 * T))` in float64: exact, as the numerator has two bits to spare."""
    name, carrier = node.name, net.carriers[node.name]
    frac = net.signals[name].frac_bits[0]
    total = b.add("ReduceSum", [x, b.ints([TIME])], f"{name}/sum")
    twice = b.add("Mul", [total, b.scalar(2.0 ** (frac + 1), carrier)], f"{name}/twice")
    frames = b.add("Shape", [x], f"{name}/shape", {"start": TIME, "end": TIME + 1})
    kind = b.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(carrier))
    count = b.add("Cast", [frames], f"{name}/frames", {"to": kind})
    numerator = b.add("Add", [twice, count], f"{name}/numerator")
    divisor = b.add("Mul", [count, b.scalar(2.0, carrier)], f"{name}/divisor")
    ratio = b.add("Div", [numerator, divisor], f"{name}/ratio")
    words = b.add("Floor", [ratio], f"{name}/words")
    b.add("Mul", [words, b.scalar(2.0**-frac, carrier)], name)


def _bias(b: OnnxBuilder, net: Network, node: Conv | TemporalConv | Affine, raw: IntArray) -> str:
    """The bias as numbers: (Cout,) of a float32 convolution, else against (1, C, T, V)."""
    per_channel = np.array(fracs(net.signals[node.name]), np.int64)
    carrier = net.carriers[node.name]
    values: npt.NDArray[np.float64]
    if isinstance(node, Affine):
        values = np.ldexp(raw.astype(np.float64), -per_channel[:, None])[:, None, :]
    else:
        values = np.ldexp(raw.astype(np.float64), -per_channel)
        if carrier is np.float64:
            values = values[:, None, None]
    return b.constant(f"{node.name}/bias", values, carrier)
