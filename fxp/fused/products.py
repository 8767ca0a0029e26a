"""Convolutions as steps: which tier holds them, and weights in the order the tiles read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fxp.fused.casts import NO_CAST, VectorCast, extremes, per_channel
from fxp.fused.steps import ProductStep, TapsStep, Words
from fxp.fused.tiers import Tier, fits_int32
from fxp.ir import Conv, IntArray, TemporalConv
from fxp.kernels.forms import LANES
from fxp.kernels.products import NARROW_PANEL, WIDE_PANEL
from fxp.kernels.tables import CastKind, ProductConstant
from fxp.ranges import Signal

_BYTES, HALVES = (np.iinfo(t) for t in (np.int8, np.int16))
_INT32 = np.iinfo(np.int32)
_GROUP = {np.dtype(np.int8): 4, np.dtype(np.int16): 2}  # operands multiplied at a time
_SIGNED_BYTES_ADD = 128


def product_tier(
    node: Conv | TemporalConv,
    x: Signal,
    y: Signal,
    casts: Sequence[VectorCast],
    allowed: frozenset[Tier],
) -> Tier | None:
    """The first tier that holds operands, weights and sums with rounding; None if none does."""
    shifts = [shift for cast in casts for shift in cast.shift]
    if not fits_int32(*reach(y, casts)) or any(shift > 31 for shift in shifts):
        return None
    kind = multiplied(node, x, allowed)
    if kind is None:
        return None
    return Tier.INT8 if kind == np.int8 else halves_of(allowed)


def reach(y: Signal, casts: Sequence[VectorCast]) -> tuple[int, int]:
    """The lowest and the highest sum, with the bias and what casts add to round."""
    return min(y.lo), max([max(y.hi), *(extremes(cast, y)[1] for cast in casts)])


def multiplied(
    node: Conv | TemporalConv, x: Signal, allowed: frozenset[Tier]
) -> np.dtype[np.integer] | None:
    """The type of both operands of the narrowest tier that holds them; None if none does."""
    lo = min(min(x.lo), int(node.weight.raw.min()))
    hi = max(max(x.hi), int(node.weight.raw.max()))
    if Tier.INT8 in allowed and _BYTES.min <= lo and hi <= _BYTES.max:
        return np.dtype(np.int8)
    if halves_of(allowed) and HALVES.min <= lo and hi <= HALVES.max:
        return np.dtype(np.int16)
    return None


def halves_of(allowed: frozenset[Tier]) -> Tier | None:
    """The first tier that multiplies words of 16 bits."""
    order = (Tier.INT16, Tier.MADD16, Tier.PLAIN16)
    return next((tier for tier in order if tier in allowed), None)


def product(
    node: Conv | TemporalConv,
    casts: Mapping[str, VectorCast],
    tier: Tier,
) -> ProductStep | TapsStep:
    """A convolution with up to two casts of it, or as it is."""
    operand: np.dtype[np.integer] = np.dtype(np.int8 if tier is Tier.INT8 else np.int16)
    group = _GROUP[operand]
    weight = taps_of(node)
    taps, inputs, outputs = weight.shape
    flipped = _SIGNED_BYTES_ADD * weight.sum(axis=(0, 1)) if tier is Tier.INT8 else 0
    constants = _constants(node.bias - flipped, list(casts.values()) or [NO_CAST], outputs)
    step = ProductStep(
        node.name,
        node.x,
        (node.name, *casts),
        tuple(casts) or (node.name,),
        tier,
        operand,
        packed(weight, group, operand, panel_of(tier)),
        constants,
        -(-inputs // group),
        tuple(cast.kind == CastKind.EVEN for cast in casts.values()) or (False,),
    )
    return over_taps(node, step, taps)


def over_taps(node: Conv | TemporalConv, step: ProductStep, taps: int) -> ProductStep | TapsStep:
    """A product as it is, or over frames."""
    if isinstance(node, Conv):
        return step
    return TapsStep(step, taps, node.dilation, node.lookahead, node.stride)


def taps_of(node: Conv | TemporalConv) -> IntArray:
    """Weights (taps, Cin, Cout)."""
    if isinstance(node, Conv):
        return node.weight.raw.T[None]
    return node.weight.raw.transpose(2, 1, 0)


def panel_of(tier: Tier) -> int:
    """Vectors of columns in a tile."""
    return WIDE_PANEL if tier in (Tier.INT8, Tier.INT16) else NARROW_PANEL


def packed(weight: IntArray, group: int, dtype: np.dtype[np.integer], panel: int) -> Words:
    """Panels of so many vectors: (taps * groups, columns, group), zeros without weights."""
    taps, inputs, outputs = weight.shape
    groups, columns = -(-inputs // group), -(-outputs // LANES) * LANES
    full = np.zeros((taps, groups * group, columns), dtype)
    full[:, :inputs, :outputs] = weight
    lines = full.reshape(taps * groups, group, columns)
    width = LANES * panel
    panels = [lines[:, :, at : at + width] for at in range(0, columns, width)]
    return np.concatenate([panel.transpose(0, 2, 1).reshape(-1) for panel in panels])


def _constants(bias: IntArray, casts: Sequence[VectorCast], outputs: int) -> Words:
    """The array of `fxp.kernels.tables.ProductConstant`, columns in full vectors."""
    table = constant_table(bias, casts, outputs, _INT32.min, _INT32.max)
    if len(casts) == 2:
        table[ProductConstant.SECOND_OFFSET] -= table[ProductConstant.OUT_OFFSET]
    return table.astype(np.int64).astype(np.int32)  # the bias modulo 2**32


def whole_constants(outputs: int) -> Words:
    """Those of sums that are not cast, with a bias of zero."""
    return _constants(np.zeros(outputs, np.int64), [NO_CAST], outputs)


def constant_table(
    bias: IntArray, casts: Sequence[VectorCast], outputs: int, lowest: int, highest: int
) -> Words:
    """`ProductConstant` in Python integers: the first offset in the bias, both as they are."""
    table = np.zeros((len(ProductConstant), -(-outputs // LANES) * LANES), object)
    offsets = (ProductConstant.OUT_OFFSET, ProductConstant.SECOND_OFFSET)
    for first, cast in zip(offsets, casts, strict=False):
        whole = cast.kind == CastKind.NONE
        table[first, :outputs] = per_channel(cast.offset, outputs)
        table[first + 1, :outputs] = per_channel(cast.shift, outputs)
        table[first + 2] = lowest if whole else max(cast.low, lowest)
        table[first + 3] = highest if whole else min(cast.high, highest)
        table[first + 4, :outputs] = per_channel(cast.odd, outputs)
    table[ProductConstant.BIAS, :outputs] = bias + table[ProductConstant.OUT_OFFSET, :outputs]
    table[ProductConstant.SECOND_AWAY] = table[ProductConstant.SECOND_OFFSET]
    return table
