"""A program run over a whole clip: kept values in, values to keep out, chunk by chunk.

Where all steps are compiled, so is the loop over chunks: one call per clip, which leaves other
threads alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fxp.fused.program import Program, Run
from fxp.fused.run import compute, new_frames
from fxp.fused.steps import Words
from fxp.ir import IntArray
from fxp.kernels.drive import complete, copy_bytes, drive
from fxp.kernels.jit import kernel
from fxp.plan import Plan
from fxp.state import State


def run_clip(
    plan: Plan,
    state: State,
    program: Program,
    frames: int,
    given: Mapping[str, Words],
    wanted: Mapping[str, Words],
) -> None:
    """Fill wanted values of a clip from given ones.

    Args:
        plan: the plan of the program.
        state: that of a clip's beginning, which is used up.
        program: a part of the plan's steps.
        frames: of the input, at least one.
        given: all frames (T', V, C) of the values that the program is given.
        wanted: arrays (T', V, C) for values that it computes.
    """
    chunk = min(plan.chunk_frames, frames)
    whole = len(program.parts) == 1 and isinstance(program.parts[0], Run)
    alike = all(
        program.values[name].dtype == array.dtype
        for name, array in (*given.items(), *wanted.items())
    )
    if whole and alike:
        copies = [_copy(plan, program, name, array, 0) for name, array in given.items()]
        copies += [_copy(plan, program, name, array, 1) for name, array in wanted.items()]
        drive_clip(program.records, np.array(copies, np.int64), frames, chunk)
        return
    for start in range(0, frames, chunk):
        count = min(chunk, frames - start)
        flush = start + count == frames
        for name, array in given.items():
            new = new_frames(plan, state, name, count, flush=flush)
            program.values[name][: len(new)] = array[new.start : new.stop]
        compute(plan, state, program, count, flush=flush)
        for name, array in wanted.items():
            new = new_frames(plan, state, name, count, flush=flush)
            array[new.start : new.stop] = program.values[name][: len(new)]
        state.frames += count


def _copy(plan: Plan, program: Program, name: str, array: Words, out: int) -> list[int]:
    """Whether out of the buffer, its address, the array's, bytes of a frame, period, lookahead."""
    timing, buffer = plan.timing_of(name), program.values[name]
    addresses = buffer.ctypes.data, array.ctypes.data
    return [out, *addresses, buffer[:1].nbytes, timing.period, timing.lookahead]


@kernel
def drive_clip(records: IntArray, copies: IntArray, frames: int, chunk: int) -> None:
    """Run all records for a clip of so many frames; shape of copies: (n, 6), see `_copy`."""
    before = 0
    while before < frames:
        count = min(chunk, frames - before)
        ended = before + count == frames
        _move(copies, 0, before, count, ended)
        drive(records, 0, len(records), before, count, ended)
        _move(copies, 1, before, count, ended)
        before += count


@kernel
def _move(copies: IntArray, out: int, before: int, count: int, ended: bool) -> None:
    """Copy the new frames of all values of one direction."""
    for i in range(len(copies)):
        if copies[i, 0] == out:
            buffer, array, size = copies[i, 1], copies[i, 2], copies[i, 3]
            first = complete(copies[i, 4], copies[i, 5], before, False)
            new = complete(copies[i, 4], copies[i, 5], before + count, ended) - first
            if out:
                copy_bytes(array + first * size, buffer, new * size)
            else:
                copy_bytes(buffer, array + first * size, new * size)
