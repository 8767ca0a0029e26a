"""Clips of input words in `.npy` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fxp.errors import InputError
from fxp.ir import Graph, IntArray
from fxp.validate import check_clip


def read_clip(path: Path, graph: Graph) -> IntArray:
    """The clip in a `.npy` file, int64 `(T, C, V)`.

    Raises:
        InputError: the file is missing, truncated or no plain array, or the array cannot be the
            input of the graph; the line names the file.
    """
    try:
        words = np.lib.format.open_memmap(path, mode="r")  # checks the size before it reads
        return check_clip(graph, words)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: not a readable .npy file ({reason})") from None
