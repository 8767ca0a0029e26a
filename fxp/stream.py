"""Realtime: one frame in, the outputs' frames out, without allocation.

`fxp.simulate.step` does the same for any graph and any tap; a `Stream` is what a control loop would
hold: buffers and results are laid out once, and a frame is one call of compiled code.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fxp.fused.arena import zeros
from fxp.fused.program import Run
from fxp.fused.run import program_for
from fxp.ir import Input, IntArray
from fxp.kernels.stream import Port, push
from fxp.kernels.vector import code_of
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
        runs = [] if self._program is None else self._program.parts
        self.compiled = len(runs) == 1 and isinstance(runs[0], Run)
        self._ports = self._laid_out() if self.compiled else np.zeros((0, 0), np.int64)
        source = plan.graph.nodes[0]
        assert isinstance(source, Input)
        self._shape = (source.channels, source.joints)

    def push(self, frame: IntArray) -> Mapping[str, IntArray]:
        """The next frame, integers (C, V); returns `results`.

        Where a graph has nodes that run alone (`compiled` is false) this is `fxp.simulate.step`.

        Raises:
            InputError: the frame is no possible input, or the clip is over or gets too long; nothing
                has changed then.
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
        names = [self.plan.graph.nodes[0].name, *self.plan.graph.outputs]
        ports = zeros((len(names), len(Port)), np.int64)
        for row, name in zip(ports, names, strict=True):
            value, timing = self._program.values[name], self.plan.timing_of(name)
            signal = self.plan.signals[name]
            row[Port.ADDRESS], row[Port.CODE] = value.ctypes.data, code_of(value.dtype)
            row[Port.JOINTS], row[Port.CHANNELS] = self.plan.shape(name)
            row[Port.PERIOD], row[Port.LOOKAHEAD] = timing.period, timing.lookahead
            row[Port.LOW], row[Port.HIGH] = min(signal.lo), max(signal.hi)
            if name in self.results:
                row[Port.RESULT] = self.results[name].ctypes.data
        return ports
