"""Accumulators that may wrap: how many of their low bits decide every stored word.

Two's complement of P bits is arithmetic modulo `2**P`, and sums and products respect it: whatever
is linear in a wrapped operand is right modulo `2**P`. So an accumulator may lose its upper bits if
each of its readers depends on the lower ones alone. Proofs: docs/accumulators.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

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
from fxp.qformat import Cast, Overflow, Rounding
from fxp.validate import Value, describe


def surviving_bits(cast: Cast, shift: int) -> int | None:
    """How many low bits of a word decide what a cast makes of it; None: no number of them does.

    A cast that wraps keeps the `word_bits` low bits of the rounded word, those from `shift` on of
    the accumulator. Roundings that look at the discarded bits (and at the lowest kept one, for
    `RND_CONV`) need nothing beyond; those that look at the sign need every bit. A ReLU comes after
    the overflow and sees the kept bits only.
    """
    if cast.overflow is not Overflow.WRAP or (shift > 0 and _needs_sign(cast.rounding)):
        return None
    return max(cast.to.word_bits + shift, 1)


def needed_bits(graph: Graph, whole_bits: Mapping[str, int]) -> dict[str, int]:
    """The narrowest width of each value at which every stored word and every output stays right.

    It holds for accumulators of one width: `P` bits are enough for all of those that need at most
    `P`, whether they hold their sums whole or not.

    Args:
        graph: any graph.
        whole_bits: the width at which each value never wraps, by name.

    Returns:
        At most `whole_bits`, by name; just that for what is an output or read by nobody.

    Raises:
        GraphError: the graph breaks a rule of the IR.
    """
    values = describe(graph)
    asked: dict[str, list[int | None]] = {node.name: [] for node in graph.nodes}
    needed: dict[str, int] = {}
    for node in reversed(graph.nodes):
        whole, readers = whole_bits[node.name], asked[node.name]
        bits = [whole if reader is None else reader for reader in readers] or [whole]
        kept = whole if node.name in graph.outputs else min(max(bits), whole)
        needed[node.name] = kept
        for name in operands(node):
            asked[name].append(_asks(node, values[name], kept))
    return needed


def wrapped_word(raw: int, bits: int) -> int:
    """`raw` as a two's complement register of `bits` bits holds it."""
    half = 1 << (bits - 1)
    return ((raw + half) & ((1 << bits) - 1)) - half


def _asks(node: Node, x: Value, kept: int) -> int | None:
    """Low bits of an operand that the `kept` low bits of a node's value depend on."""
    match node:
        case Requantise():
            shifts = (frac - node.cast.to.frac_bits for frac in x.frac_bits)
            found = [surviving_bits(node.cast, shift) for shift in shifts]
            bits = [each for each in found if each is not None]
            return max(bits) if len(bits) == len(found) else None
        case (
            Conv()
            | GraphProduct()
            | TemporalSum()
            | TemporalConv()
            | Affine()
            | Add()
            | Flatten()
            | JointMean()
        ):  # integer multiples of operands, added up
            return kept
        case ClipMean() | LayerNorm() | Softmax() | Argmax():  # they divide or compare
            return None
        case Input():
            raise AssertionError("an Input reads nothing")
        case _:
            assert_never(node)


def _needs_sign(rounding: Rounding) -> bool:
    match rounding:
        case Rounding.TRN | Rounding.RND | Rounding.RND_MIN_INF | Rounding.RND_CONV:
            return False
        case Rounding.TRN_ZERO | Rounding.RND_ZERO | Rounding.RND_INF:
            return True
        case _:
            assert_never(rounding)
