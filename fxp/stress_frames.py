"""Frames and clips of operand words that stress a node whatever its weights are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fxp.ir import ClipMean, IntArray
from fxp.ranges import Signal
from fxp.stress_clips import Clip, checkerboard

_LONGEST_MEAN = 64  # frames; the mean of a constant is that constant, however long
_SEARCHED = 32  # distances between the one word and all others


def edge_frames(x: Sequence[Signal]) -> dict[str, list[IntArray]]:
    """Frames at the edges of the operands' ranges, and one lsb from zero, by purpose.

    `(C, V)` of each operand.
    """
    return {
        "all operands highest": [_end(signal, True) for signal in x],
        "all operands lowest": [_end(signal, False) for signal in x],
        "checkerboard": [checkerboard(signal, 0) for signal in x],
        "inverse checkerboard": [checkerboard(signal, 1) for signal in x],
        "one lsb above zero": [_lsb(signal, 1) for signal in x],
        "one lsb below zero": [_lsb(signal, -1) for signal in x],
    }


def constant_clips(node: ClipMean, x: Signal, highest: str, lowest: str) -> list[Clip]:
    """Clips of equal frames, of which the mean is the frame: one end or the other at each word.

    One clip where two words can be the ends, else one for each. The running total gets as far as so
    many frames let it: to its own end only if `max_frames` is no more.
    """
    frames = min(node.max_frames, _LONGEST_MEAN)
    top, bottom = int(np.argmax(x.hi)), int(np.argmin(x.lo))
    board = np.indices((x.channels, x.joints)).sum(axis=0) % 2 == 0
    if x.joints == 1 and top == bottom:
        masks = [([highest], np.ones_like(board)), ([lowest], np.zeros_like(board))]
    else:
        board[top, 0], board[bottom, -1] = True, False
        masks = [([highest, lowest], board)]
    clips = []
    for purposes, mask in masks:
        frame = np.where(mask, _end(x, True), _end(x, False))
        words = np.repeat(frame[None], frames, axis=0)
        seen = dict.fromkeys(purposes, frames - 1)
        clips.append(Clip([words], [np.ones(words.shape, bool)], frames, frames, seen))
    return clips


def norm_frames(x: Signal) -> list[IntArray]:
    """Frames in which one word differs from all others, which is as far from the mean as it gets.

    How far the result is then from the root of their number depends on the mantissa of the
    variance, hence on the distance: many are tried.
    """
    shape = (x.channels, x.joints)
    frames = [_one_word(_end(x, not up), x, up) for up in (True, False)]
    low, high = max(x.lo), min(x.hi)  # what all channels reach
    if low < high:
        distances = np.unique(np.linspace(1, high - low, _SEARCHED).astype(np.int64))
        for distance in distances.tolist():
            for base, step in ((low, distance), (high, -distance)):
                frame = np.full(shape, base, np.int64)
                frame[0, 0] += step
                frames.append(frame)
    return frames


def share_frames(x: Signal) -> list[IntArray]:
    """Frames in which one channel of each joint is highest, the others lowest, or the inverse.

    Each channel is that one of some joint: it then has its largest, or smallest, share.
    """
    firsts = range(0, x.channels, x.joints)
    return [_one_channel(x, first, up) for first in firsts for up in (True, False)]


def contest_frames(x: Signal) -> dict[str, IntArray]:
    """Frames for an argmax, by purpose: winners, losers, ties, and winners by one lsb.

    Each channel is one of joint 0, the one after it is that of joint 1, and so on.
    """
    every = range(x.channels)
    frames: dict[str, IntArray] = {}
    for name, highest in (("highest", True), ("lowest", False)):
        if level := _level(x, every, highest):
            words = np.array(level, np.int64)[:, None]
            frames[f"all equal and {name}"] = np.repeat(words, x.joints, axis=1)
    for first in range(0, x.channels, x.joints):
        name = f"channel {first}"
        frames[f"{name} alone highest"] = _one_channel(x, first, True)
        frames[f"{name} alone lowest"] = _one_channel(x, first, False)
        pairs = {
            f"tie of {name} and the next": (0, 0),
            f"{name} an lsb above the next": (1, 0),
            f"{name} an lsb below the next": (0, 1),
        }
        frames |= {
            purpose: frame
            for purpose, more in pairs.items()
            if (frame := _pairs(x, first, more)) is not None
        }
    return frames


def _pairs(x: Signal, first: int, more: tuple[int, int]) -> IntArray | None:
    """One channel of each joint and the next as high as both can be, and so many lsbs more.

    All others are lowest. None where no pair has a number in common.
    """
    frame, found = _end(x, False), False
    for joint in range(x.joints):
        own = (first + joint) % x.channels
        pair = (own, (own + 1) % x.channels)
        if level := _level(x, pair, True, lower=max(more)):
            found = True
            for channel, word, lsbs in zip(pair, level, more, strict=True):
                frame[channel, joint] = word + lsbs
    return frame if found else None


def _level(x: Signal, channels: Sequence[int], highest: bool, lower: int = 0) -> list[int] | None:
    """Words of these channels that are one number, or None where there is none.

    It is the largest or the smallest that all of them have; or the largest but so many.
    """
    fracs = [x.frac_bits[c if len(x.frac_bits) > 1 else 0] for c in channels]
    shifts = [frac - min(fracs) for frac in fracs]  # from the coarsest binary point
    top = min(x.hi[c] >> shift for c, shift in zip(channels, shifts, strict=True))
    bottom = max(-(-x.lo[c] >> shift) for c, shift in zip(channels, shifts, strict=True))
    level = (top if highest else bottom) - lower
    return [level << shift for shift in shifts] if bottom <= level <= top else None


def _end(signal: Signal, highest: bool) -> IntArray:
    """Every word at one end of its channel's range, `(C, V)`."""
    ends = np.array(signal.hi if highest else signal.lo, np.int64)
    return np.repeat(ends[:, None], signal.joints, axis=1)


def _lsb(signal: Signal, step: int) -> IntArray:
    """Zero, or the word next to it, but for one channel of each joint, a step from it."""
    low, high = _end(signal, False), _end(signal, True)
    frame = np.zeros_like(low)
    joints = np.arange(signal.joints)
    frame[joints % signal.channels, joints] += step
    clipped: IntArray = frame.clip(low, high)
    return clipped


def _one_word(frame: IntArray, x: Signal, highest: bool) -> IntArray:
    frame[0, 0] = x.hi[0] if highest else x.lo[0]
    return frame


def _one_channel(x: Signal, first: int, highest: bool) -> IntArray:
    frame, joints = _end(x, not highest), np.arange(x.joints)
    at = (first + joints) % x.channels
    frame[at, joints] = _end(x, highest)[at, joints]
    return frame
