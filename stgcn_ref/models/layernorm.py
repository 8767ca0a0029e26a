"""RT-ST-GCN with the norms of the published code: LayerNorm, or BatchNorm without statistics.

Realtime-ST-GCN (github.com/maximyudayev/Realtime-ST-GCN) normalises each frame over its channels
and joints, or each batch by itself. Only the first can run in realtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from torch import Tensor, nn

from fxp.errors import InputError
from stgcn_ref.models.blocks import ChannelNorm, FrameNorm
from stgcn_ref.models.rtstgcn import RTSTGCN


class LayerNormRTSTGCN(RTSTGCN):
    """RT-ST-GCN with a LayerNorm over channels and joints of each frame in place of every norm."""

    def __init__(
        self,
        in_channels: int,
        embedding: int,
        channels: Sequence[int],
        window: Sequence[int],
        dilation: Sequence[int],
        classes: int,
        adjacency: Tensor,
        dropout: float = 0.0,
    ) -> None:
        """Draw initial weights; arguments as in `RTSTGCN`."""
        super().__init__(
            in_channels, embedding, channels, window, dilation, classes, adjacency, dropout
        )
        self.register_module("input_norm", FrameNorm((self.joints * in_channels,)))
        for block in self._blocks():
            features = (self.joints, block.gcn.out_channels)
            block.register_module("norm", FrameNorm(features))
            if isinstance(block.residual, nn.Sequential):
                block.residual[1] = FrameNorm(features)

    def set_input_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Nothing starts from data statistics: every frame is normalised by itself."""


class BatchStatisticsRTSTGCN(RTSTGCN):
    """RT-ST-GCN whose norms keep no statistics and normalise every batch by its own, always.

    So it was published with BatchNorm (`track_running_stats=False`): a frame's logits depend on all
    other frames of the batch, future ones included. There is no realtime form, and no export.
    """

    def __init__(
        self,
        in_channels: int,
        embedding: int,
        channels: Sequence[int],
        window: Sequence[int],
        dilation: Sequence[int],
        classes: int,
        adjacency: Tensor,
        dropout: float = 0.0,
    ) -> None:
        """Draw initial weights; arguments as in `RTSTGCN`."""
        super().__init__(
            in_channels, embedding, channels, window, dilation, classes, adjacency, dropout
        )
        for norm in [m for m in self.modules() if isinstance(m, ChannelNorm)]:
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None

    def set_input_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Nothing starts from data statistics: every batch is normalised by itself."""

    def stream_state(self, clips: int = 1) -> NoReturn:
        """There is no realtime form.

        Raises:
            InputError: always.
        """
        del clips
        raise InputError(
            "the norms have no running statistics (track_running_stats=False) and normalise a "
            "whole batch: this network has no realtime form; train it with running statistics"
        )
