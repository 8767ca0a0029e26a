"""Signatures tell values apart by all that makes them; ranges are those of the analysis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fxp.errors import GraphError
from fxp.ir import Graph, Requantise
from fxp.ranges import analyse
from fxp.signatures import Recent, Signatures
from tests.strategies import random_graph
from tests.test_replay import chain, changed


@pytest.mark.parametrize("seed", range(20))
def test_ranges_of_graphs_and_of_changed_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph, signatures = random_graph(rng), Signatures()
    for _ in range(4):
        assert signatures.ranges(graph) == analyse(graph)
        if any(isinstance(node, Requantise) for node in graph.nodes):
            graph = changed(graph, rng)


def test_a_change_shows_in_all_that_follows_and_nowhere_else() -> None:
    graph, signatures = Graph("chain", chain(3), ("q2",)), Signatures()
    names = [node.name for node in graph.nodes]
    before = signatures.of(graph)
    assert len(set(before.values())) == len(names)
    other = replace(graph.nodes[3], bias=np.array([1]))
    after = signatures.of(replace(graph, nodes=(*graph.nodes[:3], other, *graph.nodes[4:])))
    assert [name for name in names if before[name] != after[name]] == names[3:]


def test_an_invalid_graph_is_refused() -> None:
    graph = Graph("chain", chain(1), ("nothing",))
    with pytest.raises(GraphError, match="nothing"):
        Signatures().ranges(graph)


def test_what_was_not_used_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(3)
    for number, key in enumerate("abc"):
        recent.put(key, number, 1)
    assert recent.get("a") == 0
    recent.put("d", 3, 2)
    assert "b" not in recent and "c" not in recent and recent.get("a") == 0
    assert recent.get("d") == 3 and recent.size == 3
