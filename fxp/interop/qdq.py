"""ONNX with QuantizeLinear and DequantizeLinear: integers at rest, floats in between.

Scales are powers of two, zero points 0. A cast becomes its rounding and overflow in operators,
a QuantizeLinear that finds nothing left to round, and a DequantizeLinear; so every word is equal.

With `approximate` the operators are left out: the pattern that compilers for integer accelerators
look for, whose words differ wherever the network does not round half to even. By the ONNX standard
they differ nowhere else; but onnxruntime makes one kernel of a convolution and the QuantizeLinear
behind it, and on x86 processors without VNNI that kernel saturates pairs of products to 16 bits. So
the operators stand in front of every QuantizeLinear of the exact form, whatever there is to round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fxp.errors import InputError
from fxp.interop.carriers import Floating, Network, network
from fxp.interop.float_cast import overflowed, rounded
from fxp.interop.magnitude import drops_bits, overflows
from fxp.interop.onnx_builder import OnnxBuilder
from fxp.interop.onnx_ends import save_float
from fxp.interop.onnx_float import RANK, TIME, Dialect, carried, emit, numbers
from fxp.ir import Graph, Input, LayerNorm, Requantise, Softmax, Weights
from fxp.qformat import Overflow, QFormat

MAX_QUANTIZED_BITS = 16  # of the integer types of QuantizeLinear
# onnxruntime drops a Clip in front of a QuantizeLinear whose bounds are less than 1.2e-7 within its
# range; up to here an lsb is more
MAX_CLIP_FRAC_BITS = 22


def export_qdq(
    graph: Graph, path: Path, taps: Sequence[str] = (), *, approximate: bool = False
) -> None:
    """Write `graph` with QuantizeLinear and DequantizeLinear nodes.

    The input is float32 (1, C, T, V), `raw * 2**-frac_bits` of the network's input words; outputs
    are such numbers too (a label is int64). The model's metadata has `frac_bits` of each.

    Args:
        graph: the network.
        path: the file.
        taps: nodes whose values become outputs besides the network's own.
        approximate: leave roundings and sums to the runtime, and write LayerNorm and Softmax as its
            operators; `fxp.interop.portability` says which words may differ.

    Raises:
        InputError: a node that cannot be written exactly (without `approximate`), a tap that is no
            node, a file that cannot be written, or the package `onnx` is missing.
    """
    b, net = OnnxBuilder(), network(graph, approximate)
    emit(b, net, _Qdq(b, net, approximate))
    save_float(b, net, taps, "time", path)


@dataclass(frozen=True, eq=False)
class _Qdq(Dialect):
    b: OnnxBuilder
    net: Network
    approximate: bool

    def constant(self, name: str, weights: Weights, shape: Sequence[int], carrier: Floating) -> str:
        """Words of 8, 16 or 32 bits and a DequantizeLinear behind them."""
        raw = weights.raw.reshape(shape)
        frac_bits = np.array(weights.frac_bits, np.int64)
        if weights.word_bits > MAX_QUANTIZED_BITS:
            return self.b.constant(name, numbers(weights, shape), carrier)
        words = self.b.constant(f"{name}/words", raw, _holder(QFormat(weights.word_bits, 0)))
        axis = {} if len(frac_bits) == 1 else {"axis": 0}
        steps = np.ldexp(1.0, -(frac_bits if axis else frac_bits[0]))
        scale = self.b.constant(f"{name}/scale", steps, np.float32)
        self.b.add("DequantizeLinear", [words, scale], name, axis)
        return name if carrier is np.float32 else carried(self.b, name, carrier, f"{name}/float64")

    def matrix(self, name: str, weights: Weights, carrier: Floating) -> str:
        """Plain floats: onnxruntime makes a DequantizeLinear and its MatMul one `MatMulNBits`.

        That one quantises its other operand once more; what it gives are other numbers.
        """
        shape = weights.raw.shape
        if self.approximate:
            return self.constant(name, weights, shape, carrier)
        return self.b.constant(name, numbers(weights, shape), carrier)

    def source(self, node: Input) -> str:
        """Quantised on the way in: no change of numbers that are words already."""
        given = f"{node.name}/numbers"
        if node.fmt.word_bits > MAX_QUANTIZED_BITS:
            return self.b.add("Identity", [given], node.name)
        return self._quantised(given, node.fmt, node.name)

    def cast(self, node: Requantise, x: str) -> str:
        """The words in operators in front of a QuantizeLinear, or with `approximate` it alone."""
        b, name, fmt = self.b, node.name, node.cast.to
        kind, target = self.net.within[name], self.net.carriers[name]
        fits = fmt.word_bits <= MAX_QUANTIZED_BITS
        if self.approximate and fits and self._clamps(node):
            return self._quantised(self._clamped(node, x), fmt, name)
        words = b.add("Mul", [x, b.scalar(2.0**fmt.frac_bits, kind)], f"{name}/scaled")
        if drops_bits(node, self.net.signals[node.x]):
            words = rounded(b, words, node.cast.rounding, kind, f"{name}/rounded")
        words = overflowed(b, words, node, kind, f"{name}/bounded")
        held = b.add("Mul", [words, b.scalar(2.0**-fmt.frac_bits, kind)], f"{name}/held")
        if kind is not target:
            held = carried(b, held, target, f"{name}/{target.__name__}")
        return self._quantised(held, fmt, name) if fits else b.add("Identity", [held], name)

    def _clamps(self, node: Requantise) -> bool:
        """Whether a Clip and a QuantizeLinear overflow as the cast does, or it cannot overflow."""
        saturates = node.cast.overflow in (Overflow.SAT, Overflow.SAT_SYM)
        whole = _ends(node) == _ends_of_type(node.cast.to)
        near = node.cast.to.frac_bits <= MAX_CLIP_FRAC_BITS
        return not overflows(node, self.net.signals[node.x]) or (saturates and (whole or near))

    def _clamped(self, node: Requantise, x: str) -> str:
        """Bounds that QuantizeLinear does not have by itself."""
        b, fmt = self.b, node.cast.to
        if overflows(node, self.net.signals[node.x]) and _ends(node) != _ends_of_type(fmt):
            ends = (float(np.ldexp(end, -fmt.frac_bits)) for end in _ends(node))
            scalars = [b.scalar(end, np.float32) for end in ends]
            return b.add("Clip", [x, *scalars], f"{node.name}/clip")
        if node.relu and fmt.signed:
            return b.add("Relu", [x], f"{node.name}/relu")
        return x

    def ratio(self, node: LayerNorm | Softmax) -> str:
        """The runtime's own operator, or a refusal."""
        if not self.approximate:
            raise InputError(
                f"node `{node.name}`: no float operator of ONNX divides as a "
                f"{type(node).__name__} does to the last bit; `--form integer` does, "
                "`--approximate` writes the operator all the same"
            )
        b, name, x = self.b, node.name, node.x
        if isinstance(node, Softmax):
            return b.add("Softmax", [x], name, {"axis": 1})
        signal = self.net.signals[x]
        words = signal.channels * signal.joints
        eps = float(node.epsilon[0]) / words**2 * 2.0 ** (-2 * signal.frac_bits[0])
        front = b.add("Transpose", [x], f"{name}/frames", {"perm": [0, TIME, 1, RANK - 1]})
        ones = b.constant(f"{name}/ones", np.ones((signal.channels, signal.joints)), np.float32)
        normed = b.add(
            "LayerNormalization", [front, ones], f"{name}/normed", {"axis": 2, "epsilon": eps}
        )
        return b.add("Transpose", [normed], name, {"perm": [0, TIME, 1, RANK - 1]})

    def _quantised(self, x: str, fmt: QFormat, name: str) -> str:
        b, kind = self.b, _holder(fmt)
        scale = b.scalar(2.0**-fmt.frac_bits, np.float32)
        zero = b.scalar(0, kind)
        words = b.add("QuantizeLinear", [x, scale, zero], f"{name}/words")
        return b.add("DequantizeLinear", [words, scale, zero], name)


def _ends(node: Requantise) -> tuple[int, int]:
    """The words that a saturating cast can give."""
    fmt, low = node.cast.to, node.cast.to.raw_min
    if node.cast.overflow == Overflow.SAT_SYM:
        low = max(low, -fmt.raw_max)
    return max(low, 0) if node.relu else low, fmt.raw_max


def _ends_of_type(fmt: QFormat) -> tuple[int, int]:
    """Where a QuantizeLinear to the type of a format saturates."""
    held = np.iinfo(_holder(fmt))
    return int(held.min), int(held.max)


def _holder(fmt: QFormat) -> type[np.integer]:
    """The narrowest integer type of QuantizeLinear that holds a format of up to 16 bits."""
    if fmt.word_bits <= 8:
        return np.int8 if fmt.signed else np.uint8
    return np.int16 if fmt.signed else np.uint16
