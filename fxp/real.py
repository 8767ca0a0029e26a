"""A network over the real numbers: the nodes of a graph without any rounding or overflow.

What an integer network is measured against. Its constants are either the numbers that the graph's
own words stand for, so that only the casts differ, or the parameters of a `FloatNet`, the trained
network itself. Everything is float64, so errors below about `1e-14` of a signal say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

import numpy as np
import numpy.typing as npt

from fxp.cast import FloatArray, dequantise
from fxp.errors import InputError
from fxp.floatnet import FloatNet
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
    Weights,
    operands,
)
from fxp.node_fields import node_arrays
from fxp.outline import constant_key, parameter_shapes
from fxp.validate import Value, check_clip, describe


def real_values(
    graph: Graph, clip: npt.ArrayLike, net: FloatNet | None = None
) -> Iterator[tuple[str, FloatArray]]:
    """Every value of a clip in graph order, each as soon as it is known.

    A value is forgotten once its last reader has read it, so a caller that keeps none needs the
    memory of a few. The cast nodes pass values on (a ReLU stays); the mean over joints and the
    layer norm divide exactly; a label is the index of the largest score.

    Args:
        graph: a valid graph.
        clip: raw input words, integers `(T, C, V)`.
        net: float parameters in place of the graph's constants.

    Yields:
        Name and values `(T', C, V)`, float64, in real units.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the clip cannot be the graph's input, or `net` is another network.
    """
    about = describe(graph)
    constants = _given(graph) if net is None else _trained(graph, net)
    last_reader = {name: node.name for node in graph.nodes for name in operands(node)}
    values: dict[str, FloatArray] = {}
    for node in graph.nodes:
        x = [values[name] for name in operands(node)]
        if isinstance(node, Input):
            x = [dequantise(check_clip(graph, clip), node.fmt.frac_bits)]
        values[node.name] = _evaluate(node, x, about, constants)
        yield node.name, values[node.name]
        for name in (*operands(node), node.name):
            if last_reader.get(name, name) == node.name:
                values.pop(name, None)


def real_constant(raw: IntArray, frac_bits: tuple[int, ...]) -> FloatArray:
    """The numbers that constant words stand for; `frac_bits` runs along the first axis."""
    return dequantise(raw, np.array(frac_bits).reshape(-1, *[1] * (raw.ndim - 1)))


def _given(graph: Graph) -> dict[str, FloatArray]:
    """The graph's own constants by parameter key, in real units."""
    about = describe(graph)
    constants = {}
    for node in graph.nodes:
        if isinstance(node, JointMean):
            constants[f"{node.name}.reciprocal"] = dequantise(node.multiplier, node.shift)
        if (key := constant_key(node)) is not None:
            for field, raw in node_arrays(
                node
            ).items():  # a bias has its accumulator's binary point
                value = getattr(node, field)
                is_weights = isinstance(value, Weights)
                frac_bits = value.frac_bits if is_weights else about[node.name].frac_bits
                constants[key if is_weights else f"{node.name}.bias"] = real_constant(
                    raw, frac_bits
                )
    return constants


def _trained(graph: Graph, net: FloatNet) -> Mapping[str, FloatArray]:
    for key, shape in parameter_shapes(graph).items():
        found = net.params.get(key)
        if found is None or found.shape != shape:
            state = "missing" if found is None else f"of shape {found.shape}"
            raise InputError(
                f"float network: `{key}` must be of shape {shape} as in graph `{graph.name}`, "
                f"is {state}"
            )
    return net.params


def _evaluate(
    node: Node,
    x: list[FloatArray],
    about: Mapping[str, Value],
    constants: Mapping[str, FloatArray],
) -> FloatArray:
    """One node over all frames of what it reads, (T, C, V)."""
    main = constants.get(constant_key(node) or "", np.empty(0))
    bias = constants.get(f"{node.name}.bias", np.empty(0))
    y: FloatArray
    match node:
        case Input():
            return x[0]
        case Conv():
            return _multiply(main, x[0]) + bias[:, None]
        case GraphProduct():
            return _aggregate(main, x[0])
        case TemporalSum():
            y = np.zeros_like(x[0])
            for age in range(0, min(node.window * node.dilation, len(y)), node.dilation):
                y[age:] += x[0][: len(y) - age]
            return y
        case TemporalConv():
            return _temporal_conv(node, x[0], main, bias)
        case Affine():
            return np.asarray(main * x[0] + bias)
        case Add():
            return x[0] + x[1]
        case Flatten():  # joint-major: (T, C, V) -> (T, V * C, 1)
            return x[0].transpose(0, 2, 1).reshape(len(x[0]), -1, 1)
        case JointMean():
            reciprocal = constants.get(f"{node.name}.reciprocal", 1 / x[0].shape[2])
            return np.asarray(x[0].sum(axis=2, keepdims=True) * reciprocal)
        case ClipMean():
            return np.asarray(x[0].mean(axis=0, keepdims=True))
        case LayerNorm():
            return _layer_norm(node, x[0], about[node.x].frac_bits[0])
        case Softmax():
            powers = np.exp(x[0] - x[0].max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        case Requantise():
            return np.asarray(np.where(x[0] > 0, x[0], 0.0)) if node.relu else x[0]
        case Argmax():
            return np.asarray(x[0].argmax(axis=1)[:, None], dtype=np.float64)
        case _:
            assert_never(node)


def _multiply(weight: FloatArray, x: FloatArray) -> FloatArray:
    """`weight` (Cout, Cin) times every frame and joint of x (T, Cin, V), as one product."""
    rows = x.transpose(0, 2, 1)  # (T, V, Cin)
    return np.asarray(
        (rows.reshape(-1, x.shape[1]) @ weight.T).reshape(*rows.shape[:2], -1)
    ).transpose(0, 2, 1)


def _aggregate(adjacency: FloatArray, x: FloatArray) -> FloatArray:
    """`y[c, w] = sum_p sum_v x[p * C + c, v] * adjacency[p, v, w]`."""
    partitions, joints, _ = adjacency.shape
    parts = x.reshape(len(x), partitions, -1, joints).transpose(0, 1, 3, 2)  # (T, P, V, C)
    rows = adjacency.reshape(partitions * joints, joints).T  # (W, P * V)
    y = rows @ parts.reshape(len(x), partitions * joints, -1)  # (T, W, C)
    return np.asarray(y.transpose(0, 2, 1))


def _temporal_conv(
    node: TemporalConv, x: FloatArray, weight: FloatArray, bias: FloatArray
) -> FloatArray:
    """Tap k of output frame t reads frame `t + lookahead - (taps - 1 - k) * dilation`."""
    taps = weight.shape[2]
    before, after = (taps - 1) * node.dilation, node.lookahead
    padded = np.pad(x, ((before, after), (0, 0), (0, 0)))
    outputs = -(-len(x) // node.stride)
    y = np.repeat(np.broadcast_to(bias[:, None], (1, len(bias), x.shape[2])), outputs, axis=0)
    for k in range(taps):
        first = before + node.lookahead - (taps - 1 - k) * node.dilation
        y += _multiply(weight[:, :, k], padded[first : first + len(x) : node.stride])
    return y


def _layer_norm(node: LayerNorm, x: FloatArray, frac_bits: int) -> FloatArray:
    """`(N * x - S0) / sqrt(N * S1 - S0**2 + epsilon)`, zero where the root is."""
    size = x.shape[1] * x.shape[2]
    distance = x - x.mean(axis=(1, 2), keepdims=True)
    variance = np.square(distance).mean(axis=(1, 2), keepdims=True)
    epsilon = float(dequantise(node.epsilon, 2 * frac_bits)[0]) / size**2
    root = np.sqrt(variance + epsilon)
    return np.asarray(np.divide(distance, root, out=np.zeros_like(x), where=root > 0))
