"""What the simulator remembers between frames, as plain arrays.

Rings hold frames: frame s of what a node reads is in slot `s % depth`, and slots not yet written
are zero. So the slot to be replaced next, and the phase of a dilated sum, follow from the number
of frames alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from fxp.ir import IntArray, complete_frames
from fxp.plan import Average, Join, Plan, Stage, Taps, Window


@dataclass
class State:
    """State of one stream; arrays are `(slots, V, C)` in the dtype of the value they hold.

    Attributes:
        frames: input frames read so far.
        finished: the frames that wait for later ones were flushed; nothing can follow.
        rings: FIFO of each `TemporalSum` and history of each `TemporalConv`, by node name.
        accumulators: of each `TemporalSum`, one slot per phase `frame % dilation`; of each
            `ClipMean` one slot, always int64.
        delays: delay lines of `Add`s, as `<add>.delay_a` or `<add>.delay_b`.
    """

    frames: int
    finished: bool
    rings: dict[str, IntArray]
    accumulators: dict[str, IntArray]
    delays: dict[str, IntArray]


def initial_state(plan: Plan) -> State:
    """The state before the first frame of a clip: everything zero."""
    state = State(0, False, {}, {}, {})
    for name, stage in plan.stages.items():
        match stage.operation:
            case Window(depth=depth, dilation=dilation):
                state.rings[name] = _slots(depth, plan.stages[stage.reads[0]])
                state.accumulators[name] = _slots(dilation, stage)
            case Taps(depth=depth):
                state.rings[name] = _slots(depth, plan.stages[stage.reads[0]])
            case Average():
                state.accumulators[name] = np.zeros((1, stage.joints, stage.channels), np.int64)
            case Join(delays=delays):
                for side, delay in enumerate(delays):
                    if delay:
                        line = _slots(delay, plan.stages[stage.reads[side]])
                        state.delays[delay_key(name, side)] = line
            case _:
                pass  # stateless
    return state


def copy_state(state: State) -> State:
    """An independent copy."""
    parts = (state.rings, state.accumulators, state.delays)
    copies = ({key: array.copy() for key, array in part.items()} for part in parts)
    return State(state.frames, state.finished, *copies)


def delay_key(add: str, side: int) -> str:
    """Name of the delay line of an `Add`'s operand a (side 0) or b (side 1)."""
    return f"{add}.delay_{'ab'[side]}"


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
    return state


def _slots(count: int, value: Stage) -> IntArray:
    return np.zeros((count, value.joints, value.channels), value.dtype)


def _named_arrays(plan: Plan, state: State) -> dict[str, IntArray]:
    """The state's own arrays under the names of a snapshot."""
    arrays = {}
    for name, ring in state.rings.items():
        kind = "fifo" if isinstance(plan.stages[name].operation, Window) else "history"
        arrays[f"{name}.{kind}"] = ring
    for name, total in state.accumulators.items():
        arrays[f"{name}.accumulator"] = total
    return arrays | state.delays


def _outwards(array: IntArray) -> IntArray:
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
