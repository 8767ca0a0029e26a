"""The sum over a window of the past: of whole clips, and frame by frame with a FIFO.

Tensors are channels-last, see `stgcn_ref.models.blocks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def _doubling_sum(x: Tensor, window: int, dilation: int, newest: bool) -> Tensor:
    """Sum of `window` frames of x `(N, T, ...)`, `dilation` apart, towards the past or the future.

    Sums of 1, 2, 4... frames are built by doubling, so every output is a tree of log2(window)
    additions of its own: nothing accumulates along the clip, unlike differences of a running sum.
    """
    frames = x.shape[1]

    def shifted_add(into: Tensor, other: Tensor, shift: int) -> Tensor:
        if shift >= frames:
            return into
        early, late = slice(0, frames - shift), slice(shift, frames)
        kept = slice(0, shift) if newest else slice(frames - shift, frames)
        to, of = (late, early) if newest else (early, late)
        out = torch.empty_like(into)
        out[:, kept] = into[:, kept]
        torch.add(into[:, to], other[:, of], out=out[:, to])
        return out

    total: Tensor | None = None
    partial, span, done = x, 1, 0
    while span <= window:
        if window & span:
            total = partial if total is None else shifted_add(partial, total, span * dilation)
            done += span
        if done < window:
            partial = shifted_add(partial, partial, span * dilation)
        span *= 2
    assert total is not None
    return total


class _WindowSum(torch.autograd.Function):
    """Causal window sum; its gradient is the same sum over the future."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, w: int, d: int) -> Tensor:
        ctx.size = (w, d)  # type: ignore[attr-defined]
        return _doubling_sum(x, w, d, newest=True)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor
    ) -> tuple[Tensor, None, None]:
        window, dilation = ctx.size  # type: ignore[attr-defined]
        return _doubling_sum(grad, window, dilation, newest=False), None, None


def window_sum(x: Tensor, window: int, dilation: int) -> Tensor:
    """`y[:, t] = sum_{k < window} x[:, t - k * dilation]`, x `(N, T, ...)` zero before the clip."""
    if window == 1:
        return x
    out: Tensor = _WindowSum.apply(x, window, dilation)  # type: ignore[no-untyped-call]
    return out


@dataclass
class FifoState:
    """What one block remembers between frames.

    fifo `(window * dilation, N, V, C)`: the last frames. accumulators `(dilation, N, V, C)`, one
    per phase `t mod dilation`, in float64: float32 frames come and go there without drift.
    """

    fifo: Tensor
    accumulators: Tensor
    frame: int = 0

    def push(self, z: Tensor) -> Tensor:
        """Take frame z `(N, V, C)` in, drop the oldest; returns the window's sum `(N, V, C)`."""
        slot = self.frame % self.fifo.shape[0]
        total = self.accumulators[self.frame % self.accumulators.shape[0]]
        total += z.double() - self.fifo[slot].double()
        self.fifo[slot] = z
        self.frame += 1
        return total.to(z.dtype)
