"""The inner step of the fused engine: the next frames in, the outputs' new frames out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fxp.engine import evaluate
from fxp.fused.arena import zeros
from fxp.fused.program import Program, Run, bind
from fxp.fused.steps import Words
from fxp.ir import IntArray, complete_frames
from fxp.kernels.drive import drive
from fxp.kernels.stream import Port
from fxp.kernels.stream import through as drive_through
from fxp.kernels.vector import code_of
from fxp.plan import Plan
from fxp.state import State


def program_for(plan: Plan, state: State, frames: int) -> Program:
    """The plan's steps bound to a state, for at most so many frames of the input at a time."""
    names = (*plan.signals, *plan.delayed)
    return bind(plan, state, {n: _most(plan.timing_of(n).period, frames) for n in names})


def last_program(plan: Plan, state: State, frames: int) -> Program:
    """The same for exactly so many last frames of a clip, and all that waited for later ones."""
    names = (*plan.signals, *plan.delayed)
    return bind(plan, state, {n: len(_new(plan, state, n, frames, flush=True)) for n in names})


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
    for part in program.parts:
        if isinstance(part, Run):
            drive(program.records, part.first, part.last, state.frames, count, flush)
            continue
        stage = plan.stages[part.name]
        operands = [
            program.values[name][: len(_new(plan, state, name, count, flush=flush))].astype(
                plan.stages[name].dtype
            )
            for name in part.reads
        ]
        made = evaluate(plan, state, stage, operands, flush)
        program.values[part.name][: len(made)] = made
    results = {
        name: program.values[name][: len(_new(plan, state, name, count, flush=flush))]
        for name in plan.graph.outputs
    }
    state.frames += count
    state.finished = flush and plan.waits_for_end
    return results


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


def _new(plan: Plan, state: State, name: str, count: int, *, flush: bool) -> range:
    """The frames of a value that `count` more of the input complete."""
    timing = plan.timing_of(name)
    before = complete_frames(timing, state.frames, state.finished)
    return range(before, complete_frames(timing, state.frames + count, flush))


def _most(period: int, frames: int) -> int:
    return frames // period + 1 if period else 1
