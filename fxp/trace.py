"""The words of a golden bundle as the simulator and as the oracle compute them.

Both give the same pieces: frames of values in the order of the clip, and the state after the frames
asked for. The simulator's state is what it really keeps; the oracle has none, so its snapshots are
taken from the values by definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fxp.ir import IntArray, complete_frames
from fxp.memories import Ground, Memory, frame_words, held, memories_of
from fxp.oracle import evaluate
from fxp.simulate import compile_graph, finish, initial_state, run, snapshot

PIECE_WORDS = 1 << 20  # of all values together: what is in memory at a time


@dataclass(frozen=True, eq=False)
class Piece:
    """Some frames of every tap `(T, C, V)` from frame `first[name]` on, and snapshots.

    `states` are by file, `(slots, C, V)`.
    """

    first: Mapping[str, int]
    values: Mapping[str, IntArray]
    states: Mapping[str, IntArray]


def simulated(ground: Ground, clip: IntArray) -> Iterator[Piece]:
    """Run the simulator over a clip `(T, C, V)` piece by piece; memory is bounded.

    Raises:
        InputError: the clip cannot be the graph's input.
    """
    plan, settings = compile_graph(ground.graph), ground.settings
    state = initial_state(plan)
    first = dict.fromkeys(settings.taps, 0)
    frames = max(1, PIECE_WORDS // frame_words(ground))
    ends = {frame + 1 for frame in settings.snapshots} | {*range(0, len(clip), frames)}
    start = 0
    for end in sorted(ends - {0} | {len(clip)}):
        found, state = run(plan, clip[start:end], state, settings.taps, more=True)
        values = {name: found[name] for name in settings.taps}
        kept = snapshot(plan, state) if end - 1 in settings.snapshots else {}
        yield _held(ground, Piece(dict(first), values, _states(ground, end - 1, kept)))
        first = {name: first[name] + len(values[name]) for name in first}
        start = end
    found = finish(plan, state, settings.taps)
    yield _held(ground, Piece(first, {name: found[name] for name in settings.taps}, {}))


def defined(ground: Ground, clip: IntArray) -> Iterator[Piece]:
    """Evaluate the definition over a clip `(T, C, V)`: slow, one piece.

    Raises:
        InputError: the clip cannot be the graph's input.
    """
    # certified accumulators fit int64, whatever array type the definition chose
    values = {
        name: frames.astype(np.int64) for name, frames in evaluate(ground.graph, clip).items()
    }
    states = {}
    for memory in _snapshots(ground):
        frames, slots = values[memory.value], memory.layout.shape[0]
        seen = complete_frames(ground.timing[memory.value], memory.frame + 1, ended=False)
        is_total = memory.role == "total"
        states[memory.file] = (
            frames[:seen].sum(axis=0, keepdims=True)
            if is_total
            else ring_words(frames, seen, slots)
        )
    taps = ground.settings.taps
    first = dict.fromkeys(taps, 0)
    yield _held(ground, Piece(first, {name: values[name] for name in taps}, states))


def ring_words(frames: IntArray, seen: int, slots: int) -> IntArray:
    """A ring of `slots` after `seen` of the `frames`: frame f is in slot `f % slots`, newest wins.

    Slots that no frame reached are zero. By this rule FIFOs hold what a node reads, and the
    accumulators of a dilated sum (one slot per phase) what it last emitted in each phase.
    """
    ring = frames[:1].repeat(slots, axis=0) * 0
    for frame in range(max(0, seen - slots), seen):
        ring[frame % slots] = frames[frame]
    return ring


def _held(ground: Ground, piece: Piece) -> Piece:
    """The piece as an engine's registers hold it (engines here keep every sum whole)."""
    values = {name: held(ground, name, words) for name, words in piece.values.items()}
    owners = {memory.file: memory for memory in _snapshots(ground)}
    states = {
        # the sum of a clip is a register of its own, never wrapped
        file: words if owners[file].role == "total" else held(ground, owners[file].value, words)
        for file, words in piece.states.items()
    }
    return Piece(piece.first, values, states)


def _states(ground: Ground, frame: int, kept: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """The simulator's arrays by file."""
    stem, end = "state/", f".t{frame}.hex"
    return {
        memory.file: kept[memory.file.removeprefix(stem).removesuffix(end)]
        for memory in _snapshots(ground)
        if memory.frame == frame
    }


def _snapshots(ground: Ground) -> list[Memory]:
    return [memory for memory in memories_of(ground) if memory.frame >= 0]
