"""Checking a golden bundle: first that it is whole, then that it is right.

Whole: the manifest's own hash, every file's sha256, word count and digits, and a manifest that is
exactly what the bundle's model, settings and files imply. Right: the simulator, and for small
bundles the oracle, run from the bundle's own model and stimulus, give every word of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fxp.bundle import open_bundle, read_memory, read_value
from fxp.hexmem import decode, word_address
from fxp.ir import IntArray
from fxp.memories import (
    Ground,
    Memory,
    constant_words,
    frame_words,
    memories_of,
    value_file,
    value_layout,
)
from fxp.trace import Piece, defined, simulated

ORACLE_WORDS = 200_000  # up to this many words of values, the oracle checks a bundle unasked


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One word that `engine` computes differently.

    `index` names the place by axis, e.g. `{"frame": 3, "joint": 0, "channel": 7}`; `line` and
    `lane` are where it stands in `file`.
    """

    engine: str
    file: str
    line: int
    lane: int
    node: str
    role: str
    index: dict[str, int]
    word_bits: int
    expected: int
    found: int

    def __str__(self) -> str:
        place = ", ".join(f"{axis} {at}" for axis, at in self.index.items())
        return (
            f"{self.file} line {self.line}"
            + (f" lane {self.lane}" if self.lane else "")
            + f": node {self.node} ({self.role}), {place}: expected {self._hex(self.expected)} "
            f"({self.expected}), the {self.engine} finds {self._hex(self.found)} ({self.found})"
        )

    def _hex(self, value: int) -> str:
        return f"0x{value & ((1 << self.word_bits) - 1):0{-(-self.word_bits // 4)}x}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked: files, memory words, by which engines, and each engine's first mismatch."""

    files: int
    words: int
    engines: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]


def verify_bundle(folder: Path, oracle: bool | None = None) -> Verification:
    """Check a golden bundle word for word.

    `oracle` asks for the slow definition as well; None runs it for up to `ORACLE_WORDS` words.
    Mismatches are those of the first node, in graph order, that differs: its operands are right.

    Raises:
        InputError: the bundle is damaged; one line names the file and what is wrong with it.
    """
    ground, files = open_bundle(folder)
    engines: dict[str, Callable[[Ground, IntArray], Iterator[Piece]]] = {"simulator": simulated}
    words = frame_words(ground) * ground.settings.frames
    if oracle or (oracle is None and words <= ORACLE_WORDS):
        engines["oracle"] = defined
    clip = read_value(folder, ground, ground.graph.nodes[0].name)
    found = [_check_constants(folder, ground)]
    found += [
        _check_trace(folder, ground, name, run(ground, clip)) for name, run in engines.items()
    ]
    return Verification(
        files=files,
        words=sum(memory.layout.word_count for memory in memories_of(ground)),
        engines=tuple(engines),
        mismatches=tuple(mismatch for mismatch in found if mismatch),
    )


def _check_constants(folder: Path, ground: Ground) -> Mismatch | None:
    nodes = {node.name: node for node in ground.graph.nodes}
    for memory in memories_of(ground):
        if memory.role == "constant":
            expected = read_memory(folder / memory.file, memory.layout)
            found = constant_words(nodes[memory.node], memory.value)
            if mismatch := _first_mismatch("model", memory, expected, found):
                return mismatch
    return None


def _check_trace(
    folder: Path, ground: Ground, engine: str, pieces: Iterator[Piece]
) -> Mismatch | None:
    """The first mismatch of the first value that differs, else of the first snapshot."""
    memories = {memory.file: memory for memory in memories_of(ground)}
    found: dict[str, Mismatch] = {}
    with ExitStack() as stack:
        streams = {
            name: stack.enter_context((folder / value_file(name)).open("rb"))
            for name in ground.settings.taps
        }
        for piece in pieces:
            for name, frames in piece.values.items():
                words = frames.transpose(0, 2, 1)  # (T, V, C)
                memory, first = memories[value_file(name)], piece.first[name]
                expected = _next_frames(streams[name], ground, memory, first, len(words))
                if mismatch := _first_mismatch(engine, memory, expected, words, first):
                    found.setdefault(memory.file, mismatch)
            for file, ring in piece.states.items():
                expected = read_memory(folder / file, memories[file].layout)
                words = ring.transpose(0, 2, 1)
                if mismatch := _first_mismatch(engine, memories[file], expected, words):
                    found[file] = mismatch
        for name, stream in streams.items():
            assert not stream.read(1), f"the {engine} gave too few frames of {name}"
    return next((found[file] for file in memories if file in found), None)


def _next_frames(
    stream: BinaryIO, ground: Ground, memory: Memory, first: int, frames: int
) -> IntArray:
    """The next frames `(T, V, C)` of a value's file."""
    layout = value_layout(ground, memory.value, frames)
    line = 1 + word_address(memory.layout, (first, 0, 0))[0]
    return decode(stream.read(layout.file_bytes), layout, stream.name, line)


def _first_mismatch(
    engine: str, memory: Memory, expected: IntArray, found: IntArray, first: int = 0
) -> Mismatch | None:
    """The first word, in the order of the file, that differs; axis 0 starts at index `first`."""
    differs = expected != found
    if not differs.any():
        return None
    at = np.unravel_index(int(np.argmax(differs)), differs.shape)
    index = (int(at[0]) + first, *map(int, at[1:]))
    word, lane = word_address(memory.layout, index)
    place = dict(zip(memory.layout.axes, index, strict=True))
    return Mismatch(
        engine=engine,
        file=memory.file,
        line=word + 1,
        lane=lane,
        node=memory.node,
        role=memory.role,
        index=place if memory.frame < 0 else {"after frame": memory.frame, **place},
        word_bits=memory.layout.word_bits,
        expected=int(expected[at]),
        found=int(found[at]),
    )
