"""Guesses at what an implementation did otherwise at one node, and the words each predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np

from fxp.cast import overflow, requantise, round_shift
from fxp.ir import Add, Affine, Argmax, Conv, IntArray, Node, Requantise, TemporalConv, TemporalSum
from fxp.qformat import Cast, Overflow, Rounding
from fxp.ranges import signed_bits
from fxp.validate import Value

SHIFTS = tuple(k for i in range(1, 17) for k in (i, -i))
DELAYS = tuple(d for i in range(1, 9) for d in (i, -i))


class Cause(StrEnum):
    """What a difference comes from."""

    TIE = "tie"  # a number halfway between two words is rounded the other way
    ROUNDING = "rounding"  # another rounding, that shows not only on ties
    CLIP = "clip"  # a number outside the format is treated otherwise
    OVERFLOW = "overflow"  # an accumulator has too few bits
    SCALE = "scale"  # a binary point is off
    DELAY = "delay"  # frames of another time
    PERMUTATION = "permutation"  # channels or joints in another order
    RELU = "relu"  # missing, or one too many
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Places:
    """Places of a value: frames, channels and joints, those that differ first."""

    frame: IntArray
    channel: IntArray
    joint: IntArray
    differing: int

    def of(self, value: IntArray, delay: int = 0) -> list[int]:
        """The words there, or those `delay` frames before; outside the clip they are zero."""
        frame = self.frame - delay
        inside = (frame >= 0) & (frame < len(value))
        words = value[np.clip(frame, 0, len(value) - 1), self.channel, self.joint]
        return [int(word) for word in np.where(inside, words, 0)]


@dataclass(frozen=True)
class Guess:
    """A cause and the words it predicts."""

    cause: Cause
    text: str
    words: Sequence[int]


def guesses_about(
    node: Node,
    nodes: Mapping[str, Node],
    about: Mapping[str, Value],
    exact: Mapping[str, IntArray],
    at: Places,
) -> Iterator[Guess]:
    """All guesses about a node, the plainest first."""
    if isinstance(node, Requantise):
        accumulator = at.of(exact[node.x])
        fracs = [about[node.x].frac(c) for c in at.channel.tolist()]
        yield from _casts(node, accumulator, fracs, at.differing)
        for k in SHIFTS:
            moved = [frac + k for frac in fracs]
            text = f"cast as if `{node.x}` had {abs(k)} {'more' if k > 0 else 'fewer'} `frac_bits`"
            yield Guess(Cause.SCALE, text, _cast(accumulator, moved, node.cast, node.relu))
        for guess in _sums(nodes[node.x], about, exact, at):
            yield Guess(guess.cause, guess.text, _cast(guess.words, fracs, node.cast, node.relu))
    elif isinstance(node, Argmax):
        channels = exact[node.x].shape[1]
        last = channels - 1 - exact[node.x][:, ::-1].argmax(axis=1)[:, None]
        yield Guess(Cause.TIE, "equal scores go to the highest index, not the lowest", at.of(last))
    else:
        yield from _sums(node, about, exact, at)
    for delay in DELAYS:
        text = f"`{node.name}` comes {_late(delay)}"
        yield Guess(Cause.DELAY, text, at.of(exact[node.name], delay))


def _cast(words: Sequence[int], fracs: Sequence[int], cast: Cast, relu: bool) -> list[int]:
    return [requantise(word, frac, cast, relu) for word, frac in zip(words, fracs, strict=True)]


def _casts(
    node: Requantise, words: Sequence[int], fracs: Sequence[int], differing: int
) -> Iterator[Guess]:
    """The same accumulator cast in another way."""
    own, to = node.cast, node.cast.to
    modes = sorted(
        product(Rounding, Overflow),
        key=lambda pair: (pair[0] != own.rounding) + (pair[1] != own.overflow),
    )
    tie = all(_is_tie(words[i], fracs[i] - to.frac_bits) for i in range(differing))
    rounded = round_shift(words[0], fracs[0] - to.frac_bits, own.rounding)
    clips = overflow(rounded, to, own.overflow) != rounded
    for rounding, mode in modes[1:]:
        parts = []
        if rounding != own.rounding:
            parts.append(f"rounds {rounding}, not {own.rounding}")
        if mode != own.overflow:
            parts.append(f"overflows {mode}, not {own.overflow}")
        cause = Cause.TIE if tie else Cause.ROUNDING
        if rounding == own.rounding or (mode != own.overflow and clips):
            cause = Cause.CLIP
        cast = Cast(to, rounding, mode)
        yield Guess(cause, " and ".join(parts), _cast(words, fracs, cast, node.relu))
    text = "the ReLU is missing" if node.relu else "a ReLU too many"
    yield Guess(Cause.RELU, text, _cast(words, fracs, own, not node.relu))


def _is_tie(word: int, shift: int) -> bool:
    return shift > 0 and word & ((1 << shift) - 1) == 1 << (shift - 1)


def _sums(
    node: Node, about: Mapping[str, Value], exact: Mapping[str, IntArray], at: Places
) -> Iterator[Guess]:
    """Other words of an accumulator: too few bits, a binary point or an operand's frame off."""
    words = at.of(exact[node.name])
    widest = signed_bits(min(words), max(words))
    for bits in range(widest - 1, 1, -1):
        half = 1 << (bits - 1)
        text = f"the accumulator `{node.name}` {{}} at {bits} bits"
        wrapped = [((word + half) & (2 * half - 1)) - half for word in words]
        yield Guess(Cause.OVERFLOW, text.format("wraps"), wrapped)
        clamped = [min(max(word, -half), half - 1) for word in words]
        yield Guess(Cause.OVERFLOW, text.format("saturates"), clamped)
    for k in SHIFTS:
        text = f"`{node.name}` is shifted {abs(k)} bits to the {'left' if k > 0 else 'right'}"
        yield Guess(Cause.SCALE, text, [_shift(word, k) for word in words])
    match node:
        case Add():
            yield from _added(node, about, exact, at)
        case Conv() | TemporalConv() | Affine():
            yield from _biased(node, words, at)
        case TemporalSum():
            yield from _windows(node, exact[node.x], at)
        case _:
            pass


def _added(
    node: Add, about: Mapping[str, Value], exact: Mapping[str, IntArray], at: Places
) -> Iterator[Guess]:
    """One operand of a sum at another binary point, or from another frame."""
    for name, other in ((node.a, node.b), (node.b, node.a)):
        lefts = [
            [about[node.name].frac(c) - about[operand].frac(c) for c in at.channel.tolist()]
            for operand in (name, other)
        ]
        kept = _shifted(at.of(exact[other]), lefts[1])
        for k in SHIFTS:
            text = f"operand `{name}` of `{node.name}` is shifted {abs(k)} bits too far to the "
            moved = _shifted(at.of(exact[name]), [left + k for left in lefts[0]])
            side = "left" if k > 0 else "right"
            yield Guess(Cause.SCALE, text + side, _plus(moved, kept))
        for delay in DELAYS:
            text = f"operand `{name}` of `{node.name}` comes {_late(delay)}"
            moved = _shifted(at.of(exact[name], delay), lefts[0])
            yield Guess(Cause.DELAY, text, _plus(moved, kept))


def _biased(
    node: Conv | TemporalConv | Affine, words: Sequence[int], at: Places
) -> Iterator[Guess]:
    """The bias missing, or at another binary point."""
    if isinstance(node, Affine):
        columns = at.joint if node.bias.shape[1] > 1 else np.zeros_like(at.joint)
        bias = [int(word) for word in node.bias[at.channel, columns]]
    else:
        bias = [int(word) for word in node.bias[at.channel]]
    without = [word - b for word, b in zip(words, bias, strict=True)]
    yield Guess(Cause.SCALE, f"the bias of `{node.name}` is missing", without)
    for k in SHIFTS:
        side = "left" if k > 0 else "right"
        text = f"the bias of `{node.name}` is shifted {abs(k)} bits to the {side}"
        yield Guess(Cause.SCALE, text, _plus(without, [_shift(b, k) for b in bias]))


def _windows(node: TemporalSum, x: IntArray, at: Places) -> Iterator[Guess]:
    """A window or a dilation of one frame more or less."""
    for window, dilation in (
        (node.window + 1, node.dilation),
        (node.window - 1, node.dilation),
        (node.window, node.dilation + 1),
        (node.window, node.dilation - 1),
    ):
        if window > 0 and dilation > 0:
            text = f"`{node.name}` has window {window} and dilation {dilation}, "
            text += f"not {node.window} and {node.dilation}"
            frames = [at.of(x, k * dilation) for k in range(window)]
            yield Guess(Cause.DELAY, text, [sum(words) for words in zip(*frames, strict=True)])


def _shifted(words: Sequence[int], lefts: Sequence[int]) -> list[int]:
    return [_shift(word, left) for word, left in zip(words, lefts, strict=True)]


def _shift(word: int, left: int) -> int:
    return word << left if left >= 0 else word >> -left


def _plus(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _late(delay: int) -> str:
    frames = "frame" if abs(delay) == 1 else "frames"
    return f"{abs(delay)} {frames} {'late' if delay > 0 else 'early'}"
