"""ST-GCN of Yan, Xiong and Lin, "Spatial Temporal Graph Convolutional Networks" (AAAI 2018).

Ten blocks of graph and temporal convolution name the action of a whole clip of several persons.
The frame-wise variant for segmentation, without strides, is `stgcn_ref.models.costgcn`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn_ref.models.blocks import ChannelNorm, FeatureDropout, GraphConv, Observe, tell
from stgcn_ref.models.frames import normalise, start_norm
from stgcn_ref.models.temporal import ResidualLayer, TemporalConv, residual_layers, undecimated

# The published ten blocks (section 4.1 of the paper and the authors' code)
CHANNELS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
TAPS = 9


class STBlock(ResidualLayer):
    """Graph convolution, norm, ReLU, temporal convolution, norm, plus shortcut, ReLU.

    With `relu_first` the last ReLU stands before the sum, as in MS-GCN: the sum itself then goes
    on unclipped. The shortcut is the identity, or a 1x1 convolution with norm where channels or
    frame rate change, or absent.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        adjacency: Tensor,
        taps: int,
        dilation: int = 1,
        stride: int = 1,
        dropout: float = 0.0,
        shortcut: bool = True,
        relu_first: bool = False,
    ) -> None:
        """Adjacency `(P, V, V)`; dropout of whole features before the sum, in training only."""
        super().__init__()
        self.joints, self.relu_first = adjacency.shape[-1], relu_first
        self.gcn = GraphConv(in_channels, out_channels, adjacency)
        self.norm = ChannelNorm(out_channels)
        self.tconv = TemporalConv(out_channels, out_channels, taps, dilation, stride)
        self.tnorm = ChannelNorm(out_channels)
        self.dropout = FeatureDropout(dropout)
        self.shortcut: nn.Module | None = None
        if shortcut and (in_channels != out_channels or stride != 1):
            self.shortcut = nn.Sequential(
                nn.Linear(in_channels, out_channels), ChannelNorm(out_channels)
            )
        elif shortcut:
            self.shortcut = nn.Identity()

    def before(self, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """x `(N, T, V, in_channels)` -> `(N, T, V, out_channels)`, what the taps read."""
        y = self.norm(self.gcn(x, observe, name))
        tell(observe, f"{name}.norm", y)
        return torch.relu(y)

    def after(self, y: Tensor, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """The output `(N, T, V, out_channels)`; accumulators: `.tconv` (its norm folded in),
        `.residual` where the shortcut is a convolution, `.add` where there is a shortcut."""
        y = self.tnorm(y)
        tell(observe, f"{name}.tconv", y)
        if self.relu_first:
            y = torch.relu(y)
        y = self.dropout(y)
        if self.shortcut is not None:
            x = self.shortcut(x)
            if isinstance(self.shortcut, nn.Sequential):
                tell(observe, f"{name}.residual", x)
            y = y + x
            tell(observe, f"{name}.add", y)
        return y if self.relu_first else torch.relu(y)


def give_shortcut(block: STBlock) -> None:
    """Give a block whose shortcut is the identity, or that has none, a convolution with norm."""
    inputs, outputs = block.gcn.conv.in_features, block.gcn.out_channels
    block.shortcut = nn.Sequential(nn.Linear(inputs, outputs), ChannelNorm(outputs))


class STGCN(nn.Module):
    """Input norm, blocks, mean over frames, joints and persons, linear classifier.

    The first block has no shortcut, as in the authors' code.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        adjacency: Tensor,
        channels: Sequence[int] = CHANNELS,
        strides: Sequence[int] = STRIDES,
        taps: int = TAPS,
        dropout: float = 0.0,
    ) -> None:
        """Adjacency `(P, V, V)`, `x_w = sum_v x_v A[p, v, w]`; one entry a block elsewhere."""
        super().__init__()
        self.in_channels, self.joints = in_channels, adjacency.shape[-1]
        self.input_norm = ChannelNorm(self.joints * in_channels)
        self.blocks = nn.ModuleList(
            STBlock(c_in, c_out, adjacency, taps, 1, stride, dropout, shortcut=i > 0)
            for i, (c_in, c_out, stride) in enumerate(
                zip((in_channels, *channels[:-1]), channels, strides, strict=True)
            )
        )
        self.classifier = nn.Linear(channels[-1], classes)

    @property
    def receptive_field(self) -> int:
        """Input frames that one frame of the last block depends on."""
        return 1 + sum(conv.span * apart for conv, apart in self._convs())

    @property
    def latency_frames(self) -> int:
        """Input frames that one frame of the last block looks ahead; a label needs the clip."""
        return sum(conv.lookahead * apart for conv, apart in self._convs())

    def forward(self, x: Tensor, observe: Observe | None = None) -> Tensor:
        """Logits of whole clips.

        Args:
            x: `(N, C, T, V, M)`, M persons; an absent person is all zero, and counts in the mean.
            observe: called with the name of every accumulator and its value `(N * M, C, T, V)`:
                `input_norm`, those of `STBlock`; then with `pool` `(N, C, T, 1)`, the mean over
                joints and persons, and `clip_pool` and `classifier` `(N, C, 1, 1)`.

        Returns:
            `(N, classes)`.
        """
        clips, _, _, _, persons = x.shape
        y = x.permute(0, 4, 2, 3, 1).flatten(0, 1)  # (N * M, T, V, C)
        y = normalise(self.input_norm, y, observe)
        for i, block in enumerate(self.blocks):
            y = block(y, observe, f"block{i}")
        y = y.view(clips, persons, *y.shape[1:]).mean(dim=(1, 3)).unsqueeze(2)  # (N, T, 1, C)
        tell(observe, "pool", y)
        y = y.mean(dim=1, keepdim=True)  # (N, 1, 1, C)
        tell(observe, "clip_pool", y)
        logits: Tensor = self.classifier(y)
        tell(observe, "classifier", logits)
        return logits.flatten(1)

    def set_input_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Start the input norm from data statistics `(C, V)`; a constant feature gets scale 1."""
        start_norm(self.input_norm, mean, variance)

    def _convs(self) -> list[tuple[TemporalConv, int]]:
        """Every temporal convolution, and how many input frames its own frames are apart."""
        convs = [layer.tconv for layer in residual_layers(self.blocks)]
        apart = undecimated([conv.stride for conv in convs])
        return list(zip(convs, apart, strict=True))
