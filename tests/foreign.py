"""Networks that tests export and have others run, and how their words are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fxp.calibrate import calibrate
from fxp.ir import Graph, IntArray
from fxp.lower import lower
from fxp.oracle import evaluate
from fxp.spec import ArchSpec, QuantSpec
from tests.golden.networks import CASES, make
from tests.networks import random_floatnet, small_arch, small_msgcn
from tests.strategies import random_clip, random_graph


@dataclass(frozen=True, eq=False)
class Case:
    """A network and a clip for it, and what the definition makes of it."""

    name: str
    graph: Graph
    clip: IntArray

    @cached_property
    def expected(self) -> Mapping[str, Any]:
        return evaluate(self.graph, self.clip)


FAMILIES: Mapping[str, ArchSpec] = {
    "rtstgcn": small_arch(),
    "costgcn": small_arch(family="costgcn"),
    "msgcn": small_msgcn(),
}


def lowered(arch: ArchSpec, seed: int, **quant: object) -> Graph:
    """A small network with random weights in formats calibrated to random observations."""
    net = random_floatnet(arch, seed)
    spec = QuantSpec.model_validate({"calibrator": "max", "accumulator_bits": 63} | quant)
    return lower(net, calibrate(net, spec))


def golden_cases(names: Sequence[str] = tuple(CASES)) -> list[Case]:
    return [Case(name, *make(CASES[name])) for name in names]


def family_cases(names: Sequence[str] = tuple(FAMILIES), frames: int = 20) -> list[Case]:
    found = []
    for i, name in enumerate(names):
        graph = lowered(FAMILIES[name], i)
        found.append(Case(name, graph, random_clip(np.random.default_rng(i), graph, frames)))
    return found


def random_cases(count: int, seed: int) -> list[Case]:
    found = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        graph = random_graph(rng)
        clip = random_clip(rng, graph, int(rng.integers(1, 30)))
        found.append(Case(f"random {i}", graph, clip))
    return found


def behind_input(graph: Graph) -> list[str]:
    """Every value but the input."""
    return [node.name for node in graph.nodes[1:]]


def differing(case: Case, found: Mapping[str, IntArray]) -> dict[str, int]:
    """How many words of each value found differ from the definition; a wrong shape is all of them.

    Values without a difference are left out.
    """
    expected, counts = case.expected, {}
    for name, words in found.items():
        if words.shape != expected[name].shape:
            counts[name] = expected[name].size
        elif (count := int(np.count_nonzero(words != expected[name]))) > 0:
            counts[name] = count
    return counts
