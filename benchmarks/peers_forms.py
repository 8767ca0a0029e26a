"""The peers of the simulator on one layer: what each needs, and the function that prepares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import peers_arrays as arrays
from benchmarks import peers_tools as tools
from benchmarks.peers_layer import Candidate, Layer


@dataclass(frozen=True)
class Peer:
    """`prepare` imports its tool itself, so that an absent one costs nobody anything."""

    name: str
    packages: tuple[str, ...]
    prepare: Callable[[Layer], Candidate]
    programs: tuple[str, ...] = ()


PEERS = (
    Peer("numpy int64 einsum", ("numpy",), arrays.numpy_einsum),
    Peer("numpy float64 BLAS", ("numpy",), arrays.numpy_blas),
    Peer("torch float32 linear", ("torch",), arrays.torch_linear),
    Peer("torch float32, oneDNN", ("torch",), arrays.torch_onednn_linear),
    Peer("torch._int_mm", ("torch",), arrays.torch_int_mm),
    Peer("torch int8, oneDNN", ("torch",), arrays.torch_quantised_linear),
    Peer("onnxruntime MatMulInteger", ("onnx", "onnxruntime"), arrays.ort_matmul_integer),
    Peer("onnxruntime QLinearConv", ("onnx", "onnxruntime"), arrays.ort_qlinear_conv),
    Peer("brevitas", ("brevitas",), tools.brevitas_linear),
    Peer("brevitas, compiled", ("brevitas",), tools.brevitas_compiled, ("g++",)),
    Peer("apytypes", ("apytypes",), tools.apytypes_matmul),
    Peer("qonnx", ("qonnx", "onnxruntime"), tools.qonnx_executor),
    Peer("fxpmath", ("fxpmath",), tools.fxpmath_matmul),
    Peer("da4ml", ("da4ml",), tools.da4ml_interpreter),
    Peer("hls4ml", ("hls4ml", "torch"), tools.hls4ml_compiled, ("g++",)),
)
