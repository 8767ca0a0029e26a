"""Binary points by their effect on the network's answer, not on the tensor they are chosen for.

A calibrator looks at one tensor at a time. The search starts from its choice and moves one binary
point by one place at a time, in the order of the network, and keeps every move after which the
integer network's classes on some recordings are nearer to the float network's; it goes through all
tensors until none moves, or `sweeps` times. The distance is the mean Kullback-Leibler divergence of
the class probabilities: it counts where labels are close to call, not where logits are large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fxp.calibrate import Formats
from fxp.cast import FloatArray
from fxp.errors import FormatError, GraphError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, Requantise
from fxp.lower import lower
from fxp.outline import constant_key, outline
from fxp.ptq.reference import Words, real_values

LOGITS = "logits"


@dataclass(frozen=True)
class Search:
    """What a search found: formats, the divergence before and after, and how many points moved."""

    formats: Formats
    before: float
    after: float
    moves: int


def search_formats(
    net: FloatNet,
    formats: Formats,
    clips: Sequence[Words],
    wanted: Sequence[FloatArray],
    sweeps: int = 2,
    on_tensor: Callable[[str, float], None] | None = None,
) -> Search:
    """Move binary points of `formats` to where the classes are nearest to the float network's.

    Widths and modes stay. So does a scale that is a power of two (a norm folded into the weights
    before it), and a move that cannot be lowered or certified is none.

    Args:
        net, formats: what `fxp.lower` would take.
        clips: words of recordings (training data), integers `(T, C, V)` each.
        wanted: the float network's logits, `(T, K)` of each clip.
        sweeps: the most rounds over all tensors.
        on_tensor: told the name of each tensor that was tried and the least divergence so far.

    Raises:
        GraphError: `formats` as they are cannot be certified.
    """
    before = best = divergence_of(lower(net, formats), clips, wanted)
    moves = 0
    for _ in range(sweeps):
        moved = 0
        for key in tensors(net, formats):
            for step in (1, -1):
                found, formats, best = _climb(net, formats, key, step, clips, wanted, best)
                moved += found
                if found:
                    break
            if on_tensor is not None:
                on_tensor(key, best)
        moves += moved
        if not moved:
            break
    return Search(formats, before, best, moves)


def divergence_of(graph: Graph, clips: Sequence[Words], wanted: Sequence[FloatArray]) -> float:
    """Mean divergence, per frame and in nats, of a graph's classes from those of logits (T, K)."""
    total, frames = 0.0, 0
    found = real_values(graph, clips, [LOGITS])
    for logits, values in zip(wanted, found, strict=True):
        p, q = _log_softmax(logits), _log_softmax(values[LOGITS][:, :, 0])
        total += float((np.exp(p) * (p - q)).sum())
        frames += len(p)
    return total / frames


def tensors(net: FloatNet, formats: Formats) -> Iterator[str]:
    """Casts and constants by name, in the order of the network, unit scales left out."""
    for node in outline(net.arch).nodes:
        key = node.name if isinstance(node, Requantise) else constant_key(node)
        if key is None or (key in formats.weights and bool((net.params[key] == 1.0).all())):
            continue
        yield key


def moved(formats: Formats, key: str, step: int) -> Formats:
    """The formats with `frac_bits` of one tensor (a cast's name or a weight's key) changed."""
    points = binary_points(formats)
    return with_points(formats, {**points, key: tuple(f + step for f in points[key])})


def binary_points(formats: Formats) -> dict[str, tuple[int, ...]]:
    """`frac_bits` of every cast and constant, by name."""
    casts = {name: (cast.to.frac_bits,) for name, cast in formats.casts.items()}
    return casts | {key: frac_bits for key, (_, frac_bits) in formats.weights.items()}


def with_points(formats: Formats, points: Mapping[str, Sequence[int]]) -> Formats:
    """The formats with these `frac_bits`, of `binary_points`, in place of their own."""
    casts = {
        name: replace(cast, to=replace(cast.to, frac_bits=points[name][0]))
        for name, cast in formats.casts.items()
    }
    weights = {key: (bits, tuple(points[key])) for key, (bits, _) in formats.weights.items()}
    return replace(formats, casts=casts, weights=weights)


def _climb(
    net: FloatNet,
    formats: Formats,
    key: str,
    step: int,
    clips: Sequence[Words],
    wanted: Sequence[FloatArray],
    best: float,
) -> tuple[int, Formats, float]:
    """Move one binary point as far in one direction as it helps: moves, formats, divergence."""
    moves = 0
    while True:
        tried = moved(formats, key, step)
        try:
            loss = divergence_of(lower(net, tried), clips, wanted)
        except (GraphError, FormatError):
            return moves, formats, best
        if loss >= best:
            return moves, formats, best
        moves, formats, best = moves + 1, tried, loss


def _log_softmax(logits: FloatArray) -> FloatArray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
