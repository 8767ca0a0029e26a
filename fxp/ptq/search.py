"""Binary points chosen by their end effect: what each does to the network's logits.

Coordinate descent in graph order: every cast and every constant is tried one bit finer and one bit
coarser, and keeps what brings the integer network's logits closest to the float network's. The
distance is the mean Kullback-Leibler divergence of the softmax over classes, from float to integer:
it counts where labels are close to call, not where logits are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fxp.calibrate import Formats
from fxp.cast import FloatArray
from fxp.errors import FormatError, GraphError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray
from fxp.lower import lower
from fxp.ptq.reference import real_values

STEPS = (-1, 1)  # bits coarser, finer


@dataclass(frozen=True)
class Found:
    """Formats, how far the logits are from float with them, and how many networks were tried."""

    formats: Formats
    divergence: float
    tried: int


def search_formats(
    net: FloatNet, formats: Formats, wide: Graph, clips: Sequence[IntArray], passes: int
) -> Found:
    """Move the binary points of `formats` for as long as it helps, at most `passes` times round.

    Args:
        net: the float network.
        formats: where to start.
        wide: the reference (`fxp.ptq.reference.reference`).
        clips: calibration words, int64 (T, C, V) each.
        passes: how often all formats are gone through.

    Raises:
        InputError: the clips do not fit the network's input.
    """
    wanted = [values["logits"] for values in real_values(wide, clips, ["logits"])]
    best = _divergence(net, formats, wanted, clips)
    tried = 1
    for _ in range(passes):
        before = best
        for key in (*formats.casts, *formats.weights):
            for candidate in _moves(formats, key):
                tried += 1
                divergence = _divergence(net, candidate, wanted, clips)
                if divergence < best:
                    best, formats = divergence, candidate
        if best == before:
            break
    return Found(formats, best, tried)


def divergence_of(graph: Graph, wanted: Sequence[FloatArray], clips: Sequence[IntArray]) -> float:
    """Mean divergence of a graph's logits from float ones, (T, classes, 1) per clip, in nats."""
    total, frames = 0.0, 0
    found = real_values(graph, clips, ["logits"])
    for target, values in zip(wanted, found, strict=True):
        p, q = (_log_softmax(x[:, :, 0]) for x in (target, values["logits"]))
        total += float((np.exp(p) * (p - q)).sum())
        frames += len(p)
    return total / frames


def _divergence(
    net: FloatNet, formats: Formats, wanted: Sequence[FloatArray], clips: Sequence[IntArray]
) -> float:
    """Infinite for formats that no graph can have."""
    try:
        return divergence_of(lower(net, formats), wanted, clips)
    except (FormatError, GraphError):
        return float("inf")


def _moves(formats: Formats, key: str) -> Iterator[Formats]:
    """The formats with one binary point moved; all channels of a constant move together."""
    for step in STEPS:
        if key in formats.casts:
            cast = formats.casts[key]
            to = replace(cast.to, frac_bits=cast.to.frac_bits + step)
            yield replace(formats, casts={**formats.casts, key: replace(cast, to=to)})
        else:
            word_bits, frac_bits = formats.weights[key]
            moved = (word_bits, tuple(bits + step for bits in frac_bits))
            yield replace(formats, weights={**formats.weights, key: moved})


def _log_softmax(x: FloatArray) -> FloatArray:
    centred = x - x.max(axis=1, keepdims=True)
    return np.asarray(centred - np.log(np.exp(centred).sum(axis=1, keepdims=True)))
