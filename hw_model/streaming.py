"""Weights that come from outside the chip: how long a convolution takes that waits for them.

The engine holds two tiles, each the weights of one block of outputs (`lanes` channels of one
partition). While it works on one, for all joints, the next one comes in; every weight is read once
a frame. The first tile of a pass is waited for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hw_model.accelerator import Accelerator
from hw_model.loop import Loop


@dataclass(frozen=True, slots=True)
class LineSource:
    """A memory outside: the first line of a tile comes `latency` cycles after it is asked for.

    Each further line comes `interval` cycles after the one before.
    """

    latency: int
    interval: int


NEAR = LineSource(1, 1)


def streamed_cycles(blocks: int, tile_lines: int, joints: int, source: LineSource) -> int:
    """Cycles of a convolution's operations and waits, from the first cycle of its pass's loops.

    Tile k is asked for once tile k-1 has come and block k-2 is done, and is complete
    `latency + (tile_lines - 1) * interval + 1` cycles later; block k begins once its tile is
    complete and block k-1 is done, and takes `joints * tile_lines` cycles.
    """
    fetch = source.latency + (tile_lines - 1) * source.interval + 1
    work = joints * tile_lines
    complete = done = before = 0  # of tile k-1; of blocks k-1 and k-2
    for _ in range(blocks):
        complete = max(complete, before) + fetch
        before, done = done, max(complete, done) + work
    return done


def waiting_cycles(loop: Loop, lanes: int, source: LineSource) -> int:
    """Cycles in which lanes wait for the first tile of a convolution, and for slow ones."""
    blocks = loop.partitions * -(-(loop.outputs // loop.partitions) // lanes)
    lines = loop.inputs * loop.taps
    return streamed_cycles(blocks, lines, loop.joints, source) - blocks * lines * loop.joints


def dram_source(accelerator: Accelerator, lanes: int, word_bits: int) -> LineSource:
    """The DRAM of an accelerator, in cycles of its clock; a line has a word for each lane.

    Words are as wide as those of the weight memory, whose place a tile takes.
    """
    if accelerator.dram is None:
        return NEAR
    line_s = lanes * word_bits / 8 / accelerator.dram.bytes_per_s
    return LineSource(
        max(1, math.ceil(accelerator.dram.latency_s * accelerator.clock_hz)),
        max(1, math.ceil(line_s * accelerator.clock_hz)),
    )
