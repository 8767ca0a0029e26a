"""Binary points by their effect on the network's answer, not on the tensor they are chosen for.

A calibrator looks at one tensor at a time. The search starts from its choice and moves one binary
point by one place at a time, in the order of the network, and keeps every move after which the
integer network's classes on some recordings are nearer to the float network's; it goes through all
tensors until none moves, or `sweeps` times. The distance is the mean Kullback-Leibler divergence of
the class probabilities: it counts where labels are close to call, not where logits are large.

`search_streams` moves the points of a whole residual stream at once, by whatever judge is given. A
finer stream clips what is rare and large, and what one layer clips the next ones clip too, so that
no single point gains; but its labels flicker less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fxp.calibrate import Formats
from fxp.cast import FloatArray
from fxp.errors import FormatError, GraphError
from fxp.floatnet import FloatNet
from fxp.ir import Add, Graph, Requantise
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
    keys = [(key,) for key in tensors(net, formats)]
    return _descend(
        net, formats, keys, lambda graph: divergence_of(graph, clips, wanted), sweeps, on_tensor
    )


def search_streams(
    net: FloatNet, formats: Formats, loss: Callable[[Graph], float], sweeps: int = 1
) -> Search:
    """Move the points of each residual stream together to where the loss is least.

    The last stream comes first: no later stage smooths what it does to the labels.

    Args:
        net, formats: what `fxp.lower` would take.
        loss: of the integer network, on training recordings.
        sweeps: the most rounds over all streams.

    Raises:
        GraphError: `formats` as they are cannot be certified.
    """
    return _descend(net, formats, streams(net)[::-1], loss, sweeps, None)


def streams(net: FloatNet) -> list[tuple[str, ...]]:
    """The casts of the sums of each residual stream, in the order of the network.

    Sums are of one stream where one adds to what was cast from the other.
    """
    nodes = {node.name: node for node in outline(net.arch).nodes}
    stream_of: dict[str, int] = {}
    found: list[list[str]] = []
    for node in nodes.values():
        if isinstance(node, Add):
            sources = [nodes[name] for name in (node.a, node.b)]
            ends = [stream_of.get(x.x) for x in sources if isinstance(x, Requantise)]
            joined = next((end for end in ends if end is not None), None)
            if joined is None:
                joined = len(found)
                found.append([])
            stream_of[node.name] = joined
        elif isinstance(node, Requantise) and node.x in stream_of:
            found[stream_of[node.x]].append(node.name)
    return [tuple(names) for names in found]


def _descend(
    net: FloatNet,
    formats: Formats,
    keys: Sequence[tuple[str, ...]],
    loss: Callable[[Graph], float],
    sweeps: int,
    on_tensor: Callable[[str, float], None] | None,
) -> Search:
    """Move each of some tuples of tensors while the loss falls."""
    before = best = loss(lower(net, formats))
    moves = 0
    for _ in range(sweeps):
        moved = 0
        for together in keys:
            for step in (1, -1):
                found, formats, best = _climb(net, formats, together, step, loss, best)
                moved += found
                if found:
                    break
            if on_tensor is not None:
                on_tensor(together[0], best)
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
    together: tuple[str, ...],
    step: int,
    loss: Callable[[Graph], float],
    best: float,
) -> tuple[int, Formats, float]:
    """Move points together as far in one direction as it helps: moves, formats, loss."""
    moves = 0
    while True:
        tried = formats
        for key in together:
            tried = moved(tried, key, step)
        try:
            found = loss(lower(net, tried))
        except (GraphError, FormatError):
            return moves, formats, best
        if found >= best:
            return moves, formats, best
        moves, formats, best = moves + 1, tried, found


def _log_softmax(logits: FloatArray) -> FloatArray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
