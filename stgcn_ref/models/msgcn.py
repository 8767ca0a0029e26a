"""MS-GCN of Filtjens, Vanrumste and Slaets, "Skeleton-based action segmentation with multi-stage
spatial-temporal graph convolutional neural networks" (2022), in batch and frame by frame.

A stage of dilated ST-GCN blocks labels every frame; refinement stages of dilated convolutions each
read the softmax of the stage before and label it anew. Block order as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn_ref.models.blocks import ChannelNorm, Observe, tell
from stgcn_ref.models.frames import classify, normalise, start_norm
from stgcn_ref.models.stgcn import STBlock
from stgcn_ref.models.temporal import (
    LayerState,
    ResidualLayer,
    TemporalConv,
    residual_layers,
    steps,
)

FILTERS = 64
DILATIONS = tuple(2**i for i in range(10))
TAPS = 3
REFINEMENTS = 3

StreamState = list[list[LayerState]]  # by stage


class RefinementLayer(ResidualLayer):
    """Dilated temporal convolution, norm, ReLU, plus the input; no ReLU after the sum."""

    def __init__(self, channels: int, taps: int, dilation: int) -> None:
        """Channels stay as they are; frames have one joint."""
        super().__init__()
        self.joints = 1
        self.tconv = TemporalConv(channels, channels, taps, dilation)
        self.tnorm = ChannelNorm(channels)

    def before(self, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """The convolution reads the layer's input as it is."""
        del observe, name
        return x

    def after(self, y: Tensor, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """Accumulators `.tconv` (its norm folded in) and `.add`."""
        y = self.tnorm(y)
        tell(observe, f"{name}.tconv", y)
        y = torch.relu(y) + x
        tell(observe, f"{name}.add", y)
        return y


class RefinementStage(nn.Module):
    """Softmax, 1x1 convolution, dilated layers, 1x1 convolution: logits in, better logits out."""

    def __init__(self, classes: int, filters: int, taps: int, dilations: Sequence[int]) -> None:
        """One layer per dilation, `filters` channels in all of them."""
        super().__init__()
        self.embedding = nn.Linear(classes, filters)
        self.layers = nn.ModuleList(RefinementLayer(filters, taps, d) for d in dilations)
        self.classifier = nn.Linear(filters, classes)

    def forward(self, logits: Tensor, observe: Observe | None, name: str) -> Tensor:
        """Logits `(N, T, classes)` -> logits of the same shape."""
        y = self._enter(logits, observe, name)
        for i, layer in enumerate(self.layers):
            y = layer(y, observe, f"{name}.layer{i}")
        return self._leave(y, observe, name)

    def step(self, logits: Tensor | None, state: list[LayerState]) -> Tensor | None:
        """One frame of logits `(N, 1, classes)`, `None` as in `TemporalConv.step`."""
        x = None if logits is None else self._enter(logits, None, "")
        y = steps(residual_layers(self.layers), x, state)
        return None if y is None else self._leave(y, None, "")

    def _enter(self, logits: Tensor, observe: Observe | None, name: str) -> Tensor:
        """(N, T, classes) -> (N, T, 1, filters)."""
        shares = torch.softmax(logits, dim=2).unsqueeze(2)
        tell(observe, f"{name}.softmax", shares)
        y: Tensor = self.embedding(shares)
        tell(observe, f"{name}.embedding", y)
        return y

    def _leave(self, y: Tensor, observe: Observe | None, name: str) -> Tensor:
        """(N, T, 1, filters) -> (N, T, classes)."""
        logits: Tensor = self.classifier(y)
        tell(observe, f"{name}.classifier", logits)
        return logits.squeeze(2)


class MSGCN(nn.Module):
    """Input norm, 1x1 embedding, dilated ST-GCN blocks, joint mean, classifier, refinements."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        adjacency: Tensor,
        filters: int = FILTERS,
        dilations: Sequence[int] = DILATIONS,
        taps: int = TAPS,
        refinements: int = REFINEMENTS,
        dropout: float = 0.0,
    ) -> None:
        """Adjacency `(P, V, V)`, `x_w = sum_v x_v A[p, v, w]`; all stages share the dilations."""
        super().__init__()
        self.in_channels, self.joints = in_channels, adjacency.shape[-1]
        self.input_norm = ChannelNorm(self.joints * in_channels)
        self.embedding = nn.Linear(in_channels, filters)
        self.blocks = nn.ModuleList(
            STBlock(filters, filters, adjacency, taps, d, dropout=dropout, relu_first=True)
            for d in dilations
        )
        self.classifier = nn.Linear(filters, classes)
        self.stages = nn.ModuleList(
            RefinementStage(classes, filters, taps, dilations) for _ in range(refinements)
        )

    @property
    def receptive_field(self) -> int:
        """Frames, past and future, that the last stage's logits of a frame depend on."""
        return 1 + sum(layer.tconv.span for stage in self._layers() for layer in stage)

    @property
    def latency_frames(self) -> int:
        """Frames that must follow a frame before its last stage's logits are there."""
        return sum(layer.tconv.lookahead for stage in self._layers() for layer in stage)

    def forward(
        self, x: Tensor, observe: Observe | None = None, all_stages: bool = False
    ) -> Tensor:
        """Logits of whole clips, frames outside a clip zero at every temporal convolution.

        Args:
            x: `(N, C, T, V)`; integer words of the input are taken as they are, unscaled.
            observe: called with the name of every accumulator and its value `(N, C, T, V)`, before
                any ReLU: `input_norm`, `embedding`, `block{i}.conv`, `.graph`, `.norm`, `.tconv`
                (its norm folded in), `.add`, `pool`, `classifier`; then for each refinement s from
                1 on `stage{s}.softmax`, `.embedding`, `.layer{i}.tconv`, `.layer{i}.add`,
                `.classifier` (V is 1 from `pool` on).
            all_stages: whether to return the logits of every stage instead of the last one's.

        Returns:
            `(N, classes, T)`, or `(stages, N, classes, T)`.
        """
        y = self._enter(x.permute(0, 2, 3, 1), observe)
        for i, block in enumerate(self.blocks):
            y = block(y, observe, f"block{i}")
        logits = [classify(self.classifier, y, observe)]
        for s, stage in enumerate(self.stages, start=1):
            logits.append(stage(logits[-1], observe, f"stage{s}"))
        if all_stages:
            return torch.stack(logits).transpose(2, 3)
        return logits[-1].transpose(1, 2)

    def stream_state(self, clips: int = 1) -> StreamState:
        """Empty memories for `clips` parallel clips; take a new one for each clip."""
        return [[layer.initial_state(clips) for layer in stage] for stage in self._layers()]

    def step(self, frame: Tensor | None, state: StreamState) -> Tensor | None:
        """Realtime form: one frame `(N, C, V)` in, last stage's logits `(N, classes)` out.

        The logits are those of the frame `latency_frames` earlier; `None` while there is no such
        frame. After the last frame, `None` as the frame fetches the logits that are still due.
        """
        x = None if frame is None else self._enter(frame.unsqueeze(1).transpose(2, 3), None)
        y = steps(residual_layers(self.blocks), x, state[0])
        logits = None if y is None else classify(self.classifier, y, None)
        for stage, memory in zip(self._refinements(), state[1:], strict=True):
            logits = stage.step(logits, memory)
        return None if logits is None else logits.squeeze(1)

    def set_input_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Start the input norm from data statistics `(C, V)`; a constant feature gets scale 1."""
        start_norm(self.input_norm, mean, variance)

    def _refinements(self) -> list[RefinementStage]:
        return [stage for stage in self.stages if isinstance(stage, RefinementStage)]

    def _layers(self) -> list[list[ResidualLayer]]:
        stages = (self.blocks, *(stage.layers for stage in self._refinements()))
        return [residual_layers(layers) for layers in stages]

    def _enter(self, x: Tensor, observe: Observe | None) -> Tensor:
        """x `(N, T, V, C)` -> `(N, T, V, filters)`."""
        y: Tensor = self.embedding(normalise(self.input_norm, x, observe))
        tell(observe, "embedding", y)
        return y
