"""Reading a golden bundle: whole or not at all.

Whole: the manifest's own hash, every file's sha256, word count and digits, and a manifest that is
exactly what the bundle's model, settings and files imply. Whether the words are right is
`fxp.verify`'s to say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fxp.archive import parse_json
from fxp.errors import InputError
from fxp.golden import bundle_files, file_sha256
from fxp.hexmem import Layout, decode
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
from fxp.memories import Ground, Settings, ground_of, memories_of, settings_for, value_file
from fxp.store import load_graph


def open_bundle(folder: Path) -> tuple[Ground, int]:
    """The graph and settings of a whole bundle, and how many files it has.

    Raises:
        InputError: the bundle is damaged; one line names the file and what is wrong with it.
    """
    manifest, sha256 = _whole(folder)
    graph = load_graph(folder / MODEL)
    ground = ground_of(graph, _settings(folder, graph, manifest))
    _check_manifest(folder, ground, manifest, sha256)
    return ground, len(sha256) + 1


def attachment_of(folder: Path, name: str) -> dict[str, Any]:
    """What the manifest of a whole bundle says about an attached folder.

    Raises:
        InputError: nothing of that name is attached.
    """
    manifest = parse_json((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    about = manifest.get("attachments", {}).get(name)
    if not isinstance(about, dict):
        raise InputError(f"{folder}: has no folder `{name}`")
    return about


def read_value(folder: Path, ground: Ground, name: str) -> IntArray:
    """All frames `(T, C, V)` of a tapped value of an open bundle."""
    layouts = {memory.file: memory.layout for memory in memories_of(ground)}
    file = value_file(name)
    return read_memory(folder / file, layouts[file]).transpose(0, 2, 1)


def read_memory(path: Path, layout: Layout) -> IntArray:
    """The words of one file of an open bundle, of the layout's shape."""
    return decode(path.read_bytes(), layout, str(path))


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
    keys: tuple[str, ...] = ("attachments", "attached")
    attached = {key: manifest[key] for key in keys if key in manifest}
    theirs = _attached_files(folder / MANIFEST, attached)
    own = sha256.keys() - {MODEL} - theirs
    for file in sorted(({memory.file for memory in memories} | {MODEL}) & theirs):
        raise InputError(f"{folder / MANIFEST}: `attached` has {file}, a file of the bundle itself")
    for file in sorted({memory.file for memory in memories} ^ own):
        raise InputError(f"{folder / MANIFEST}: `files` and the graph disagree on {file}")
    implied = manifest_of(
        ground, sha256, manifest["provenance"], manifest["tool_version"], attached
    )
    implied["manifest_sha256"] = manifest["manifest_sha256"]  # right already, of what was found
    if difference := first_difference(implied, manifest):
        raise InputError(f"{folder / MANIFEST}: {difference}")
    for memory in memories:
        path, needed = folder / memory.file, memory.layout.file_bytes
        if path.stat().st_size != needed:
            words = f"{memory.layout.word_count} words of {memory.layout.digits} hex digits"
            raise InputError(f"{path}: {words} are {needed} bytes, found {path.stat().st_size}")


def _attached_files(where: Path, attached: dict[str, Any]) -> set[str]:
    """Files of attached folders, once they are below one that the manifest names."""
    folders, entries = attached.get("attachments", {}), attached.get("attached", [])
    if not isinstance(folders, dict) or not isinstance(entries, list):
        raise InputError(f"{where}: `attachments` must be an object, `attached` a list")
    files = {str(entry["file"]) for entry in entries}
    for file in sorted(files):
        if file.partition("/")[0] not in folders:
            raise InputError(f"{where}: `attached` has {file}, which is in no folder attached")
    return files


def _hashes(path: Path, manifest: dict[str, Any]) -> dict[str, str]:
    try:
        entries = [(MODEL, manifest["graph"]["sha256"])]
        listed = [*manifest["files"], *manifest.get("attached", ())]
        entries += [(entry["file"], entry["sha256"]) for entry in listed]
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
