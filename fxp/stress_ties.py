"""Frames that bring sums of a node exactly halfway between two words of the casts that read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from fxp.forms import Form, Linear, bounds, form_of, separate
from fxp.ir import IntArray, Requantise, TemporalConv
from fxp.ranges import Signal
from fxp.stress_clips import Clip, add_frames, cut_frames
from fxp.ties import tie

_MOST_TIES = 64  # words of one frame that are searched for


def add_ties(
    clip: Clip, node: Linear, casts: Sequence[Requantise], x: Sequence[Signal], y: Signal
) -> None:
    """Lengthen a clip by one frame for each shift of the casts, where ties are found.

    The words of the new frame follow from what the frames before it make of the sum. Of the ties,
    half are to lie above an odd word.
    """
    rng = np.random.default_rng(0)
    of_shifts: dict[tuple[int, ...], list[str]] = {}
    for cast in casts:
        shifts = tuple(frac - cast.cast.to.frac_bits for frac in y.frac_bits)
        of_shifts.setdefault(shifts, []).append(cast.name)
    newest = node.lookahead if isinstance(node, TemporalConv) else 0  # frame that a sum reads
    stride = node.stride if isinstance(node, TemporalConv) else 1
    for shifts, names in of_shifts.items():
        before, own = clip.frames, max(clip.frames - newest, 0)
        own += -own % stride
        add_frames(clip, own + newest + 1, x)
        found = list(_ties(clip, own, newest, node, shifts, x, y, rng))
        for form, words in found:
            for k, part in enumerate(clip.words):
                of_k = form.reads == k
                part[own + newest, form.channels[of_k], form.joints[of_k]] = words[of_k]
        if found:
            clip.purposes |= dict.fromkeys((f"ties of {name}" for name in names), own)
        else:
            cut_frames(clip, before)


def _ties(
    clip: Clip,
    own: int,
    newest: int,
    node: Linear,
    shifts: tuple[int, ...],
    x: Sequence[Signal],
    y: Signal,
    rng: np.random.Generator,
) -> Iterator[tuple[Form, IntArray]]:
    """Sums of frame `own`, what they read of their `newest` frame, and its words for a tie."""
    places = separate(node, x, y, range(y.joints), highest=True)[:_MOST_TIES]
    for i, (channel, joint) in enumerate(places):
        form = form_of(node, x, channel, joint)
        rest = form.frames + own
        earlier = (form.frames != newest) & (rest >= 0)
        bias = form.bias
        for at in np.flatnonzero(earlier).tolist():
            words = clip.words[form.reads[at]]
            bias += int(form.weights[at]) * int(words[rest[at], form.channels[at], form.joints[at]])
        last = _entries(replace(form, bias=bias), form.frames == newest)
        shift = shifts[channel if len(shifts) > 1 else 0]
        words_of_tie = tie(last.bias, last.weights, *bounds(last, x), shift, i % 2 == 1, rng)
        if words_of_tie is not None:
            yield last, words_of_tie


def _entries(form: Form, kept: IntArray) -> Form:
    return Form(
        form.bias,
        form.weights[kept],
        form.reads[kept],
        form.frames[kept],
        form.channels[kept],
        form.joints[kept],
    )
