"""RT-ST-GCN: a causal graph network that labels every frame, in batch and frame by frame.

Source: the realtime spatial temporal graph network of the design ("The network, exactly"); the
graph convolution is that of Yan et al., Spatial Temporal Graph Convolutional Networks (AAAI 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stgcn_ref.models.blocks import Block, ChannelNorm, FrameNorm, Observe, tell
from stgcn_ref.models.frames import start_norm
from stgcn_ref.models.window import FifoState

StreamState = list[FifoState]


class RTSTGCN(nn.Module):
    """Input norm, 1x1 embedding, blocks, mean over joints, linear classifier."""

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
        """Draw initial weights.

        Args:
            in_channels, embedding, classes: channels of input, first stream and logits.
            channels, window, dilation: one entry per block.
            adjacency: `(P, V, V)` float tensor, `x_w = sum_v x_v A[p, v, w]`.
            dropout: probability, in every block after its ReLU, training only.
        """
        super().__init__()
        self.in_channels, self.joints = in_channels, adjacency.shape[-1]
        # One feature per (joint, channel): sensors differ in scale and orientation.
        self.input_norm: ChannelNorm | FrameNorm = ChannelNorm(self.joints * in_channels)
        self.embedding = nn.Linear(in_channels, embedding)
        self.blocks = nn.ModuleList(
            Block(c_in, c_out, adjacency, w, d, dropout)
            for c_in, c_out, w, d in zip(
                (embedding, *channels[:-1]), channels, window, dilation, strict=True
            )
        )
        self.classifier = nn.Linear(channels[-1], classes)

    @property
    def receptive_field(self) -> int:
        """Frames, the present one included, that a logit depends on."""
        return 1 + sum((b.window - 1) * b.dilation for b in self._blocks())

    @property
    def latency_frames(self) -> int:
        """Frames that must follow a frame before its logits are there: none, windows look back."""
        return 0

    def forward(self, x: Tensor, observe: Observe | None = None) -> Tensor:
        """Logits of whole clips, FIFOs empty at their first frame.

        Args:
            x: `(N, C, T, V)`; integer words of the input are taken as they are, unscaled.
            observe: called with the name of every accumulator and its value `(N, C, T, V)`, before
                any ReLU: `input_norm`, `embedding`, `block{i}.conv`, `.graph`, `.sum`, `.norm`,
                `.residual` (where it is a convolution), `.add`, `pool`, `classifier` (V is 1
                there).

        Returns:
            `(N, classes, T)`.
        """
        y = self._enter(x.permute(0, 2, 3, 1), observe)
        for i, block in enumerate(self._blocks()):
            y = block(y, observe, f"block{i}")
        logits: Tensor = self._leave(y, observe)
        return logits.transpose(1, 2)

    def stream_state(self, clips: int = 1) -> StreamState:
        """Empty FIFOs of every block, for `clips` parallel clips; take a new one for each clip."""
        return [block.initial_state(clips) for block in self._blocks()]

    def step(self, frame: Tensor, state: StreamState) -> Tensor:
        """Realtime form: one frame `(N, C, V)` -> logits `(N, classes)`; moves `state` on."""
        y = self._enter(frame.unsqueeze(1).transpose(2, 3), None).squeeze(1)
        for block, fifo in zip(self._blocks(), state, strict=True):
            y = block.step(y, fifo)
        return self._leave(y.unsqueeze(1), None).squeeze(1)

    def set_input_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Start the input norm from data statistics `(C, V)`; a constant feature gets scale 1."""
        assert isinstance(self.input_norm, ChannelNorm)
        start_norm(self.input_norm, mean, variance)

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def _enter(self, x: Tensor, observe: Observe | None) -> Tensor:
        """x `(N, T, V, C)` -> `(N, T, V, embedding)`."""
        x = x.to(self.embedding.weight.dtype)
        y: Tensor = self.embedding(self.input_norm.observed(x, observe, "input_norm"))
        tell(observe, "embedding", y)
        return y

    def _leave(self, y: Tensor, observe: Observe | None) -> Tensor:
        """y `(N, T, V, C)` -> logits `(N, T, classes)`."""
        pooled = y.mean(dim=2, keepdim=True)
        tell(observe, "pool", pooled)
        logits: Tensor = self.classifier(pooled)
        tell(observe, "classifier", logits)
        return logits.squeeze(2)
