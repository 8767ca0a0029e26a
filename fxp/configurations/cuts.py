"""Values kept for later graphs: those that these will read, as far as a budget holds them.

A step computes nodes of which only its results reach the memory. A later graph that has one of the
nodes reads the step's result, and not its operand, unless it leaves the chain in between: then the
operand has to be there. What no later graph reads any more is freed at once; what the budget does
not hold is computed again, beginning with what will be read last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from fxp.configurations.order import Uses
from fxp.fused.fuse import nodes_of, results_of
from fxp.fused.steps import Step, Words

Block = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Stored:
    """All frames of a value: those (T', V, C) of every clip, one behind the other in a block."""

    block: Block
    dtype: np.dtype[Any]
    clips: tuple[Words, ...]


def stored(
    block: Block, dtype: npt.DTypeLike, frames: Sequence[int], shape: tuple[int, int]
) -> Stored:
    """A block as frames of clips, so many each, of shape (V, C)."""
    ends = list(accumulate(frames))
    words = block.view(dtype).reshape(sum(frames), *shape)
    clips = tuple(words[end - count : end] for end, count in zip(ends, frames, strict=True))
    return Stored(block, np.dtype(dtype), clips)


@dataclass(frozen=True)
class _Made:
    """What a step computed: all of its nodes, and those that never reached the memory."""

    nodes: frozenset[int]
    inner: frozenset[int]


class Cuts:
    """The values kept at some place of an order."""

    def __init__(self, uses: Uses, most_bytes: int) -> None:
        """Keep nothing yet, and never more than `most_bytes`."""
        self.values: dict[int, Stored] = {}
        self._uses, self._most = uses, most_bytes
        self._made: dict[int, _Made] = {}
        self._used = 0
        self._spare: defaultdict[int, list[Block]] = defaultdict(list)

    def note(self, steps: Iterable[Step], marks: Mapping[str, int]) -> None:
        """Remember how nodes share steps."""
        for step in steps:
            nodes = frozenset(marks[name] for name in nodes_of(step))
            results = {marks[name] for name in results_of(step) if name in marks}
            made = _Made(nodes, nodes - results)
            self._made.update(dict.fromkeys(nodes, made))

    def room_for(self, sizes: Mapping[int, int], reading: set[int], place: int) -> list[int]:
        """Which of the values that a place will compute to keep, and room for them.

        Args:
            sizes: bytes of each.
            reading: kept values that the place itself reads, which stay.
            place: in the order.
        """
        wishes = {value: self._next_use(value, place) for value in sizes}
        uses = {value: later for value, later in wishes.items() if later is not None}
        held = sum(sizes[value] for value in uses)
        for value in self.values.keys() - reading:  # a copy: some are freed
            later = self._next_use(value, place)
            if later is None:
                self._free(value)
            else:
                uses[value] = later
        for value in sorted(uses, key=lambda value: uses[value], reverse=True):
            if self._used + held <= self._most:
                break
            del uses[value]
            if value in self.values:
                self._free(value)
            else:
                held -= sizes[value]
        return [value for value in sizes if value in uses]

    def block(self, size: int) -> Block:
        """Memory for a value that `room_for` chose, if possible some that was used before."""
        if self._spare[size]:
            block = self._spare[size].pop()
        else:
            if self._used + self._spare_bytes() + size > self._most:
                self._spare.clear()
            block = np.empty(size, np.uint8)
        self._used += size
        return block

    def keep(self, values: Mapping[int, Stored], place: int) -> None:
        """Keep what a place has computed, and free what no later one reads."""
        self.values.update(values)
        for value in list(self.values):
            if self._next_use(value, place) is None:
                self._free(value)

    def _free(self, value: int) -> None:
        block = self.values.pop(value).block
        self._used -= block.nbytes
        self._spare[block.nbytes].append(block)

    def _spare_bytes(self) -> int:
        return sum(size * len(blocks) for size, blocks in self._spare.items())

    def _next_use(self, value: int, place: int) -> int | None:
        """The next place that reads a value from memory, as far as it is known."""
        found = [self._uses.asked(value, place)]
        for reader in self._uses.readers(value):
            later = self._uses.following(reader, place)
            if later is not None and not self._covered(reader, place):
                found.append(later)
        return min((later for later in found if later is not None), default=None)

    def _covered(self, reader: int, place: int) -> bool:
        """Whether later graphs that have this node read the results of its step instead."""
        made = self._made.get(reader)
        return made is not None and not any(
            self._uses.asked(inner, place) is not None
            or any(
                self._uses.following(other, place) is not None
                for other in self._uses.readers(inner) - made.nodes
            )
            for inner in made.inner
        )
