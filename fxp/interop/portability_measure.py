"""How many words of a given clip would differ if casts rounded half to even, as floats do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fxp.interop.magnitude import drops_bits
from fxp.ir import Graph, IntArray, Requantise
from fxp.qformat import Rounding
from fxp.ranges import analyse
from fxp.simulate import compile_graph, run


@dataclass(frozen=True, slots=True)
class Share:
    """How many of so many words differ."""

    differing: int
    words: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Counts by name: of each cast that drops bits, given the network's own operands (`alone`), and
    of each output of the network when all of them round half to even (`together`).
    """

    frames: int
    alone: Mapping[str, Share]
    together: Mapping[str, Share]


def measure(graph: Graph, clip: IntArray) -> Measured:
    """Simulate `clip` (T, C, V) with the network's roundings and with RND_CONV.

    Raises:
        InputError: the clip cannot be the network's input.
    """
    signals = analyse(graph)
    casts = [
        node
        for node in graph.nodes
        if isinstance(node, Requantise) and drops_bits(node, signals[node.x])
    ]
    names = {node.name for node in graph.nodes}
    twins = {node.name: _free(f"{node.name}.half_even", names) for node in casts}
    beside = [replace(_even(node), name=twins[node.name]) for node in casts]
    both = replace(graph, nodes=(*graph.nodes, *beside))
    words, _ = run(compile_graph(both), clip, taps=[*twins, *twins.values()])
    alone = {name: _share(words[name], words[twin]) for name, twin in twins.items()}
    evened = tuple(
        _even(n) if n.name in twins and isinstance(n, Requantise) else n for n in graph.nodes
    )
    others, _ = run(compile_graph(replace(graph, nodes=evened)), clip)
    together = {name: _share(words[name], others[name]) for name in graph.outputs}
    return Measured(len(clip), alone, together)


def _even(node: Requantise) -> Requantise:
    return replace(node, cast=replace(node.cast, rounding=Rounding.RND_CONV))


def _free(name: str, taken: set[str]) -> str:
    """A name that no node has."""
    while name in taken:
        name += "_"
    return name


def _share(a: IntArray, b: IntArray) -> Share:
    return Share(int(np.count_nonzero(a != b)), a.size)
