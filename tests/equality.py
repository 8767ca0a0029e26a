"""Simulator against oracle on random graphs: the comparison behind the tests and the big proof."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from fxp.ir import Graph, IntArray
from fxp.oracle import evaluate
from fxp.simulate import (
    Plan,
    compile_graph,
    finish,
    initial_state,
    restore,
    run,
    snapshot,
    step,
)
from tests.strategies import random_clip, random_graph

Values = dict[str, IntArray]


@dataclass
class Proof:
    """Distinct words compared so far and comparisons that failed, by kind of node.

    Every word is compared twice, once from a whole run and once from a run in pieces. `first` names
    the first node that differed.
    """

    graphs: int = 0
    words: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    first: str = ""


def whole(plan: Plan, clip: IntArray) -> Values:
    """Every value of a clip, in one call."""
    return run(plan, clip, taps=list(plan.stages))[0]


def in_pieces(plan: Plan, clip: IntArray, rng: np.random.Generator) -> Values:
    """The same, the clip cut anywhere into chunks and steps, the state once through a snapshot."""
    names = list(plan.stages)
    plan = replace(plan, chunk_frames=int(rng.integers(1, 5)))
    state = initial_state(plan)
    parts: dict[str, list[IntArray]] = {name: [] for name in names}
    at = 0
    while at < len(clip):
        if rng.random() < 0.5:
            frame = step(plan, clip[at], state, names)
            new, size = {name: value[None] for name, value in frame.items()}, 1
        else:
            size = int(rng.integers(1, len(clip) - at + 1))
            new, state = run(plan, clip[at : at + size], state, names, more=True)
        at += size
        for name, value in new.items():
            parts[name].append(value)
        if rng.random() < 0.3:
            state = restore(plan, snapshot(plan, state))
    for name, value in finish(plan, state, names).items():
        parts[name].append(value)
    return {name: np.concatenate(pieces) for name, pieces in parts.items()}


def differing(found: Values, expected: Values) -> Counter[str]:
    """How many words of each value differ; a wrong shape counts as all of them."""
    counts: Counter[str] = Counter()
    for name, value in expected.items():
        if found[name].shape != value.shape:
            counts[name] = value.size
        else:
            counts[name] = int(np.count_nonzero(found[name] != value))
    return counts


def compare(proof: Proof, graph: Graph, clip: IntArray, rng: np.random.Generator) -> None:
    """Count the words of one graph, run whole and in pieces."""
    plan = compile_graph(graph)
    expected = evaluate(graph, clip)
    proof.graphs += 1
    kinds = {node.name: type(node).__name__ for node in graph.nodes[1:]}  # all but the input
    for name, kind in kinds.items():
        proof.words[kind] += expected[name].size
    for found in (whole(plan, clip), in_pieces(plan, clip, rng)):
        wrong = differing(found, expected)
        for name, kind in kinds.items():
            proof.differing[kind] += wrong[name]
        if wrong.total() and not proof.first:
            name = next(name for name in expected if wrong[name])
            proof.first = f"graph {proof.graphs - 1}, node {name} ({kinds[name]})"


def prove(words: int, seed: int) -> Proof:
    """Compare random graphs and clips until at least `words` words were compared."""
    proof = Proof()
    while proof.words.total() < words:
        rng = np.random.default_rng([seed, proof.graphs])
        graph = random_graph(rng)
        compare(proof, graph, random_clip(rng, graph, int(rng.integers(1, 41))), rng)
    return proof
