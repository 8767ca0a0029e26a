"""Integer functions behind `LayerNorm` and `Softmax`: the definition (text: docs/arithmetic.md).

Both work by table, and the table is data of the node: whatever it holds, the result is defined here
to the last bit. How a good table is made is `fxp.node_tables`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isqrt
from typing import TypeVar

import numpy as np

from fxp.ir import IntArray

Whole = TypeVar("Whole", int, IntArray)

MANTISSA_BITS = 18  # of the number whose root is taken, leading bits only
ROOT_BITS = 18  # fractional bits of the reciprocal root of a mantissa
LEAST_MANTISSA = 1 << (MANTISSA_BITS - 2)  # mantissas are LEAST_MANTISSA..2**MANTISSA_BITS - 1
MOST_ROOT = 2 << ROOT_BITS
MAX_NEWTON_STEPS = 4
MAX_EXP_BITS = 24  # fractional bits of exponentials
MAX_SHARE_BITS = 30  # fractional bits of a softmax


def normalise(number: int) -> tuple[int, int]:
    """(mantissa, k) of a number of at least 1, which is about `mantissa * 4**k / 2**MANTISSA_BITS`.

    The mantissa is the leading `MANTISSA_BITS` or `MANTISSA_BITS - 1` bits, so that the exponent
    `2k` is even; bits below are dropped.
    """
    k = (number.bit_length() + 1) // 2
    shift = 2 * k - MANTISSA_BITS
    return (number >> shift if shift > 0 else number << -shift), k


def reciprocal_root(mantissa: int, seeds: Sequence[int], newton_steps: int) -> int:
    """About `2**ROOT_BITS / sqrt(mantissa / 2**MANTISSA_BITS)`, by table and Newton steps.

    `seeds` has `3 * 2**j` entries, each for equally many mantissas.
    """
    root = seeds[(mantissa - LEAST_MANTISSA) * len(seeds) // (3 * LEAST_MANTISSA)]
    for _ in range(newton_steps):
        root = newton_step(root, mantissa)
    return root


def all_mantissas() -> IntArray:
    """Every mantissa there is, int64."""
    return np.arange(LEAST_MANTISSA, 1 << MANTISSA_BITS, dtype=np.int64)


def all_reciprocal_roots(seeds: IntArray, newton_steps: int) -> list[IntArray]:
    """The seed of every mantissa, then its root after each Newton step.

    Raises:
        ValueError: a root leaves `1..MOST_ROOT` at some mantissa; the steps behind it could wrap.
    """
    mantissas = all_mantissas()
    found = [np.repeat(seeds, 3 * LEAST_MANTISSA // len(seeds))]
    for step in range(newton_steps + 1):
        wrong = (found[-1] < 1) | (found[-1] > MOST_ROOT)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"roots must be 1..{MOST_ROOT}, got {found[-1][at]} for mantissa {mantissas[at]} "
                f"after {step} Newton steps"
            )
        if step < newton_steps:
            found.append(newton_step(found[-1], mantissas))
    return found


def newton_step(root: Whole, mantissa: Whole) -> Whole:
    """`root * (3 - mantissa * root**2) / 2`, every product cut back to `ROOT_BITS` by a floor."""
    square = (root * root) >> ROOT_BITS
    product = (mantissa * square) >> MANTISSA_BITS  # near 1, at ROOT_BITS
    return (root * ((3 << ROOT_BITS) - product)) >> (ROOT_BITS + 1)


def heaviest_root(seeds: IntArray, newton_steps: int) -> int:
    """The largest `(mantissa + 1) * root**2` (below `2**57`).

    Raises:
        ValueError: as `all_reciprocal_roots`.
    """
    return _heaviest_root(np.asarray(seeds, "<i8").tobytes(), newton_steps)


@lru_cache(maxsize=256)  # graphs are described again and again, and all norms share a table
def _heaviest_root(seeds: bytes, newton_steps: int) -> int:
    roots = all_reciprocal_roots(np.frombuffer(seeds, "<i8"), newton_steps)[-1]
    return int(((all_mantissas() + 1) * roots * roots).max())


def layer_norm_bound(words: int, seeds: IntArray, newton_steps: int, frac_bits: int) -> int:
    """The largest `|y|` of a `LayerNorm` over frames of `words` words, whatever they are.

    With d the numerator of one word and D the variance, `d**2 <= (words - 1) * D`, and D is less
    than `(mantissa + 1) * 4**k / 2**MANTISSA_BITS`; so before its rounding `|y|` is less than
    `sqrt((words - 1) * (mantissa + 1)) * root / 2**(ROOT_BITS + MANTISSA_BITS / 2 - frac_bits)`.
    """
    worst = heaviest_root(seeds, newton_steps)
    drop = 2 * (ROOT_BITS - frac_bits) + MANTISSA_BITS
    twice = isqrt(4 * (words - 1) * worst >> drop)  # floor of twice the bound
    return (twice + 1) // 2


def layer_norm_word(numerator: int, root: int, k: int, frac_bits: int) -> int:
    """`numerator * root * 2**-k`, from `ROOT_BITS` to `frac_bits` fractional bits, half up."""
    drop = ROOT_BITS + k - frac_bits  # at least 1: k >= 1 and frac_bits <= ROOT_BITS
    return (numerator * root + (1 << (drop - 1))) >> drop


def exponential(below: int, coarse: Sequence[int], fine: Sequence[int], exp_bits: int) -> int:
    """About `2**exp_bits * exp(-below / 2**frac_bits)` for the `frac_bits` of the tables."""
    block, within = divmod(below, len(fine))
    product = coarse[min(block, len(coarse) - 1)] * fine[within]
    return (product + (1 << (exp_bits - 1))) >> exp_bits
