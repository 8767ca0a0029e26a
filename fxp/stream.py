"""Realtime: frames in, the outputs' frames out, without allocation.

`fxp.simulate.step` does the same for any graph and any tap; a `Stream` is what a control loop would
hold: buffers and results are laid out once, and a frame is one call of compiled code.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fxp.fused.run import ports_of, proceed, program_for
from fxp.fused.steps import Words
from fxp.ir import Input, IntArray
from fxp.kernels.stream import Port, push
from fxp.plan import Plan
from fxp.simulate import step
from fxp.state import State, initial_state
from fxp.validate import check_clip, check_length


class Stream:
    """A clip that comes frame by frame.

    `state` may be read, copied and kept between frames. `results` holds the newest frame of every
    output, int64 (C, V), the same arrays all the time; `ready` says how many of them the last frame
    brought up to date.
    """

    def __init__(self, plan: Plan, state: State | None = None) -> None:
        """Start a clip, or go on from a state, which the stream then changes."""
        self.plan = plan
        self.state = initial_state(plan) if state is None else state
        self.results: Mapping[str, IntArray] = {
            name: np.zeros(plan.shape(name)[::-1], np.int64) for name in plan.graph.outputs
        }
        self.ready = 0
        self._program = program_for(plan, self.state, 1) if plan.fused else None
        self.compiled = self._program is not None and self._program.compiled
        self._ports = self._laid_out() if self.compiled else np.zeros((0, 0), np.int64)
        source = plan.graph.nodes[0]
        assert isinstance(source, Input)
        self._shape = (source.channels, source.joints)

    def push(self, frame: IntArray) -> Mapping[str, IntArray]:
        """The next frame, integers (C, V); returns `results`.

        Where a graph has nodes that run alone (`compiled` is false) this is `fxp.simulate.step`.

        Raises:
            InputError: the frame is no possible input, or the clip is over or gets too long;
                nothing has changed then.
        """
        words = np.asarray(frame)
        if not self.compiled or words.dtype != np.int64 or words.shape != self._shape:
            words = check_clip(self.plan.graph, words[None])[0]
        if self.state.finished or self.plan.longest_clip is not None or not self.compiled:
            return self._stepped(words)
        assert self._program is not None
        ready = push(self._program.records, self._ports, words, self.state.frames)
        if ready < 0:
            check_clip(self.plan.graph, words[None])
            raise AssertionError("unreachable: a word that does not fit is refused above")
        self.ready = ready
        self.state.frames += 1
        return self.results

    def _stepped(self, words: IntArray) -> Mapping[str, IntArray]:
        check_length(self.plan.graph, self.state.frames + 1, self.plan.longest_clip)
        found = step(self.plan, words, self.state)
        for name, value in found.items():
            self.results[name][...] = value
        self.ready = len(found)
        return self.results

    def _laid_out(self) -> IntArray:
        assert self._program is not None
        ports = ports_of(self.plan, self._program)
        for row, result in zip(ports[1:], self.results.values(), strict=True):
            row[Port.RESULT] = result.ctypes.data
        return ports


class Block:
    """So many frames at a time in the engine's own layout: nothing is checked, nothing copied.

    `input` is an array (frames, V, C) to be filled, in the narrowest type that holds the input's
    format; `outputs` are such arrays of every output, overwritten by the next `advance`. Words
    beyond the format give what no device gives: who fills them answers for them.
    """

    def __init__(self, plan: Plan, frames: int, state: State | None = None) -> None:
        """Start a clip, or go on from a state, which is then changed."""
        self.plan = plan
        self.state = initial_state(plan) if state is None else state
        self._program = program_for(plan, self.state, frames)
        self.input = self._program.values[plan.graph.nodes[0].name][:frames]
        self.outputs: Mapping[str, Words] = {}

    def advance(self, frames: int) -> Mapping[str, Words]:
        """Read the first `frames` frames of `input`; returns the `outputs` that they complete."""
        self.outputs = proceed(self.plan, self.state, self._program, frames, flush=False)
        return self.outputs
