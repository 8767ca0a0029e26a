"""The layers of an RT-ST-GCN in float: graph convolution, window sum and the block around them.

Inside the network tensors are channels-last, `(N, T, V, C)`: a 1x1 convolution is then one matrix
product and a shift in time is one contiguous copy. An observer sees `(N, C, T, V)`.
Every layer has one definition that batch and realtime form share; only the sum over time differs:
a window over the past in batch, a FIFO with accumulators (`FifoState`) frame by frame.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fxp.errors import InputError
from fxp.node_tables import LAYER_NORM_EPS
from stgcn_ref.models.window import FifoState, window_sum

Observe = Callable[[str, Tensor], None]


def tell(observe: Observe | None, name: str, x: Tensor) -> None:
    """Show accumulator `name` to the observer; x `(N, T, V, C)`, shown as `(N, C, T, V)`."""
    if observe is not None:
        observe(name, x.permute(0, 3, 1, 2))


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

    def observed(self, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """The norm of x `(N, T, V, C)`, by joint and channel if it has so many features."""
        y: Tensor = self(x if x.shape[-1] == self.num_features else x.flatten(2)).view(x.shape)
        tell(observe, name, y)
        return y


class FrameNorm(nn.Module):
    """LayerNorm over the last axes: `(x - mean) / sqrt(variance + eps) * weight + bias`.

    The variance is the unbiased one (a sum over one less than the features), with eps inside the
    root; torch's own LayerNorm takes the biased one. weight and bias have the features' shape.

    Raises:
        InputError: a single feature, which has no unbiased variance.
    """

    def __init__(self, features: Sequence[int], eps: float = LAYER_NORM_EPS) -> None:
        """Features `(V, C)` of a frame, or `(V * C,)` where it is one vector."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(*features))
        self.bias = nn.Parameter(torch.zeros(*features))
        self.eps = eps
        if self.weight.numel() < 2:
            raise InputError(
                f"LayerNorm: at least two features are needed, got {self.weight.numel()}"
            )

    @property
    def unit(self) -> float:
        """Factor from this norm's unbiased deviation to the biased one of a `LayerNorm` node."""
        return math.sqrt((self.weight.numel() - 1) / self.weight.numel())

    def forward(self, x: Tensor) -> Tensor:
        """x `(..., *features)` -> the same shape."""
        return self._normalise(x) * self.weight + self.bias

    def observed(self, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """The norm of x `(N, T, V, C)`; `.unit` is shown too, by the biased deviation."""
        frames = x.reshape(*x.shape[:2], *self.weight.shape)
        if observe is not None:
            tell(observe, f"{name}.unit", self._normalise(frames).view(x.shape) / self.unit)
        y: Tensor = self(frames).view(x.shape)
        tell(observe, name, y)
        return y

    def _normalise(self, x: Tensor) -> Tensor:
        axes = tuple(range(-self.weight.ndim, 0))
        variance, mean = torch.var_mean(x, dim=axes, correction=1, keepdim=True)
        y: Tensor = (x - mean) / torch.sqrt(variance + self.eps)
        return y


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


class NoResidual(nn.Module):
    """In place of a residual path that a layer does not have."""


class Block(nn.Module):
    """One RT-ST-GCN layer.

    Graph convolution, causal window sum, norm, ReLU, dropout, plus residual (identity, or a 1x1
    convolution with norm where the channel count changes), ReLU.
    """

    norm: ChannelNorm | FrameNorm

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
        self.residual: nn.Sequential | NoResidual | None = None
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
        y = self.norm.observed(total, observe, f"{name}.norm")
        y = self.dropout.forward(torch.relu(y))
        if isinstance(self.residual, NoResidual):
            return y
        if self.residual is not None:
            x = self._shortcut(self.residual, x, observe, f"{name}.residual")
        y = y + x
        tell(observe, f"{name}.add", y)
        return torch.relu(y)

    @staticmethod
    def _shortcut(residual: nn.Sequential, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        conv, norm = residual
        if isinstance(norm, FrameNorm):  # it does not fold into the convolution
            x = conv(x)
            tell(observe, name, x)
            return norm.observed(x, observe, f"{name}_norm")
        x = residual(x)
        tell(observe, name, x)
        return x


def give_residual(block: Block) -> None:
    """Give a block whose residual is the identity a 1x1 convolution with a norm like its own."""
    channels = block.gcn.out_channels
    block.residual = nn.Sequential(nn.Linear(channels, channels), copy.deepcopy(block.norm))
