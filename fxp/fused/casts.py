"""Casts as constants of vector code: rounding offset, shift, bounds, per channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fxp.ir import Requantise
from fxp.kernels.casting import position
from fxp.kernels.tables import CastKind
from fxp.qformat import Overflow
from fxp.ranges import Signal

MOST_SHIFT = 62


@dataclass(frozen=True)
class VectorCast:
    """One entry per channel, or one for all. `kind` is a `CastKind`.

    Channels whose words move left (`left`) are multiplied beforehand, and have a shift of 0.
    """

    kind: int
    left: tuple[int, ...]
    offset: tuple[int, ...]
    shift: tuple[int, ...]
    low: int
    high: int
    odd: tuple[int, ...]


NO_CAST = VectorCast(CastKind.NONE, (0,), (0,), (0,), 0, 0, (0,))


def vector_cast(node: Requantise, x: Signal) -> VectorCast | None:
    """The constants of a cast of x, or None where it is not of the kinds that vector code has.

    It has those that saturate and round half up, half to even or down.
    """
    cast = node.cast
    if cast.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        return None
    places = [position(cast, frac - cast.to.frac_bits) for frac in x.frac_bits]
    if any(p.negative or max(p.shift, p.left) > MOST_SHIFT for p in places):
        return None
    low, high = cast.to.raw_min, cast.to.raw_max
    low = max(low, -high) if cast.overflow == Overflow.SAT_SYM else low
    kind = CastKind.EVEN if any(p.odd for p in places) else CastKind.CLAMP
    return VectorCast(
        kind,
        tuple(p.left for p in places),
        tuple(p.offset for p in places),
        tuple(p.shift for p in places),
        max(low, 0) if node.relu else low,
        high,
        tuple(p.odd for p in places),
    )


def extremes(cast: VectorCast, x: Signal) -> tuple[int, int]:
    """The lowest and the highest word on the way: moved, with offset and an odd word's one."""
    left = max(cast.left)
    return min(x.lo) << left, (max(x.hi) << left) + max(cast.offset) + max(cast.odd)


def per_channel(values: Sequence[int], channels: int) -> list[int]:
    """One entry per channel."""
    return list(values) * (channels if len(values) == 1 else 1)
