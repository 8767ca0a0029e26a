"""CoST-GCN: ST-GCN that labels every frame, in batch and frame by frame.

The continual form of Hedegaard, Heidari and Iosifidis, "Continual spatio-temporal graph
convolutional networks" (2023): each temporal convolution keeps a FIFO, each shortcut waits in a
delay line as long as its convolution's lookahead. Without strides every frame has logits, which is
also the frame-wise ST-GCN for segmentation. Two layouts: the published ten blocks (no embedding,
no shortcut in the first block), and, with an embedding, that of RT-ST-GCN with a learnt temporal
convolution in place of the window sum (`ArchSpec` family `costgcn`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fxp.spec import ArchSpec
from stgcn_ref.models.blocks import ChannelNorm, Observe, tell
from stgcn_ref.models.frames import classify, normalise, start_norm
from stgcn_ref.models.stgcn import CHANNELS, STGCN, TAPS, STBlock, give_shortcut
from stgcn_ref.models.temporal import LayerState, residual_layers, steps, undecimated


class CoSTGCN(nn.Module):
    """Input norm, optional 1x1 embedding, blocks, mean over joints, linear classifier."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        adjacency: Tensor,
        channels: Sequence[int] = CHANNELS,
        taps: Sequence[int] | int = TAPS,
        dilation: Sequence[int] | int = 1,
        embedding: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Adjacency `(P, V, V)`, `x_w = sum_v x_v A[p, v, w]`; taps and dilation one for all blocks
        or one a block; `embedding` is the width of the 1x1 convolution in front, if there is one.
        """
        super().__init__()
        depth = len(channels)
        taps = (taps,) * depth if isinstance(taps, int) else taps
        dilation = (dilation,) * depth if isinstance(dilation, int) else dilation
        self.in_channels, self.joints = in_channels, adjacency.shape[-1]
        self.input_norm = ChannelNorm(self.joints * in_channels)
        self.embedding = None if embedding is None else nn.Linear(in_channels, embedding)
        first = in_channels if embedding is None else embedding
        self.blocks = nn.ModuleList(
            STBlock(
                c_in,
                c_out,
                adjacency,
                k,
                d,
                dropout=dropout,
                shortcut=i > 0 or embedding is not None,
            )
            for i, (c_in, c_out, k, d) in enumerate(
                zip((first, *channels[:-1]), channels, taps, dilation, strict=True)
            )
        )
        self.classifier = nn.Linear(channels[-1], classes)

    @property
    def receptive_field(self) -> int:
        """Frames, past and future, that the logits of a frame depend on."""
        return 1 + sum(layer.tconv.span for layer in residual_layers(self.blocks))

    @property
    def latency_frames(self) -> int:
        """Frames that must follow a frame before its logits are there."""
        return sum(layer.tconv.lookahead for layer in residual_layers(self.blocks))

    def forward(self, x: Tensor, observe: Observe | None = None) -> Tensor:
        """Logits of whole clips, frames outside a clip zero at every temporal convolution.

        Args:
            x: `(N, C, T, V)`; integer words of the input are taken as they are, unscaled.
            observe: called with the name of every accumulator and its value `(N, C, T, V)`, before
                any ReLU: `input_norm`, `embedding`, `block{i}.conv`, `.graph`, `.norm`, `.tconv`
                (its norm folded in), `.residual` (a shortcut that is a convolution), `.add`,
                `pool`, `classifier` (V is 1 there).

        Returns:
            `(N, classes, T)`.
        """
        y = self._enter(x.permute(0, 2, 3, 1), observe)
        for i, block in enumerate(self.blocks):
            y = block(y, observe, f"block{i}")
        return classify(self.classifier, y, observe).transpose(1, 2)

    def stream_state(self, clips: int = 1) -> list[LayerState]:
        """Empty memories for `clips` parallel clips; take a new one for each clip."""
        return [layer.initial_state(clips) for layer in residual_layers(self.blocks)]

    def step(self, frame: Tensor | None, state: list[LayerState]) -> Tensor | None:
        """Realtime form: one frame `(N, C, V)` in, logits `(N, classes)` out; moves `state` on.

        The logits are those of the frame `latency_frames` earlier; `None` while there is no such
        frame. After the last frame, `None` as the frame fetches the logits that are still due.
        """
        x = None if frame is None else self._enter(frame.unsqueeze(1).transpose(2, 3), None)
        y = steps(residual_layers(self.blocks), x, state)
        return None if y is None else classify(self.classifier, y, None).squeeze(1)

    def set_input_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Start the input norm from data statistics `(C, V)`; a constant feature gets scale 1."""
        start_norm(self.input_norm, mean, variance)

    def _enter(self, x: Tensor, observe: Observe | None) -> Tensor:
        """x `(N, T, V, C)` -> `(N, T, V, embedding)`, or without an embedding the same shape."""
        y = normalise(self.input_norm, x, observe)
        if self.embedding is not None:
            y = self.embedding(y)
            tell(observe, "embedding", y)
        return y


def continual(net: STGCN) -> CoSTGCN:
    """The clip-level `net` as a network of frames, with copies of its weights, in eval mode.

    A stride is left out and the layers behind it get dilations in its place: with s the product of
    all strides, the logits of `net` are the mean over persons and over every s-th frame's logits.
    """
    blocks = [block for block in net.blocks if isinstance(block, STBlock)]
    made = CoSTGCN(
        net.in_channels,
        net.classifier.out_features,
        blocks[0].gcn.adjacency,
        [block.gcn.out_channels for block in blocks],
        [block.tconv.taps for block in blocks],
        undecimated([block.tconv.stride for block in blocks]),
    )
    for old, new in zip(blocks, made.blocks, strict=True):
        assert isinstance(new, STBlock)
        if isinstance(old.shortcut, nn.Sequential) and isinstance(new.shortcut, nn.Identity):
            give_shortcut(new)  # a stride alone has made this one a convolution
    made.load_state_dict(net.state_dict())
    return made.eval()


def continual_arch(arch: ArchSpec) -> ArchSpec:
    """The architecture of `continual(net)`, from that of the clip-level `net` (family stgcn)."""
    told = {
        "family": "costgcn",
        "persons": 1,
        "stride": (1,),
        "dilation": undecimated(arch.stride),
        # a stride alone has made some of them convolutions
        "residual": tuple("conv" if kind == "conv" else "auto" for kind in arch.residuals),
    }
    return ArchSpec.model_validate(arch.model_dump() | told)
