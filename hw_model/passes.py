"""Which nodes a sequential engine computes together, in one pass over a frame.

A pass begins with a node that multiplies or sums over a frame (or merely reads a value: a *copy*)
and goes on through the slots behind every accumulator: a cast, a running sum over time, a shift
with a bias, a second cast, an addition of a value made before. What leaves the last slot is written
once for each memory of values, as it is or through one further cast. A node that finds its slot
taken, or whose operand has other readers, begins a pass of its own. docs/rtl.md draws the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from hw_model.loops import Kind, Loop

Slot = Literal["cast0", "sum", "shift", "cast1", "add"]
PassKind = Literal[
    "conv",
    "graph_product",
    "temporal_conv",
    "affine",
    "joint_mean",
    "argmax",
    "layer_norm",
    "softmax",
    "clip_mean",
    "copy",
]

Slots = tuple[tuple[Slot, str], ...]
SLOTS: tuple[Slot, ...] = ("cast0", "sum", "shift", "cast1", "add")
_TAKES: Mapping[Slot, Kind] = {
    "cast0": "requantise",
    "sum": "temporal_sum",
    "shift": "shift",
    "cast1": "requantise",
    "add": "add",
}


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a frame.

    `source` is the value it reads first; `head` the node it begins with, the source's name again in
    a copy. `slots` are the nodes computed on the way, `value` is what leaves the last of them.
    `emits` are the values written: `value` itself, casts of it, or both. `owner` is the node that
    the pass is counted under.
    """

    kind: PassKind
    source: str
    head: str
    slots: Slots
    value: str
    emits: tuple[str, ...]
    owner: str

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes that are computed in it, in order."""
        head = () if self.kind == "copy" else (self.head,)
        casts = (name for name in self.emits if name != self.value)
        return (*head, *(name for _, name in self.slots), *casts)

    def residual(self, loops: Mapping[str, Loop]) -> str | None:
        """The value that its addition reads from memory."""
        before = self.head
        for slot, name in self.slots:
            if slot == "add":
                a, b = loops[name].reads
                return b if a == before else a
            before = name
        return None


def pass_kind(kind: Kind) -> PassKind | None:
    """The pass that a node of this kind begins; None where it works in the slots of another."""
    match kind:
        case "conv" | "graph_product" | "temporal_conv" | "affine" | "joint_mean" | "argmax":
            return kind
        case "layer_norm" | "softmax" | "clip_mean":
            return kind
        case "input" | "temporal_sum" | "shift" | "add" | "requantise" | "flatten":
            return None
        case _:
            assert_never(kind)


def passes_of(loops: Sequence[Loop]) -> tuple[Pass, ...]:
    """The passes of a loop nest, in the order in which an engine runs them."""
    return tuple(_Planner(loops).passes())


class _Planner:
    def __init__(self, loops: Sequence[Loop]) -> None:
        self.loops = {loop.name: loop for loop in loops}
        self.readers: dict[str, list[str]] = {loop.name: [] for loop in loops}
        for loop in loops:
            for name in dict.fromkeys(loop.reads):
                self.readers[name].append(loop.name)
        self.made: set[str] = set()

    def passes(self) -> Iterator[Pass]:
        for loop in self.loops.values():
            if loop.name in self.made:
                continue
            if loop.kind in ("input", "flatten"):  # no work: a flattened value is its operand
                self.made.add(loop.name)
                continue
            kind = pass_kind(loop.kind)
            planned = self._from_head(kind, loop) if kind else self._copy(loop)
            self.made.update(planned.nodes)
            yield planned

    def _from_head(self, kind: PassKind, loop: Loop) -> Pass:
        slots = self._extended(loop.name, (), loop.reads[0])
        value = slots[-1][1] if slots else loop.name
        emits = self._emits(value)
        return Pass(kind, loop.reads[0], loop.name, slots, value, emits, loop.name)

    def _copy(self, loop: Loop) -> Pass:
        """A pass for a node that has no other to work in: its first operand is read again."""
        source = loop.reads[0]
        if loop.kind == "requantise" and len(casts := self._casts(source)) > 1:
            return Pass("copy", source, source, (), source, casts, loop.name)
        first = next(slot for slot in SLOTS if _TAKES[slot] == loop.kind)
        slots = self._extended(loop.name, ((first, loop.name),), source)
        value = slots[-1][1]
        return Pass("copy", source, source, slots, value, self._emits(value), loop.name)

    def _extended(self, value: str, slots: Slots, source: str) -> Slots:
        """`slots` and those that the only reader of each further value can take."""
        while True:
            readers = self.readers[value]
            if self.loops[value].is_output or len(readers) != 1:
                return slots
            after = SLOTS.index(slots[-1][0]) if slots else -1
            reader = self.loops[readers[0]]
            slot = self._slot(reader, value, after, source)
            if slot is None:
                return slots
            slots = (*slots, (slot, reader.name))
            value = reader.name

    def _slot(self, reader: Loop, value: str, after: int, source: str) -> Slot | None:
        """The first free slot for a reader of `value`; an addition needs its other operand made.

        That is not the value the pass reads first: a memory gives one line a cycle.
        """
        if reader.kind == "add":
            a, b = reader.reads
            other = b if a == value else a
            waits = any(state.value == value for state in reader.state)
            if a == b or waits or other not in self.made or other == source:
                return None
        return next((s for s in SLOTS[after + 1 :] if _TAKES[s] == reader.kind), None)

    def _casts(self, value: str) -> tuple[str, ...]:
        return tuple(
            name
            for name in self.readers[value]
            if self.loops[name].kind == "requantise" and name not in self.made
        )

    def _emits(self, value: str) -> tuple[str, ...]:
        """What is written of a pass's last value: casts of it, and itself where others read it."""
        casts = self._casts(value)
        others = [name for name in self.readers[value] if name not in casts]
        itself = (value,) if others or self.loops[value].is_output or not casts else ()
        return (*itself, *casts)
