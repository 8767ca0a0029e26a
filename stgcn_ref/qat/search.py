"""Binary points by their effect on the network's answer, not on the tensor they are chosen for.

A calibrator looks at one tensor at a time. The search starts from its choice and moves one binary
point by one place at a time, in the order of the network, and keeps every move after which the
integer network's classes on some recordings are nearer to the float network's; it goes through all
tensors until none moves, or `sweeps` times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from fxp.calibrate import Formats
from fxp.cast import dequantise
from fxp.errors import FormatError, GraphError
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray, Requantise
from fxp.lower import lower
from fxp.outline import constant_key, outline
from fxp.simulate import compile_graph, run
from stgcn_ref.datasets.clips import WordArray
from stgcn_ref.models.build import FrameNet
from stgcn_ref.qat.teacher import teacher_of

Reals = npt.NDArray[np.float64]


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
    clips: Sequence[WordArray],
    sweeps: int = 2,
    on_tensor: Callable[[str, float], None] | None = None,
) -> Search:
    """Move binary points of `formats` to where the classes are nearest to the float network's.

    Widths and modes stay. So does a scale that is a power of two (a norm folded into the weights
    before it), and a move that cannot be lowered or certified is none.

    Args:
        net, formats: what `fxp.lower` would take.
        clips: words of recordings (training data), int32 `(T, C, V)` each.
        sweeps: the most rounds over all tensors.
        on_tensor: told the name of each tensor that was tried and the least divergence so far.

    Raises:
        GraphError: `formats` as they are cannot be certified.
    """
    taught = _taught(net, clips)
    before = best = _divergence(lower(net, formats), clips, taught)
    moves = 0
    for _ in range(sweeps):
        moved = 0
        for key in _tensors(net, formats):
            for step in (1, -1):
                found, formats, best = _climb(net, formats, key, step, clips, taught, best)
                moved += found
                if found:
                    break
            if on_tensor is not None:
                on_tensor(key, best)
        moves += moved
        if not moved:
            break
    return Search(formats, before, best, moves)


def _climb(
    net: FloatNet,
    formats: Formats,
    key: str,
    step: int,
    clips: Sequence[WordArray],
    taught: Sequence[Reals],
    best: float,
) -> tuple[int, Formats, float]:
    """Move one binary point as far in one direction as it helps: moves, formats, divergence."""
    moves = 0
    while True:
        tried = moved(formats, key, step)
        try:
            loss = _divergence(lower(net, tried), clips, taught)
        except (GraphError, FormatError):
            return moves, formats, best
        if loss >= best:
            return moves, formats, best
        moves, formats, best = moves + 1, tried, loss


def moved(formats: Formats, key: str, step: int) -> Formats:
    """The formats with `frac_bits` of one tensor (a cast's name or a weight's key) changed."""
    points = binary_points(formats)
    return with_points(formats, {**points, key: tuple(f + step for f in points[key])})


def divergence_of(net: FloatNet, graph: Graph, clips: Sequence[WordArray]) -> float:
    """Mean Kullback-Leibler divergence of a graph's classes from the float network's, per frame."""
    return _divergence(graph, clips, _taught(net, clips))


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


def _tensors(net: FloatNet, formats: Formats) -> Iterator[str]:
    """Casts and constants in the order of the network, unit scales left out."""
    for node in outline(net.arch).nodes:
        key = node.name if isinstance(node, Requantise) else constant_key(node)
        if key is None or (key in formats.weights and bool((net.params[key] == 1.0).all())):
            continue
        yield key


def _divergence(graph: Graph, clips: Sequence[WordArray], taught: Sequence[Reals]) -> float:
    """Mean over all frames of the divergence from what is taught."""
    plan = compile_graph(graph)
    cast = next(n.cast for n in graph.nodes if isinstance(n, Requantise) and n.name == "logits")
    total, frames = 0.0, 0
    for clip, wanted in zip(clips, taught, strict=True):
        words: IntArray = run(plan, clip)[0]["logits"][:, :, 0]
        found = _log_softmax(dequantise(words, cast.to.frac_bits))
        total += float((np.exp(wanted) * (wanted - found)).sum())
        frames += len(clip)
    return total / frames


def _taught(net: FloatNet, clips: Sequence[WordArray]) -> list[Reals]:
    """Logarithms of the float network's class probabilities, (T, K) of each clip."""
    teacher = teacher_of(net)
    return [_log_softmax(_float_logits(teacher, clip)) for clip in clips]


def _float_logits(net: FrameNet, clip: WordArray) -> Reals:
    """Logits (T, K) of one clip."""
    x = torch.from_numpy(clip.transpose(1, 0, 2).copy())[None].float()  # (1, C, T, V)
    with torch.inference_mode():
        found: Reals = net(x)[0].T.double().numpy()
    return found


def _log_softmax(logits: Reals) -> Reals:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Reals = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found
