"""Graphs of an order, one after the other, on some clips: each from what is kept of those before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fxp.configurations.chunks import run_clip
from fxp.configurations.cuts import Cuts, Kept
from fxp.configurations.order import Signed, Uses
from fxp.fused.fuse import results_of
from fxp.fused.program import Part, part_of
from fxp.fused.run import part_program
from fxp.fused.steps import Words
from fxp.ir import IntArray, complete_frames
from fxp.plan import Plan
from fxp.state import State, initial_state


class Walk:
    """Runs graphs of an order, whose places have to come one after the other.

    `needed` counts the steps that the graphs have, `computed` those that were run.
    """

    def __init__(self, uses: Uses, clips: Sequence[IntArray], most_bytes: int) -> None:
        """Begin before the first place.

        Args:
            uses: of the order.
            clips: int64 (T, C, V) each; words that the graphs' inputs may have.
            most_bytes: of the values kept between graphs.
        """
        self._cuts = Cuts(uses, most_bytes)
        self._clips = clips
        self._inputs: dict[str, tuple[Words, ...]] = {}  # (T, V, C) by the name of their dtype
        self.needed = self.computed = 0

    def run(self, place: int, plan: Plan, signed: Signed[object]) -> list[dict[str, IntArray]]:
        """Clip by clip, the words int64 (T', C, V) of the values that the graph is to give."""
        known = self._known(plan, signed)
        part = part_of(plan, signed.wanted, known)
        self.needed += len(plan.steps)
        self.computed += len(part.steps)
        self._cuts.note(part.steps, signed.marks)
        values = self._arrays(place, plan, part, signed, known)
        self._compute(plan, part, known, values)
        found = [
            {name: _outwards((known | values)[name][index]) for name in signed.wanted}
            for index in range(len(self._clips))
        ]
        self._cuts.keep(self._kept, place)
        return found

    def _known(self, plan: Plan, signed: Signed[object]) -> dict[str, tuple[Words, ...]]:
        """The input and all kept values of a graph, clip by clip."""
        found = {}
        for node in signed.graph.nodes:
            kept = self._cuts.values.get(signed.marks[node.name])
            if kept is not None:
                found[node.name] = kept.clips
        source = signed.graph.nodes[0].name
        dtype = np.dtype(plan.storage(source))
        if dtype.name not in self._inputs:
            frames = (clip.transpose(0, 2, 1) for clip in self._clips)
            self._inputs[dtype.name] = tuple(np.ascontiguousarray(x, dtype) for x in frames)
        return {source: self._inputs[dtype.name], **found}

    def _arrays(
        self,
        place: int,
        plan: Plan,
        part: Part,
        signed: Signed[object],
        known: Mapping[str, tuple[Words, ...]],
    ) -> dict[str, tuple[Words, ...]]:
        """Arrays for the values to keep, and for those that are only results."""
        names = {
            signed.marks[name]: name
            for step in part.steps
            for name in results_of(step)
            if name in signed.marks and name not in known
        }
        sizes = {mark: self._bytes(plan, name) for mark, name in names.items()}
        reading = {signed.marks[name] for name in known}
        self._kept: dict[int, Kept] = {}
        arrays: dict[str, tuple[Words, ...]] = {}
        for mark in self._cuts.room_for(sizes, reading, place):
            block = self._cuts.block(sizes[mark])
            arrays[names[mark]] = self._split(plan, names[mark], block)
            self._kept[mark] = Kept(block, arrays[names[mark]])
        for name in part.wanted:
            if name not in arrays:
                block = np.empty(self._bytes(plan, name), np.uint8)
                arrays[name] = self._split(plan, name, block)
        return arrays

    def _compute(
        self,
        plan: Plan,
        part: Part,
        known: Mapping[str, tuple[Words, ...]],
        values: Mapping[str, tuple[Words, ...]],
    ) -> None:
        if not part.steps:
            return
        state = initial_state(plan)
        longest = max(map(len, self._clips))
        kept = Part(part.steps, part.given, tuple(values))
        program = part_program(plan, state, kept, min(plan.chunk_frames, longest))
        for index, clip in enumerate(self._clips):
            if index:
                _clear(state)
            given = {name: known[name][index] for name in part.given}
            made = {name: arrays[index] for name, arrays in values.items()}
            run_clip(plan, state, program, len(clip), given, made)

    def _split(self, plan: Plan, name: str, block: npt.NDArray[np.uint8]) -> tuple[Words, ...]:
        """A block as one array (T', V, C) per clip."""
        words = block.view(plan.storage(name))
        arrays, at = [], 0
        for clip in self._clips:
            shape = _shape(plan, name, len(clip))
            size = math.prod(shape)
            arrays.append(words[at : at + size].reshape(shape))
            at += size
        return tuple(arrays)

    def _bytes(self, plan: Plan, name: str) -> int:
        words = sum(math.prod(_shape(plan, name, len(clip))) for clip in self._clips)
        return words * np.dtype(plan.storage(name)).itemsize


def _shape(plan: Plan, name: str, frames: int) -> tuple[int, int, int]:
    """(T', V, C) of a value of a clip."""
    return (complete_frames(plan.timing_of(name), frames, True), *plan.shape(name))


def _clear(state: State) -> None:
    """Back to the beginning of a clip."""
    state.frames, state.finished = 0, False
    for arrays in (state.rings, state.accumulators, state.delays):
        for array in arrays.values():
            array[...] = 0


def _outwards(x: Words) -> IntArray:
    """(T', V, C) -> (T', C, V), int64."""
    return np.array(x.transpose(0, 2, 1), dtype=np.int64, order="C")
