"""From the caller's words to the caller's results in one compiled call: a frame or a clip."""

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
    FIRST = 10  # of a whole clip: the frame of the value that is the result's first
    LAST = 11  # and the one after its last


(
    _ADDRESS,
    _CODE,
    _CHANNELS,
    _JOINTS,
    _PERIOD,
    _LOOKAHEAD,
    _LOW,
    _HIGH,
    _RESULT,
    _READY,
    _FIRST,
    _LAST,
) = (int(entry) for entry in Port)
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
    _take(source, frame, 0)
    drive(records, 0, len(records), before, 1, False)
    ready = 0
    for i in range(1, len(ports)):
        port = ports[i]
        done = complete(port[_PERIOD], port[_LOOKAHEAD], before, False)
        port[_READY] = complete(port[_PERIOD], port[_LOOKAHEAD], before + 1, False) - done
        if port[_READY]:
            ready += 1
            _hand_over(port, 0, port[_RESULT])
    return ready


@kernel
def through(records: IntArray, ports: IntArray, words: IntArray, before: int, chunk: int) -> None:
    """Run all records over frames (T, C, V), `chunk` at a time, after `before` frames.

    Puts the wanted frames of the outputs into their results. Words have been checked.
    """
    frames = words.shape[0]
    for start in range(0, frames, chunk):
        count = min(chunk, frames - start)
        for f in range(count):
            _take(ports[0], words[start + f], f)
        drive(records, 0, len(records), before + start, count, False)
        for i in range(1, len(ports)):
            port = ports[i]
            size = 8 * port[_CHANNELS] * port[_JOINTS]
            seen = complete(port[_PERIOD], port[_LOOKAHEAD], before + start, False)
            done = complete(port[_PERIOD], port[_LOOKAHEAD], before + start + count, False)
            for frame in range(max(seen, port[_FIRST]), min(done, port[_LAST])):
                _hand_over(port, frame - seen, port[_RESULT] + (frame - port[_FIRST]) * size)


@kernel
def _take(port: IntArray, frame: IntArray, place: int) -> None:
    """The caller's frame (C, V) as frame `place` (V, C) of the input's value."""
    channels, joints = frame.shape
    at = port[_ADDRESS] + (place * channels * joints << port[_CODE])
    for v in range(joints):
        for c in range(channels):
            store_word(at, port[_CODE], frame[c, v])
            at += 1 << port[_CODE]


@kernel
def _hand_over(port: IntArray, place: int, result: int) -> None:
    """Frame `place` (V, C) of a value as the caller's (C, V), at an address."""
    channels, joints = port[_CHANNELS], port[_JOINTS]
    at = port[_ADDRESS] + (place * channels * joints << port[_CODE])
    for v in range(joints):
        for c in range(channels):
            store_word(result + 8 * (c * joints + v), _INT64, load_word(at, port[_CODE]))
            at += 1 << port[_CODE]
