"""The inner step of the fused engine: the next frames in, the outputs' new frames out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from fxp.engine import evaluate
from fxp.fused.arena import zeros
from fxp.fused.program import Part, Program, Run, bind
from fxp.fused.steps import Words
from fxp.ir import IntArray, complete_frames
from fxp.kernels.drive import drive
from fxp.kernels.stream import Port
from fxp.kernels.stream import through as drive_through
from fxp.kernels.vector import code_of
from fxp.plan import Plan
from fxp.state import State

MOST_LENT = 16  # lengths of which a plan keeps programs


def program_for(plan: Plan, state: State, frames: int) -> Program:
    """The plan's steps bound to a state, for at most so many frames of the input at a time."""
    return _going_on(plan, frames).attach(state)


def part_program(plan: Plan, state: State, part: Part, frames: int) -> Program:
    """A part of the steps, for so many frames at a time, those that end a clip among them."""
    return bind(plan, _ending(plan, frames), part).attach(state)


@contextmanager
def lent_program(plan: Plan, state: State, frames: int) -> Iterator[Program]:
    """As `program_for`, but one that the plan keeps and lends again: for as long as a call takes.

    To lay out buffers takes longer than to read a short clip.
    """
    room = min(_rounded(frames), plan.chunk_frames)
    yield from _lent(plan, state, ("going on", room), lambda: _going_on(plan, room))


@contextmanager
def lent_last_program(plan: Plan, state: State, frames: int) -> Iterator[Program]:
    """The same for the last frames of a clip, and all that waited for later ones."""
    room, first = _rounded(frames), state.frames == 0

    def bound() -> Program:
        names = (*plan.signals, *plan.delayed)
        whole = {name: complete_frames(plan.timing_of(name), room, True) for name in names}
        return bind(plan, whole if first else _ending(plan, room))

    yield from _lent(plan, state, ("whole" if first else "last", room), bound)


def _lent(
    plan: Plan, state: State, key: tuple[str, int], bound: Callable[[], Program]
) -> Iterator[Program]:
    waiting = plan.programs.setdefault(key, [])
    try:
        program = waiting.pop()  # other threads may borrow others of the same key
    except IndexError:
        program = bound()
    yield program.attach(state)
    program.release()
    if len(plan.programs) > MOST_LENT:
        plan.programs.clear()
    waiting.append(program)


def _rounded(frames: int) -> int:
    """Up to three significant bits: clips of about the same length share a program."""
    places = max(0, frames.bit_length() - 3)
    return max(1, -(-frames >> places) << places) if places else max(1, frames)


def _going_on(plan: Plan, frames: int) -> Program:
    names = (*plan.signals, *plan.delayed)
    return bind(plan, {n: _most(plan.timing_of(n).period, frames) for n in names})


def _ending(plan: Plan, frames: int) -> dict[str, int]:
    """The most frames that each value gets from so many last ones."""
    most: dict[str, int] = {}
    for name in (*plan.signals, *plan.delayed):
        timing = plan.timing_of(name)
        most[name] = _most(timing.period, frames + timing.lookahead)
    return most


def advance(
    plan: Plan, state: State, program: Program, words: IntArray, *, flush: bool
) -> Mapping[str, Words]:
    """Read frames (T, C, V), update the state and return the new frames (T', V, C) of the outputs.

    They are views of the program's buffers, which the next call overwrites.
    """
    count = len(words)
    program.values[plan.graph.nodes[0].name][:count] = words.transpose(0, 2, 1)
    return proceed(plan, state, program, count, flush=flush)


def proceed(
    plan: Plan, state: State, program: Program, count: int, *, flush: bool
) -> Mapping[str, Words]:
    """The same for the first `count` frames of the program's buffer of the input."""
    compute(plan, state, program, count, flush=flush)
    results = {
        name: program.values[name][: len(new_frames(plan, state, name, count, flush=flush))]
        for name in plan.graph.outputs
    }
    state.frames += count
    state.finished = flush and plan.waits_for_end
    return results


def compute(plan: Plan, state: State, program: Program, count: int, *, flush: bool) -> None:
    """Let the program's steps read `count` more frames; those that it is given are in its buffers.

    `state.frames` stays as it is.
    """
    for part in program.parts:
        if isinstance(part, Run):
            drive(program.records, part.first, part.last, state.frames, count, flush)
            continue
        stage = plan.stages[part.name]
        operands = [
            program.values[name][: len(new_frames(plan, state, name, count, flush=flush))].astype(
                plan.stages[name].dtype
            )
            for name in part.reads
        ]
        made = evaluate(plan, state, stage, operands, flush)
        program.values[part.name][: len(made)] = made


def through(
    plan: Plan,
    state: State,
    program: Program,
    words: IntArray,
    wanted: Mapping[str, tuple[int, IntArray]],
) -> None:
    """Read frames int64 (T, C, V) of a clip that goes on, in chunks, by one compiled call.

    `wanted` says for outputs from which of their frames on to put them into which array (n, C, V).
    """
    ports = ports_of(plan, program)
    for row, name in zip(ports[1:], plan.graph.outputs, strict=True):
        if name in wanted:
            first, result = wanted[name]
            row[Port.RESULT], row[Port.FIRST] = result.ctypes.data, first
            row[Port.LAST] = first + len(result)
    drive_through(program.records, ports, words, state.frames, plan.chunk_frames)
    state.frames += len(words)


def ports_of(plan: Plan, program: Program) -> IntArray:
    """The ends of a network in a program: its input, then its outputs, as rows of `Port`."""
    names = [plan.graph.nodes[0].name, *plan.graph.outputs]
    ports = zeros((len(names), len(Port)), np.int64)
    for row, name in zip(ports, names, strict=True):
        value, timing, signal = program.values[name], plan.timing_of(name), plan.signals[name]
        row[Port.ADDRESS], row[Port.CODE] = value.ctypes.data, code_of(value.dtype)
        row[Port.JOINTS], row[Port.CHANNELS] = plan.shape(name)
        row[Port.PERIOD], row[Port.LOOKAHEAD] = timing.period, timing.lookahead
        row[Port.LOW], row[Port.HIGH] = min(signal.lo), max(signal.hi)
    return ports


def new_frames(plan: Plan, state: State, name: str, count: int, *, flush: bool) -> range:
    """The frames of a value that `count` more of the input complete."""
    timing = plan.timing_of(name)
    before = complete_frames(timing, state.frames, state.finished)
    return range(before, complete_frames(timing, state.frames + count, flush))


def _most(period: int, frames: int) -> int:
    return frames // period + 1 if period else 1
