"""A cheap guess at what coarser words cost: squared gradients times squared rounding errors.

For class probabilities p of a network and p' of the same with its numbers moved by d, the
divergence of p' from p is `d F d / 2` to second order, F the Fisher information (Kunstner et al.,
"Limitations of the empirical Fisher approximation", 2019, sections 2 and 3). Only its diagonal is
taken: the mean square of the gradients of `log p(y)`, for labels y that are drawn from p. (The
gradient of the divergence itself will not do: it vanishes where the two agree.) Of a value that
changes from frame to frame the gradient is that of the whole clip, whose frames' draws are
independent, so that no term between two of them is left in the mean.

Errors count as independent of each other and of the gradients. They are not: it is a guess, and
what it is worth is what its ranks have in common with those of measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fxp.calibrate import Formats
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray, Requantise
from fxp.lower import lower
from fxp.outline import constant_key
from stgcn_ref.qat.casts import cast, constant
from stgcn_ref.qat.interpreter import evaluate
from stgcn_ref.qat.words import Words

LOGITS = "logits"


@dataclass(frozen=True, eq=False)
class _Clip:
    """Values of one clip, and the gradients of its drawn log-likelihood, by name and by key."""

    values: Mapping[str, Words]
    of_values: Mapping[str, Tensor]
    of_constants: Mapping[str, Tensor]


def fisher_losses(
    net: FloatNet,
    base: Formats,
    others: Sequence[Formats],
    clips: Sequence[IntArray],
    seed: int = 0,
) -> list[float]:
    """The divergence, in nats a frame, that each of some formats is guessed to add to the base's.

    Args:
        net: the float network.
        base: wide formats: what is near to the float network.
        others: formats that differ from the base's in any number of casts and constants.
        clips: input words, int64 (T, C, V) each.
        seed: of the labels that are drawn.

    Raises:
        GraphError: as `stgcn_ref.qat.interpreter.evaluate`.
    """
    graph = lower(net, base)
    keys = [key for node in graph.nodes if (key := constant_key(node)) is not None]
    masters = {key: torch.from_numpy(net.params[key]).requires_grad_() for key in keys}
    draw = torch.Generator().manual_seed(seed)
    losses = [0.0] * len(others)
    squares = {key: torch.zeros_like(master) for key, master in masters.items()}
    for words in clips:
        clip = _gradients(graph, masters, words, draw)
        for key, gradient in clip.of_constants.items():
            squares[key] += gradient.square()
        for index, formats in enumerate(others):
            losses[index] += _of_casts(graph, base, formats, clip)
    frames = sum(map(len, clips))
    for index, formats in enumerate(others):
        losses[index] += _of_constants(net, base, formats, squares)
    return [loss / 2 / frames for loss in losses]


def _gradients(
    graph: Graph, masters: Mapping[str, Tensor], words: IntArray, draw: torch.Generator
) -> _Clip:
    frames = torch.from_numpy(words.transpose(0, 2, 1).copy())[None]  # (1, T, V, C)
    values = evaluate(graph, frames, masters)
    shares = values[LOGITS].x[0, :, 0].double().log_softmax(dim=1)  # (T, K)
    drawn = torch.multinomial(shares.detach().exp(), 1, generator=draw)
    names = [n.name for n in graph.nodes if isinstance(n, Requantise)]
    names = [name for name in names if values[name].x.requires_grad]
    wanted = [*(values[name].x for name in names), *masters.values()]
    found = torch.autograd.grad(shares.gather(1, drawn).sum(), wanted, allow_unused=True)
    filled = [
        torch.zeros_like(x) if gradient is None else gradient
        for x, gradient in zip(wanted, found, strict=True)
    ]
    count = len(names)
    return _Clip(
        values,
        dict(zip(names, filled[:count], strict=True)),
        dict(zip(masters, filled[count:], strict=True)),
    )


def _of_casts(graph: Graph, base: Formats, other: Formats, clip: _Clip) -> float:
    total = 0.0
    for node in graph.nodes:
        if not isinstance(node, Requantise) or node.name not in clip.of_values:
            continue
        changed = other.casts[node.name]
        if changed == base.casts[node.name]:
            continue
        with torch.no_grad():
            source = clip.values[node.x].x.detach().double()
            error = cast(source, changed, node.relu) - clip.values[node.name].x.detach().double()
            total += float((clip.of_values[node.name].double() * error).square().sum())
    return total


def _of_constants(
    net: FloatNet, base: Formats, other: Formats, squares: Mapping[str, Tensor]
) -> float:
    total = 0.0
    for key, square in squares.items():
        if base.weights[key] == other.weights[key]:
            continue
        values = torch.from_numpy(net.params[key])
        one, two = (
            constant(values, formats.weights[key][1], formats.weights[key][0])
            for formats in (base, other)
        )
        total += float((square * (two - one).square()).sum())
    return total
