"""QONNX: floats and `Quant` nodes of stated width, signedness, range and rounding.

Semantics of a `Quant` (qonnx 1.0, `custom_op/general/intquant.py`): divide by the scale, clamp,
round, multiply by the scale. Its rounding modes are FLOOR, CEIL, UP (away from zero), DOWN (to
zero), ROUND (half to even), HALF_UP and HALF_DOWN, both of magnitudes: half away from zero, half to
zero. So RND (half up) and RND_MIN_INF have no mode of their own; they are written as an addition of
half an lsb in front of a FLOOR, or its subtraction in front of a CEIL: exact, hence the same word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np

from fxp.errors import InputError
from fxp.interop.carriers import Floating, Network, network
from fxp.interop.float_cast import overflowed, rounded
from fxp.interop.magnitude import FLOAT32_BITS, drops_bits, overflows
from fxp.interop.onnx_builder import QONNX_DOMAIN, OnnxBuilder
from fxp.interop.onnx_ends import save_float
from fxp.interop.onnx_float import Dialect, carried, emit, numbers
from fxp.ir import Graph, Input, LayerNorm, Requantise, Softmax, Weights
from fxp.qformat import Overflow, QFormat, Rounding


def export_qonnx(graph: Graph, path: Path, frames: int, taps: Sequence[str] = ()) -> None:
    """Write `graph` with QONNX `Quant` nodes; every number equals the network's.

    Inputs and outputs are those of `fxp.interop.qdq.export_qdq`, for clips of exactly `frames`
    frames: the tools that read QONNX need fixed shapes.

    Raises:
        InputError: a node that cannot be written exactly, a tap that is no node, fewer than one
            frame, a file that cannot be written, or the package `onnx` is missing.
    """
    if frames < 1:
        raise InputError(f"`--frames` must be at least 1, got {frames}")
    b, net = OnnxBuilder(), network(graph, approximate=False)
    emit(b, net, _Qonnx(b, net))
    save_float(b, net, taps, frames, path)


@dataclass(frozen=True, eq=False)
class _Qonnx(Dialect):
    b: OnnxBuilder
    net: Network

    def constant(self, name: str, weights: Weights, shape: Sequence[int], carrier: Floating) -> str:
        """Numbers, and a Quant that says of which format they are."""
        steps = np.ldexp(1.0, -np.array(weights.frac_bits).reshape(-1, *[1] * (len(shape) - 1)))
        steps = steps if len(weights.frac_bits) > 1 else steps.reshape(())
        fmt = QFormat(weights.word_bits, 0)
        if not _expressible(fmt):
            return self.b.constant(name, numbers(weights, shape), carrier)
        source = self.b.constant(f"{name}/numbers", numbers(weights, shape), np.float32)
        scale = self.b.constant(f"{name}/scale", steps, np.float32)
        self._quant(source, scale, fmt, "ROUND", False, name)
        return name if carrier is np.float32 else carried(self.b, name, carrier, f"{name}/float64")

    def matrix(self, name: str, weights: Weights, carrier: Floating) -> str:
        """As any other constant."""
        return self.constant(name, weights, weights.raw.shape, carrier)

    def source(self, node: Input) -> str:
        """The input's words, half to even: no change of numbers that are words already."""
        given = f"{node.name}/numbers"
        if not _expressible(node.fmt):
            return self.b.add("Identity", [given], node.name)
        return self._quant(given, self._lsb(node.fmt), node.fmt, "ROUND", False, node.name)

    def cast(self, node: Requantise, x: str) -> str:
        """A Quant, with operators in front of it for what it lacks."""
        b, fmt, name, signal = self.b, node.cast.to, node.name, self.net.signals[node.x]
        kind, target = self.net.within[name], self.net.carriers[name]
        saturates = node.cast.overflow in (Overflow.SAT, Overflow.SAT_SYM)
        drops = drops_bits(node, signal)
        held, mode = x, "ROUND"
        # a Quant gives float32: what is wider, or overflows otherwise, is finished in front of it
        special = overflows(node, signal) and not saturates
        whole = special or kind is np.float64 or not _expressible(fmt)
        if whole:
            scale = b.scalar(2.0**fmt.frac_bits, kind)
            words = b.add("Mul", [held, scale], f"{name}/scaled")
            if drops:
                words = rounded(b, words, node.cast.rounding, kind, f"{name}/rounded")
            words = overflowed(b, words, node, kind, f"{name}/bounded")
            held = b.add("Mul", [words, b.scalar(2.0**-fmt.frac_bits, kind)], f"{name}/held")
            if kind is not target:
                held = carried(b, held, target, f"{name}/{target.__name__}")
            if not _expressible(fmt):
                return b.add("Identity", [held], name)
        elif drops:
            mode, halves = _mode(node.cast.rounding)
            if halves:
                half = b.scalar(halves * 2.0 ** -(fmt.frac_bits + 1), np.float32)
                held = b.add("Add", [held, half], f"{name}/moved")
        narrow = node.cast.overflow == Overflow.SAT_SYM and fmt.signed
        last = f"{name}/quant" if node.relu and fmt.signed else name
        self._quant(held, self._lsb(fmt), fmt, mode, narrow, last)
        return b.add("Relu", [last], name) if last != name else name

    def ratio(self, node: LayerNorm | Softmax) -> str:
        """Refused: QONNX has no operator that divides to the last bit."""
        raise InputError(
            f"node `{node.name}`: QONNX has no operator that divides as a {type(node).__name__} "
            "does to the last bit; `--to qdq --form integer` holds it"
        )

    def _lsb(self, fmt: QFormat) -> str:
        return self.b.scalar(2.0**-fmt.frac_bits, np.float32)

    def _quant(self, x: str, scale: str, fmt: QFormat, mode: str, narrow: bool, name: str) -> str:
        zero = self.b.scalar(0.0, np.float32)
        width = self.b.scalar(float(fmt.word_bits), np.float32)
        attributes = {"signed": int(fmt.signed), "narrow": int(narrow), "rounding_mode": mode}
        return self.b.add("Quant", [x, scale, zero, width], name, attributes, QONNX_DOMAIN)


def _expressible(fmt: QFormat) -> bool:
    """Whether a Quant can have the format: float32 holds its words; one signed bit is ±1 there."""
    return fmt.word_bits <= FLOAT32_BITS and not (fmt.signed and fmt.word_bits == 1)


def _mode(rounding: Rounding) -> tuple[str, int]:
    """The rounding mode of a Quant, and the halves of an lsb to be added in front of it."""
    match rounding:
        case Rounding.TRN:
            return "FLOOR", 0
        case Rounding.TRN_ZERO:
            return "DOWN", 0
        case Rounding.RND:
            return "FLOOR", 1
        case Rounding.RND_ZERO:
            return "HALF_DOWN", 0
        case Rounding.RND_INF:
            return "HALF_UP", 0
        case Rounding.RND_MIN_INF:
            return "CEIL", -1
        case Rounding.RND_CONV:
            return "ROUND", 0
        case _:
            assert_never(rounding)
