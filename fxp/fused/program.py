"""Steps bound to memory: buffers, records for the compiled loop, and the nodes that run alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from fxp.fused.arena import Lifetime, place, zeros
from fxp.fused.fuse import reads_of, results_of
from fxp.fused.lone import AllRecords
from fxp.fused.steps import SingleStep, Step, ViewStep, WideStep, Words
from fxp.ir import IntArray
from fxp.plan import Plan

if TYPE_CHECKING:
    from fxp.state import State


@dataclass(frozen=True)
class Run:
    """Records `first..last`, which the compiled loop does in one call."""

    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Part:
    """Some of a plan's steps, in their order: they read `given` values and leave `wanted` ones."""

    steps: tuple[Step, ...]
    given: tuple[str, ...]
    wanted: tuple[str, ...]


def part_of(plan: Plan, wanted: Collection[str], known: Collection[str]) -> Part:
    """The steps that give the wanted values, where others are known: no step makes these again."""
    needed, steps, made = set(wanted) - set(known), [], set()
    read: set[str] = set()
    for step in reversed(plan.steps):
        results = set(results_of(step))
        if results & needed:
            steps.append(step)
            made |= results
            read |= set(reads_of(step))
            needed |= set(reads_of(step)) - set(known)
    given = tuple(name for name in known if name in read)
    return Part(tuple(reversed(steps)), given, tuple(name for name in wanted if name in made))


@dataclass
class Program:
    """A plan's steps bound to buffers for so many new frames of each value, and to a state.

    `parts` are runs of records and lone nodes in their order; `values` arrays (frames, V, C), the
    new frames of every value in memory. `kept` holds what the records point to, `moving` are rows
    and columns of what they find in the state, and how far behind its beginning.
    """

    plan: Plan
    records: IntArray
    parts: tuple[Run | SingleStep, ...]
    values: Mapping[str, Words]
    kept: list[Any]
    moving: tuple[IntArray, IntArray, IntArray]
    state: State | None = None

    def attach(self, state: State) -> Program:
        """Bind it to a state of the plan, until the next one; returns itself.

        Raises:
            InputError: the state is laid out for another plan.
        """
        if state.layout != self.plan.state_layout:
            raise InputError(f"graph `{self.plan.graph.name}`: the state is one of another plan")
        rows, columns, places = self.moving
        self.records[rows, columns] = places + int(state.block.ctypes.data)
        self.state = state
        return self

    def release(self) -> None:
        """Let go of the state."""
        self.state = None

    @property
    def compiled(self) -> bool:
        """Whether all of it is one call of the compiled loop: no node runs alone."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Run)


def bind(plan: Plan, frames: Mapping[str, int], part: Part | None = None) -> Program:
    """Records and buffers; `frames` says how many new frames each value can get.

    Of a part of the plan's steps, the values it is given have buffers too, to be filled.
    """
    whole = Part(plan.steps, (), plan.graph.outputs)
    return _Binding(plan, frames, whole if part is None else part).program()


class _Binding:
    def __init__(self, plan: Plan, frames: Mapping[str, int], part: Part) -> None:
        self.plan, self.frames, self.part = plan, frames, part
        self.wide = {step.name for step in part.steps if isinstance(step, WideStep)}
        self.arena, self.values = self._buffers()
        self.records = AllRecords(plan, self.values)

    def program(self) -> Program:
        parts: list[Run | SingleStep] = []
        first = 0
        for step in self.part.steps:
            if not isinstance(step, SingleStep):
                self.records.add(step)
            elif not self.records.add_alone(step):
                parts += self._run_from(first)
                parts.append(step)
                first = len(self.records.rows)
        parts += self._run_from(first)
        kept = [self.arena, *self.records.kept]
        moving = np.array(self.records.moving, np.int64).reshape(-1, 3).T
        rows, columns, places = (np.ascontiguousarray(each) for each in moving)
        records = self.records.table()
        where = (rows, columns, places)
        return Program(self.plan, records, tuple(parts), self.values, kept, where)

    def _run_from(self, first: int) -> list[Run]:
        last = len(self.records.rows)
        return [Run(first, last)] if first < last else []

    def _buffers(self) -> tuple[Words, dict[str, Words]]:
        """Bytes for all, and an array for every value; those not alive together share bytes."""
        steps = self.part.steps
        owner = {name: name for name in self.part.given}
        for step in steps:
            for name in results_of(step):
                owner[name] = owner[step.x] if isinstance(step, ViewStep) else name
        lives = {name: Lifetime(self._bytes(name), 0, 0) for name in self.part.given}
        for number, step in enumerate(steps):
            for name in (*results_of(step), *reads_of(step)):
                own = owner[name]
                size = self._bytes(own)
                born = lives[own].first if own in lives else number
                lives[own] = Lifetime(size, born, number)
        for name in self.part.wanted:
            own = owner[name]
            lives[own] = Lifetime(lives[own].size, lives[own].first, len(steps))
        offsets, total = place(lives)
        arena = zeros((total,), np.uint8)
        found = {}
        for name, own in owner.items():
            joints, channels = self.plan.shape(name)
            start = offsets[own]
            raw = arena[start : start + self._bytes(own)].view(self._storage(own))
            found[name] = raw.reshape(-1, joints, channels)
        return arena, found

    def _storage(self, name: str) -> npt.DTypeLike:
        # the passes of a wide product add up in 64 bits, however few its sums need
        return np.int64 if name in self.wide else self.plan.storage(name)

    def _bytes(self, name: str) -> int:
        joints, channels = self.plan.shape(name)
        item = np.dtype(self._storage(name)).itemsize
        return self.frames[name] * joints * channels * item
