"""The layer by tools for quantised networks and fixed-point numbers, each in its fastest form.

Numbers there carry their scale, so operands are real values on their grids. A tool that cannot
round halves up takes the floor of the sum plus half an lsb of the result, which is exact.
"""

from __future__ import annotations

import tempfile
from functools import partial
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.peers_layer import (
    HALF,
    OUT_FRAC,
    WEIGHT_FRAC,
    WORD_FRAC,
    Candidate,
    Layer,
)

ACC_FRAC = WORD_FRAC + WEIGHT_FRAC
BIAS_BITS = 17  # of the bias plus half


def brevitas_linear(layer: Layer, *, compiled: bool = False) -> Candidate:
    """`QuantLinear` and `QuantIdentity` with constant power-of-two scales, in inference mode."""
    import brevitas.nn as qnn
    import torch
    from brevitas.export.inference.manager import quant_inference_mode
    from brevitas.inject.enum import FloatToIntImplType, ScalingImplType
    from brevitas.quant.fixed_point import (
        Int8ActPerTensorFixedPoint,
        Int8WeightPerTensorFixedPoint,
    )

    torch.set_num_threads(1)
    bound = 2.0 ** (7 - OUT_FRAC)
    const = ScalingImplType.CONST
    weights = Int8WeightPerTensorFixedPoint.let(
        scaling_impl_type=const, scaling_init=2.0 ** (7 - WEIGHT_FRAC), narrow_range=False
    )
    results = Int8ActPerTensorFixedPoint.let(
        scaling_impl_type=const,
        min_val=-bound,
        max_val=bound,
        float_to_int_impl_type=FloatToIntImplType.FLOOR,
    )
    outputs, inputs = layer.weight.shape
    linear = qnn.QuantLinear(inputs, outputs, bias=True, weight_quant=weights)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(_real(layer.weight, WEIGHT_FRAC)))
        linear.bias.copy_(torch.from_numpy(_real(layer.bias + HALF, ACC_FRAC)))
    rounding = qnn.QuantIdentity(results, return_quant_tensor=False)
    net: Any = torch.nn.Sequential(linear, rounding).eval()
    rows = torch.from_numpy(_real(layer.rows, WORD_FRAC))
    quant_inference_mode(net, cache_quant_weight=True).__enter__()  # until the process ends
    with torch.inference_mode():
        net(rows)  # fills the caches that the mode computes with
    if compiled:
        net = torch.compile(net)

    @torch.inference_mode()
    def call() -> Any:
        return net(rows)

    return Candidate(call, lambda y: _raw(y.numpy()), version("brevitas"))


def brevitas_compiled(layer: Layer) -> Candidate:
    """The same, the two modules compiled as one by `torch.compile`."""
    return brevitas_linear(layer, compiled=True)


def apytypes_matmul(layer: Layer) -> Candidate:
    """Matrix product, bias, cast. The bias has all rows, which is faster than to broadcast it."""
    from apytypes import APyFixedArray, OverflowMode, QuantizationMode

    def fixed(raw: Any, bits: int, frac_bits: int) -> Any:
        return APyFixedArray.from_array(_real(raw, frac_bits), bits=bits, frac_bits=frac_bits)

    rows = fixed(layer.rows, 8, WORD_FRAC)
    weight = fixed(layer.weight.T, 8, WEIGHT_FRAC)
    every_row = np.broadcast_to(layer.bias + HALF, (len(layer.rows), len(layer.bias)))
    bias = fixed(every_row, BIAS_BITS, ACC_FRAC)
    modes = {"quantization": QuantizationMode.TRN, "overflow": OverflowMode.SAT}

    def call() -> Any:
        return (rows @ weight + bias).cast(bits=8, frac_bits=OUT_FRAC, **modes)

    return Candidate(call, lambda y: _raw(y.to_numpy()), version("apytypes"))


def qonnx_executor(layer: Layer) -> Candidate:
    """`Gemm` and `Quant`, node by node as its executor runs them; a session a node and call."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from qonnx.core import onnx_exec
    from qonnx.core.modelwrapper import ModelWrapper

    # It makes its sessions itself and gives them no options: one thread is ours to ask for.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = partial(onnxruntime.InferenceSession, sess_options=options)
    onnx_exec.rt = SimpleNamespace(InferenceSession=session)
    constants = {
        "w": _real(layer.weight.T, WEIGHT_FRAC),
        "bias": _real(layer.bias + HALF, ACC_FRAC),
        "scale": _real(1, OUT_FRAC),
        "zero": np.float32(0),
        "bits": np.float32(8),
    }
    domain = "qonnx.custom_op.general"
    attributes: dict[str, Any] = {
        "domain": domain,
        "signed": 1,
        "narrow": 0,
        "rounding_mode": "FLOOR",
    }
    rows = _real(layer.rows, WORD_FRAC)
    shape = (len(rows), len(layer.weight))
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "bias"], ["acc"]),
            helper.make_node("Quant", ["acc", "scale", "zero", "bits"], ["y"], **attributes),
        ],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, rows.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        value_info=[helper.make_tensor_value_info("acc", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)]
    model = ModelWrapper(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    return Candidate(
        call=lambda: onnx_exec.execute_onnx(model, {"x": rows})["y"],
        words=_raw,
        version=version("qonnx"),
    )


def fxpmath_matmul(layer: Layer) -> Candidate:
    """Matrix product of raw integers into an accumulator of its own, bias, cast."""
    from fxpmath import Fxp

    rows = Fxp(layer.rows, True, 8, WORD_FRAC, raw=True)
    weight = Fxp(np.ascontiguousarray(layer.weight.T), True, 8, WEIGHT_FRAC, raw=True)
    bias = Fxp(layer.bias.astype(np.int64) + HALF, True, 32, ACC_FRAC, raw=True)
    rows.config.op_method = "raw"

    def call() -> Any:
        acc = Fxp(None, True, 32, ACC_FRAC)
        np.matmul(rows, weight, out=acc)
        return Fxp(acc + bias, True, 8, OUT_FRAC, rounding="floor", overflow="saturate")

    return Candidate(call, lambda y: y.val.astype(np.int64), version("fxpmath"))


def da4ml_interpreter(layer: Layer) -> Candidate:
    """The adder graph that its solver finds, run by its compiled interpreter; slow to prepare."""
    from da4ml.trace import FixedVariableArray, HWConfig, comb_trace

    inputs = layer.weight.shape[1]
    x = FixedVariableArray.from_kif(
        np.ones(inputs, int),
        np.full(inputs, 7 - WORD_FRAC),
        np.full(inputs, WORD_FRAC),
        hwconf=HWConfig(-1, -1, -1),
        solver_options={"hard_dc": 0},  # the default takes minutes for 6 % fewer adders
    )
    acc = x @ _real(layer.weight.T, WEIGHT_FRAC) + _real(layer.bias, ACC_FRAC)
    y = acc.quantize(1, 7 - OUT_FRAC, OUT_FRAC, overflow_mode="SAT", round_mode="RND")
    logic = comb_trace(x, y)
    rows = _real(layer.rows, WORD_FRAC).astype(np.float64)
    return Candidate(lambda: logic.predict(rows, n_threads=1), _raw, version("da4ml"))


def hls4ml_compiled(layer: Layer) -> Candidate:
    """The Vivado backend's C++, compiled by g++ for emulation; formats as the layer states them."""
    import hls4ml
    import torch

    outputs, inputs = layer.weight.shape
    net = torch.nn.Sequential()
    net.add_module("conv", torch.nn.Linear(inputs, outputs))
    linear: Any = net.conv
    linear.weight.data = torch.from_numpy(_real(layer.weight, WEIGHT_FRAC))
    linear.bias.data = torch.from_numpy(_real(layer.bias, ACC_FRAC))
    config = hls4ml.utils.config_from_pytorch_model(
        net, (inputs,), granularity="name", backend="Vivado"
    )
    layers = config["LayerName"]
    layers["input_1"]["Precision"] = {"result": _hls(8, WORD_FRAC)}
    layers["conv"]["Precision"] = {
        "weight": _hls(8, WEIGHT_FRAC),
        "bias": _hls(BIAS_BITS, ACC_FRAC),
        "accum": _hls(32, ACC_FRAC),
        "result": _hls(8, OUT_FRAC, ",RND,SAT"),
    }
    folder = tempfile.TemporaryDirectory()
    model = hls4ml.converters.convert_from_pytorch_model(
        net, hls_config=config, output_dir=folder.name, backend="Vivado", project_name="layer"
    )
    model.compile()
    rows = _real(layer.rows, WORD_FRAC)
    model.predict(rows)  # the library reads its weights at its first call
    folder.cleanup()
    return Candidate(lambda: model.predict(rows), _raw, version("hls4ml"))


def _hls(bits: int, frac_bits: int, modes: str = "") -> str:
    return f"fixed<{bits},{bits - frac_bits}{modes}>"


def _real(raw: Any, frac_bits: int) -> Any:
    """Raw integers as the float32 numbers that they stand for, exactly."""
    return np.ascontiguousarray(np.asarray(raw) * 2.0**-frac_bits, dtype=np.float32)


def _raw(real: Any) -> Any:
    """Raw results of real ones; what is on no grid stays wrong."""
    return np.asarray(real, dtype=np.float64) * 2.0**OUT_FRAC
