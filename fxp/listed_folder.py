"""Folders that a command may write again: a list in them names every file it wrote."""

from __future__ import annotations

from pathlib import Path

from fxp.archive import parse_json
from fxp.errors import InputError
from fxp.golden import bundle_files


def check_replaceable(out: Path, name: str, kind: str, what: str) -> None:
    """Refuse to replace anything but an empty folder or one of which each file is listed.

    Args:
        out: the folder, there or not.
        name: of the list in it, JSON with `format` and `files`, each an object with `file`.
        kind: the `format` it must have.
        what: what such a folder is called, for messages.

    Raises:
        InputError: it is something else, or holds something else.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise InputError(f"{out}: is there and no folder; {what} needs a new or empty one")
    found = set(bundle_files(out))
    if found and name not in found:
        raise InputError(f"{out}: is neither empty nor {what}, hence not replaced")
    listed = _listed(out / name, kind)
    for file in sorted(found - listed):
        raise InputError(f"{out}: {file} is no file of {what}, hence not replaced")


def _listed(path: Path, kind: str) -> set[str]:
    """Files that a list names, itself included; none if it is no such list."""
    try:
        listed = parse_json(path.read_bytes(), str(path))
        if listed["format"] != kind:
            return set()
        return {path.name, *(entry["file"] for entry in listed["files"])}
    except (OSError, InputError, TypeError, KeyError):
        return set()
