"""Tables and constants of `LayerNorm` and `Softmax` nodes, made once, when a network is lowered.

They are data of the node and stored with the model; nothing reads them from here again. All is
integer, rational or decimal arithmetic, so the same tables come out everywhere.

`python -m fxp.node_tables` prints the worst errors of the standard tables, found exhaustively.
"""

from __future__ import annotations

import sys
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal, localcontext
from fractions import Fraction
from math import isqrt

import numpy as np

from fxp.elementary import (
    LEAST_MANTISSA,
    MANTISSA_BITS,
    MAX_EXP_BITS,
    MOST_ROOT,
    ROOT_BITS,
    all_mantissas,
    all_reciprocal_roots,
)
from fxp.errors import FormatError
from fxp.ir import IntArray
from fxp.qformat import QFormat

LAYER_NORM_EPS = 1e-5  # of every LayerNorm of the networks here, inside the root
SEED_ENTRIES = 48
NEWTON_STEPS = 2
EXP_BITS = 16
SHARE_BITS = 15  # fractional bits of a softmax that the command measures
SINGLE_TABLE = 512  # entries up to which one table of exponentials is enough
MAX_FINE_BITS = 10


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


def exp_tables(fmt: QFormat, exp_bits: int = EXP_BITS) -> tuple[IntArray, IntArray]:
    """`coarse` and `fine` of a softmax whose operand has words of `fmt`, int64.

    Entries are `2**exp_bits * exp(-d / 2**frac_bits)` rounded half up: of the differences d below
    the size of `fine`, and of its multiples up to the first that rounds to zero or the largest
    difference there is. Where 512 entries reach that far `fine` has one entry.

    Raises:
        FormatError: `exp_bits` out of range, or so many `frac_bits` that tables get too large.
    """
    if not 1 <= exp_bits <= MAX_EXP_BITS:
        raise FormatError(f"`exp_bits` must be 1..{MAX_EXP_BITS}, got {exp_bits}")
    with localcontext(Context(prec=60)):  # the same digits everywhere
        one, step = 1 << exp_bits, Decimal(2) ** -fmt.frac_bits
        span = int(((exp_bits + 1) * Decimal(2).ln() / step).to_integral_value(ROUND_CEILING)) + 1
        span = min(span, 1 << fmt.word_bits)  # differences whose exponential is not zero
        fine_bits = (span.bit_length() + 1) // 2 if span > SINGLE_TABLE else 0
        if fine_bits > MAX_FINE_BITS:
            raise FormatError(f"{fmt}: exponentials need {span} entries, more than tables hold")
        needed = ((span - 1) >> fine_bits) + 2  # the last one rounds to zero
        entries = min(needed, max(1, (1 << fmt.word_bits) >> fine_bits))
        return _exponentials(entries, step * 2**fine_bits, one), _exponentials(
            1 << fine_bits, step, one
        )


def _exponentials(entries: int, step: Decimal, one: int) -> IntArray:
    """`one * exp(-i * step)` rounded half up, for i below `entries`."""
    exact = (one * (-i * step).exp() for i in range(entries))
    rounded = (value.to_integral_value(ROUND_HALF_UP) for value in exact)
    return np.array([int(value) for value in rounded], np.int64)


def worst_exp_error(fmt: QFormat, exp_bits: int = EXP_BITS) -> float:
    """The largest error of an exponential, over all differences of words of `fmt`."""
    coarse, fine = exp_tables(fmt, exp_bits)
    found = _all_exponentials(coarse, fine, fmt, exp_bits)
    below = np.arange(1 << fmt.word_bits, dtype=np.float64)
    exact = np.exp(-np.ldexp(below, -fmt.frac_bits))
    return float(np.abs(np.ldexp(found.astype(np.float64), -exp_bits) - exact).max())


def worst_share_error(fmt: QFormat, frac_bits: int, exp_bits: int = EXP_BITS) -> float:
    """The largest error of a softmax of two channels, over all pairs of words of `fmt`."""
    coarse, fine = exp_tables(fmt, exp_bits)
    small = _all_exponentials(coarse, fine, fmt, exp_bits)
    exact = np.exp(-np.ldexp(np.arange(1 << fmt.word_bits, dtype=np.float64), -fmt.frac_bits))
    worst = 0.0
    for part, ideal in ((small, exact), (np.int64(1 << exp_bits), 1.0)):
        share = np.ldexp(((part << frac_bits) // (small + (1 << exp_bits))) * 1.0, -frac_bits)
        worst = max(worst, float(np.abs(share - ideal / (1 + exact)).max()))
    return worst


def _all_exponentials(coarse: IntArray, fine: IntArray, fmt: QFormat, exp_bits: int) -> IntArray:
    """`fxp.elementary.exponential` of every difference of words of `fmt`."""
    below = np.arange(1 << fmt.word_bits, dtype=np.int64)
    product = coarse[np.minimum(below // len(fine), len(coarse) - 1)] * fine[below % len(fine)]
    found: IntArray = (product + (1 << (exp_bits - 1))) >> exp_bits
    return found


def main() -> None:
    """Print what the module's text says."""
    low, high = worst_root_error(reciprocal_root_seeds(), NEWTON_STEPS)
    sys.stdout.write(
        f"reciprocal root: {SEED_ENTRIES} seeds, {NEWTON_STEPS} Newton steps, "
        f"{3 * LEAST_MANTISSA} mantissas: relative error {low:+.3e} to {high:+.3e}\n"
    )
    for fmt in (QFormat(8, 4), QFormat(16, 11)):
        coarse, fine = exp_tables(fmt)
        sys.stdout.write(
            f"exponential: {len(coarse)} x {len(fine)} entries of {EXP_BITS} bits for {fmt}, all "
            f"differences: error {worst_exp_error(fmt):.3e}; softmax of two channels at "
            f"{SHARE_BITS} bits, all pairs: error {worst_share_error(fmt, SHARE_BITS):.3e}\n"
        )


if __name__ == "__main__":
    main()
