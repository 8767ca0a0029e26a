"""Where the binary point of a tensor goes: the calibrators, on plain arrays.

- `max`: the finest format in which the extremes do not clip. Under a nearest rounding a value less
  than half an lsb beyond the largest word still rounds into it, under the others none does; a
  maximum of exactly `2**k` never clips.
- `percentile`: the same for the values between the percentiles 0.01 and 99.99 of the sample.
- `mse`: the least squared error of the sample among the format of `max` and those finer by up to
  five bits (they clip); a tie goes to the larger range.
- `kl`: among the same formats the least Kullback-Leibler divergence from a histogram of the sample
  to what the format makes of it: a word's share spread evenly over the bins that are cast to it
  (Migacz, "8-bit inference with TensorRT", 2017). Coarse steps and clipping both blur the shape.

A range below `2**-24` is never chosen, and all zeros get the range 1: finer steps would only widen
accumulators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never, get_args

import numpy as np

from fxp.cast import FloatArray, IntArray, dequantise, quantise
from fxp.qformat import Cast, Overflow, QFormat, Rounding

Calibrator = Literal["max", "percentile", "mse", "kl"]
CALIBRATORS: tuple[Calibrator, ...] = get_args(Calibrator)

PERCENTILE = 99.99
MSE_BITS = 5  # how much finer than `max` the candidates of `mse` and `kl` get
HISTOGRAM_BINS = 2048
FINEST_RANGE_BITS = 24  # no format's range is below 2**-24
_NEAREST = {
    Rounding.RND,
    Rounding.RND_ZERO,
    Rounding.RND_INF,
    Rounding.RND_MIN_INF,
    Rounding.RND_CONV,
}


@dataclass(frozen=True)
class Word:
    """A cast whose binary point is still open."""

    word_bits: int
    signed: bool = True
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT

    def at(self, frac_bits: int) -> Cast:
        """The cast with its binary point."""
        to = QFormat(self.word_bits, frac_bits, self.signed)
        return Cast(to, self.rounding, self.overflow)


def choose_frac_bits(
    sample: FloatArray, lo: FloatArray, hi: FloatArray, word: Word, calibrator: Calibrator
) -> IntArray:
    """The `frac_bits` of every group of values.

    Args:
        sample: values, (groups, n).
        lo, hi: extremes of each group, (groups,); the sample may miss them.
        word: width and modes of the cast.
        calibrator: how to choose.
    """
    match calibrator:
        case "max":
            return finest_frac_bits(lo, hi, word)
        case "percentile":
            share = PERCENTILE / 100
            low, high = np.quantile(sample, [1 - share, share], axis=1)
            return finest_frac_bits(low, high, word)
        case "mse":
            return _least_error(sample, finest_frac_bits(lo, hi, word), word)
        case "kl":
            return _least_divergence(sample, finest_frac_bits(lo, hi, word), word)
        case _:
            assert_never(calibrator)


def finest_frac_bits(lo: FloatArray, hi: FloatArray, word: Word) -> IntArray:
    """The largest `frac_bits` at which values between `lo` and `hi` (groups,) do not clip."""
    fmt = word.at(0).to
    low = -fmt.raw_max if word.overflow is Overflow.SAT_SYM and word.signed else fmt.raw_min
    slack = 0.5 if word.rounding in _NEAREST else 0.0
    above = _bits_below(hi, fmt.raw_max, slack, _finest_allowed(word))
    below = _bits_below(-lo, -low, slack, _finest_allowed(word)) if word.signed else above
    chosen = np.minimum(above, below)
    zero = (hi <= 0) & (lo >= 0)
    range_one = fmt.word_bits - fmt.signed
    return np.where(zero, range_one, chosen)


def _finest_allowed(word: Word) -> int:
    return word.word_bits - word.signed + FINEST_RANGE_BITS


def _bits_below(value: FloatArray, limit: int, slack: float, most: int) -> IntArray:
    """The largest F, up to `most`, with `value * 2**F` within `limit` (`most` where value <= 0).

    `limit` has n bits, so value * 2**F lies in [2**(n-1), 2**n) for exactly one F: the answer is
    that F or the one before. Powers of two are exact in floats: nothing here rounds.
    """
    bits = limit.bit_length()
    mantissa, exponent = np.frexp(np.maximum(value, 0.0))
    scaled = np.ldexp(mantissa, bits)
    fits = scaled < limit + slack if slack else scaled <= limit
    frac_bits: IntArray = bits - exponent.astype(np.int64) - ~fits
    capped: IntArray = np.minimum(np.where(value > 0, frac_bits, most), most)
    return capped


def _least_error(sample: FloatArray, coarsest: IntArray, word: Word) -> IntArray:
    """The F of least squared error in coarsest..coarsest+MSE_BITS, the first of equals."""
    candidates = coarsest + np.arange(MSE_BITS + 1)[:, None]  # (candidates, groups)
    errors = [squared_error(sample, frac_bits, word) for frac_bits in candidates]
    best: IntArray = coarsest + np.argmin(errors, axis=0)
    return np.minimum(best, _finest_allowed(word))


def _least_divergence(sample: FloatArray, coarsest: IntArray, word: Word) -> IntArray:
    """The F of least divergence in coarsest..coarsest+MSE_BITS, the first of equals."""
    best = coarsest.copy()
    for group, values in enumerate(sample):
        if values.min() == values.max():
            continue
        counts, edges = np.histogram(values, HISTOGRAM_BINS)
        filled = counts > 0
        centres, shares = (edges[:-1] + edges[1:])[filled] / 2, counts[filled] / counts.sum()
        found = [
            divergence(centres, shares, int(coarsest[group]) + extra, word)
            for extra in range(MSE_BITS + 1)
        ]
        best[group] += int(np.argmin(found))
    return np.minimum(best, _finest_allowed(word))


def divergence(centres: FloatArray, shares: FloatArray, frac_bits: int, word: Word) -> float:
    """Kullback-Leibler divergence, in nats, of a histogram's filled bins from its cast form."""
    words = quantise(np.ldexp(centres, frac_bits), word.at(0))
    _, group = np.unique(words, return_inverse=True)
    spread = np.bincount(group, shares) / np.bincount(group)
    return float((shares * np.log(shares / spread[group])).sum())


def squared_error(sample: FloatArray, frac_bits: IntArray, word: Word) -> FloatArray:
    """Summed squared error of casting each group (groups, n) at its own `frac_bits`, (groups,)."""
    scaled = np.ldexp(sample, frac_bits[:, None])
    back = dequantise(quantise(scaled, word.at(0)), frac_bits[:, None])
    total: FloatArray = np.square(back - sample).sum(axis=1)
    return total
