"""The layers of an RT-ST-GCN in float: graph convolution, window sum and the block around them.

Inside the network tensors are channels-last, `(N, T, V, C)`: a 1x1 convolution is then one matrix
product and a shift in time is one contiguous copy. An observer sees `(N, C, T, V)`.
Every layer has one definition that batch and realtime form share; only the sum over time differs:
a window over the past in batch, a FIFO with accumulators (`FifoState`) frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Observe = Callable[[str, Tensor], None]


def tell(observe: Observe | None, name: str, x: Tensor) -> None:
    """Show accumulator `name` to the observer; x `(N, T, V, C)`, shown as `(N, C, T, V)`."""
    if observe is not None:
        observe(name, x.permute(0, 3, 1, 2))


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


class GraphConv(nn.Module):
    """`z = sum_p (W_p x + b_p) (A_p * M_p)`: a 1x1 convolution per partition, then the graph.

    `conv.weight` is `(P * out_channels, in_channels)`, partition-major; adjacency `(P, V, V)` is
    constant, `importance` of the same shape is learnt (Yan et al., ST-GCN, section 3.6).
    """

    adjacency: Tensor

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        """Take the constant adjacency `(P, V, V)`; the importance starts at one."""
        super().__init__()
        self.partitions, self.joints = adjacency.shape[0], adjacency.shape[1]
        self.out_channels = out_channels
        self.conv = nn.Linear(in_channels, self.partitions * out_channels)
        self.register_buffer("adjacency", adjacency)
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        # Measured: below four joints per partition one dense product beats two thin ones.
        self._composed = self.joints <= 4 * self.partitions

    def graph(self) -> Tensor:
        """The adjacency with its importance folded in, `(P, V, V)`."""
        return self.adjacency * self.importance

    def forward(self, x: Tensor, observe: Observe | None = None, name: str = "") -> Tensor:
        """x `(N, T, V, in_channels)` -> `(N, T, V, out_channels)`."""
        if observe is None and self._composed:
            return self._compose(x)
        n, t, v, _ = x.shape
        z: Tensor = self.conv(x)
        tell(observe, f"{name}.conv", z)
        # (N, T, V, P, C) -> (N*T, C, P*V) @ (P*V, V) -> (N, T, V, C)
        z = z.view(n * t, v, self.partitions, self.out_channels).permute(0, 3, 2, 1)
        z = z.reshape(n * t, self.out_channels, self.partitions * v) @ self.graph().flatten(0, 1)
        z = z.view(n, t, self.out_channels, v).transpose(2, 3)
        tell(observe, f"{name}.graph", z)
        return z

    def _compose(self, x: Tensor) -> Tensor:
        """Both products as one: the same map with its two matrices multiplied beforehand."""
        n, t, v, c = x.shape
        weight = self.conv.weight.view(self.partitions, self.out_channels, c)
        graph = self.graph()
        matrix = torch.einsum("poi,pvw->viwo", weight, graph).reshape(v * c, -1)
        bias = torch.einsum("po,pvw->wo", self.conv.bias.view(self.partitions, -1), graph)
        z = torch.addmm(bias.flatten(), x.reshape(n * t, v * c), matrix)
        return z.view(n, t, v, self.out_channels)


class ChannelNorm(nn.BatchNorm1d):
    """BatchNorm with running statistics over the last axis of `(..., C)`."""

    def forward(self, x: Tensor) -> Tensor:
        """x `(..., C)` -> the same shape, normalised per channel."""
        y: Tensor = super().forward(x.reshape(-1, x.shape[-1]))
        return y.view(x.shape)


class FeatureDropout(nn.Module):
    """Dropout of whole features: one draw per clip, joint and channel, the same in every frame.

    A window sum averages drops of single frames away, and their random numbers would take longer
    than all matrix products.
    """

    def __init__(self, probability: float) -> None:
        """Probability of a drop, in training mode only."""
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """x `(N, T, V, C)` -> the same shape."""
        if not self.training or not self.probability:
            return x
        keep = 1 - self.probability
        mask = torch.rand(x.shape[0], 1, *x.shape[2:], device=x.device) < keep
        return x * (mask / keep)


class Block(nn.Module):
    """One RT-ST-GCN layer.

    Graph convolution, causal window sum, norm, ReLU, dropout, plus residual (identity, or a 1x1
    convolution with norm where the channel count changes), ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        adjacency: Tensor,
        window: int,
        dilation: int,
        dropout: float = 0.0,
    ) -> None:
        """Adjacency `(P, V, V)`; window and dilation in frames; dropout acts after the norm."""
        super().__init__()
        self.window, self.dilation = window, dilation
        self.gcn = GraphConv(in_channels, out_channels, adjacency)
        self.norm = ChannelNorm(out_channels)
        self.dropout = FeatureDropout(dropout)
        self.residual: nn.Sequential | None = None
        if in_channels != out_channels:
            conv = nn.Linear(in_channels, out_channels)
            self.residual = nn.Sequential(conv, ChannelNorm(out_channels))

    def forward(self, x: Tensor, observe: Observe | None = None, name: str = "") -> Tensor:
        """x `(N, T, V, in_channels)` -> `(N, T, V, out_channels)`, whole clips from cold FIFOs."""
        z = self.gcn(x, observe, name)
        return self._finish(x, window_sum(z, self.window, self.dilation), observe, name)

    def step(self, x: Tensor, state: FifoState) -> Tensor:
        """One frame, x `(N, V, in_channels)` -> `(N, V, out_channels)`; moves `state` on."""
        x = x.unsqueeze(1)
        total = state.push(self.gcn(x).squeeze(1))
        return self._finish(x, total.unsqueeze(1), None, "").squeeze(1)

    def initial_state(self, clips: int) -> FifoState:
        """Empty FIFO and accumulators for `clips` parallel clips."""
        like = self.gcn.conv.weight
        shape = (clips, self.gcn.joints, self.gcn.out_channels)
        return FifoState(
            like.new_zeros((self.window * self.dilation, *shape)),
            like.new_zeros((self.dilation, *shape), dtype=torch.float64),
        )

    def _finish(self, x: Tensor, total: Tensor, observe: Observe | None, name: str) -> Tensor:
        tell(observe, f"{name}.sum", total)
        y = self.norm(total)
        tell(observe, f"{name}.norm", y)
        y = self.dropout(torch.relu(y))
        if self.residual is not None:
            x = self.residual(x)
            tell(observe, f"{name}.residual", x)
        y = y + x
        tell(observe, f"{name}.add", y)
        return torch.relu(y)
