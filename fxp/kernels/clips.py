"""The compiled loop over whole clips: kept values in, values to keep out, chunk by chunk."""

from __future__ import annotations

from fxp.ir import IntArray
from fxp.kernels.drive import clear_bytes, complete, copy_bytes, drive
from fxp.kernels.jit import kernel


@kernel
def drive_clips(
    records: IntArray, copies: IntArray, lengths: IntArray, chunk: int, cleared: IntArray
) -> None:
    """Run all records for clips of these lengths.

    `copies` (n, 6): whether out of a buffer, its address, that of the value's frames, clip behind
    clip, bytes of a frame, period and lookahead; they are used up. `cleared` (m, 2): addresses and
    sizes of what is zero at the beginning of a clip.
    """
    for clip in range(len(lengths)):
        if clip:
            for i in range(len(cleared)):
                clear_bytes(cleared[i, 0], cleared[i, 1])
        frames = lengths[clip]
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
    """Copy the new frames of all values of one direction, and go on behind them."""
    for i in range(len(copies)):
        if copies[i, 0] == out:
            first = complete(copies[i, 4], copies[i, 5], before, False)
            new = complete(copies[i, 4], copies[i, 5], before + count, ended) - first
            size = new * copies[i, 3]
            if out:
                copy_bytes(copies[i, 2], copies[i, 1], size)
            else:
                copy_bytes(copies[i, 1], copies[i, 2], size)
            copies[i, 2] += size
