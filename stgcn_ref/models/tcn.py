"""The residual temporal convolution network that ST-GCN is compared with, without any graph.

Kim and Reiter, "Interpretable 3D Human Action Analysis with Temporal Convolutional Networks"
(2017): all joints of a frame are one vector, pre-activated residual blocks convolve over time. The
published network halves the frame rate twice and pools over the clip; here the layers behind a
stride are dilated instead, so that every frame has logits (their mean over every fourth frame is
the published clip-level answer, the classifier being linear). The input norm is an addition, so
that raw sensor words can be fed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn_ref.models.blocks import ChannelNorm, FeatureDropout, Observe, tell
from stgcn_ref.models.frames import normalise, start_norm
from stgcn_ref.models.temporal import (
    ConvState,
    LayerState,
    ResidualLayer,
    TemporalConv,
    residual_layers,
    steps,
    undecimated,
)

CHANNELS = (64, 64, 64, 128, 128, 128, 256, 256, 256)
STRIDES = (1, 1, 1, 2, 1, 1, 2, 1, 1)
STEM = 64
TAPS = 8

StreamState = tuple[ConvState, list[LayerState]]


def _ahead(taps: int, dilation: int) -> int:
    """Lookahead of Keras's `same` padding: of an even number of taps one more lies ahead."""
    return taps // 2 * dilation


class TCNBlock(ResidualLayer):
    """Norm, ReLU, dropout, temporal convolution, plus shortcut (identity or 1x1 convolution)."""

    def __init__(
        self, in_channels: int, out_channels: int, taps: int, dilation: int, dropout: float
    ) -> None:
        """Frames have one joint; dropout of whole features, in training only."""
        super().__init__()
        self.joints = 1
        self.norm = ChannelNorm(in_channels)
        self.dropout = FeatureDropout(dropout)
        ahead = _ahead(taps, dilation)
        self.tconv = TemporalConv(in_channels, out_channels, taps, dilation, lookahead=ahead)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Linear(in_channels, out_channels)

    def before(self, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """x `(N, T, 1, in_channels)`; accumulator `.norm`."""
        y = self.norm(x)
        tell(observe, f"{name}.norm", y)
        active: Tensor = self.dropout(torch.relu(y))
        return active

    def after(self, y: Tensor, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """The sum `(N, T, 1, out_channels)`; accumulators `.tconv`, `.residual`, `.add`."""
        tell(observe, f"{name}.tconv", y)
        x = self.shortcut(x)
        if isinstance(self.shortcut, nn.Linear):
            tell(observe, f"{name}.residual", x)
        y = y + x
        tell(observe, f"{name}.add", y)
        return y


class TCN(nn.Module):
    """Input norm, temporal convolution over all joints, blocks, norm, ReLU, classifier."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        joints: int,
        channels: Sequence[int] = CHANNELS,
        dilation: Sequence[int] = undecimated(STRIDES),
        taps: int = TAPS,
        stem: int = STEM,
        dropout: float = 0.0,
    ) -> None:
        """Channels and dilation: one entry a block; `stem`: width of the first convolution."""
        super().__init__()
        self.in_channels, self.joints = in_channels, joints
        self.input_norm = ChannelNorm(joints * in_channels)
        self.stem = TemporalConv(joints * in_channels, stem, taps, lookahead=_ahead(taps, 1))
        self.blocks = nn.ModuleList(
            TCNBlock(c_in, c_out, taps, d, dropout)
            for c_in, c_out, d in zip((stem, *channels[:-1]), channels, dilation, strict=True)
        )
        self.norm = ChannelNorm(channels[-1])
        self.classifier = nn.Linear(channels[-1], classes)

    @property
    def receptive_field(self) -> int:
        """Frames, past and future, that the logits of a frame depend on."""
        return 1 + sum(conv.span for conv in self._convs())

    @property
    def latency_frames(self) -> int:
        """Frames that must follow a frame before its logits are there."""
        return sum(conv.lookahead for conv in self._convs())

    def forward(self, x: Tensor, observe: Observe | None = None) -> Tensor:
        """Logits of whole clips, frames outside a clip zero at every temporal convolution.

        Args:
            x: `(N, C, T, V)`; integer words of the input are taken as they are, unscaled.
            observe: called with the name of every accumulator and its value `(N, C, T, V)`, before
                any ReLU: `input_norm`, `stem`, `block{i}.norm`, `.tconv`, `.residual` (where
                channels change), `.add`, `norm`, `classifier` (V is 1 from `stem` on).

        Returns:
            `(N, classes, T)`.
        """
        y = self.stem(self._enter(x.permute(0, 2, 3, 1), observe))
        tell(observe, "stem", y)
        for i, block in enumerate(self.blocks):
            y = block(y, observe, f"block{i}")
        return self._leave(y, observe).transpose(1, 2)

    def stream_state(self, clips: int = 1) -> StreamState:
        """Empty memories for `clips` parallel clips; take a new one for each clip."""
        layers = residual_layers(self.blocks)
        return self.stem.initial_state(clips, 1), [layer.initial_state(clips) for layer in layers]

    def step(self, frame: Tensor | None, state: StreamState) -> Tensor | None:
        """Realtime form: one frame `(N, C, V)` in, logits `(N, classes)` out; moves `state` on.

        The logits are those of the frame `latency_frames` earlier; `None` while there is no such
        frame. After the last frame, `None` as the frame fetches the logits that are still due.
        """
        x = None if frame is None else self._enter(frame.unsqueeze(1).transpose(2, 3), None)
        y = steps(residual_layers(self.blocks), self.stem.step(x, state[0]), state[1])
        return None if y is None else self._leave(y, None).squeeze(1)

    def set_input_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Start the input norm from data statistics `(C, V)`; a constant feature gets scale 1."""
        start_norm(self.input_norm, mean, variance)

    def _convs(self) -> list[TemporalConv]:
        return [self.stem, *(layer.tconv for layer in residual_layers(self.blocks))]

    def _enter(self, x: Tensor, observe: Observe | None) -> Tensor:
        """x `(N, T, V, C)` -> `(N, T, 1, V * C)`."""
        return normalise(self.input_norm, x, observe).flatten(2).unsqueeze(2)

    def _leave(self, y: Tensor, observe: Observe | None) -> Tensor:
        """y `(N, T, 1, C)` -> logits `(N, T, classes)`."""
        y = self.norm(y)
        tell(observe, "norm", y)
        logits: Tensor = self.classifier(torch.relu(y))
        tell(observe, "classifier", logits)
        return logits.squeeze(2)
