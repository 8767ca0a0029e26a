"""A graph as a list of steps: what can share a pass does, the rest runs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import assert_never

import numpy as np

from fxp.fused.casts import VectorCast, per_channel, vector_cast
from fxp.fused.chains import Chain, rows_step
from fxp.fused.products import product, product_tier
from fxp.fused.steps import (
    CrossedStep,
    DelayStep,
    PickStep,
    ProductStep,
    ReadStep,
    RowsStep,
    SingleStep,
    Step,
    TapsStep,
    ViewStep,
    WideStep,
)
from fxp.fused.tiers import Tier
from fxp.fused.wide import carried_product, crossed_product, wide_product
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    Conv,
    Flatten,
    Graph,
    GraphProduct,
    Input,
    JointMean,
    Node,
    Requantise,
    TemporalConv,
    TemporalSum,
    Timing,
    delay_frames,
    operands,
)
from fxp.ranges import Signal

MOST_CASTS = 2  # of one accumulator in one pass


def fuse(
    graph: Graph,
    signals: Mapping[str, Signal],
    timing: Mapping[str, Timing],
    allowed: frozenset[Tier],
) -> tuple[Step, ...]:
    """The steps that give a graph's outputs, in an order in which they can run.

    Args:
        graph: a certified graph.
        signals: `fxp.ranges.analyse` of it.
        timing: `fxp.ir.timings` of it.
        allowed: the tiers that may be used.
    """
    return _Fusion(graph, signals, timing, allowed).steps()


def delay_name(add: str, side: int) -> str:
    """Name of the delay line of an `Add`'s operand a (side 0) or b (side 1)."""
    return f"{add}.delay_{'ab'[side]}"


class _Fusion:
    def __init__(
        self,
        graph: Graph,
        signals: Mapping[str, Signal],
        timing: Mapping[str, Timing],
        allowed: frozenset[Tier],
    ) -> None:
        self.graph, self.timing, self.allowed = graph, timing, allowed
        self.signals = dict(signals)  # and those of delayed operands, by their line's name
        self.nodes: dict[str, Node] = {node.name: node for node in graph.nodes}
        self.readers: dict[str, list[Node]] = {name: [] for name in self.nodes}
        for node in graph.nodes:
            for name in dict.fromkeys(operands(node)):
                self.readers[name].append(node)
        self.made: list[Step] = []
        self.done: set[str] = set()
        self.wide: set[str] = set()  # values in 64 bits, however few they need

    def steps(self) -> tuple[Step, ...]:
        for node in self.graph.nodes:
            if node.name not in self.done:
                self._start(node)
        return _in_order(self.made)

    def _put(self, step: Step) -> None:
        self.made.append(step)
        self.done |= set(nodes_of(step))

    def _start(self, node: Node) -> None:
        match node:
            case Input():
                self._put(ReadStep(node.name))
            case Conv() | TemporalConv():
                self._convolution(node)
            case Flatten():
                self._put(ViewStep(node.name, node.x))
            case Argmax():
                self._pick(node)
            case GraphProduct() | JointMean():
                chain = Chain(node.x, edges=node)
                chain.nodes.append(node.name)
                self._finish(chain, node)
            case TemporalSum() | Affine() | Requantise():
                chain = Chain(node.x)
                self._finish(chain, node)
            case Add():
                self._finish(self._addition(node), node)
            case _:
                self._put(SingleStep(node.name, operands(node)))

    def _pick(self, node: Argmax) -> None:
        x = self.signals[node.x]
        fracs = per_channel(x.frac_bits, x.channels)
        left = np.array([max(fracs) - frac for frac in fracs], dtype=np.int64)
        self._put(PickStep(node.name, node.x, left))

    def _convolution(self, node: Conv | TemporalConv) -> None:
        step: Step | None
        step = self._product(node, self._all_casts(node.name) or {}) or self._product(node, {})
        if step is None and isinstance(node, Conv):
            step = wide_product(node, self.signals[node.x], self.allowed)
            if step is not None:
                self.wide.add(node.name)
        self._put(step or SingleStep(node.name, operands(node)))

    def _product(
        self, node: Conv | TemporalConv, casts: dict[str, VectorCast]
    ) -> ProductStep | TapsStep | CrossedStep | None:
        """A convolution with casts of its sums, if there is a product that holds both."""
        x, y = self.signals[node.x], self.signals[node.name]
        tier = product_tier(node, x, y, list(casts.values()), self.allowed)
        if tier is not None:
            return product(node, casts, tier)
        carried = carried_product(node, x, y, casts, self.allowed)
        if carried is None and isinstance(node, Conv):
            return crossed_product(node, x, y, casts, self.allowed)
        return carried

    def _all_casts(self, name: str) -> dict[str, VectorCast] | None:
        """The casts of an accumulator if nothing else reads it, and vector code has them."""
        found: dict[str, VectorCast] = {}
        for reader in self.readers[name]:
            cast = self._cast(reader)
            if cast is None or any(cast.left):
                return None
            found[reader.name] = cast
        wanted = name in self.graph.outputs
        return found if found and len(found) <= MOST_CASTS and not wanted else None

    def _cast(self, node: Node) -> VectorCast | None:
        if not isinstance(node, Requantise) or node.name in self.done:
            return None
        return vector_cast(node, self.signals[node.x])

    # ------------------------------------------------------------ chains

    def _addition(self, node: Add) -> Chain:
        """A chain that begins with an addition; an operand that comes early waits in a line."""
        names: list[str] = []
        for side, (name, delay) in enumerate(
            zip((node.a, node.b), delay_frames(node, self.timing), strict=True)
        ):
            if delay:
                names.append(self._line(node, side))
            else:
                names.append(name)
        return Chain(names[0], own=names[0], other=names[1])

    def _line(self, node: Add, side: int) -> str:
        """The delay line of an operand, as a value of its own."""
        line = delay_name(node.name, side)
        self.signals[line] = self.signals[(node.a, node.b)[side]]
        return line

    def _finish(self, chain: Chain, node: Node) -> None:
        """Let a chain grow from its first node on, and put the longest that 64 bits hold."""
        if not chain.nodes and not self._grow(chain, node):
            self._put(SingleStep(node.name, operands(node)))
            return
        stages = [self._ended(chain)]
        while (following := self._following(chain)) is not None:
            grown = replace(chain, nodes=[*chain.nodes])
            if not self._grow(grown, following):
                break
            chain = grown
            stages.append(self._ended(chain))
        for whole in reversed(stages):
            step = rows_step(whole, self.signals, self.wide)
            if step is not None:
                self._put(step)
                self.made += self._lines(whole)
                return
        self._put(SingleStep(node.name, operands(node)))

    def _lines(self, chain: Chain) -> list[DelayStep]:
        """The delay lines that a chain reads."""
        if chain.add is None:
            return []
        found = []
        for side, x in enumerate((chain.add.a, chain.add.b)):
            line = delay_name(chain.add.name, side)
            if line in (chain.source, chain.other):
                found.append(DelayStep(line, x, chain.add.name, side))
        return found

    def _following(self, chain: Chain) -> Node | None:
        """The only reader of what a chain has come to, if it may stay in registers."""
        name = chain.nodes[-1]
        readers = self.readers[name]
        if name in self.graph.outputs or len(readers) != 1 or readers[0].name in self.done:
            return None
        return readers[0]

    def _grow(self, chain: Chain, node: Node) -> bool:
        """Append a node if the chain's order allows it."""
        place = chain.place
        match node:
            case Requantise():
                if place >= 5 or chain.affine_cast.kind or (place in (1,)):
                    return False
                cast = self._cast(node)
                if cast is None:
                    return False
                if place == 0 and not any(cast.left):
                    chain.source_cast = cast
                else:
                    chain.affine_cast = cast
            case TemporalSum() if place < 2:
                chain.fifo = node
            case Affine() if place < 3 and chain.takes(node):
                chain.affine = node
            case Add() if place < 5 and self._joins(chain, node):
                chain.add = node
            case _:
                return False
        chain.nodes.append(node.name)
        return True

    def _joins(self, chain: Chain, node: Add) -> bool:
        """Whether a chain may end in an addition: its operand must not have to wait."""
        if chain.own is not None:  # it began with this one
            return True
        mine = chain.nodes[-1]
        if node.a == node.b:
            return False
        side = 0 if node.a == mine else 1
        delays = delay_frames(node, self.timing)
        if delays[side]:
            return False
        other = (node.a, node.b)[1 - side]
        if delays[1 - side]:
            other = self._line(node, 1 - side)
        chain.own, chain.other = mine, other
        return True

    def _ended(self, chain: Chain) -> Chain:
        """A chain with its results: what it has come to, or up to two casts of it."""
        last = chain.nodes[-1]
        casts = self._all_casts(last)
        node = self.nodes[last]
        if casts is None or isinstance(node, Requantise | TemporalSum):
            return replace(chain, results=[last])
        nodes = [*chain.nodes, *casts]
        return replace(chain, nodes=nodes, results=list(casts), out_casts=list(casts.values()))


def nodes_of(step: Step) -> tuple[str, ...]:
    """The nodes that a step computes."""
    match step:
        case ProductStep() | RowsStep():
            return step.nodes
        case TapsStep() | CrossedStep():
            return step.product.nodes
        case DelayStep():
            return ()
        case ReadStep() | WideStep() | ViewStep() | PickStep() | SingleStep():
            return (step.name,)
        case _:
            assert_never(step)


def results_of(step: Step) -> tuple[str, ...]:
    """The values that a step leaves in memory."""
    match step:
        case ProductStep() | RowsStep():
            return step.results
        case TapsStep() | CrossedStep():
            return step.product.results
        case ReadStep() | WideStep() | DelayStep() | ViewStep() | PickStep() | SingleStep():
            return (step.name,)
        case _:
            assert_never(step)


def reads_of(step: Step) -> tuple[str, ...]:
    """The values that a step reads from memory."""
    match step:
        case ReadStep():
            return ()
        case RowsStep():
            return (step.source, *([] if step.other is None else [step.other]))
        case TapsStep() | CrossedStep():
            return (step.product.x,)
        case ProductStep() | WideStep() | DelayStep() | ViewStep() | PickStep():
            return (step.x,)
        case SingleStep():
            return step.reads
        case _:
            assert_never(step)


def _in_order(steps: list[Step]) -> tuple[Step, ...]:
    """Steps after those whose results they read."""
    maker = {name: i for i, step in enumerate(steps) for name in results_of(step)}
    graph = {i: {maker[name] for name in reads_of(step)} for i, step in enumerate(steps)}
    return tuple(steps[i] for i in TopologicalSorter(graph).static_order())
