"""Operand words that make a sum end exactly on half an lsb of a cast, found by search.

A sum ends there if it is `2**(shift - 1)` modulo `2**shift`. All but two of its words are drawn,
and these two solve the congruence: every word of the first is tried at once, the second then
follows from the inverse of its weight's odd part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fxp.forms import Exact
from fxp.ir import IntArray

_MOST_BITS = 62  # of a modulus
_MOST_TRIED = 4096  # words of the first of the two
_DRAWS = 8
_SOLVERS = 4  # weights with the fewest trailing zeros that are tried as the second

Unsigned = npt.NDArray[np.uint64]


def tie(
    bias: int,
    weights: Exact,
    low: Exact,
    high: Exact,
    shift: int,
    odd: bool,
    rng: np.random.Generator,
) -> IntArray | None:
    """Words with `bias + sum(weights * words)` halfway between two multiples of `2**shift`.

    Args:
        bias: of the sum.
        weights: of the words, Python integers `(n,)`.
        low: the smallest words allowed, `(n,)`.
        high: the largest.
        shift: of the cast.
        odd: whether the lower of the two multiples is odd, which some roundings ask.
        rng: draws words.

    Returns:
        int64 `(n,)`, or None where the search finds none.
    """
    bits = shift + 1
    if shift < 1 or bits > _MOST_BITS:
        return None
    residue = (1 << shift - 1) + (int(odd) << shift)
    zeros = [_trailing_zeros(int(weight), bits) for weight in weights]
    solvers = sorted(range(len(weights)), key=lambda i: zeros[i])
    for _ in range(_DRAWS if len(weights) > 1 else 1):
        words = [int(rng.integers(lo, hi, endpoint=True)) for lo, hi in zip(low, high, strict=True)]
        total = bias + sum(int(w) * word for w, word in zip(weights, words, strict=True))
        for last in solvers[:_SOLVERS]:
            first = int(rng.integers(len(weights)))
            ends = [(int(low[i]), int(high[i])) for i in (first, last)]
            pair = [int(weights[first]) if first != last else 0, int(weights[last])]
            rest = total - pair[0] * words[first] - pair[1] * words[last]
            found = _pair(pair, ends, residue - rest, bits, zeros[last], rng)
            if found is not None:
                words[first], words[last] = found
                return np.array(words, np.int64)
    return None


def _pair(
    weights: Sequence[int],
    ends: Sequence[tuple[int, int]],
    wanted: int,
    bits: int,
    zeros: int,
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """Two words within `ends` of which the weighted sum is `wanted` modulo `2**bits`, if any.

    The second weight has so many trailing `zeros`. All arithmetic is modulo `2**64`.
    """
    (low, high), (least, most) = ends
    count = high - low + 1
    tried = low + (
        np.arange(count) if count <= _MOST_TRIED else rng.integers(count, size=_MOST_TRIED)
    )
    mask = np.uint64((1 << bits) - 1)
    needed = (_wrapped(wanted) - _wrapped(weights[0]) * tried.astype(np.uint64)) & mask
    period_bits = bits - zeros
    inverse = _wrapped(pow(weights[1] >> zeros, -1, 1 << period_bits))
    period = _wrapped(1 << period_bits)
    root = ((needed >> _wrapped(zeros)) * inverse) & (period - np.uint64(1))
    above = (root - _wrapped(least)) & (period - np.uint64(1))  # the first such word, from `least`
    fits = (needed & _wrapped((1 << zeros) - 1) == 0) & (above <= np.uint64(most - least))
    if not fits.any():
        return None
    at = int(rng.choice(np.flatnonzero(fits)))
    periods = int(rng.integers((most - least - int(above[at])) >> period_bits, endpoint=True))
    return int(tried[at]), least + int(above[at]) + (periods << period_bits)


def _wrapped(number: int) -> Unsigned:
    return np.array([number & (2**64 - 1)], np.uint64)


def _trailing_zeros(number: int, most: int) -> int:
    return most if number == 0 else min(most, (number & -number).bit_length() - 1)
