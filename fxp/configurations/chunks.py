"""A program run over whole clips: kept values in, values to keep out, chunk by chunk.

Where all steps are compiled, so is the loop over clips and chunks: one call for a graph, in which
other threads have the interpreter for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fxp.configurations.cuts import Stored
from fxp.fused.program import Program
from fxp.fused.run import compute, new_frames
from fxp.fused.steps import Words
from fxp.kernels.clips import drive_clips
from fxp.plan import Plan
from fxp.state import State


def run_clips(
    plan: Plan,
    state: State,
    program: Program,
    lengths: Sequence[int],
    given: Mapping[str, Stored],
    wanted: Mapping[str, Stored],
) -> None:
    """Fill wanted values of clips from given ones.

    Args:
        plan: the plan of the program.
        state: that of a clip's beginning, which is used up.
        program: a part of the plan's steps.
        lengths: frames of each clip's input, at least one.
        given: the values that the program is given.
        wanted: values that it computes.
    """
    both = (*given.items(), *wanted.items())
    if program.compiled and all(program.values[name].dtype == value.dtype for name, value in both):
        copies = [_copy(plan, program, name, value, 0) for name, value in given.items()]
        copies += [_copy(plan, program, name, value, 1) for name, value in wanted.items()]
        drive_clips(
            program.records,
            np.array(copies, np.int64),
            np.array(lengths, np.int64),
            plan.chunk_frames,
            np.array([(a.ctypes.data, a.nbytes) for a in _arrays(state)] or [(0, 0)], np.int64),
        )
        return
    for index, frames in enumerate(lengths):
        own = (
            {name: value.clips[index] for name, value in part.items()} for part in (given, wanted)
        )
        _run_clip(plan, state, program, frames, *own)
        state.frames = 0
        for array in _arrays(state):
            array[...] = 0


def _run_clip(
    plan: Plan,
    state: State,
    program: Program,
    frames: int,
    given: Mapping[str, Words],
    wanted: Mapping[str, Words],
) -> None:
    """One clip, where a step is no compiled one or a value is kept in another type."""
    for start in range(0, frames, plan.chunk_frames):
        count = min(plan.chunk_frames, frames - start)
        flush = start + count == frames
        for name, array in given.items():
            new = new_frames(plan, state, name, count, flush=flush)
            program.values[name][: len(new)] = array[new.start : new.stop]
        compute(plan, state, program, count, flush=flush)
        for name, array in wanted.items():
            new = new_frames(plan, state, name, count, flush=flush)
            array[new.start : new.stop] = program.values[name][: len(new)]
        state.frames += count


def _arrays(state: State) -> list[Words]:
    """All arrays of a state; zeros at the beginning of a clip."""
    return [a for part in (state.rings, state.accumulators, state.delays) for a in part.values()]


def _copy(plan: Plan, program: Program, name: str, value: Stored, out: int) -> list[int]:
    """Whether out of the buffer, its address, the value's, bytes of a frame, period, lookahead."""
    timing, buffer = plan.timing_of(name), program.values[name]
    addresses = buffer.ctypes.data, value.block.ctypes.data
    return [out, *addresses, buffer.strides[0], timing.period, timing.lookahead]
