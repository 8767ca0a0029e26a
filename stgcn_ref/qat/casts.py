"""Rounding with a straight-through gradient: casts of accumulators, and of trained constants.

Forward both are the integer network's own conversions, word for word. Backward a rounding is taken
for the identity (Bengio, Leonard & Courville 2013, section 4), a saturation for what it is: what it
moved gets no gradient. A ReLU passes what is above zero before it is rounded.

A binary point may be given as a real number, whose rounding the target's `frac_bits` are. It
changes no word; it gets the gradient of Jain et al. ("Trained quantization thresholds", 2020,
equation 7): with `y = word * 2**-frac_bits`, `dy / dfrac_bits = -ln 2 * (y - x)` where x was
rounded and `-ln 2 * y` where it was moved to an end.
"""

from __future__ import annotations

import math
from typing import Any, assert_never

import torch
from torch import Tensor

from fxp.qformat import Cast, Overflow, Rounding
from stgcn_ref.qat.kernels import floor_clamp, keep
from stgcn_ref.qat.words import scales

# The roundings that are a floor of the number plus this; they have one pass over memory.
_OFFSETS = {Rounding.RND: 0.5, Rounding.TRN: 0.0}


def cast(x: Tensor, to: Cast, relu: bool, point: Tensor | None = None) -> Tensor:
    """Cast accumulators: round, overflow, then (if asked) ReLU.

    Args:
        x: real numbers whose words keep to the limits of `stgcn_ref.qat.words`, in a dtype that
            holds the target's words too.
        to: the target and its modes.
        relu: negative results become zero.
        point: the real binary point, float64 (1,), of a target that saturates.

    Returns:
        Real numbers on the target's grid, of the shape and dtype of `x`.
    """
    out: Tensor = _Cast.apply(x, to, relu, point)  # type: ignore[no-untyped-call]
    return out


def constant(
    x: Tensor, frac_bits: tuple[int, ...], word_bits: int | None, point: Tensor | None = None
) -> Tensor:
    """Round a trained constant half up to its words, as `fxp.lower` does.

    Args:
        x: float64, any shape.
        frac_bits: one entry, or one per index of the first axis.
        word_bits: of the signed words to saturate at; None does not (a bias).
        point: the real binary points, float64, of the shape of `frac_bits`.

    Returns:
        Real numbers on the grid, float64, of the shape of `x`.
    """
    out: Tensor = _Constant.apply(x, frac_bits, word_bits, point)  # type: ignore[no-untyped-call]
    return out


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, to: Cast, relu: bool, point: Tensor | None) -> Tensor:
        low, high = to.to.raw_min, to.to.raw_max
        if to.overflow is Overflow.SAT_SYM:
            low = max(low, -high)
        scale = 2.0**to.to.frac_bits
        x = x.contiguous()
        if to.rounding in _OFFSETS and to.overflow in (Overflow.SAT, Overflow.SAT_SYM):
            y, kept = torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)
            offset, flat = _OFFSETS[to.rounding], [part.view(-1).numpy() for part in (x, y, kept)]
            floor_clamp(flat[0], scale, offset, (float(low), float(high)), relu, *flat[1:])
        else:
            rounded = _round(x * scale, to.rounding)
            kept = (rounded >= low) & (rounded <= high)
            y = _overflow(rounded, low, high, to)
            if relu:
                kept &= x > 0
                y.clamp_(min=0)
            y.mul_(1 / scale)
        ctx.save_for_backward(kept, *(() if point is None else (x, y)))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, Tensor | None]:
        kept, *both = ctx.saved_tensors
        given = grad.contiguous()
        passed = torch.empty_like(given)
        keep(*(part.view(-1).numpy() for part in (given, kept, passed)))
        of_point = _of_point(given, kept, *both).sum().view(1) if both else None
        return passed, None, None, of_point


class _Constant(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        frac_bits: tuple[int, ...],
        word_bits: int | None,
        point: Tensor | None,
    ) -> Tensor:
        scale = scales(frac_bits).view(-1, *[1] * (x.ndim - 1))
        scaled = x * scale
        floor = scaled.floor()
        # not floor(x + 1/2), which rounds 0.49999999999999994 up
        rounded = floor + (scaled - floor >= 0.5)
        if word_bits is None:
            ctx.save_for_backward(torch.ones_like(rounded, dtype=torch.bool))
            return rounded / scale
        low, high = -(1 << (word_bits - 1)), (1 << (word_bits - 1)) - 1
        kept = (rounded >= low) & (rounded <= high)
        y = rounded.clamp_(low, high) / scale
        ctx.save_for_backward(kept, *(() if point is None else (x, y)))
        ctx.points = len(frac_bits)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, Tensor | None]:
        kept, *both = ctx.saved_tensors
        of_point = _of_point(grad, kept, *both).reshape(ctx.points, -1).sum(dim=1) if both else None
        return grad * kept, None, None, of_point


def _of_point(grad: Tensor, kept: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What each number adds to the gradient of its binary point, float64."""
    return (grad * (y - x * kept)).double() * -math.log(2)


def _round(t: Tensor, rounding: Rounding) -> Tensor:
    """The nearest, or the next, integers, in a tensor of their own.

    `t + 1/2` is exact where t has an lsb of `2**-FLOAT_BITS` or more. Below that `|t|` is less than
    a half by at least the spacing of floats there, and so stays on its side of the tie.
    """
    match rounding:
        case Rounding.TRN:
            return t.floor()
        case Rounding.TRN_ZERO:
            return t.trunc()
        case Rounding.RND:
            return (t + 0.5).floor_()
        case Rounding.RND_MIN_INF:
            return (t - 0.5).ceil_()
        case Rounding.RND_INF:
            return (t.abs() + 0.5).floor_().copysign_(t)
        case Rounding.RND_ZERO:
            return (t.abs() - 0.5).ceil_().copysign_(t)
        case Rounding.RND_CONV:
            return t.round()
        case _:
            assert_never(rounding)


def _overflow(rounded: Tensor, low: int, high: int, to: Cast) -> Tensor:
    """Integers brought into `low..high`; may write over `rounded`."""
    match to.overflow:
        case Overflow.SAT | Overflow.SAT_SYM:
            return rounded.clamp_(low, high)
        case Overflow.SAT_ZERO:
            return rounded.masked_fill_((rounded < low) | (rounded > high), 0.0)
        case Overflow.WRAP:
            period = 2.0**to.to.word_bits
            rest = torch.fmod(rounded, period)  # exact, of the sign of the number
            rest -= period * (rest > high)
            return rest.add_(period * (rest < low))
        case _:
            assert_never(to.overflow)
