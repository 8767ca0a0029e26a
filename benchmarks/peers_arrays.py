"""The layer by libraries of arrays: numpy, torch, onnxruntime.

Sums carried in floating point are exact: they stay below `2**21`, and scales are powers of two. How
each form rounds halves up stands with it; where a library rounds halves to even, a quarter of the
accumulator's lsb on top of the sum decides ties and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.peers_layer import HALF, HIGH, LOW, SHIFT, Candidate, Layer

SCALE = 2.0**-SHIFT
OFFSET = 128  # from a signed word to the unsigned one of the same order
QUARTER = 0.25  # of the accumulator's lsb


def numpy_einsum(layer: Layer) -> Candidate:
    """Integers throughout, as a first version would have them."""
    rows, weight = layer.rows.astype(np.int64), layer.weight.astype(np.int64)
    bias = layer.bias.astype(np.int64) + HALF

    def call() -> Any:
        y = np.einsum("ri,oi->ro", rows, weight)
        y += bias
        y >>= SHIFT
        return np.clip(y, LOW, HIGH, out=y)

    return Candidate(call, lambda y: y, version("numpy"))


def numpy_blas(layer: Layer) -> Candidate:
    """A float64 matrix product, then floor of the sum plus half, in place."""
    rows = layer.rows.astype(np.float64)
    weight = np.ascontiguousarray(layer.weight.T) * SCALE
    bias = (layer.bias + np.int64(HALF)) * SCALE
    y = np.empty((len(rows), len(bias)))

    def call() -> Any:
        np.matmul(rows, weight, out=y)
        np.add(y, bias, out=y)
        np.floor(y, out=y)
        return np.clip(y, LOW, HIGH, out=y)

    return Candidate(call, lambda y: y.astype(np.int64), version("numpy"))


def torch_linear(layer: Layer) -> Candidate:
    """The eager float32 form: one `linear`, then floor of the sum plus half, in place."""
    import torch

    def product(x: Any, weight: Any, bias: Any) -> Any:
        return torch.nn.functional.linear(x, weight, bias)

    return _torch_float(layer, lambda weight: weight, product)


def torch_onednn_linear(layer: Layer) -> Candidate:
    """The same with oneDNN's product: where MKL leaves the widest vectors idle, it does not."""
    import torch

    def product(x: Any, weight: Any, bias: Any) -> Any:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    def pack(weight: Any) -> Any:
        return torch.ops.mkldnn._reorder_linear_weight(weight, len(layer.rows))

    return _torch_float(layer, pack, product)


def _torch_float(
    layer: Layer, pack: Callable[[Any], Any], product: Callable[[Any, Any, Any], Any]
) -> Candidate:
    import torch

    torch.set_num_threads(1)
    rows = torch.from_numpy(layer.rows).float()
    weight = pack(torch.from_numpy(layer.weight).float() * SCALE)
    bias = torch.from_numpy(layer.bias + np.int64(HALF)).float() * SCALE

    @torch.inference_mode()
    def call() -> Any:
        return product(rows, weight, bias).floor_().clamp_(LOW, HIGH)

    return Candidate(call, lambda y: y.numpy().astype(np.int64), torch.__version__)


def torch_int_mm(layer: Layer) -> Candidate:
    """int8 x int8 -> int32, then bias, shift, clip and narrowing."""
    import torch

    torch.set_num_threads(1)
    rows = torch.from_numpy(layer.rows)
    weight = torch.from_numpy(np.ascontiguousarray(layer.weight.T))
    bias = torch.from_numpy(layer.bias + np.int32(HALF))

    @torch.inference_mode()
    def call() -> Any:
        acc = torch._int_mm(rows, weight).add_(bias)
        return acc.bitwise_right_shift_(SHIFT).clamp_(LOW, HIGH).to(torch.int8)

    return Candidate(call, lambda y: y.numpy().astype(np.int64), torch.__version__)


def torch_quantised_linear(layer: Layer) -> Candidate:
    """One fused oneDNN operation: unsigned words with zero point, float bias, ties to even."""
    import torch

    torch.set_num_threads(1)
    rows = torch.from_numpy(_unsigned(layer))
    weight = torch.ops.onednn.qlinear_prepack(torch.from_numpy(layer.weight), list(rows.shape))
    outputs = len(layer.weight)
    ones, zeros = torch.ones(outputs), torch.zeros(outputs, dtype=torch.int32)
    bias = torch.from_numpy(layer.bias).float() + QUARTER
    operands = (rows, 1.0, OFFSET, weight, ones, zeros, bias)
    ending: tuple[Any, ...] = (1 / SCALE, OFFSET, torch.uint8, "none", [], "")

    @torch.inference_mode()
    def call() -> Any:
        return torch.ops.onednn.qlinear_pointwise(*operands, *ending)

    return Candidate(call, lambda y: y.numpy().astype(np.int64) - OFFSET, torch.__version__)


def ort_matmul_integer(layer: Layer) -> Candidate:
    """The integer product and its conversion as one node, then one that rounds and saturates."""
    from onnx import helper

    constants = {
        "w": np.ascontiguousarray(layer.weight.T),
        "x_zero": np.uint8(OFFSET),
        "w_zero": np.int8(0),
        "one": np.float32(1),
        "scale": np.float32(SCALE),
        "bias": ((layer.bias + QUARTER) * SCALE).astype(np.float32),
        "y_zero": np.uint8(OFFSET),
    }
    inputs = ["x", "w", "one", "scale", "x_zero", "w_zero", "bias"]
    nodes = [
        helper.make_node("MatMulIntegerToFloat", inputs, ["f"], domain="com.microsoft"),
        helper.make_node("QuantizeLinear", ["f", "one", "y_zero"], ["y"]),
    ]
    return _onnxruntime(nodes, constants, _unsigned(layer), len(layer.weight))


def ort_qlinear_conv(layer: Layer) -> Candidate:
    """One fused node, channels last, rounding ties to even: a scale one float32 ulp larger decides.

    With zero point 0 and the bias raised accordingly, sums of results that do not saturate are
    positive, so that a product with the larger scale lies above the tie.
    """
    from onnx import helper

    constants = {
        "one": np.float32(1),
        "x_zero": np.uint8(OFFSET),
        "w": layer.weight[:, :, None, None],
        "w_scale": np.nextafter(np.float32(1), np.float32(2)),
        "w_zero": np.int8(0),
        "y_scale": np.float32(1 / SCALE),
        "y_zero": np.uint8(0),
        "bias": layer.bias + np.int32(OFFSET << SHIFT),
    }
    inputs = ["x", "one", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "bias"]
    node = helper.make_node("QLinearConv", inputs, ["y"], domain="com.microsoft", channels_last=1)
    images = _unsigned(layer).reshape(1, *layer.words.shape)  # (1, T, V, C)
    return _onnxruntime([node], constants, images, len(layer.weight))


def _unsigned(layer: Layer) -> Any:
    return (layer.rows.astype(np.int16) + OFFSET).astype(np.uint8)


def _onnxruntime(
    nodes: Sequence[Any], constants: Mapping[str, Any], x: Any, outputs: int
) -> Candidate:
    """A graph from words x `(..., Cin)` to unsigned words y `(..., Cout)`, on one thread."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, (*x.shape[:-1], outputs))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return Candidate(
        call=lambda: session.run(None, {"x": x})[0],
        words=lambda y: y.reshape(-1, outputs).astype(np.int64) - OFFSET,
        version=version("onnxruntime"),
    )
