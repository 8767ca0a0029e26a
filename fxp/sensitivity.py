"""What each tensor costs when it alone gets fewer bits: one change at a time, in the graph itself.

Nothing is calibrated again and no float network is needed. A cast is narrowed by a cast in front of
it: `X.narrow` rounds the accumulator to the narrow format, and `X` turns these words, exactly, into
the format that the rest of the network expects. Constants are rounded again where they stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fxp.cast import requantise
from fxp.errors import InputError
from fxp.ir import (
    Affine,
    Argmax,
    Conv,
    Graph,
    GraphProduct,
    IntArray,
    Node,
    Requantise,
    TemporalConv,
    Weights,
    layer_of,
)
from fxp.outline import constant_key
from fxp.qformat import Cast, QFormat
from fxp.simulate import compile_graph, run

Words: TypeAlias = npt.NDArray[np.integer[Any]]  # of a clip, (T, C, V)


@dataclass(frozen=True)
class Change:
    """One tensor at fewer bits.

    `label_changes` is the share of labels that became others (None for a graph without labels),
    `output_error` the root mean square by which the numbers of the first output moved, relative to
    that of these numbers unchanged (None where they are all zero). `frames` counts the frames of
    input that it ran on.
    """

    name: str
    layer: str
    kind: str
    bits: int
    label_changes: float | None
    output_error: float | None
    frames: int


def sensitivity(graph: Graph, clips: Sequence[Words], bits: Sequence[int]) -> tuple[Change, ...]:
    """Run the network once for every cast and constant at every width narrower than its own.

    Args:
        graph: the integer network; its first output that is no label is compared.
        clips: input words, integers `(T, C, V)` each; every change runs on all of them.
        bits: widths to try, each at least 2.

    Raises:
        GraphError: the graph breaks a rule of the IR, or could exceed its accumulators.
        InputError: there is no clip or one cannot be the graph's input, a width is too small, or
            the graph has no output but labels.
    """
    if not clips:
        raise InputError("sensitivity: at least one clip is needed")
    for width in bits:
        if width < 2:
            raise InputError(f"sensitivity: widths must be at least 2 bits, got {width}")
    base = _outputs(graph, clips)
    found = []
    for node in graph.nodes:
        key = constant_key(node)
        for width in sorted(bits):
            if isinstance(node, Requantise) and width < node.cast.to.word_bits:
                fmt = narrower(node.cast.to, width)
                found.append(
                    _change(with_cast(graph, node.name, fmt), node.name, width, base, clips)
                )
            if key is not None and width < constant_of(node).word_bits:
                changed = with_constant(graph, node.name, width)
                found.append(_change(changed, key, width, base, clips))
    return tuple(found)


def narrower(fmt: QFormat, word_bits: int) -> QFormat:
    """The format of fewer bits and the same range."""
    return replace(fmt, word_bits=word_bits, frac_bits=fmt.frac_bits - fmt.word_bits + word_bits)


def with_cast(graph: Graph, name: str, fmt: QFormat) -> Graph:
    """The graph with one cast narrowed to `fmt`; everything behind it reads words as before.

    Raises:
        InputError: `name` is no cast, or its format cannot hold every number of `fmt`.
    """
    index, node = _find(graph, name)
    if not isinstance(node, Requantise):
        raise InputError(f"graph `{graph.name}`: `{name}` is no cast")
    to, left = node.cast.to, node.cast.to.frac_bits - fmt.frac_bits
    if left < 0 or fmt.raw_min << left < to.raw_min or fmt.raw_max << left > to.raw_max:
        raise InputError(f"graph `{graph.name}`: cast `{name}` to {to} cannot hold {fmt}")
    first = Requantise(f"{name}.narrow", node.x, replace(node.cast, to=fmt), node.relu)
    second = replace(node, x=first.name, cast=Cast(to), relu=False)
    return replace(graph, nodes=(*graph.nodes[:index], first, second, *graph.nodes[index + 1 :]))


def with_constant(graph: Graph, name: str, word_bits: int) -> Graph:
    """The graph with the constant of one node rounded half up to `word_bits`, and saturated.

    The words stay on their binary points, their low bits zero.

    Raises:
        InputError: `name` has no constant.
    """
    index, node = _find(graph, name)
    weights = constant_of(node)
    dropped = weights.word_bits - word_bits
    narrow = Cast(QFormat(word_bits, 0))
    words, place = np.unique(weights.raw, return_inverse=True)
    rounded = [requantise(word, dropped, narrow) << dropped for word in words.tolist()]
    raw = np.array(rounded, np.int64)[place].reshape(weights.raw.shape)
    changed = _with_words(node, replace(weights, raw=raw))
    return replace(graph, nodes=(*graph.nodes[:index], changed, *graph.nodes[index + 1 :]))


def constant_of(node: Node) -> Weights:
    """The constant operand of a node.

    Raises:
        InputError: it has none.
    """
    match node:
        case Conv() | TemporalConv():
            return node.weight
        case Affine():
            return node.scale
        case GraphProduct():
            return node.adjacency
        case _:
            raise InputError(f"node `{node.name}` has no constant operand")


def _with_words(node: Node, words: Weights) -> Node:
    """The node with another constant operand."""
    match node:
        case Conv() | TemporalConv():
            return replace(node, weight=words)
        case Affine():
            return replace(node, scale=words)
        case GraphProduct():
            return replace(node, adjacency=words)
        case _:
            raise InputError(f"node `{node.name}` has no constant operand")


def _find(graph: Graph, name: str) -> tuple[int, Node]:
    for index, node in enumerate(graph.nodes):
        if node.name == name:
            return index, node
    raise InputError(f"graph `{graph.name}`: `{name}` is no node")


def _watched(graph: Graph) -> tuple[str, str | None]:
    """The scores to compare (the first output that is no label, else what labels are taken from)
    and the labels.
    """
    labels = [node for node in graph.nodes if isinstance(node, Argmax)]
    chosen = [node for node in labels if node.name in graph.outputs] or labels
    others = [name for name in graph.outputs if name not in {node.name for node in labels}]
    return (others[0] if others else chosen[0].x), (chosen[0].name if chosen else None)


def _outputs(graph: Graph, clips: Sequence[Words]) -> list[tuple[IntArray, IntArray | None]]:
    """Scores and labels of every clip."""
    plan = compile_graph(graph)
    scores, label = _watched(graph)
    taps = [scores] if label is None else [scores, label]
    found = (run(plan, clip, taps=taps)[0] for clip in clips)
    return [(values[scores], None if label is None else values[label]) for values in found]


def _change(
    changed: Graph,
    name: str,
    bits: int,
    base: Iterable[tuple[IntArray, IntArray | None]],
    clips: Sequence[Words],
) -> Change:
    moved = power = 0.0
    others = labels = 0
    for (scores, label), (new_scores, new_label) in zip(
        base, _outputs(changed, clips), strict=True
    ):
        reference = scores.astype(np.float64)
        moved += float(np.square(new_scores - reference).sum())
        power += float(np.square(reference).sum())
        if label is not None:
            others += int(np.count_nonzero(new_label != label))
            labels += label.size
    is_cast = any(node.name == f"{name}.narrow" for node in changed.nodes)
    return Change(
        name=name,
        layer=layer_of(name),
        kind="cast" if is_cast else "constant",
        bits=bits,
        label_changes=others / labels if labels else None,
        output_error=math.sqrt(moved / power) if power else None,
        frames=sum(map(len, clips)),
    )
