"""One word of a node's value as what it is: a bias and a weighted sum of operand words.

From this follow the words that drive it to either end of its range, and those that drive it to any
other number (`fxp.ties`). Which words there are, and their weights, is the oracle's definition read
backwards; tests hold one against the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from fxp.ir import (
    Add,
    Affine,
    Conv,
    GraphProduct,
    IntArray,
    JointMean,
    TemporalConv,
    TemporalSum,
)
from fxp.ranges import Signal

Linear: TypeAlias = Conv | GraphProduct | TemporalSum | TemporalConv | Affine | Add | JointMean
Exact: TypeAlias = npt.NDArray[Any]  # Python integers


@dataclass(frozen=True, eq=False)
class Form:
    """The word of one channel and joint: `bias + sum(weights * operand words)`.

    Each entry of the arrays, all `(n,)`, is a word of one of the operands: which one, in which
    frame counted from the node's own (-2: two earlier), channel and joint.
    """

    bias: int
    weights: Exact
    reads: IntArray
    frames: IntArray
    channels: IntArray
    joints: IntArray


@dataclass(frozen=True, eq=False)
class Extreme:
    """Words that drive a form to one end of its range.

    `kept` are the entries that lie inside the clip. At least `before` frames of the clip come
    before the node's own, and at most `most_before`, so that the others lie outside it; likewise
    after it.
    """

    total: int
    words: IntArray
    kept: npt.NDArray[np.bool_]
    before: int
    most_before: int | None
    after: int
    most_after: int | None


def form_of(node: Linear, x: Sequence[Signal], channel: int, joint: int) -> Form:
    """The form of one word of a node that reads the signals `x`, one for each distinct operand."""
    match node:
        case Conv():
            row = node.weight.raw[channel]
            return _form(row, channels=np.arange(len(row)), joints=joint, bias=node.bias[channel])
        case GraphProduct():
            return _graph_product(node, x[0], channel, joint)
        case TemporalSum():
            past = -node.dilation * np.arange(node.window)
            return _form(past * 0 + 1, frames=past, channels=channel, joints=joint)
        case TemporalConv():
            raw = node.weight.raw[channel]  # (Cin, taps)
            taps = raw.shape[1]
            frames = node.lookahead - (taps - 1 - np.arange(taps)) * node.dilation
            ins = np.arange(len(raw))[:, None]
            bias = node.bias[channel]
            return _form(raw, frames=frames, channels=ins, joints=joint, bias=bias)
        case Affine():
            scale = [_at(node.scale.raw, channel, joint)]
            bias = _at(node.bias, channel, joint)
            return _form(scale, channels=channel, joints=joint, bias=bias)
        case Add():
            if node.a == node.b:
                return _form([2], channels=channel, joints=joint)
            fracs = [s.frac_bits[channel if len(s.frac_bits) > 1 else 0] for s in x]
            aligned = [1 << max(fracs) - frac for frac in fracs]
            return _form(aligned, reads=np.arange(2), channels=channel, joints=joint)
        case JointMean():
            weights = np.full(x[0].joints, node.multiplier)
            return _form(weights, channels=channel, joints=np.arange(x[0].joints))
        case _:
            assert_never(node)


def separate(
    node: Linear, x: Sequence[Signal], y: Signal, joints: Sequence[int], highest: bool
) -> list[tuple[int, int]]:
    """Channels and joints of words that have no operand word in common, the most extreme first.

    Args:
        node: the node.
        x: the signals it reads.
        y: the signal of its value.
        joints: those wanted, where any joint can be as extreme as any other.
        highest: whether large words are extreme, or small ones.
    """
    ends = [-hi for hi in y.hi] if highest else list(y.lo)
    channels = sorted(range(y.channels), key=lambda c: ends[c])
    match node:
        case Conv() | TemporalConv():  # a joint's words are common to all channels
            return [(channels[i % len(channels)], v) for i, v in enumerate(joints)]
        case JointMean():
            return [(c, 0) for c in channels]
        case GraphProduct():  # a channel's words are common to all joints
            worst = _worst_joint(node, x, channels[0], y.joints, highest)
            return [(c, worst) for c in channels]
        case TemporalSum() | Add():
            return [(c, v) for c in channels for v in joints]
        case Affine():  # each joint may have a scale of its own
            worst = _worst_joint(node, x, channels[0], y.joints, highest)
            order = sorted(range(y.joints), key=lambda v: v != worst)
            return [(c, v) for c in channels for v in order]
        case _:
            assert_never(node)


def extreme(form: Form, x: Sequence[Signal], highest: bool) -> Extreme:
    """The words that make a form as large, or as small, as it gets, wherever the clip ends."""
    low, high = bounds(form, x)
    words = np.where((form.weights > 0) == highest, high, low)
    parts: dict[int, int] = {}
    for frame, product in zip(form.frames.tolist(), form.weights * words, strict=True):
        parts[frame] = parts.get(frame, 0) + product
    past = sorted((frame for frame in parts if frame < 0), reverse=True)
    future = sorted(frame for frame in parts if frame > 0)
    before, most_before = _reach([-frame for frame in past], [parts[f] for f in past], highest)
    after, most_after = _reach(future, [parts[f] for f in future], highest)
    kept = (form.frames >= -before) & (form.frames <= after)
    total = form.bias + sum(part for frame, part in parts.items() if -before <= frame <= after)
    return Extreme(int(total), words.astype(np.int64), kept, before, most_before, after, most_after)


def bounds(form: Form, x: Sequence[Signal]) -> tuple[Exact, Exact]:
    """The smallest and the largest word of each entry, Python integers `(n,)`."""
    ends = [(np.array(s.lo, object), np.array(s.hi, object)) for s in x]
    places = list(zip(form.reads.tolist(), form.channels.tolist(), strict=True))
    return (
        np.array([ends[k][0][c] for k, c in places], object),
        np.array([ends[k][1][c] for k, c in places], object),
    )


def _at(constants: IntArray, channel: int, joint: int) -> int:
    """Of constants per channel, `(C, 1)`, or per channel and joint."""
    return int(constants[channel, joint if constants.shape[1] > 1 else 0])


def _graph_product(node: GraphProduct, x: Signal, channel: int, joint: int) -> Form:
    raw, fracs = node.adjacency.raw, node.adjacency.frac_bits
    lefts = [max(fracs) - frac for frac in (fracs if len(fracs) > 1 else fracs * len(raw))]
    scale = np.array([1 << left for left in lefts], object)[:, None]
    channels = channel + (x.channels // len(raw)) * np.arange(len(raw))[:, None]
    return _form(raw[:, :, joint] * scale, channels=channels, joints=np.arange(x.joints))


def _form(
    weights: npt.ArrayLike,
    *,
    channels: npt.ArrayLike,
    joints: npt.ArrayLike,
    reads: npt.ArrayLike = 0,
    frames: npt.ArrayLike = 0,
    bias: int = 0,
) -> Form:
    """Everything as vectors of one length."""
    raw = np.array(weights, object)
    places = [
        np.broadcast_to(np.asarray(each, np.int64), raw.shape).ravel()
        for each in (reads, frames, channels, joints)
    ]
    return Form(int(bias), np.array([int(w) for w in raw.flat], object), *places)


def _worst_joint(
    node: GraphProduct | Affine, x: Sequence[Signal], channel: int, joints: int, highest: bool
) -> int:
    totals = [extreme(form_of(node, x, channel, v), x, highest).total for v in range(joints)]
    return totals.index(max(totals) if highest else min(totals))


def _reach(distances: Sequence[int], parts: Sequence[int], highest: bool) -> tuple[int, int | None]:
    """How far towards one side the clip has to go, and may: as many parts as the extreme needs.

    `distances` are ascending. Of equally good reaches it is the farthest: the clip may go on.
    """
    totals = list(accumulate(parts, initial=0))
    best = max(totals) if highest else min(totals)
    count = max(i for i, total in enumerate(totals) if total == best)
    least = distances[count - 1] if count else 0
    return least, distances[count] - 1 if count < len(distances) else None
