"""Floor divisions, shifts and sums of int64 words in ONNX operators.

Sums are products with ones: onnxruntime (1.32) adds int64 in a ReduceSum as float64, wrong in the
last digits from 2**53 on, while its MatMul of int64 is exact.
"""

from __future__ import annotations

import numpy as np

from fxp.interop.onnx_builder import OnnxBuilder


def floor_div(b: OnnxBuilder, x: str, divisor: str, name: str) -> str:
    """`floor(x / divisor)` for positive divisors: Div alone goes towards zero."""
    rest = b.add("Mod", [x, divisor], f"{name}/rest")  # not negative, as the divisor
    whole = b.add("Sub", [x, rest], f"{name}/whole")
    return b.add("Div", [whole, divisor], name)


def shift_right(b: OnnxBuilder, x: str, places: int, name: str) -> str:
    """`x >> places`, arithmetic, `places` up to 62."""
    return floor_div(b, x, b.scalar(1 << places, np.int64), name)


def sum_last(b: OnnxBuilder, x: str, size: int, name: str) -> str:
    """The sum over the last axis, which has `size` entries and stays with one."""
    ones = b.constant(f"const/ones{size}x1", np.ones((size, 1)), np.int64)
    return b.add("MatMul", [x, ones], name)


def sum_channels(b: OnnxBuilder, x: str, channels: int, name: str) -> str:
    """The sum over the channels of (T, C, V), which stay as one."""
    ones = b.constant(f"const/ones1x{channels}", np.ones((1, channels)), np.int64)
    return b.add("MatMul", [ones, x], name)
