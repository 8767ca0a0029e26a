"""Writing golden bundles: everything a testbench needs to check an implementation word for word.

What is in a bundle, and how to read it: docs/golden.md. `fxp.verify` checks one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

from fxp.archive import json_data, parse_json
from fxp.errors import InputError
from fxp.files import replacing_folder
from fxp.hexmem import encode
from fxp.ir import Graph, IntArray
from fxp.manifest import (
    FORMAT,
    MANIFEST,
    MODEL,
    Attachment,
    attached_keys,
    manifest_of,
    render,
)
from fxp.memories import (
    Ground,
    constant_words,
    ground_of,
    memories_of,
    settings_for,
    value_file,
    value_layout,
)
from fxp.store import save_graph
from fxp.trace import simulated
from fxp.validate import check_clip


def write_bundle(
    graph: Graph,
    clip: IntArray,
    out: Path,
    *,
    lanes: int = 1,
    taps: Sequence[str] | None = None,
    snapshots: Sequence[int] | None = None,
    provenance: Mapping[str, Any] | None = None,
    attachments: Sequence[Attachment] = (),
) -> dict[str, Any]:
    """Simulate a clip and write a golden bundle as folder `out`, whole or not at all.

    Args:
        graph: the network.
        clip: raw input words, integers `(T, C, V)`.
        out: the folder; an empty one or an older bundle there is replaced.
        lanes: values packed into one memory word along the channels, 1..1024.
        taps: nodes whose values are written, besides the input; None for all.
        snapshots: input frames after which the state is written; None for the first, the middle
            and the last.
        provenance: JSON data kept in the manifest: where network and clip come from, seeds.
        attachments: folders of others' files to go with it, listed and hashed like its own.

    Returns:
        The manifest.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: a clip, setting or provenance that cannot be, or `out` is something else than
            a bundle; nothing is written then.
    """
    words = check_clip(graph, clip)
    settings = settings_for(graph, len(words), lanes, taps, snapshots)
    ground = ground_of(graph, settings)
    source = json_data(provenance or {}, "provenance")
    attached = json_data(attached_keys(attachments), "attachments")
    _check_target(out)
    with replacing_folder(out) as folder:
        for name in ("constants", "values", "state"):
            (folder / name).mkdir()
        save_graph(graph, folder / MODEL)
        _write_constants(ground, folder)
        _write_trace(ground, words, folder)
        files = [MODEL, *(memory.file for memory in memories_of(ground))]
        sha256 = {file: file_sha256(folder / file) for file in files}
        for attachment in attachments:
            _write_attachment(attachment, folder / attachment.folder)
        manifest = manifest_of(ground, sha256, source, tool_version(), attached)
        (folder / MANIFEST).write_bytes(render(manifest))
    return manifest


def tool_version() -> str:
    """Version of the installed toolkit."""
    try:
        return version("stgcn-codesign")
    except PackageNotFoundError:
        return "not installed"


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bundle_files(folder: Path) -> Iterator[str]:
    """Paths below `folder` of everything in it that is no folder, with `/`, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _check_target(out: Path) -> None:
    """Refuse to replace anything but an empty folder or a bundle of which each file is listed."""
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise InputError(f"{out}: is there and no folder; a bundle needs a new or empty one")
    found = set(bundle_files(out))
    if not found:
        return
    listed = _listed(out / MANIFEST) if MANIFEST in found else set()
    if not listed:
        raise InputError(f"{out}: is neither empty nor a golden bundle, hence not replaced")
    for name in sorted(found - listed):
        raise InputError(f"{out}: {name} is no file of the bundle there, hence not replaced")


def _listed(path: Path) -> set[str]:
    """Files that a manifest lists, itself included; none if it is no manifest."""
    try:
        manifest = parse_json(path.read_bytes(), str(path))
        if manifest["format"] != FORMAT:
            return set()
        entries = [*manifest["files"], *manifest.get("attached", ())]
        return {MANIFEST, MODEL, *(entry["file"] for entry in entries)}
    except (OSError, InputError, TypeError, KeyError):
        return set()


def _write_attachment(attachment: Attachment, folder: Path) -> None:
    folder.mkdir()
    for name, text in attachment.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)


def _write_constants(ground: Ground, folder: Path) -> None:
    nodes = {node.name: node for node in ground.graph.nodes}
    for memory in memories_of(ground):
        if memory.role == "constant":
            raw = constant_words(nodes[memory.node], memory.value)
            (folder / memory.file).write_bytes(encode(raw, memory.layout))


def _write_trace(ground: Ground, words: IntArray, folder: Path) -> None:
    layouts = {memory.file: memory.layout for memory in memories_of(ground)}
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {
            name: stack.enter_context((folder / value_file(name)).open("wb"))
            for name in ground.settings.taps
        }
        for piece in simulated(ground, words):
            for name, frames in piece.values.items():
                layout = value_layout(ground, name, len(frames))
                files[name].write(encode(frames.transpose(0, 2, 1), layout))
            for file, ring in piece.states.items():
                (folder / file).write_bytes(encode(ring.transpose(0, 2, 1), layouts[file]))
