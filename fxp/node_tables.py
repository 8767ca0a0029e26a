"""Tables and constants of `LayerNorm` nodes, made once, when a network is lowered.

They are data of the node and stored with the model; nothing reads them from here again. All is
integer or rational arithmetic, so the same tables come out everywhere.

`python -m fxp.node_tables` prints the worst errors of the standard tables, found exhaustively.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from math import isqrt

import numpy as np

from fxp.elementary import (
    LEAST_MANTISSA,
    MANTISSA_BITS,
    MOST_ROOT,
    ROOT_BITS,
    all_mantissas,
    all_reciprocal_roots,
)
from fxp.errors import FormatError
from fxp.ir import IntArray

SEED_ENTRIES = 48
NEWTON_STEPS = 2


def reciprocal_root_seeds(entries: int = SEED_ENTRIES) -> IntArray:
    """First guesses `2**ROOT_BITS / sqrt(a)`, a the middle of each of `entries` intervals, int64.

    Rounded down; a is `mantissa / 2**MANTISSA_BITS`, from 1/4 to 1.

    Raises:
        FormatError: `entries` is not 3 times a power of two that divides the mantissas.
    """
    width, rest = divmod(3 * LEAST_MANTISSA, max(entries, 1))
    if rest or entries % 3 or width & (width - 1):
        raise FormatError(f"`entries` must be 3 * 2**j, j up to 16, got {entries}")
    twice_middles = (2 * (LEAST_MANTISSA + i * width) + width for i in range(entries))
    scale = 1 << (2 * ROOT_BITS + MANTISSA_BITS + 1)
    return np.array([min(isqrt(scale // a), MOST_ROOT) for a in twice_middles], np.int64)


def layer_norm_epsilon(eps: float, words: int, frac_bits: int, unbiased: bool = False) -> IntArray:
    """The `epsilon` `(1,)` of a norm over frames of `words` words with `frac_bits`.

    `round(eps * N**2 * 2**(2 * frac_bits))`, half up, for the biased variance (torch's LayerNorm).
    For the unbiased one it is `eps * N * (N - 1)`, and the scale behind the norm must be multiplied
    by `sqrt((N - 1) / N)`.

    Raises:
        FormatError: a negative `eps`, or more than 62 bits.
    """
    if not 0 <= eps < 2.0**1000:
        raise FormatError(f"`eps` must be a number of at least 0, got {eps}")
    factor = words * (words - 1 if unbiased else words)
    exact = Fraction(eps) * factor * Fraction(2) ** (2 * frac_bits)
    raw = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    if raw >> 62:
        raise FormatError(f"`eps` {eps} needs more than 62 bits at {frac_bits} `frac_bits`")
    return np.array([raw], np.int64)


def worst_root_error(seeds: IntArray, newton_steps: int) -> tuple[float, float]:
    """The least and the largest relative error of a reciprocal root, over all mantissas.

    Each mantissa stands for all numbers with its leading bits, up to the next one's; the error is
    at either end.
    """
    roots = all_reciprocal_roots(seeds, newton_steps)[-1]
    errors = [
        roots * np.sqrt(np.ldexp(end.astype(np.float64), -MANTISSA_BITS)) / 2.0**ROOT_BITS - 1
        for end in (all_mantissas(), all_mantissas() + 1)
    ]
    return float(min(error.min() for error in errors)), float(max(error.max() for error in errors))


def main() -> None:
    """Print what the module's text says."""
    low, high = worst_root_error(reciprocal_root_seeds(), NEWTON_STEPS)
    sys.stdout.write(
        f"reciprocal root: {SEED_ENTRIES} seeds, {NEWTON_STEPS} Newton steps, "
        f"{3 * LEAST_MANTISSA} mantissas: relative error {low:+.3e} to {high:+.3e}\n"
    )


if __name__ == "__main__":
    main()
