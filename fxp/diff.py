"""Where two implementations of a network first differ, word for word, and why.

Values are compared in the order of the graph, so the operands of the first one that differs agree
(those of them that both sides have). What is found there is explained against the words that the
network itself gives (`fxp.causes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from fxp.causes import Explanation, explain
from fxp.guesses import Cause
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    GraphProduct,
    Input,
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    operands,
)
from fxp.memories import held
from fxp.node_fields import kind_of
from fxp.sides import Pair


@dataclass(frozen=True)
class Operand:
    """Words that go into one word of a node: a description of where they stand, and the words."""

    name: str
    place: str
    words: tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """The first word that differs.

    Attributes:
        node, kind: the first node of the graph of which any word differs.
        frame, channel, joint: the first such word of it, in frames of the value itself.
        word_bits: width of the word.
        a, b: the words of the two sides.
        operands: what the node reads for this word.
        accumulator: for a cast the exact accumulator word, else None.
        accumulator_frac_bits: where its binary point is.
        wrong: the side that departs from the network, `A` or `B`; `both`.
        cause: one of `fxp.guesses.Cause`, and what it says in `text`.
    """

    node: str
    kind: str
    frame: int
    channel: int
    joint: int
    word_bits: int
    a: int
    b: int
    operands: tuple[Operand, ...]
    accumulator: int | None
    accumulator_frac_bits: int | None
    wrong: str
    explanation: Explanation


@dataclass(frozen=True)
class Count:
    """Differing words of one value that both sides have."""

    node: str
    words: int
    differing: int
    first_frame: int | None


@dataclass(frozen=True)
class Comparison:
    """All values that both sides have, and the first difference if there is any.

    `nodes` is how many nodes the network has.
    """

    nodes: int
    counts: tuple[Count, ...]
    first: Difference | None


def compare(pair: Pair) -> Comparison:
    """Compare two sides value by value."""
    counts: list[Count] = []
    first = None
    for node in pair.ground.graph.nodes:
        if node.name not in pair.a or node.name not in pair.b:
            continue
        differs = pair.a[node.name] != pair.b[node.name]
        differing = int(np.count_nonzero(differs))
        frame = int(np.argmax(differs.any(axis=(1, 2)))) if differing else None
        counts.append(Count(node.name, differs.size, differing, frame))
        if differing and first is None:
            first = _difference(pair, node, differs)
    return Comparison(len(pair.ground.graph.nodes), tuple(counts), first)


def _difference(pair: Pair, node: Node, differs: IntArray) -> Difference:
    name = node.name
    exact = held(pair.ground, name, pair.exact[name])
    place = np.unravel_index(int(np.argmax(differs)), differs.shape)
    frame, channel, joint = (int(index) for index in place)
    a, b = pair.a[name], pair.b[name]
    right = [side for side, words in (("A", a), ("B", b)) if np.array_equal(words, exact)]
    found = a if right == ["B"] else b
    wrong = {"A": "B", "B": "A"}[right[0]] if right else "both"
    accumulator = frac_bits = None
    if isinstance(node, Requantise):
        accumulator, frac_bits = int(pair.exact[node.x][place]), _frac(pair, node.x, channel)
    if isinstance(node, Input):
        explanation = Explanation(Cause.UNKNOWN, "the two were given different input words")
    elif found[place] == exact[place]:  # only where neither side is right everywhere
        explanation = Explanation(Cause.UNKNOWN, "both depart from the network at this node")
    else:
        explanation = explain(pair.ground.graph, pair.exact, node, found)
    return Difference(
        node=name,
        kind=kind_of(node),
        frame=frame,
        channel=channel,
        joint=joint,
        word_bits=pair.ground.formats[name][0],
        a=int(a[place]),
        b=int(b[place]),
        operands=tuple(_operands(pair, node, frame, channel, joint)),
        accumulator=accumulator,
        accumulator_frac_bits=frac_bits,
        wrong=wrong,
        explanation=explanation,
    )


def _frac(pair: Pair, name: str, channel: int) -> int:
    fracs = pair.ground.signals[name].frac_bits
    return fracs[channel if len(fracs) > 1 else 0]


def _operands(pair: Pair, node: Node, t: int, c: int, v: int) -> list[Operand]:
    """The words that one word of a node is made of, as the network has them."""
    x = [pair.exact[name] for name in operands(node)]
    names = operands(node)
    match node:
        case Input():
            return []
        case Requantise() | Affine() | Add():
            places = zip(names, x, strict=True)
            return [_operand(n, f"[{t}, {c}, {v}]", value[t, c, v]) for n, value in places]
        case TemporalSum():
            frames = [t - k * node.dilation for k in range(node.window)]
            inside = [s for s in frames if s >= 0]
            return [_operand(node.x, f"[{inside}, {c}, {v}]", x[0][inside, c, v])]
        case TemporalConv():
            taps = node.weight.raw.shape[2]
            newest = t * node.stride + node.lookahead
            frames = [newest - (taps - 1 - k) * node.dilation for k in range(taps)]
            inside = [s for s in frames if 0 <= s < len(x[0])]
            return [_operand(node.x, f"[{inside}, :, {v}]", x[0][inside, :, v])]
        case Conv() | Softmax() | Argmax():
            return [_operand(node.x, f"[{t}, :, {v}]", x[0][t, :, v])]
        case GraphProduct():
            step = x[0].shape[1] // len(node.adjacency.raw)
            return [_operand(node.x, f"[{t}, {c}::{step}, :]", x[0][t, c::step])]
        case JointMean():
            return [_operand(node.x, f"[{t}, {c}, :]", x[0][t, c])]
        case ClipMean():
            return [_operand(node.x, f"[:, {c}, {v}]", x[0][:, c, v])]
        case Flatten():  # joint-major
            joint, channel = divmod(c, x[0].shape[1])
            return [_operand(node.x, f"[{t}, {channel}, {joint}]", x[0][t, channel, joint])]
        case LayerNorm():
            return [_operand(node.x, f"[{t}, :, :]", x[0][t])]
        case _:
            assert_never(node)


def _operand(name: str, place: str, words: IntArray | np.int64) -> Operand:
    return Operand(name, place, tuple(int(word) for word in np.ravel(words)))
