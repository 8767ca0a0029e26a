"""Operand words of several purposes in as few frames as they need together.

A piece asks for words at some places of a clip, and for nothing at the others. Pieces that agree
on every word they both ask for share frames: the phases of a dilated sum, or one joint's words and
another's. What no piece asks for is filled with the ends of the ranges, alternating.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from fxp.forms import Extreme, Form
from fxp.ir import IntArray
from fxp.ranges import Signal


@dataclass(frozen=True, eq=False)
class Piece:
    """Words around a frame of a clip, for one purpose.

    `places` `(4, n)` are operand, frame counted from that frame, channel and joint of each of the
    `words`. That frame has between `before[0]` and `before[1]` frames in front of it (None: any
    number), likewise `after` it, and is a multiple of `stride`.
    """

    purpose: str
    places: IntArray
    words: IntArray
    before: tuple[int, int | None]
    after: tuple[int, int | None]
    stride: int = 1


@dataclass(eq=False)
class Clip:
    """A clip that grows: `words` of each operand `(T, C, V)`, and which of them are `taken`.

    `frames` are needed so far, `most_frames` is what the pieces in it allow; `purposes` are the
    frames of each.
    """

    words: list[IntArray]
    taken: list[npt.NDArray[np.bool_]]
    frames: int = 0
    most_frames: int | None = None
    purposes: dict[str, int] = field(default_factory=dict)


def piece_of(
    purpose: str, forms: Iterable[tuple[Form, Extreme]], lead: Extreme, stride: int
) -> Piece:
    """The words that drive forms to their extremes, within the frames that the `lead` needs."""
    places, words = [], []
    for form, found in forms:
        inside = (form.frames >= -lead.before) & (form.frames <= lead.after)
        entries = np.stack([form.reads, form.frames, form.channels, form.joints])
        places.append(entries[:, inside])
        words.append(found.words[inside])
    before, after = (lead.before, lead.most_before), (lead.after, lead.most_after)
    return Piece(purpose, np.hstack(places), np.hstack(words), before, after, stride)


def whole_frame(purpose: str, words: Sequence[IntArray]) -> Piece:
    """One frame of all operands, `(C, V)` each."""
    places = [
        np.stack([np.full(part.size, k), np.zeros(part.size, int), *map(np.ravel, at)])
        for k, part in enumerate(words)
        for at in [np.indices(part.shape)]
    ]
    flat = np.hstack([part.ravel() for part in words])
    return Piece(purpose, np.hstack(places), flat, (0, None), (0, None))


def clip_of_frames(frames: Mapping[str, IntArray]) -> Clip:
    """The clip of one operand's frames `(C, V)` by purpose; equal ones are one."""
    places: dict[bytes, int] = {}
    purposes, words = {}, list[IntArray]()
    for purpose, frame in frames.items():
        at = places.setdefault(frame.tobytes(), len(places))
        words += [frame] if at == len(words) else []
        purposes[purpose] = at
    clip = np.stack(words)
    return Clip([clip], [np.ones(clip.shape, bool)], len(clip), None, purposes)


def lay_out(pieces: Sequence[Piece], x: Sequence[Signal]) -> list[Clip]:
    """Clips that hold all pieces: one, unless two of them ask for the same end of a clip.

    Pieces stand as early as they can, those that need the beginning first and those that need the
    end last.

    Raises:
        InputError: a piece needs a part of a clip that no frame behind its stride has.
    """
    clips: list[Clip] = []
    for piece in sorted(pieces, key=lambda p: (p.before[1] is None, p.after[1] is not None)):
        if not any(_place(clip, piece) for clip in clips):
            shapes = [(0, signal.channels, signal.joints) for signal in x]
            clip = Clip(
                [np.zeros(s, np.int64) for s in shapes], [np.zeros(s, bool) for s in shapes]
            )
            if not _place(clip, piece):
                raise InputError(
                    f"no frame behind the stride has the part of a clip for `{piece.purpose}`"
                )
            clips.append(clip)
    for clip in clips:
        _fill(clip, x)
    return clips


def add_frames(clip: Clip, frames: int, x: Sequence[Signal]) -> None:
    """Lengthen a laid out clip to so many frames, filled as the rest."""
    clip.frames = frames
    _make_room(clip, frames)
    _fill(clip, x)


def cut_frames(clip: Clip, frames: int) -> None:
    """Shorten a clip to its first frames."""
    clip.frames = frames
    clip.words, clip.taken = [w[:frames] for w in clip.words], [t[:frames] for t in clip.taken]


def checkerboard(signal: Signal, odd: int) -> IntArray:
    """One frame `(C, V)`: the ends of each channel's range, alternating."""
    channels, joints = np.indices((signal.channels, signal.joints))
    low, high = (np.array(end, np.int64)[:, None] for end in (signal.lo, signal.hi))
    return np.where((channels + joints + odd) % 2, low, high)


def _place(clip: Clip, piece: Piece) -> bool:
    """Put a piece at the first frame where it fits, and say whether there is one."""
    reads, frames, channels, joints = piece.places
    least, most = piece.before
    last = clip.frames + least + piece.stride if most is None else most
    for at in range(-(-least // piece.stride) * piece.stride, last + 1, piece.stride):
        needed = max(clip.frames, at + piece.after[0] + 1)
        limits = [clip.most_frames]
        limits += [None if piece.after[1] is None else at + piece.after[1] + 1]
        most_frames = min((limit for limit in limits if limit is not None), default=None)
        if most_frames is not None and needed > most_frames:
            continue
        _make_room(clip, needed)
        where = [(reads == k) for k in range(len(clip.words))]
        spots = [(frames[w] + at, channels[w], joints[w]) for w in where]
        wanted = [piece.words[w] for w in where]
        if any(
            (taken[spot] & (words[spot] != new)).any()
            for words, taken, spot, new in zip(clip.words, clip.taken, spots, wanted, strict=True)
        ):
            continue
        for k, spot in enumerate(spots):
            clip.words[k][spot], clip.taken[k][spot] = wanted[k], True
        clip.frames, clip.most_frames = needed, most_frames
        clip.purposes[piece.purpose] = at
        return True
    return False


def _make_room(clip: Clip, frames: int) -> None:
    for parts in (clip.words, clip.taken):
        for k, part in enumerate(parts):
            missing = max(frames - len(part), 0)
            parts[k] = np.pad(part, ((0, missing), (0, 0), (0, 0)))


def _fill(clip: Clip, x: Sequence[Signal]) -> None:
    """Cut a clip to its frames, and fill what nobody asked for."""
    for k, signal in enumerate(x):
        words, taken = clip.words[k][: clip.frames], clip.taken[k][: clip.frames]
        boards = np.stack([checkerboard(signal, t % 2) for t in range(2)])
        fill = boards[np.arange(clip.frames) % 2]
        clip.words[k], clip.taken[k] = np.where(taken, words, fill), np.ones_like(taken)
