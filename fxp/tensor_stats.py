"""What the words of one tensor look like over many clips, in memory that no clip adds to.

Sums, extremes per channel and a histogram of magnitudes in eighths of an octave; never samples.
Fill it with `stats_update`; `fxp.profile` turns it into figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fxp.cast import FloatArray, dequantise, round_shift
from fxp.ir import IntArray
from fxp.qformat import Cast, Overflow

BINS_PER_OCTAVE = 8
LEAST_OCTAVE = -80  # magnitudes below 2**-80 count as that
OCTAVES = 160
SAMPLE_WORDS = 1 << 18  # of one clip, for the histogram: logarithms cost more than all the rest
INT64 = np.iinfo(np.int64)


@dataclass(eq=False)
class TensorStats:
    """Statistics so far of words `(T, C, V)` and of the numbers they should be.

    `lowest` and `highest` are in real units, `wanted_*` those of the reference; the channel ones
    are raw words. `used_bits` is the bitwise or of all words, `*_power` are sums of squares.
    `histogram` counts the magnitudes of the reference other than zero, in evenly spaced frames of
    long clips.
    """

    channels: int
    words: int = 0
    zeros: int = 0
    clipped: int = 0
    lowest: float = np.inf
    highest: float = -np.inf
    wanted_lowest: float = np.inf
    wanted_highest: float = -np.inf
    used_bits: int = 0
    signal_power: float = 0.0
    error_power: float = 0.0
    channel_low: IntArray = field(init=False)
    channel_high: IntArray = field(init=False)
    histogram: IntArray = field(init=False)

    def __post_init__(self) -> None:
        self.channel_low = np.full(self.channels, INT64.max)
        self.channel_high = np.full(self.channels, INT64.min)
        self.histogram = np.zeros(OCTAVES * BINS_PER_OCTAVE, np.int64)


def stats_update(
    into: TensorStats,
    words: IntArray,
    frac_bits: Sequence[int],
    wanted: FloatArray,
    clipped: int = 0,
) -> None:
    """Take in a clip, or some frames of one.

    Args:
        into: updated in place.
        words: raw words, int64 `(T, C, V)`.
        frac_bits: one, or one per channel.
        wanted: the numbers of the reference, of the shape of `words`.
        clipped: how many of the words their cast brought back into its range.
    """
    if not words.size:
        return
    numbers = dequantise(words, np.reshape(frac_bits, (-1, 1)))
    into.words += words.size
    into.zeros += int(words.size - np.count_nonzero(words))
    into.clipped += clipped
    into.lowest = min(into.lowest, float(numbers.min()))
    into.highest = max(into.highest, float(numbers.max()))
    into.wanted_lowest = min(into.wanted_lowest, float(wanted.min()))
    into.wanted_highest = max(into.wanted_highest, float(wanted.max()))
    into.used_bits |= int(np.bitwise_or.reduce(words, axis=None))
    into.signal_power += float(np.square(wanted).sum())
    into.error_power += float(np.square(numbers - wanted).sum())
    np.minimum(into.channel_low, words.min(axis=(0, 2)), out=into.channel_low)
    np.maximum(into.channel_high, words.max(axis=(0, 2)), out=into.channel_high)
    sample = wanted[:: -(-wanted.size // SAMPLE_WORDS)]  # whole frames, evenly spaced
    into.histogram += np.bincount(_bins(sample), minlength=len(into.histogram))


def percentile_log2(stats: TensorStats, percent: float) -> float | None:
    """`log2` of a percentile of the magnitudes other than zero, to an eighth of an octave.

    None where all are zero.
    """
    total = int(stats.histogram.sum())
    if not total:
        return None
    rank = percent / 100 * (total - 1)
    place = int(np.searchsorted(stats.histogram.cumsum(), rank, side="right"))
    return (place + 0.5) / BINS_PER_OCTAVE + LEAST_OCTAVE


def cast_limits(cast: Cast, frac_bits: int, relu: bool = False) -> tuple[int, int]:
    """The lowest and the highest accumulator word that a cast does not clip.

    Whatever is beyond leaves the format's range after rounding (the symmetric one of `SAT_SYM`).
    What a ReLU would zero anyway is not clipped, except that `WRAP` may turn it positive.
    """
    shift, fmt = frac_bits - cast.to.frac_bits, cast.to
    low, high = fmt.raw_min, fmt.raw_max
    if cast.overflow is Overflow.SAT_SYM:
        low = max(low, -high)
    if shift <= 0:
        limits = -(-low >> -shift), high >> -shift
    else:
        half = 1 << (shift - 1)
        # rounding is monotone, and its edge is a whole word away, on a tie, or next to one
        tops = (((high + 1) << shift) - 1, (high << shift) + half, (high << shift) + half - 1)
        bottoms = ((low - 1 << shift) + 1, (low << shift) - half, (low << shift) - half + 1)
        limits = (
            next((a for a in bottoms if round_shift(a, shift, cast.rounding) >= low), low << shift),
            next(a for a in tops if round_shift(a, shift, cast.rounding) <= high),
        )
    if relu and cast.overflow is not Overflow.WRAP:
        return INT64.min, limits[1]
    return limits


def _bins(wanted: FloatArray) -> IntArray:
    """Bin of each magnitude other than zero."""
    magnitudes = np.abs(wanted[wanted != 0])
    place = np.floor(np.log2(magnitudes) * BINS_PER_OCTAVE).astype(np.int64)
    first = LEAST_OCTAVE * BINS_PER_OCTAVE
    return np.asarray(np.clip(place - first, 0, OCTAVES * BINS_PER_OCTAVE - 1))
