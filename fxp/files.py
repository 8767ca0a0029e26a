"""Writing whole files or none: a temporary name beside the target, then one rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fxp.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success it replaces `path`, on failure it goes.

    The target is never half-written, also when the process is killed.

    Raises:
        InputError: the file cannot be written (the line names it and the system's reason).
    """
    temporary = _beside(path, "tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary.is_file():
            temporary.unlink()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; on success it takes its place, on failure it goes.

    What was at `path` is removed once the new folder is whole. The caller decides whether it may.

    Raises:
        InputError: the folder cannot be written (the line names it and the system's reason).
    """
    temporary, old = _beside(path, "tmp"), _beside(path, "old")
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if old.is_dir() and not path.exists():
            old.rename(path)
        for folder in (temporary, old):
            if folder.is_dir():
                shutil.rmtree(folder)


def check_target(path: Path) -> None:
    """Refuse before a long run what `replacing` would refuse after it.

    Raises:
        InputError: there is a folder of that name, or no folder for it.
    """
    if path.is_dir():
        raise InputError(f"{path}: cannot be written (is a folder; the name of a file is needed)")
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written (no folder {path.parent})")


def _beside(path: Path, kind: str) -> Path:
    if not path.name:
        raise InputError(f"{path}: cannot be written (a name is needed)")
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")
