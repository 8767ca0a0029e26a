"""Stress vectors: clips that drive the accumulators of a network to their exact extremes.

An argmax, which is none, gets one of winners and ties.

Data never come near them, so an accumulator that is too narrow, or a sign that is lost at the top
of its range, stays unseen. For each accumulator there is a network of that one node (`fxp.excerpt`)
and a short clip, within the ranges that its operands have in the whole network. What the clips are
for: docs/golden.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from fxp.errors import InputError
from fxp.excerpt import Excerpt, excerpt
from fxp.forms import Linear, extreme, form_of, separate
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
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
)
from fxp.memories import Ground, ground_of, settings_for
from fxp.oracle import evaluate
from fxp.ranges import Signal, is_sum
from fxp.stress_clips import Clip, Piece, clip_of_frames, lay_out, piece_of, whole_frame
from fxp.stress_frames import (
    constant_clips,
    contest_frames,
    edge_frames,
    norm_frames,
    share_frames,
)
from fxp.stress_ties import add_ties

HIGHEST, LOWEST = "highest", "lowest"


@dataclass(frozen=True, eq=False)
class Stress:
    """A network of one node, and a clip that stresses it.

    Attributes:
        node: its name, in this network as in the whole one.
        graph: the operands' words as input, the node, and the casts that read it.
        clip: input words `(T, C, V)`.
        purposes: what the clip is for, and the frame of it where that is seen (behind a stride, the
            node's own frame is that divided by it). `highest`: some word of the node is `hi`;
            `lowest`: one is `lo`.
        lo: the smallest word of the node, over all clips of the whole network; of a `LayerNorm` or
            `Softmax` the smallest that a search found, of an `Argmax` the lowest label.
        hi: the largest.
    """

    node: str
    graph: Graph
    clip: IntArray
    purposes: Mapping[str, int]
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class StressPlan:
    """All cases of a network, and the nodes `without` any, each with the reason."""

    cases: tuple[Stress, ...]
    without: Mapping[str, str]


def stress_cases(graph: Graph) -> tuple[Stress, ...]:
    """The cases of every accumulator and argmax that has one, in the order of the graph.

    One for a node, as a rule; where `hi` and `lo` need the same end of a clip, or a whole clip
    each, one for either. Draws are seeded: the same graph gives the same cases.

    Raises:
        GraphError: the graph breaks a rule of the IR, or could exceed its accumulators.
    """
    return stress_plan(graph).cases


def stress_plan(graph: Graph) -> StressPlan:
    """The cases, and the reasons why others are none.

    Raises:
        GraphError: as `stress_cases`.
    """
    ground = ground_of(graph, settings_for(graph, frames=1))
    cases: list[Stress] = []
    without: dict[str, str] = {}
    for node in graph.nodes:
        if is_sum(node) or isinstance(node, Argmax):
            try:
                cases += _cases(ground, node)
            except InputError as error:
                without[node.name] = str(error)
    return StressPlan(tuple(cases), without)


def _cases(ground: Ground, node: Node) -> Iterator[Stress]:
    """The cases of one node.

    Raises:
        InputError: why there is none.
    """
    cut, y = excerpt(ground, node), ground.signals[node.name]
    x = [ground.signals[name] for name in cut.offsets]
    lo, hi = min(y.lo), max(y.hi)
    match node:
        case (
            Conv()
            | GraphProduct()
            | TemporalSum()
            | TemporalConv()
            | Affine()
            | Add()
            | JointMean()
        ):
            clips = _linear_clips(cut, node, x, y)
        case ClipMean():
            clips = constant_clips(node, x[0], HIGHEST, LOWEST)
        case LayerNorm():
            lo, hi, clips = _searched(cut, x, norm_frames(x[0]))
        case Softmax():
            lo, hi, clips = _searched(cut, x, share_frames(x[0]))
        case Argmax():
            lo, hi, clips = _contested(cut, x)
        case Input() | Flatten() | Requantise():
            raise AssertionError(f"{node.name} is no sum")
        case _:
            assert_never(node)
    for clip in clips:
        words = cut.clip(dict(zip(cut.offsets, clip.words, strict=True)))
        yield Stress(node.name, cut.graph, words, clip.purposes, lo, hi)


def _linear_clips(cut: Excerpt, node: Linear, x: Sequence[Signal], y: Signal) -> list[Clip]:
    """Both extremes, frames at the edges of the operands' ranges, ties of the casts."""
    pieces = [_extreme_piece(node, x, y, highest) for highest in (True, False)]
    clips = lay_out([*pieces, *_edges(x)], x)
    casts = [reader for reader in cut.graph.nodes if isinstance(reader, Requantise)]
    readers = [cast for cast in casts if cast.x == node.name]
    for clip in clips:
        if clip.most_frames is None:
            add_ties(clip, node, readers, x, y)
            break
    return clips


def _extreme_piece(node: Linear, x: Sequence[Signal], y: Signal, highest: bool) -> Piece:
    """The node's most extreme word, and of as many others as have operand words of their own.

    Over time, one end is for every other joint, so that both share their frames.
    """
    over_time = isinstance(node, TemporalSum | TemporalConv) and y.joints > 1
    joints = range(0 if highest else 1, y.joints, 2) if over_time else range(y.joints)
    forms = [form_of(node, x, *at) for at in separate(node, x, y, joints, highest)]
    found = [extreme(form, x, highest) for form in forms]
    assert found[0].total == (max(y.hi) if highest else min(y.lo)), node.name
    stride = node.stride if isinstance(node, TemporalConv) else 1
    name = HIGHEST if highest else LOWEST
    return piece_of(name, zip(forms, found, strict=True), found[0], stride)


def _searched(
    cut: Excerpt, x: Sequence[Signal], frames: Sequence[IntArray]
) -> tuple[int, int, list[Clip]]:
    """The best of frames `(C, V)` and of those at the edges: what they reach, and the clip."""
    (name,) = cut.offsets
    tried = np.stack([*frames, *(words[0] for words in edge_frames(x).values())])
    values = evaluate(cut.graph, cut.clip({name: tried}))[cut.node.name]
    lows, highs = values.min(axis=(1, 2)), values.max(axis=(1, 2))
    best = {HIGHEST: int(highs.argmax()), LOWEST: int(lows.argmin())}
    pieces = [whole_frame(purpose, [tried[at]]) for purpose, at in best.items()]
    return int(lows.min()), int(highs.max()), lay_out([*pieces, *_edges(x)], x)


def _contested(cut: Excerpt, x: Sequence[Signal]) -> tuple[int, int, list[Clip]]:
    """All frames for an argmax and those at the edges: the labels they reach, and the clip."""
    (name,) = cut.offsets
    frames = {purpose: words[0] for purpose, words in edge_frames(x).items()}
    frames = contest_frames(x[0]) | frames
    tried = np.stack(list(frames.values()))
    labels = evaluate(cut.graph, cut.clip({name: tried}))[cut.node.name]
    lows, highs = labels.min(axis=(1, 2)), labels.max(axis=(1, 2))
    best = {HIGHEST: tried[highs.argmax()], LOWEST: tried[lows.argmin()]}
    return int(lows.min()), int(highs.max()), [clip_of_frames(best | frames)]


def _edges(x: Sequence[Signal]) -> list[Piece]:
    return [whole_frame(purpose, words) for purpose, words in edge_frames(x).items()]
