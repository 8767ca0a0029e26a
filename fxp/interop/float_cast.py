"""Roundings and overflows as plain ONNX operators over floats that hold integers and fractions.

Exact as long as every step fits the mantissa, which `fxp.interop.magnitude` has counted.
"""

from __future__ import annotations

from typing import assert_never

import numpy.typing as npt

from fxp.interop.onnx_builder import OnnxBuilder
from fxp.ir import Requantise
from fxp.qformat import Overflow, Rounding


def rounded(b: OnnxBuilder, x: str, rounding: Rounding, kind: npt.DTypeLike, name: str) -> str:
    """x rounded to integers as the mode says (docs/arithmetic.md, section 2.1)."""
    match rounding:
        case Rounding.TRN:
            return b.add("Floor", [x], name)
        case Rounding.RND:
            return b.add("Floor", [_moved(b, x, 0.5, kind, name)], name)
        case Rounding.RND_MIN_INF:
            return b.add("Ceil", [_moved(b, x, -0.5, kind, name)], name)
        case Rounding.RND_CONV:
            return b.add("Round", [x], name)  # half to even, by the ONNX standard
        case Rounding.TRN_ZERO:
            return _mirrored(b, x, "Floor", 0.0, kind, name)
        case Rounding.RND_ZERO:
            return _mirrored(b, x, "Ceil", -0.5, kind, name)
        case Rounding.RND_INF:
            return _mirrored(b, x, "Floor", 0.5, kind, name)
        case _:
            assert_never(rounding)


def overflowed(b: OnnxBuilder, x: str, node: Requantise, kind: npt.DTypeLike, name: str) -> str:
    """Integers brought into the range of the cast's format, then the ReLU if asked."""
    fmt = node.cast.to
    low, high = fmt.raw_min, fmt.raw_max
    match node.cast.overflow:
        case Overflow.SAT:
            return _clip(b, x, max(low, 0) if node.relu else low, high, kind, name)
        case Overflow.SAT_SYM:
            low = max(low, -high)
            return _clip(b, x, max(low, 0) if node.relu else low, high, kind, name)
        case Overflow.SAT_ZERO:
            inside = _clip(b, x, low, high, kind, f"{name}/clip")
            same = b.add("Equal", [x, inside], f"{name}/inside")
            kept = b.add("Where", [same, x, b.scalar(0.0, kind)], f"{name}/kept")
        case Overflow.WRAP:  # x - 2**w * floor((x - low) / 2**w)
            span = float(1 << fmt.word_bits)
            above = _moved(b, x, -float(low), kind, name)
            part = b.add("Mul", [above, b.scalar(1 / span, kind)], f"{name}/part")
            turns = b.add("Floor", [part], f"{name}/turns")
            away = b.add("Mul", [turns, b.scalar(span, kind)], f"{name}/away")
            kept = b.add("Sub", [x, away], f"{name}/kept")
        case _:
            assert_never(node.cast.overflow)
    return b.add("Relu" if node.relu else "Identity", [kept], name)


def _clip(b: OnnxBuilder, x: str, low: int, high: int, kind: npt.DTypeLike, name: str) -> str:
    ends = [b.scalar(float(end), kind) for end in (low, high)]
    return b.add("Clip", [x, *ends], name)


def _moved(b: OnnxBuilder, x: str, by: float, kind: npt.DTypeLike, name: str) -> str:
    return b.add("Add", [x, b.scalar(by, kind)], f"{name}/moved") if by else x


def _mirrored(b: OnnxBuilder, x: str, op: str, by: float, kind: npt.DTypeLike, name: str) -> str:
    """`sign(x) * op(|x| + by)`: roundings that treat both signs alike."""
    size = b.add("Abs", [x], f"{name}/size")
    whole = b.add(op, [_moved(b, size, by, kind, name)], f"{name}/whole")
    return b.add("Mul", [b.add("Sign", [x], f"{name}/sign"), whole], name)
