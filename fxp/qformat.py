"""Number formats and casts as plain values (normative text: docs/arithmetic.md).

A stored value is `raw * 2**-frac_bits` with an integer `raw` of `word_bits` bits. Rounding and
overflow belong to the conversion into a format, never to the format itself, so they live in `Cast`.
The modes are those of `ap_fixed` (AMD UG1399, "Arbitrary Precision Fixed-Point Data Types").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fxp.errors import FormatError

MAX_WORD_BITS = 32


class Rounding(StrEnum):
    """What happens to the bits below the lsb."""

    TRN = "TRN"  # towards minus infinity (drop the bits)
    TRN_ZERO = "TRN_ZERO"  # towards zero
    RND = "RND"  # nearest, ties towards plus infinity (the default)
    RND_ZERO = "RND_ZERO"  # nearest, ties towards zero
    RND_INF = "RND_INF"  # nearest, ties away from zero
    RND_MIN_INF = "RND_MIN_INF"  # nearest, ties towards minus infinity
    RND_CONV = "RND_CONV"  # nearest, ties to even


class Overflow(StrEnum):
    """What happens to a value outside the format's range."""

    SAT = "SAT"  # to the nearest bound (the default)
    SAT_ZERO = "SAT_ZERO"  # to zero
    SAT_SYM = "SAT_SYM"  # to the nearest bound of the symmetric range -max..max
    WRAP = "WRAP"  # keep the low word_bits bits


@dataclass(frozen=True, slots=True)
class QFormat:
    """A fixed-point format: `word_bits` bits, sign included, lsb worth `2**-frac_bits`.

    `frac_bits` may be negative or exceed `word_bits`.

    Raises:
        FormatError: `word_bits` is not in 1..32 or either width is not an int.
    """

    word_bits: int
    frac_bits: int
    signed: bool = True

    def __post_init__(self) -> None:
        if type(self.word_bits) is not int or not 1 <= self.word_bits <= MAX_WORD_BITS:
            raise FormatError(f"`word_bits` must be 1..{MAX_WORD_BITS}, got {self.word_bits!r}")
        if type(self.frac_bits) is not int:
            raise FormatError(f"`frac_bits` must be an int, got {self.frac_bits!r}")
        if type(self.signed) is not bool:
            raise FormatError(f"`signed` must be a bool, got {self.signed!r}")

    @property
    def raw_min(self) -> int:
        """Smallest raw value."""
        return -(1 << (self.word_bits - 1)) if self.signed else 0

    @property
    def raw_max(self) -> int:
        """Largest raw value."""
        return (1 << (self.word_bits - self.signed)) - 1


@dataclass(frozen=True, slots=True)
class Cast:
    """A conversion into `to`: round, then overflow."""

    to: QFormat
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT
