"""The order of the work, depth first over what graphs share, and what it needs again later."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fxp.ir import Graph, operands
from fxp.ranges import Signal

Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class Signed(Generic[Key]):
    """A graph whose values are numbered: equal numbers within a window are equal signatures.

    `signals` is `fxp.ranges.analyse` of it, `wanted` names the values to be scored.
    """

    key: Key
    graph: Graph
    signals: Mapping[str, Signal]
    marks: Mapping[str, int]
    wanted: tuple[str, ...]


def depth_first(graphs: Iterable[Signed[Key]]) -> list[Signed[Key]]:
    """Graphs that agree in a long prefix of their nodes follow each other.

    Numbers grow with the first appearance of a value, so branches come in the order given.
    """
    return sorted(graphs, key=lambda signed: tuple(signed.marks.values()))


class Uses:
    """Where in an order each value stands, what reads it there, and where it is asked for."""

    def __init__(self, order: Sequence[Signed[Key]]) -> None:
        """Index an order; places count from 0."""
        self._places: defaultdict[int, list[int]] = defaultdict(list)
        self._asked: defaultdict[int, list[int]] = defaultdict(list)
        self._readers: defaultdict[int, set[int]] = defaultdict(set)
        for place, signed in enumerate(order):
            for node in signed.graph.nodes:
                mark = signed.marks[node.name]
                self._places[mark].append(place)
                for name in operands(node):
                    self._readers[signed.marks[name]].add(mark)
            for name in signed.wanted:
                self._asked[signed.marks[name]].append(place)

    def following(self, value: int, place: int) -> int | None:
        """The next place whose graph has a value."""
        return _after(self._places.get(value, []), place)

    def asked(self, value: int, place: int) -> int | None:
        """The next place whose graph gives a value as a result."""
        return _after(self._asked.get(value, []), place)

    def readers(self, value: int) -> set[int]:
        """The values, of all graphs, whose nodes read it."""
        return self._readers.get(value, set())


def _after(places: list[int], place: int) -> int | None:
    found = bisect_right(places, place)
    return places[found] if found < len(places) else None
