"""A folded network in Brevitas: the nodes of this toolkit's graph, quantised by Brevitas' parts.

`QuantisedNet` walks the outline of an architecture (`fxp.outline`). Convolutions become
`QuantConv2d`, every `Requantise` an activation quantiser, adjacency and the input norm's scale
weights of their own; the rest stays float. Widths are those that `fxp.calibrate` gives the same
tensors. Brevitas' fixed-point quantisers have scales that are powers of two, one a tensor, as the
integer networks here have.

Needs Brevitas (extra `brevitas`): import this module only where it is asked for.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, assert_never

import brevitas.nn as qnn
import torch
from brevitas.nn.mixin import QuantWeightMixin
from brevitas.quant.fixed_point import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFixedPointMSE,
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFixedPointMSE,
    Uint8ActPerTensorFixedPoint,
    Uint8ActPerTensorFixedPointMSE,
)
from brevitas.quant.scaled_int import Int32Bias
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fxp.calibrate import Formats, nominal_formats
from fxp.cast import FloatArray
from fxp.floatnet import FloatNet
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    GraphProduct,
    Input,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    lookaheads,
    operands,
)
from fxp.node_tables import LAYER_NORM_EPS
from fxp.outline import constant_key, outline
from fxp.spec import QuantSpec
from stgcn_ref.models.window import window_sum

# How a scale is found. `stats`: the quantisers' own defaults, the maximum of a weight and the
# 99.999th percentile of an activation; `mse`: least squared error, Brevitas' other choice.
Ranges = Literal["stats", "mse"]
Value: TypeAlias = Tensor | IntQuantTensor

_WEIGHT = {"stats": Int8WeightPerTensorFixedPoint, "mse": Int8WeightPerTensorFixedPointMSE}
_SIGNED = {"stats": Int8ActPerTensorFixedPoint, "mse": Int8ActPerTensorFixedPointMSE}
_UNSIGNED = {"stats": Uint8ActPerTensorFixedPoint, "mse": Uint8ActPerTensorFixedPointMSE}


class Constant(QuantWeightMixin, nn.Module):
    """A quantised constant that is no layer to Brevitas: its repairs leave it as it is.

    GPTQ would move weight onto the adjacency's zeros, which then cost multiplications.
    """

    def __init__(self, values: FloatArray, ranges: Ranges, bits: int | None) -> None:
        """The values, and their width; without one they stay float."""
        nn.Module.__init__(self)
        self.weight = _parameter(values)
        quantiser = None if bits is None else _WEIGHT[ranges]
        width = {} if bits is None else {"weight_bit_width": bits}
        QuantWeightMixin.__init__(self, weight_quant=quantiser, **width)

    @property
    def output_channel_dim(self) -> int:
        """The axis of outputs, as Brevitas asks."""
        return 0

    def forward(self) -> Tensor:
        """The constant as the network sees it."""
        return _plain(self.quant_weight())


class QuantisedNet(nn.Module):
    """The network: words `(N, C, T, V)` to logits `(N, classes, T)`, clips from empty FIFOs.

    `latency_frames` is the number of future frames that an output needs, as `predict` asks.
    """

    def __init__(self, net: FloatNet, quant: QuantSpec, ranges: Ranges = "stats") -> None:
        """Widths of `quant`, parameters of `net`; scales of activations want `calibrate` first.

        Raises:
            InputError: an entry of `quant.layers` matches no layer.
        """
        super().__init__()
        graph = outline(net.arch)
        self.nodes = graph.nodes
        self.latency_frames = max(lookaheads(graph).values())
        formats = nominal_formats(net.arch, quant)
        made = ((node.name, _module(node, net, formats, ranges)) for node in graph.nodes)
        self.parts = nn.ModuleDict({_key(name): part for name, part in made if part is not None})
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every frame."""
        values: dict[str, Value] = {}
        parts = dict(self.parts.items())
        for node in self.nodes:
            read = [values[name] for name in operands(node)]
            values[node.name] = _evaluate(node, read or [x], parts.get(_key(node.name)))
        return _plain(values["logits"])[..., 0]


def _module(node: Node, net: FloatNet, formats: Formats, ranges: Ranges) -> nn.Module | None:
    """What of a node has parameters or a scale; None for a node that has none."""
    match node:
        case Conv() | TemporalConv():
            return _conv(node, net, formats, ranges)
        case GraphProduct():
            key = f"{node.name}.adjacency"
            return Constant(net.params[key], ranges, formats.weights[key][0])
        case Affine():
            scale = net.params[f"{node.name}.scale"]
            # a scale of exactly one is a power of two, which the largest narrow word misses
            unit = bool((scale == 1.0).all())
            bits = None if unit else formats.weights[f"{node.name}.scale"][0]
            affine = Constant(scale, ranges, bits)
            affine.register_parameter("bias", _parameter(net.params[f"{node.name}.bias"]))
            return affine
        case Requantise():
            to = formats.casts[node.name].to
            quantiser = _SIGNED[ranges] if to.signed else _UNSIGNED[ranges]
            layer = qnn.QuantReLU if node.relu else qnn.QuantIdentity
            return layer(quantiser, bit_width=to.word_bits, return_quant_tensor=True)
        case (
            Input()
            | TemporalSum()
            | Add()
            | Flatten()
            | JointMean()
            | ClipMean()
            | LayerNorm()
            | Softmax()
            | Argmax()
        ):
            return None
        case _:
            assert_never(node)


def _conv(
    node: Conv | TemporalConv, net: FloatNet, formats: Formats, ranges: Ranges
) -> qnn.QuantConv2d:
    """Weights (Cout, Cin, taps, 1), padded on both sides by what the side that needs more needs."""
    key = constant_key(node)
    assert key is not None
    weight = net.params[key]
    outputs, inputs, taps = (*weight.shape, 1)[:3]
    stride = node.stride if isinstance(node, TemporalConv) else 1
    dilation = node.dilation if isinstance(node, TemporalConv) else 1
    conv = qnn.QuantConv2d(
        inputs,
        outputs,
        (taps, 1),
        stride=(stride, 1),
        padding=(_padding(node, taps), 0),
        dilation=(dilation, 1),
        weight_quant=_WEIGHT[ranges],
        weight_bit_width=formats.weights[key][0],
        bias_quant=Int32Bias,
    )
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(weight.reshape(outputs, inputs, taps, 1)))
        conv.bias.copy_(torch.from_numpy(net.params[f"{node.name}.bias"]))
    return conv.eval()


def _padding(node: Conv | TemporalConv, taps: int) -> int:
    """Zero frames on either side, such that whole strides of outputs come too many, or none."""
    if isinstance(node, Conv):
        return 0
    before = _before(node, taps)
    return before + max(0, -(-(node.lookahead - before) // node.stride)) * node.stride


def _before(node: TemporalConv, taps: int) -> int:
    return (taps - 1) * node.dilation - node.lookahead


def _evaluate(node: Node, read: list[Value], part: nn.Module | None) -> Value:
    """One node over a batch of clips, (N, C, T, V)."""
    x = _plain(read[0])
    match node:
        case Input():
            return x.float()
        case Conv():
            assert part is not None
            return _plain(part(read[0]))
        case TemporalConv():
            assert isinstance(part, qnn.QuantConv2d)
            taps, padding = part.kernel_size[0], part.padding[0]
            first = (padding - _before(node, taps)) // node.stride
            return _plain(part(read[0]))[:, :, first : first - (-x.shape[2] // node.stride)]
        case GraphProduct():
            assert part is not None
            adjacency = part()
            parts = x.unflatten(1, (len(adjacency), -1))  # (N, P, C, T, V)
            return torch.einsum("npctv,pvw->nctw", parts, adjacency)
        case TemporalSum():
            return window_sum(x.transpose(1, 2), node.window, node.dilation).transpose(1, 2)
        case Affine():
            assert isinstance(part, Constant) and isinstance(part.bias, Tensor)
            return x * part().unsqueeze(1) + part.bias.unsqueeze(1)  # (C, V or 1) over (C, T, V)
        case Add():
            return x + _plain(read[1])
        case Flatten():  # joint-major: (N, C, T, V) -> (N, V * C, T, 1)
            flat = x.permute(0, 3, 1, 2).flatten(1, 2).unsqueeze(3)
            return read[0].set(value=flat) if isinstance(read[0], IntQuantTensor) else flat
        case JointMean():
            return x.mean(dim=3, keepdim=True)
        case ClipMean():
            return x.mean(dim=2, keepdim=True)
        case LayerNorm():
            return _layer_norm(x)
        case Softmax():
            return x.softmax(dim=1)
        case Requantise():
            assert part is not None
            return part(x)
        case Argmax():
            return x.argmax(dim=1, keepdim=True).float()
        case _:
            assert_never(node)


def _layer_norm(x: Tensor) -> Tensor:
    """Over channels and joints of a frame; the weights carry the unbiased deviation's factor."""
    frames = x.transpose(1, 2)  # (N, T, C, V)
    size = frames.shape[2] * frames.shape[3]
    epsilon = LAYER_NORM_EPS * (size - 1) / size
    return F.layer_norm(frames, frames.shape[2:], eps=epsilon).transpose(1, 2)


def _plain(x: Value) -> Tensor:
    """The numbers of a value, whether it knows its scale or not."""
    return x.value if isinstance(x, IntQuantTensor) else x


def _parameter(values: FloatArray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(values).float(), requires_grad=False)


def _key(name: str) -> str:
    """The name of a node as torch allows it for a module."""
    return name.replace(".", "/")
