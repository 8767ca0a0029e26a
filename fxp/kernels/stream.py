"""One frame of a stream, from the caller's words to the caller's results, in one compiled call."""

from __future__ import annotations

from enum import IntEnum

from fxp.ir import IntArray
from fxp.kernels.drive import complete, drive, load_word, store_word
from fxp.kernels.jit import kernel


class Port(IntEnum):
    """Entries of the row of an end of the network: its input, or one of its outputs."""

    ADDRESS = 0  # of the value's frame (V, C)
    CODE = 1
    CHANNELS = 2
    JOINTS = 3
    PERIOD = 4
    LOOKAHEAD = 5
    LOW = 6  # words that the input may have
    HIGH = 7
    RESULT = 8  # address of the caller's frame (C, V), int64
    READY = 9  # whether the last frame completed one


_ADDRESS, _CODE, _CHANNELS, _JOINTS, _PERIOD, _LOOKAHEAD, _LOW, _HIGH, _RESULT, _READY = (
    int(entry) for entry in Port
)
_INT64 = 3  # code of a stored word


@kernel
def push(records: IntArray, ports: IntArray, frame: IntArray, before: int) -> int:
    """Run all records for one frame (C, V), after `before` frames.

    `ports` has a row for the input and one for each output. Returns how many outputs got a frame,
    or -1, and then nothing has changed, if a word does not fit the input's format.
    """
    source = ports[0]
    for c in range(frame.shape[0]):
        for v in range(frame.shape[1]):
            if not source[_LOW] <= frame[c, v] <= source[_HIGH]:
                return -1
    at = source[_ADDRESS]
    for v in range(frame.shape[1]):
        for c in range(frame.shape[0]):
            store_word(at, source[_CODE], frame[c, v])
            at += 1 << source[_CODE]
    drive(records, 0, len(records), before, 1, False)
    ready = 0
    for i in range(1, len(ports)):
        port = ports[i]
        done = complete(port[_PERIOD], port[_LOOKAHEAD], before, False)
        port[_READY] = complete(port[_PERIOD], port[_LOOKAHEAD], before + 1, False) - done
        if port[_READY]:
            ready += 1
            _hand_over(port)
    return ready


@kernel
def _hand_over(port: IntArray) -> None:
    """The value's frame (V, C) as the caller's (C, V)."""
    channels, joints, at = port[_CHANNELS], port[_JOINTS], port[_ADDRESS]
    for v in range(joints):
        for c in range(channels):
            word = load_word(at, port[_CODE])
            store_word(port[_RESULT] + 8 * (c * joints + v), _INT64, word)
            at += 1 << port[_CODE]
