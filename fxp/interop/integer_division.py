"""LayerNorm and Softmax of int64 words in ONNX operators (definition: `fxp.elementary`)."""

from __future__ import annotations

import numpy as np

from fxp.elementary import (
    LEAST_MANTISSA,
    MANTISSA_BITS,
    ROOT_BITS,
)
from fxp.interop.integer_steps import floor_div, shift_right, sum_channels, sum_last
from fxp.interop.onnx_builder import OnnxBuilder
from fxp.ir import LayerNorm, Softmax

_MOST_PLACES = 62


def shared(b: OnnxBuilder, node: Softmax, channels: int) -> str:
    """`floor((e << frac_bits) / sum(e))`, the exponentials from the node's own tables."""
    name, x = node.name, node.x
    fine_size, last = len(node.fine), len(node.coarse) - 1
    top = b.add("ReduceMax", [x, b.ints([1])], f"{name}/top")
    below = b.add("Sub", [top, x], f"{name}/below")  # not negative: Div is a floor
    size = b.scalar(fine_size, np.int64)
    block = b.add("Div", [below, size], f"{name}/block")
    block = b.add("Min", [block, b.scalar(last, np.int64)], f"{name}/entry")
    within = b.add("Mod", [below, size], f"{name}/within")
    coarse = b.constant(f"{name}/coarse", node.coarse, np.int64)
    fine = b.constant(f"{name}/fine", node.fine, np.int64)
    high = b.add("Gather", [coarse, block], f"{name}/high")
    low = b.add("Gather", [fine, within], f"{name}/low")
    product = b.add("Mul", [high, low], f"{name}/product")
    half = b.scalar(1 << (node.exp_bits - 1), np.int64)
    moved = b.add("Add", [product, half], f"{name}/moved")
    powers = shift_right(b, moved, node.exp_bits, f"{name}/powers")
    total = sum_channels(b, powers, channels, f"{name}/total")
    raised = b.add("Mul", [powers, b.scalar(1 << node.frac_bits, np.int64)], f"{name}/raised")
    return b.add("Div", [raised, total], name)


def normed(b: OnnxBuilder, node: LayerNorm, words: int) -> str:
    """`(N * x - S0) / sqrt(N * S1 - S0**2 + epsilon)` over frames of N = `words` words."""
    name, x = node.name, node.x
    flat = b.add("Reshape", [x, b.ints([-1, 1, words])], f"{name}/flat")
    count = b.scalar(words, np.int64)
    total = sum_last(b, flat, words, f"{name}/s0")
    squares = sum_last(b, b.add("Mul", [flat, flat], f"{name}/squares"), words, f"{name}/s1")
    spread = b.add("Mul", [squares, count], f"{name}/n_s1")
    spread = b.add("Sub", [spread, b.add("Mul", [total, total], f"{name}/s0_s0")], f"{name}/spread")
    variance = b.add("Add", [spread, b.scalar(int(node.epsilon[0]), np.int64)], f"{name}/variance")
    # where the variance is 0 all numerators are, so any root will do
    positive = b.add("Max", [variance, b.scalar(1, np.int64)], f"{name}/positive")
    root, k = _root(b, node, positive)
    numerator = b.add("Mul", [x, count], f"{name}/n_x")
    numerator = b.add("Sub", [numerator, total], f"{name}/numerator")
    product = b.add("Mul", [numerator, root], f"{name}/product")
    drop = b.add("Add", [k, b.scalar(ROOT_BITS - node.frac_bits, np.int64)], f"{name}/drop")
    divisor = _power(b, drop, f"{name}/divisor")
    half = b.add("Div", [divisor, b.scalar(2, np.int64)], f"{name}/half")
    moved = b.add("Add", [product, half], f"{name}/moved")
    return floor_div(b, moved, divisor, name)


def _root(b: OnnxBuilder, node: LayerNorm, number: str) -> tuple[str, str]:
    """The reciprocal root of the mantissa of a positive number, and its k (`normalise`)."""
    name = node.name
    # k is how many powers of four (1, 4, 16, ...) the number has reached
    fours = b.constant("const/fours", [[[1 << (2 * j) for j in range(32)]]], np.int64)
    reached = b.add("GreaterOrEqual", [number, fours], f"{name}/reached")  # (T, 1, 32)
    counted = b.add("Cast", [reached], f"{name}/counted", {"to": b.onnx.TensorProto.INT64})
    k = sum_last(b, counted, 32, f"{name}/k")
    shift = b.add("Add", [k, k], f"{name}/two_k")
    shift = b.add("Sub", [shift, b.scalar(MANTISSA_BITS, np.int64)], f"{name}/shift")
    zero = b.scalar(0, np.int64)
    right = _power(b, b.add("Max", [shift, zero], f"{name}/right"), f"{name}/right_by")
    negative = b.add("Max", [b.add("Neg", [shift], f"{name}/neg"), zero], f"{name}/left")
    left = _power(b, negative, f"{name}/left_by")
    raised = b.add("Mul", [number, left], f"{name}/raised")
    mantissa = b.add("Div", [raised, right], f"{name}/mantissa")
    width = 3 * LEAST_MANTISSA // len(node.seeds)
    above = b.add("Sub", [mantissa, b.scalar(LEAST_MANTISSA, np.int64)], f"{name}/above")
    index = b.add("Div", [above, b.scalar(width, np.int64)], f"{name}/index")
    root = b.add("Gather", [b.constant(f"{name}/seeds", node.seeds, np.int64), index], f"{name}/r0")
    for step in range(node.newton_steps):
        root = _newton(b, root, mantissa, f"{name}/r{step + 1}")
    return root, k


def _newton(b: OnnxBuilder, root: str, mantissa: str, name: str) -> str:
    """`fxp.elementary.newton_step`; all products are positive."""
    square = shift_right(b, b.add("Mul", [root, root], f"{name}/rr"), ROOT_BITS, f"{name}/q")
    weighted = b.add("Mul", [mantissa, square], f"{name}/mq")
    product = shift_right(b, weighted, MANTISSA_BITS, f"{name}/p")
    below_3 = b.add("Sub", [b.scalar(3 << ROOT_BITS, np.int64), product], f"{name}/below_3")
    return shift_right(b, b.add("Mul", [root, below_3], f"{name}/next"), ROOT_BITS + 1, name)


def _power(b: OnnxBuilder, exponent: str, name: str) -> str:
    """`2**exponent`, from a table."""
    powers = b.constant("const/powers", [1 << i for i in range(_MOST_PLACES + 1)], np.int64)
    return b.add("Gather", [powers, exponent], name)
