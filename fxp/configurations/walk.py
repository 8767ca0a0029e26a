"""Graphs of an order, one after the other, on clips: each from what is kept of those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fxp.configurations.chunks import run_clips
from fxp.configurations.cuts import Block, Cuts, Stored, stored
from fxp.configurations.order import Signed, Uses
from fxp.fused.fuse import results_of
from fxp.fused.program import Part, part_of
from fxp.fused.run import part_program
from fxp.fused.steps import Words
from fxp.ir import IntArray, complete_frames
from fxp.plan import Plan
from fxp.state import initial_state


class Walk:
    """Runs graphs of an order, whose places have to come one after the other.

    `needed` counts the steps that the graphs have, `computed` those that were run.
    """

    def __init__(
        self,
        uses: Uses,
        clips: Sequence[Words],
        most_bytes: int,
        inputs: dict[str, Stored] | None = None,
    ) -> None:
        """Begin before the first place.

        Args:
            uses: of the order.
            clips: integers (T, C, V) each; words that the graphs' inputs may have.
            most_bytes: of the values kept between graphs.
            inputs: the clips as values, by the name of their dtype; walks on the same clips share
                them.
        """
        self._cuts = Cuts(uses, most_bytes)
        self._clips = clips
        self._lengths = [len(clip) for clip in clips]
        self._inputs = {} if inputs is None else inputs
        self.needed = self.computed = 0

    def run(self, place: int, plan: Plan, signed: Signed[Any]) -> list[dict[str, IntArray]]:
        """Clip by clip, the words int64 (T', C, V) of the values that the graph is to give."""
        marks = signed.marks
        known = self._known(plan, signed)
        part = part_of(plan, signed.wanted, known)
        self.needed += len(plan.steps)
        self.computed += len(part.steps)
        self._cuts.note(part.steps, marks)
        made = self._room(place, plan, part, marks, known)
        results = {name: self._stored(plan, name) for name in part.wanted if name not in made}
        self._compute(plan, part, known, made | results)
        values = known | made | results
        found = [
            {name: _outwards(values[name].clips[index]) for name in signed.wanted}
            for index in range(len(self._clips))
        ]
        self._cuts.keep({marks[name]: value for name, value in made.items()}, place)
        return found

    def _known(self, plan: Plan, signed: Signed[Any]) -> dict[str, Stored]:
        """The input and all kept values of a graph."""
        source = signed.graph.nodes[0].name
        found = {source: self._input(plan, source)}
        for name, mark in signed.marks.items():
            if mark in self._cuts.values:
                found[name] = self._cuts.values[mark]
        return found

    def _input(self, plan: Plan, name: str) -> Stored:
        dtype = np.dtype(plan.storage(name))
        if dtype.name not in self._inputs:
            value = self._stored(plan, name)
            for words, clip in zip(value.clips, self._clips, strict=True):
                words[...] = clip.transpose(0, 2, 1)
            self._inputs.setdefault(dtype.name, value)  # two threads may come here
        return self._inputs[dtype.name]

    def _room(
        self,
        place: int,
        plan: Plan,
        part: Part,
        marks: Mapping[str, int],
        known: Mapping[str, Stored],
    ) -> dict[str, Stored]:
        """Memory for the values that are computed and then kept."""
        names = {
            marks[name]: name
            for step in part.steps
            for name in results_of(step)
            if name in marks and name not in known
        }
        sizes = {mark: self._bytes(plan, name) for mark, name in names.items()}
        reading = {marks[name] for name in known}
        chosen = self._cuts.room_for(sizes, reading, place)
        return {
            names[mark]: self._stored(plan, names[mark], self._cuts.block(sizes[mark]))
            for mark in chosen
        }

    def _compute(
        self,
        plan: Plan,
        part: Part,
        known: Mapping[str, Stored],
        values: Mapping[str, Stored],
    ) -> None:
        if not part.steps:
            return
        state = initial_state(plan)
        chunk = min(plan.chunk_frames, max(self._lengths))
        program = part_program(plan, state, replace(part, wanted=tuple(values)), chunk)
        given = {name: known[name] for name in part.given}
        run_clips(plan, state, program, self._lengths, given, values)

    def _stored(self, plan: Plan, name: str, block: Block | None = None) -> Stored:
        """A value of all clips, in a block of its size."""
        if block is None:
            block = np.empty(self._bytes(plan, name), np.uint8)
        return stored(block, plan.storage(name), self._frames(plan, name), plan.shape(name))

    def _bytes(self, plan: Plan, name: str) -> int:
        joints, channels = plan.shape(name)
        item = np.dtype(plan.storage(name)).itemsize
        return sum(self._frames(plan, name)) * joints * channels * item

    def _frames(self, plan: Plan, name: str) -> list[int]:
        """Frames that a value has of each clip."""
        timing = plan.timing_of(name)
        if timing.period == 1:
            return self._lengths
        return [complete_frames(timing, length, True) for length in self._lengths]


def _outwards(x: Words) -> IntArray:
    """(T', V, C) -> (T', C, V), int64."""
    return np.array(x.transpose(0, 2, 1), dtype=np.int64, order="C")
