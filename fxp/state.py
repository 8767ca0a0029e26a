"""What the simulator remembers between frames, as plain arrays.

Rings hold frames: frame s of what a node reads is in slot `s % depth`, and slots not yet written
are zero. So the slot to be replaced next, and the phase of a dilated sum, follow from the number
of frames alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from fxp.fused.arena import zeros
from fxp.fused.program import Program
from fxp.fused.steps import Words
from fxp.ir import IntArray, complete_frames
from fxp.operations import Taps, Window
from fxp.plan import Plan, zeros_after
from fxp.state_layout import Slots


@dataclass
class State:
    """State of one stream; arrays are `(slots, V, C)` in the narrowest dtype for what they hold.

    All of them lie in one block of bytes (`Plan.state_layout`). A `TemporalConv`'s ring has room
    for a chunk of frames besides those that its taps reach.

    Attributes:
        frames: input frames read so far.
        finished: the frames that wait for later ones were flushed; nothing can follow.
        rings: FIFO of each `TemporalSum` and history of each `TemporalConv`, by node name.
        accumulators: of each `TemporalSum`, one slot per phase `frame % dilation`; of each
            `ClipMean` one slot, always int64.
        delays: delay lines of `Add`s, as `<add>.delay_a` or `<add>.delay_b`.
        block: the bytes of these arrays.
        layout: where in it they are.
        program: the plan's steps bound to these arrays, once frames came one by one.
    """

    frames: int
    finished: bool
    rings: dict[str, Words]
    accumulators: dict[str, Words]
    delays: dict[str, Words]
    block: Words
    layout: tuple[Slots, ...]
    program: Program | None = field(default=None, repr=False, compare=False)


def initial_state(plan: Plan) -> State:
    """The state before the first frame of a clip: everything zero."""
    return _blank(plan.state_layout)


def _blank(layout: tuple[Slots, ...]) -> State:
    size = max((slots.start + slots.size for slots in layout), default=0)
    state = State(0, False, {}, {}, {}, zeros((size,), np.uint8), layout)
    for slots in layout:
        array: Words = np.ndarray(slots.shape, slots.dtype, state.block.data, slots.start)
        getattr(state, slots.part)[slots.name] = array
    return state


def copy_state(state: State) -> State:
    """An independent copy."""
    copy = _blank(state.layout)
    copy.frames, copy.finished = state.frames, state.finished
    copy.block[:] = state.block
    return copy


def take_over(state: State, other: State) -> None:
    """Let a state stand where another of the same plan does."""
    state.frames, state.finished = other.frames, other.finished
    state.block[:] = other.block


def frames_of(plan: Plan, state: State, name: str) -> int:
    """How many frames of a value are complete."""
    return complete_frames(plan.timing[name], state.frames, state.finished)


def snapshot(plan: Plan, state: State) -> dict[str, IntArray]:
    """The state as named int64 arrays, copied, channels before joints.

    Returns:
        `frames` and `finished`, shape (); for each `TemporalSum` `<node>.fifo`
        `(window * dilation, C, V)`, `<node>.accumulator` `(dilation, C, V)` and `<node>.position`,
        shape (), the slot that the next frame replaces; for each `TemporalConv` `<node>.history`
        `((taps - 1) * dilation + 1, C, V)`; for each `ClipMean` the sum so far,
        `<node>.accumulator` `(1, C, V)`; for each delay line `<add>.delay_a` or
        `<add>.delay_b` `(delay, C, V)`.
    """
    arrays = {"frames": _scalar(state.frames), "finished": _scalar(int(state.finished))}
    arrays |= {key: _outwards(array) for key, array in _named_arrays(plan, state).items()}
    for name, taps in _convolutions(plan):
        ring = state.rings[name]
        history = np.zeros((taps.depth, *ring.shape[1:]), ring.dtype)
        for frame in _remembered(plan, state, name, taps):
            history[frame % taps.depth] = ring[frame % len(ring)]
        arrays[f"{name}.history"] = _outwards(history)
    for name in state.accumulators.keys() & state.rings.keys():
        read = frames_of(plan, state, plan.stages[name].reads[0])
        arrays[f"{name}.position"] = _scalar(read % len(state.rings[name]))
    return arrays


def restore(plan: Plan, arrays: Mapping[str, npt.NDArray[np.int64]]) -> State:
    """The state of which `arrays` is a snapshot.

    Raises:
        InputError: an array is missing or has another shape than this plan's.
    """
    state = initial_state(plan)
    state.frames = int(_fetch(arrays, "frames", ()))
    state.finished = bool(_fetch(arrays, "finished", ()))
    for key, array in _named_arrays(plan, state).items():
        slots, joints, channels = array.shape
        array[:] = _fetch(arrays, key, (slots, channels, joints)).transpose(0, 2, 1)
    for name, taps in _convolutions(plan):
        key, ring = f"{name}.history", state.rings[name]
        _, joints, channels = ring.shape
        history = _fetch(arrays, key, (taps.depth, channels, joints)).transpose(0, 2, 1)
        for frame in _remembered(plan, state, name, taps):
            ring[frame % len(ring)] = history[frame % taps.depth]
    return state


def _convolutions(plan: Plan) -> list[tuple[str, Taps]]:
    stages = plan.stages.items()
    return [(name, s.operation) for name, s in stages if isinstance(s.operation, Taps)]


def _remembered(plan: Plan, state: State, name: str, taps: Taps) -> range:
    """The newest frames that a temporal convolution has read, as many as a history has slots."""
    read = frames_of(plan, state, plan.stages[name].reads[0])
    read += zeros_after(taps, read) if state.finished else 0
    return range(max(0, read - taps.depth), read)


def _named_arrays(plan: Plan, state: State) -> dict[str, Words]:
    """The state's own arrays under the names of a snapshot, but for histories."""
    arrays = {
        f"{name}.fifo": ring
        for name, ring in state.rings.items()
        if isinstance(plan.stages[name].operation, Window)
    }
    for name, total in state.accumulators.items():
        arrays[f"{name}.accumulator"] = total
    return arrays | state.delays


def _outwards(array: Words) -> IntArray:
    """(slots, V, C) -> (slots, C, V)."""
    return np.array(array.transpose(0, 2, 1), dtype=np.int64, order="C")


def _scalar(value: int) -> IntArray:
    return np.array(value, dtype=np.int64)


def _fetch(
    arrays: Mapping[str, npt.NDArray[np.int64]], key: str, shape: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    if key not in arrays:
        raise InputError(f"snapshot: array `{key}` is missing")
    if arrays[key].shape != shape:
        raise InputError(f"snapshot: `{key}` must have shape {shape}, got {arrays[key].shape}")
    return arrays[key]
