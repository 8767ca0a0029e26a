"""How many bits floats need to carry the network exactly, node by node.

A float of `p` mantissa bits holds every integer of at most p bits, times any power of two. So it
computes a node of the network without an error, in any order of summation and with or without fused
multiply-adds, if the sum of the magnitudes of all terms fits p bits in units of the finest lsb: no
partial sum is larger. `needed_bits` is that number; 24 bits are a float32's, 53 a float64's.

The bounds are those of `fxp.ranges` (worst case over all inputs), terms counted by magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from fxp.cast import round_shift
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
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    operands,
)
from fxp.qformat import Overflow, Rounding
from fxp.ranges import Signal

FLOAT32_BITS = 24
FLOAT64_BITS = 53

# Python integers: magnitudes may exceed 63 bits
Exact = npt.NDArray[Any]


def needed_bits(graph: Graph, signals: Mapping[str, Signal]) -> dict[str, int]:
    """Mantissa bits with which floats compute each value exactly, by name.

    What happens inside a cast is `cast_bits`'s.
    """
    return {
        node.name: _most(
            node, [signals[name] for name in operands(node)], signals[node.name]
        ).bit_length()
        for node in graph.nodes
    }


def cast_bits(node: Requantise, x: Signal) -> int:
    """Mantissa bits with which a cast rounds and overflows exactly, its operand's included."""
    return max(_cast_most(node, x), int(max(magnitudes(x)))).bit_length()


def magnitudes(signal: Signal) -> Exact:
    """The largest magnitude of each channel in raw units, (C,)."""
    return np.array(
        [max(abs(lo), abs(hi)) for lo, hi in zip(signal.lo, signal.hi, strict=True)], object
    )


def fracs(signal: Signal) -> tuple[int, ...]:
    """`frac_bits` of every channel."""
    return signal.frac_bits * (signal.channels if len(signal.frac_bits) == 1 else 1)


def overflows(node: Requantise, x: Signal) -> bool:
    """Whether some input of the network can make this cast overflow."""
    fmt = node.cast.to
    low, high = fmt.raw_min, fmt.raw_max
    if node.cast.overflow == Overflow.SAT_SYM:
        low = max(low, -high)
    for lo, hi, frac in zip(x.lo, x.hi, fracs(x), strict=True):
        shift = frac - fmt.frac_bits
        rounded = [round_shift(end, shift, node.cast.rounding) for end in (lo, hi)]
        if rounded[0] < low or rounded[1] > high:
            return True
    return False


def drops_bits(node: Requantise, x: Signal) -> bool:
    """Whether the cast has anything to round, in some channel."""
    return any(frac > node.cast.to.frac_bits for frac in x.frac_bits)


def _most(node: Node, x: Sequence[Signal], y: Signal) -> int:
    """The largest sum of magnitudes inside a node, in raw units of its value."""
    match node:
        case Input() | Flatten() | Requantise() | Argmax() | Softmax() | LayerNorm():
            return int(max(magnitudes(y)))
        case Conv(weight=weight, bias=bias):
            return int(max(_abs(weight.raw) @ magnitudes(x[0]) + _abs(bias)))
        case TemporalConv(weight=weight, bias=bias):
            return int(max(_abs(weight.raw).sum(axis=2) @ magnitudes(x[0]) + _abs(bias)))
        case GraphProduct():
            return _graph_product(node, x[0])
        case TemporalSum(window=window):
            return window * int(max(magnitudes(x[0])))
        case Affine(scale=scale, bias=bias):
            return int((_abs(scale.raw) * magnitudes(x[0])[:, None] + _abs(bias)).max())
        case Add():
            return _add(x[0], x[1])
        case JointMean(multiplier=multiplier):
            return multiplier * x[0].joints * int(max(magnitudes(x[0])))
        case ClipMean(shift=shift, max_frames=frames):  # the division needs two bits to spare
            return 4 * frames * ((int(max(magnitudes(x[0]))) << (shift + 1)) + 1)
        case _:
            assert_never(node)


def _graph_product(node: GraphProduct, x: Signal) -> int:
    raw = node.adjacency.raw
    most = max(node.adjacency.frac_bits)
    left = [[1 << (most - frac)] for frac in node.adjacency.frac_bits]
    columns = _abs(raw).sum(axis=1) * np.array(left, object)  # (P, W)
    channels = magnitudes(x).reshape(len(raw), -1)  # (P, C)
    return int((channels.T @ columns).max())


def _add(a: Signal, b: Signal) -> int:
    worst = 0
    ends = zip(magnitudes(a), magnitudes(b), fracs(a), fracs(b), strict=True)
    for size_a, size_b, frac_a, frac_b in ends:
        frac = max(frac_a, frac_b)
        worst = max(worst, (size_a << (frac - frac_a)) + (size_b << (frac - frac_b)))
    return worst


def _cast_most(node: Requantise, x: Signal) -> int:
    """The largest number on the way of a cast, in units of the finest bit there.

    Nearest roundings add half an lsb of the result, a reachable WRAP the span of its format; where
    nothing is dropped there is nothing to add.
    """
    fmt, worst = node.cast.to, 0
    wraps = node.cast.overflow == Overflow.WRAP and overflows(node, x)
    halves = node.cast.rounding not in (Rounding.TRN, Rounding.TRN_ZERO, Rounding.RND_CONV)
    halves = halves and drops_bits(node, x)
    for size, frac in zip(magnitudes(x), fracs(x), strict=True):
        finest = max(frac, fmt.frac_bits + int(halves))  # the binary point that holds every step
        most = size << (finest - frac)
        most += halves << max(finest - fmt.frac_bits - 1, 0)
        most += wraps << (fmt.word_bits + finest - fmt.frac_bits)
        worst = max(worst, int(most))
    return worst


def _abs(raw: npt.NDArray[np.int64]) -> Exact:
    found: Exact = np.abs(raw.astype(object))
    return found
