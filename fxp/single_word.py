"""Single words of a value by the definition, from the words that engines hold.

A word depends on a small part of what its node reads: a column, a row, a few frames. The definition
(`fxp.oracle`) is asked about a node cut down to that part, so nothing is defined here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import numpy.typing as npt

from fxp.fused.fuse import delay_name
from fxp.fused.steps import Words
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
    Weights,
    operands,
)
from fxp.oracle import Clip, Frame, frame_of
from fxp.plan import Plan
from fxp.state import State, frames_of
from fxp.validate import Value


@dataclass(frozen=True, eq=False)
class Operand:
    """Frames of a value: `new` (T', V, C), of which `seen` came before.

    Earlier ones stand in `ring`, frame s in slot `s % slots`, as many as the reader needs.
    """

    about: Value
    new: IntArray
    seen: int
    ring: Words | None


def operands_of(plan: Plan, state: State, node: Node, x: Sequence[IntArray]) -> list[Operand]:
    """What a node reads, before the engine has read its new frames `x`, (T', V, C) each."""
    found = []
    for side, (name, new) in enumerate(zip(operands(node), x, strict=True)):
        ring = state.rings.get(node.name)
        if isinstance(node, ClipMean):
            ring = state.accumulators[node.name]
        elif isinstance(node, Add):
            ring = state.delays.get(delay_name(node.name, side))
        signal = plan.signals[name]
        about = Value(signal.channels, signal.joints, signal.frac_bits)
        found.append(Operand(about, new, frames_of(plan, state, name), ring))
    return found


def defined_word(node: Node, x: Sequence[Operand], frame: int, channel: int, joint: int) -> int:
    """One word of a value.

    Args:
        node: whose value it is.
        x: what it reads.
        frame: of the value, counted from the beginning of the clip.
        channel: of the value.
        joint: of the value.
    """
    match node:
        case Input():
            raise AssertionError("an Input reads nothing")
        case TemporalSum() | TemporalConv():
            return _over_time(node, x[0], frame, channel, joint)
        case ClipMean():
            return _clip_mean(node, x[0], channel, joint)
        case Flatten():
            channels = x[0].about.channels
            column = _column(_frame(x[0], frame), channel // channels)
            return _at(node, [column], [x[0].about])[channel % channels][0]
        case Softmax() | Argmax():
            column = _column(_frame(x[0], frame), joint)
            return _at(node, [column], [x[0].about])[channel][0]
        case LayerNorm():
            whole: Frame = _frame(x[0], frame).T.tolist()
            return _at(node, [whole], [x[0].about])[channel][joint]
        case Conv():
            column = _column(_frame(x[0], frame), joint)
            return _at(_one_output(node, channel), [column], [x[0].about])[0][0]
        case GraphProduct():
            return _graph_product(node, x[0], frame, channel, joint)
        case JointMean():
            return _at(node, [[_frame(x[0], frame)[:, channel].tolist()]], [x[0].about])[0][0]
        case Affine() | Add() | Requantise():
            words = [[[int(_frame(each, frame)[joint, channel])]] for each in x]
            about = [Value(1, 1, (each.about.frac(channel),)) for each in x]
            return _at(_one_place(node, channel, joint), words, about)[0][0]
        case _:
            assert_never(node)


def _frame(x: Operand, frame: int) -> Words:
    """(V, C)."""
    if frame >= x.seen:
        found: Words = x.new[frame - x.seen]
    else:
        assert x.ring is not None
        found = x.ring[frame % len(x.ring)]
    return found


def _column(frame: Words, joint: int) -> Frame:
    """(C, 1)."""
    return [[word] for word in frame[joint].tolist()]


def _at(node: Node, x: list[Frame], about: list[Value]) -> Frame:
    return frame_of(node, [[frame] for frame in x], about, 0)


def _one_output(node: Conv, channel: int) -> Conv:
    return Conv(node.name, node.x, _part(node.weight, channel), node.bias[channel : channel + 1])


def _part(weights: Weights, index: int) -> Weights:
    """One index of the first axis."""
    fracs = weights.frac_bits
    return Weights(
        weights.raw[index : index + 1], weights.word_bits, (fracs[index if len(fracs) > 1 else 0],)
    )


def _one_place(
    node: Affine | Add | Requantise, channel: int, joint: int
) -> Affine | Add | Requantise:
    if not isinstance(node, Affine):
        return node
    scale = _part(node.scale, channel)
    return replace(
        node,
        scale=replace(scale, raw=_joint_of(scale.raw, joint)),
        bias=_joint_of(node.bias[channel : channel + 1], joint),
    )


def _joint_of(row: npt.NDArray[np.int64], joint: int) -> IntArray:
    """(1, 1) of (1, 1) or (1, V)."""
    return row[:, [joint if row.shape[1] > 1 else 0]]


def _graph_product(node: GraphProduct, x: Operand, frame: int, channel: int, joint: int) -> int:
    adjacency = node.adjacency
    partitions = len(adjacency.raw)
    channels = x.about.channels // partitions
    rows: Frame = _frame(x, frame)[:, channel::channels].T.tolist()  # (P, V)
    one = replace(node, adjacency=replace(adjacency, raw=adjacency.raw[:, :, [joint]]))
    return _at(one, [rows], [x.about])[0][0]


def _over_time(
    node: TemporalSum | TemporalConv, x: Operand, frame: int, channel: int, joint: int
) -> int:
    """A clip that begins with the oldest frame read; frames that nothing reads are left empty."""
    if isinstance(node, TemporalSum):
        t, ahead, count = frame, 0, node.window
        columns: slice | list[int] = [channel]
        one: Node = node
    else:
        t, ahead, count = frame * node.stride, node.lookahead, node.weight.raw.shape[2]
        columns = slice(None)
        one = replace(
            node, weight=_part(node.weight, channel), bias=node.bias[channel : channel + 1]
        )
    read = {t + ahead - k * node.dilation for k in range(count)} | {t}
    read = {s for s in read if 0 <= s < x.seen + len(x.new)}
    oldest = min(read)
    clip: Clip = [[] for _ in range(max(read) - oldest + 1)]
    for s in read:
        clip[s - oldest] = [[word] for word in _frame(x, s)[joint, columns].tolist()]
    return frame_of(one, [clip], [x.about], t - oldest)[0][0]


def _clip_mean(node: ClipMean, x: Operand, channel: int, joint: int) -> int:
    """Of a clip with the sum of all frames in its first, and zeros in the others."""
    assert x.ring is not None
    total = int(x.ring[0, joint, channel]) + sum(x.new[:, joint, channel].tolist())
    clip: Clip = [[[total]]] + [[[0]]] * (x.seen + len(x.new) - 1)
    return frame_of(node, [clip], [x.about], 0)[0][0]
