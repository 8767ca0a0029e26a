"""Networks with defects planted in them, for tests of differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fxp.diff import Comparison, compare
from fxp.ir import Graph, IntArray, Node
from fxp.oracle import evaluate
from fxp.sides import read_pair
from fxp.store import save_graph
from tests.golden.networks import CASES
from tests.strategies import random_clip

Values = dict[str, IntArray]
FRAMES = 24


def network(name: str = "dilated") -> tuple[Graph, IntArray]:
    """A synthetic network whose casts round, clip and carry on, and a clip."""
    rng = np.random.default_rng(5)
    graph = CASES[name].build(rng)
    return graph, random_clip(rng, graph, FRAMES)


def computed(graph: Graph, clip: IntArray) -> Values:
    return {name: value.astype(np.int64) for name, value in evaluate(graph, clip).items()}


def changed(graph: Graph, name: str, change: Callable[[Any], Node]) -> Graph:
    nodes = tuple(change(node) if node.name == name else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def recast(graph: Graph, name: str, **modes: Any) -> Graph:
    return changed(graph, name, lambda node: replace(node, cast=replace(node.cast, **modes)))


def folder(path: Path, values: Values) -> Path:
    path.mkdir()
    for name, words in values.items():
        np.save(path / f"{name}.npy", words)
    return path


def planted(tmp_path: Path, graph: Graph, clip: IntArray, values: Values) -> Comparison:
    """Compare a network with a folder of values."""
    save_graph(graph, tmp_path / "a.fxp")
    np.save(tmp_path / "clip.npy", clip)
    b = folder(tmp_path / "b", values)
    return compare(read_pair(tmp_path / "a.fxp", b, tmp_path / "clip.npy"))
