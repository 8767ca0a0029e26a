"""Measured coordinates as the integer words of the network's input port.

A word is the measurement in lsbs of a power of two: `round_half_up(value * 2**frac_bits)`, the cast
`RND` of `fxp.cast`. Clips hold words alone; what they stand for (unit and `frac_bits` per channel)
is kept in the data set's `meta`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fxp.cast import dequantise, quantise
from fxp.errors import InputError
from fxp.qformat import MAX_WORD_BITS, Cast, QFormat
from stgcn_ref.datasets.clips import FloatArray, WordArray

WORD_BITS = 16  # of every reader's words, signed
LOWEST, HIGHEST = -(2 ** (WORD_BITS - 1)), 2 ** (WORD_BITS - 1) - 1

FracBits = Annotated[int, Field(ge=0, le=WORD_BITS - 1)]
CAMERA_FRAC_BITS = 10  # 1/1024 m, +-32 m: a depth camera is off by millimetres
MARKER_FRAC_BITS = 12  # 1/4096 m, +-8 m: marker capture is off by tenths of a millimetre


def to_words(values: npt.ArrayLike, frac_bits: int, where: str) -> WordArray:
    """Values, frame by frame on the first axis, as 16-bit words (int32) of the same shape.

    Raises:
        InputError: a value that is not finite or does not fit; `where` names the file.
    """
    array: FloatArray = np.asarray(values, dtype=np.float64)
    _refuse(array, ~np.isfinite(array), where, "coordinates must be finite numbers")
    words = quantise(array, Cast(QFormat(MAX_WORD_BITS, frac_bits)))
    _refuse(
        array,
        (words < LOWEST) | (words > HIGHEST),
        where,
        f"coordinates must be {LOWEST / 2**frac_bits:g}..{HIGHEST / 2**frac_bits:g}"
        f" ({WORD_BITS}-bit words of `frac_bits` {frac_bits})",
    )
    return words.astype(np.int32)


def to_values(words: npt.NDArray[np.int32], frac_bits: Sequence[int]) -> FloatArray:
    """What words (T, C, V) or (T, C, V, M) stand for, float64, exact; `frac_bits` per channel.

    For a network that was trained on the measurements themselves, as the published ones are.
    """
    per_channel = np.asarray(frac_bits).reshape(-1, *(1 for _ in words.shape[2:]))
    return dequantise(words, per_channel)


def _refuse(array: FloatArray, wrong: npt.NDArray[np.bool_], where: str, rule: str) -> None:
    if wrong.any():
        first = np.argwhere(wrong)[0]
        raise InputError(f"{where}: frame {first[0]}: {rule}, got {array[tuple(first)]:g}")


def word_meta(
    source: str, channels: Sequence[str], units: Sequence[str], frac_bits: Sequence[int]
) -> dict[str, Any]:
    """What the words of a data set stand for: `word * 2**-frac_bits[c]` in `units[c]`."""
    return {
        "source": source,
        "channels": list(channels),
        "units": list(units),
        "frac_bits": list(frac_bits),
        "word_bits": WORD_BITS,
    }
