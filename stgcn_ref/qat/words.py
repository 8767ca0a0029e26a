"""Integers carried in floats: how far that is exact, and what a value knows about itself.

A value is the real number `raw * 2**-frac_bits` in a float tensor. A sum of products of such
numbers is exact in whatever order it is taken, as long as the absolute values of its terms, in
units of its lsb, add up to no more than the float's mantissa holds: every partial sum then is an
integer that fits. This *reach* is bounded before anything is computed, from the actual constants,
and decides the dtype. (The intervals of `fxp.ranges` bound the whole sum, not the parts of it.)

One bit of the mantissa is kept back. With `|raw| < 2**52` (float64) or `2**23` (float32) every
rounding of a cast is right: `x + 1/2` is then exact, or x is so small beside its lsb that it falls
on the right side (`stgcn_ref.qat.casts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fxp.errors import GraphError
from fxp.ir import IntArray

FLOAT32_BITS, FLOAT64_BITS = 23, 52
# No shift between two of these leaves the exponents of normal numbers.
_FLOAT32_FRAC_BITS, _FLOAT64_FRAC_BITS = 40, 400


@dataclass(frozen=True, eq=False)
class Words:
    """Raw words as real numbers: x `(N, T, V, C)` floats, at most `reach` lsbs from zero.

    `frac_bits` has one entry, or one per channel.
    """

    x: Tensor
    reach: int
    frac_bits: tuple[int, ...]

    def fracs(self) -> tuple[int, ...]:
        """One entry per channel."""
        many = len(self.frac_bits) > 1
        return self.frac_bits if many else self.frac_bits * self.x.shape[-1]


def exact_dtype(node: str, reach: int, frac_bits: Sequence[int]) -> torch.dtype:
    """The narrowest float that holds every partial sum of `reach` lsbs exactly.

    Raises:
        GraphError: not even float64 does.
    """
    furthest = max(map(abs, frac_bits))
    precise = torch.get_float32_matmul_precision() == "highest"
    if precise and reach <= 1 << FLOAT32_BITS and furthest <= _FLOAT32_FRAC_BITS:
        return torch.float32
    if reach <= 1 << FLOAT64_BITS and furthest <= _FLOAT64_FRAC_BITS:
        return torch.float64
    raise GraphError(
        f"node `{node}`: its terms may add up to {reach.bit_length()} bits with {furthest} "
        f"`frac_bits`; floats carry sums exactly up to {FLOAT64_BITS} bits and "
        f"{_FLOAT64_FRAC_BITS} `frac_bits`"
    )


def wider(one: torch.dtype, other: torch.dtype) -> torch.dtype:
    """Whichever holds more."""
    return torch.promote_types(one, other)


def scales(frac_bits: Sequence[int], dtype: torch.dtype = torch.float64) -> Tensor:
    """`2**frac_bits`, (n,)."""
    return torch.tensor([2.0**f for f in frac_bits], dtype=dtype)


def raw_words(words: Words) -> Tensor:
    """The raw words, int64 `(N, T, V, C)`, without gradient."""
    return (words.x.detach().double() * scales(words.frac_bits)).long()


def as_clips(words: Words) -> IntArray:
    """The raw words in the order of `fxp`, int64 `(N, T, C, V)`."""
    found: IntArray = raw_words(words).transpose(2, 3).contiguous().numpy()
    return found
