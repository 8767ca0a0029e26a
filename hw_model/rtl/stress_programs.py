"""Stress clips as programs for the engine.

Stress clips (`fxp.stress`) are for networks of one node each. The engine reads partitions only
where a convolution has written them, and gives one output in a pass; so a graph product gets a
convolution of ones and zeros in front, and a node with several casts is run once for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fxp.ir import Conv, Graph, GraphProduct, IntArray, Node, Requantise, Weights
from fxp.qformat import Cast, QFormat
from fxp.ranges import analyse
from fxp.stress import Stress


@dataclass(frozen=True, eq=False)
class Case:
    """A network and a clip `(T, C, V)` to run; `about` says what a stress clip is for."""

    name: str
    graph: Graph
    clip: IntArray
    about: Mapping[str, Any]


def programs_of(cases: tuple[Stress, ...]) -> Iterator[Case]:
    """Every stress case as the engine can run it, once for each of its outputs."""
    seen: dict[str, int] = {}
    for case in cases:
        about = {
            "node": case.node,
            "lowest": case.lo,
            "highest": case.hi,
            "purposes": dict(case.purposes),
        }
        for graph in single_outputs(with_partitions(case.graph)):
            seen[case.node] = seen.get(case.node, 0) + 1
            number = f"-{seen[case.node]}" if seen[case.node] > 1 else ""
            yield Case(f"stress-{case.node}{number}", graph, case.clip, about)


def single_outputs(graph: Graph) -> Iterator[Graph]:
    """The graph once for each output, without the casts that are the others."""
    for name in graph.outputs:
        nodes = [node for node in graph.nodes if node.name not in graph.outputs]
        kept = next(node for node in graph.nodes if node.name == name)
        yield replace(graph, nodes=(*nodes, kept), outputs=(name,))


def with_partitions(graph: Graph) -> Graph:
    """The graph with a convolution that copies, where a graph product reads something else."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, GraphProduct):
            words = analyse(graph)[node.x]
            frac = words.frac_bits[0]
            copy, cast = f"{node.name}.copy", f"{node.name}.copied"
            ones = Weights(np.eye(words.channels, dtype=np.int64), 2, (0,))
            # certified widths are signed: every word fits
            to = Cast(QFormat(words.width_bits, frac))
            nodes.append(Conv(copy, node.x, ones, np.zeros(words.channels, np.int64)))
            nodes.append(Requantise(cast, copy, to))
            node = replace(node, x=cast)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))
