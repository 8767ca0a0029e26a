"""How wide every value of a graph is, from its number formats alone.

Every operand may take every word of its format and every weight every word of its width, so a
network of zero weights is as wide as the trained one, and the widths bound from above what
`fxp.ranges.certify` finds from the weights. A bias is taken to fit the width its sum needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from fxp.accumulators import scale_shift
from fxp.elementary import layer_norm_bound
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
from fxp.qformat import QFormat
from fxp.validate import Value


@dataclass(frozen=True, slots=True)
class Width:
    """Words of `bits` bits, `|raw| <= 2**magnitude_bits`."""

    magnitude_bits: int
    bits: int


def widths_of(graph: Graph, values: Mapping[str, Value]) -> dict[str, Width]:
    """The width of every value, by name; `values` is what `fxp.validate.describe` gives."""
    widths: dict[str, Width] = {}
    for node in graph.nodes:
        x = [(values[name], widths[name]) for name in operands(node)]
        widths[node.name] = _width(node, x, values[node.name])
    return widths


def sum_bits(terms: int) -> int:
    """Bits that a sum of `terms` equal terms is wider than one of them: ceil(log2 terms)."""
    return (terms - 1).bit_length()


def _width(node: Node, x: Sequence[tuple[Value, Width]], value: Value) -> Width:
    match node:
        case Input(fmt=fmt):
            return _stored(fmt)
        case Requantise(cast=cast):
            return _stored(cast.to)
        case Conv(weight=weight):
            return _products(x[0][1], weight.word_bits, weight.raw.shape[1])
        case TemporalConv(weight=weight):
            return _products(x[0][1], weight.word_bits, weight.raw[0].size)
        case GraphProduct(adjacency=adjacency):
            spread = max(adjacency.frac_bits) - min(adjacency.frac_bits)
            bits = adjacency.word_bits + spread
            return _products(x[0][1], bits, adjacency.raw[:, :, 0].size)
        case TemporalSum(window=window):
            guard_bits, one = sum_bits(window), x[0][1]
            return Width(one.magnitude_bits + guard_bits, one.bits + guard_bits)
        case Affine(scale=scale):
            shift = scale_shift(node)
            return _products(x[0][1], scale.word_bits if shift is None else shift + 1, 1)
        case Add():
            magnitude_bits = 1 + max(_aligned(about, width, value) for about, width in x)
            stored = all(about.stored_bits is not None for about, _ in x)
            # a product may be +2**magnitude itself, a stored word is at least one lsb below
            return Width(magnitude_bits, magnitude_bits + (1 if stored else 2))
        case Flatten():
            return x[0][1]
        case JointMean(multiplier=multiplier):
            about, one = x[0]
            terms_bits = sum_bits(about.joints) + multiplier.bit_length()
            return Width(one.magnitude_bits + terms_bits, one.magnitude_bits + terms_bits + 1)
        case ClipMean(shift=shift):
            one = x[0][1]
            return Width(one.magnitude_bits + shift, one.bits + shift)
        case LayerNorm():
            words = x[0][0].channels * x[0][0].joints
            most = layer_norm_bound(words, node.seeds, node.newton_steps, node.frac_bits)
            return Width(most.bit_length(), most.bit_length() + 1)
        case Softmax(frac_bits=frac_bits):
            return Width(frac_bits, frac_bits + 2)
        case Argmax():
            bits = max(1, sum_bits(x[0][0].channels))
            return Width(bits, bits)
        case _:
            assert_never(node)


def _stored(fmt: QFormat) -> Width:
    return Width(fmt.word_bits - fmt.signed, fmt.word_bits)


def _products(x: Width, weight_bits: int, terms: int) -> Width:
    """A sum of `terms` products: two bits above its magnitude hold its sign and positive end."""
    magnitude_bits = x.magnitude_bits + weight_bits - 1 + sum_bits(terms)
    return Width(magnitude_bits, magnitude_bits + 2)


def _aligned(x: Value, width: Width, to: Value) -> int:
    """Magnitude of an operand shifted left to the fractional bits of a sum."""
    shifts = (to.frac(c) - x.frac(c) for c in range(max(len(to.frac_bits), len(x.frac_bits))))
    return width.magnitude_bits + max(shifts)
