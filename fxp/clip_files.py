"""Input words from files: one clip a `.npy`, several an `.npz`, or the stimulus of a golden bundle.

Nothing in such a file is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxp.bundle import open_bundle, read_value
from fxp.errors import InputError
from fxp.ir import Graph, IntArray
from fxp.validate import check_clip

# What numpy and zipfile raise on bytes that are no array (NotImplementedError: zipfile, on a
# compression method that it does not know).
_DAMAGE = (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile, NotImplementedError)


def read_clip(path: Path, graph: Graph) -> IntArray:
    """The clip in a `.npy` file, int64 `(T, C, V)`.

    Raises:
        InputError: the file is missing, truncated or no plain array, or the array cannot be the
            input of the graph; the line names the file.
    """
    return _checked(_array(path), graph, str(path))


def read_array(path: Path) -> IntArray:
    """Integers of any shape in a `.npy` file, int64.

    Raises:
        InputError: the file is missing, truncated or no plain array, or does not hold integers that
            fit 64 bits.
    """
    array = _array(path)
    if array.dtype.kind not in "iu" or array.dtype == np.uint64:
        raise InputError(f"{path}: integers of at most 64 bits are needed, got {array.dtype}")
    return array.astype(np.int64)


def read_clips(path: Path, graph: Graph) -> Iterator[tuple[str, IntArray]]:
    """Name and words int64 `(T, C, V)` of every clip that a file or a bundle holds, one by one.

    Raises:
        InputError: as `read_clip`; an `.npz` without arrays; a damaged bundle.
    """
    if path.is_dir():
        ground, _ = open_bundle(path)
        words = read_value(path, ground, ground.graph.nodes[0].name)
        yield path.name, _checked(words, graph, str(path))
    elif path.suffix == ".npz":
        yield from _archive(path, graph)
    else:
        yield path.name, read_clip(path, graph)


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # checks the size before it reads
        return np.asarray(array)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable .npy file ({_reason(error)})") from None


def _archive(path: Path, graph: Graph) -> Iterator[tuple[str, IntArray]]:
    try:
        with path.open("rb") as file:  # numpy would leave a file that is no archive open
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: not an .npz file (an array of its own)")
            if not archive.files:
                raise InputError(f"{path}: holds no array")
            for name in archive.files:
                yield name, _checked(archive[name], graph, f"{path}: {name}")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable .npz file ({_reason(error)})") from None


def _checked(words: npt.NDArray[Any], graph: Graph, where: str) -> IntArray:
    try:
        return check_clip(graph, words)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
