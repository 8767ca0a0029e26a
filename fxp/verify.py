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
from typing import Any, BinaryIO

import numpy as np

from fxp.archive import parse_json
from fxp.errors import InputError
from fxp.golden import bundle_files, file_sha256
from fxp.hexmem import Layout, decode, word_address
from fxp.ir import Graph, IntArray
from fxp.manifest import (
    FORMAT,
    MANIFEST,
    MODEL,
    VERSION,
    first_difference,
    manifest_of,
    manifest_sha256,
    render,
)
from fxp.memories import (
    Ground,
    Memory,
    Settings,
    constant_words,
    frame_words,
    ground_of,
    memories_of,
    settings_for,
    value_file,
    value_layout,
)
from fxp.store import load_graph
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
    manifest, sha256 = _whole(folder)
    graph = load_graph(folder / MODEL)
    ground = ground_of(graph, _settings(folder, graph, manifest))
    _check_manifest(folder, ground, manifest, sha256)
    engines: dict[str, Callable[[Ground, IntArray], Iterator[Piece]]] = {"simulator": simulated}
    words = frame_words(ground) * ground.settings.frames
    if oracle or (oracle is None and words <= ORACLE_WORDS):
        engines["oracle"] = defined
    clip = _stimulus(folder, ground)
    found = [_check_constants(folder, ground)]
    found += [
        _check_trace(folder, ground, name, run(ground, clip)) for name, run in engines.items()
    ]
    return Verification(
        files=len(sha256) + 1,
        words=sum(memory.layout.word_count for memory in memories_of(ground)),
        engines=tuple(engines),
        mismatches=tuple(mismatch for mismatch in found if mismatch),
    )


def _whole(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The manifest and the sha256 of each file, after every byte of the bundle was hashed."""
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as error:
        is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "file is missing" if is_gone else f"cannot be read ({error.strerror})"
        raise InputError(f"{path}: {reason}; not a golden bundle") from None
    manifest = parse_json(text, str(path))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: not the manifest of a golden bundle (`format` is not {FORMAT})")
    if manifest.get("version") != VERSION:
        raise InputError(
            f"{path}: `version` must be {VERSION}, got {manifest.get('version')!r:.80}"
        )
    if manifest_sha256(manifest) != manifest.get("manifest_sha256") or render(manifest) != text:
        raise InputError(f"{path}: the file was altered (`manifest_sha256` does not match)")
    sha256 = _hashes(path, manifest)
    there = set(bundle_files(folder))
    for name in sorted(sha256.keys() - there):
        raise InputError(f"{folder / name}: file is missing")
    for name in sorted(there - sha256.keys() - {MANIFEST}):
        raise InputError(f"{folder / name}: file is not listed in {MANIFEST}")
    for name, expected in sha256.items():
        _check_file(folder, name, expected)
    return manifest, sha256


def _check_manifest(
    folder: Path, ground: Ground, manifest: dict[str, Any], sha256: dict[str, str]
) -> None:
    """Refuse a manifest that is not what its model, settings and files imply."""
    memories = memories_of(ground)
    for file in sorted({memory.file for memory in memories} ^ (sha256.keys() - {MODEL})):
        raise InputError(f"{folder / MANIFEST}: `files` and the graph disagree on {file}")
    implied = manifest_of(ground, sha256, manifest["provenance"], manifest["tool_version"])
    implied["manifest_sha256"] = manifest["manifest_sha256"]  # right already, of what was found
    if difference := first_difference(implied, manifest):
        raise InputError(f"{folder / MANIFEST}: {difference}")
    for memory in memories:
        path, needed = folder / memory.file, memory.layout.file_bytes
        if path.stat().st_size != needed:
            words = f"{memory.layout.word_count} words of {memory.layout.digits} hex digits"
            raise InputError(f"{path}: {words} are {needed} bytes, found {path.stat().st_size}")


def _hashes(path: Path, manifest: dict[str, Any]) -> dict[str, str]:
    try:
        entries = [(MODEL, manifest["graph"]["sha256"])]
        entries += [(entry["file"], entry["sha256"]) for entry in manifest["files"]]
        hashes = {str(name): str(sha256) for name, sha256 in entries}
    except (KeyError, TypeError):
        raise InputError(f"{path}: `graph` and `files` must give the sha256 of each file") from None
    return hashes


def _check_file(folder: Path, name: str, sha256: str) -> None:
    path = folder / name
    if path.is_symlink():
        raise InputError(f"{path}: is a symbolic link; a bundle holds plain files")
    try:
        found = file_sha256(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if found != sha256:
        raise InputError(f"{path}: the file was altered (sha256 {found}, {MANIFEST} has {sha256})")


def _settings(folder: Path, graph: Graph, manifest: dict[str, Any]) -> Settings:
    """The settings that the manifest states, once they can be."""
    where = folder / MANIFEST
    for key in ("frames", "lanes", "taps", "snapshots", "provenance", "tool_version"):
        if key not in manifest:
            raise InputError(f"{where}: key `{key}` is missing")
    frames = manifest["frames"]
    if type(frames) is not int or frames < 1:
        raise InputError(f"{where}: `frames` must be an int >= 1, got {frames!r:.80}")
    kinds = {"taps": list, "snapshots": list, "provenance": dict, "tool_version": str}
    for key, kind in kinds.items():
        if not isinstance(manifest[key], kind):
            rule = f"`{key}` must be of type {kind.__name__}"
            raise InputError(f"{where}: {rule}, got {manifest[key]!r:.80}")
    try:
        return settings_for(
            graph, frames, manifest["lanes"], manifest["taps"], manifest["snapshots"]
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _stimulus(folder: Path, ground: Ground) -> IntArray:
    """The clip `(T, C, V)` of the bundle."""
    name = ground.graph.nodes[0].name
    layout = value_layout(ground, name, ground.settings.frames)
    return _read(folder / value_file(name), layout).transpose(0, 2, 1)


def _check_constants(folder: Path, ground: Ground) -> Mismatch | None:
    nodes = {node.name: node for node in ground.graph.nodes}
    for memory in memories_of(ground):
        if memory.role == "constant":
            expected = _read(folder / memory.file, memory.layout)
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
                expected = _read(folder / file, memories[file].layout)
                words = ring.transpose(0, 2, 1)
                if mismatch := _first_mismatch(engine, memories[file], expected, words):
                    found[file] = mismatch
        for name, stream in streams.items():
            assert not stream.read(1), f"the {engine} gave too few frames of {name}"
    return next((found[file] for file in memories if file in found), None)


def _read(path: Path, layout: Layout) -> IntArray:
    return decode(path.read_bytes(), layout, str(path))


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
