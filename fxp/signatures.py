"""What values are known by between graphs: their signatures, and ranges that are worked out once.

A value depends on its node and on what that reads, so its *signature* is the hash of the node and
of its operands' signatures: graphs that agree up to some value agree on its signature.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from fxp.ir import Graph, Node, operands
from fxp.ranges import Signal, signal_of
from fxp.store import node_hash
from fxp.validate import Value, describe

MOST_SIGNALS = 1 << 14

Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Recent(Generic[Key, Kept]):
    """What was used last, of a size that is bounded; what was not used for longest goes first."""

    def __init__(self, most: int) -> None:
        """Bound the sum of the sizes that `put` is told."""
        self.most, self.size = most, 0
        self.kept: OrderedDict[Key, tuple[Kept, int]] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self.kept

    def get(self, key: Key) -> Kept | None:
        """What is kept under a key, which is now the one used last."""
        if key not in self.kept:
            return None
        self.kept.move_to_end(key)
        return self.kept[key][0]

    def put(self, key: Key, value: Kept, size: int) -> None:
        """Keep a value, and forget others until all fit (it is kept even if it alone does not)."""
        if key in self.kept:
            self.size -= self.kept.pop(key)[1]
        self.kept[key] = (value, size)
        self.size += size
        while self.size > self.most and len(self.kept) > 1:
            _, (_, dropped) = self.kept.popitem(last=False)
            self.size -= dropped


class Signatures:
    """Signatures and ranges of the values of many graphs, alike in most of their nodes.

    For one thread at a time.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._hashes: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
        self._signals: Recent[tuple[str, Value, tuple[Signal, ...]], Signal] = Recent(MOST_SIGNALS)

    def of(self, graph: Graph) -> dict[str, str]:
        """What each value of a graph is made by, its own node and all before it, as a hash."""
        found: dict[str, str] = {}
        for node in graph.nodes:
            parts = [self.node_hash(node), *(found[name] for name in operands(node))]
            found[node.name] = hashlib.sha256("".join(parts).encode()).hexdigest()
        return found

    def node_hash(self, node: Node) -> str:
        """`fxp.store.node_hash`, taken once of every node."""
        own = self._hashes.get(node)
        if own is None:
            own = self._hashes[node] = node_hash(node)
        return own

    def ranges(self, graph: Graph, about: Mapping[str, Value] | None = None) -> dict[str, Signal]:
        """What `fxp.ranges.analyse` gives; a node is worked out once for the ranges it reads.

        Args:
            graph: any graph.
            about: `fxp.validate.describe` of it, where that is at hand.

        Raises:
            GraphError: the graph breaks a rule of the IR.
        """
        about = describe(graph) if about is None else about
        signals: dict[str, Signal] = {}
        for node in graph.nodes:
            x = tuple(signals[name] for name in operands(node))
            key = (self.node_hash(node), about[node.name], x)
            signal = self._signals.get(key)
            if signal is None:
                signal = signal_of(node, x, about[node.name])
                self._signals.put(key, signal, 1)
            signals[node.name] = signal
        return signals
