"""Convolution over time, in batch and frame by frame, and the residual layers built around it.

ST-GCN, CoST-GCN, MS-GCN and the residual TCN all convolve over time in this one place. A tap may
look ahead of the frame it computes, so a streaming layer answers for frame t only once `lookahead`
more frames have come. Until then it answers `None`, and after a clip's last frame it is fed `None`
(zeros, the padding of the batch form) until it has answered for every frame: no frame is lost, and
every answer equals the batch form's. Frames are clips of one frame, `(N, 1, V, C)`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stgcn_ref.models.blocks import Observe


@dataclass
class ConvState:
    """What a temporal convolution remembers between frames.

    fifo `(span + 1, N, V, C)`: a ring of the last frames. `pushed` counts the frames that went in,
    padding included, `received` those of the clip, `emitted` the answers.
    """

    fifo: Tensor
    pushed: int = 0
    received: int = 0
    emitted: int = 0


class TemporalConv(nn.Module):
    """`y_t = b + sum_k W_k x_{t * stride + lookahead - (taps - 1 - k) * dilation}`.

    x is zero outside the clip; the last tap is the newest frame, as in a torch convolution. weight
    `(out_channels, in_channels, taps)`, bias `(out_channels,)`. The default lookahead,
    `(taps - 1) * dilation // 2`, is symmetric padding; 0 is causal.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        taps: int,
        dilation: int = 1,
        stride: int = 1,
        lookahead: int | None = None,
    ) -> None:
        """Taps `dilation` frames apart; every `stride`-th frame is computed, from the first on."""
        super().__init__()
        self.taps, self.dilation, self.stride = taps, dilation, stride
        self.lookahead = self.span // 2 if lookahead is None else lookahead
        bound = 1 / math.sqrt(in_channels * taps)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, taps))
        self.bias = nn.Parameter(torch.empty(out_channels))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    @property
    def span(self) -> int:
        """Frames between the oldest tap and the newest."""
        return (self.taps - 1) * self.dilation

    def forward(self, x: Tensor) -> Tensor:
        """x `(N, T, V, in_channels)` -> `(N, ceil(T / stride), V, out_channels)`, whole clips."""
        # (C, V, T) from the last axis on: only time is padded
        padded = F.pad(x, (0, 0, 0, 0, self.span - self.lookahead, self.lookahead))
        return self._convolve(padded, self.dilation)

    def step(self, x: Tensor | None, state: ConvState) -> Tensor | None:
        """Take one frame `(N, 1, V, in_channels)` in and answer for the frame `lookahead` earlier.

        `None` before the first frame means that nothing has come yet, after it that the clip is
        over. The answer is `None` while there is nothing to answer.

        Raises:
            ValueError: a frame follows the end of the clip.
        """
        if x is None:
            if state.received == state.emitted:
                return None
            x = torch.zeros_like(state.fifo[0]).unsqueeze(1)
        elif state.received < state.pushed:
            raise ValueError("a frame follows the end of the clip: a new clip needs a new state")
        else:
            state.received += 1
        size = self.span + 1
        state.fifo[state.pushed % size] = x.squeeze(1)
        state.pushed += 1
        if state.pushed <= self.lookahead:
            return None
        state.emitted += 1
        slots = [(state.pushed + k * self.dilation) % size for k in range(self.taps)]
        return self._convolve(state.fifo[slots].transpose(0, 1), 1)

    def initial_state(self, clips: int, joints: int) -> ConvState:
        """An empty FIFO for `clips` parallel clips of frames with `joints` joints."""
        assert self.stride == 1, "a strided layer has no realtime form; see costgcn.continual"
        return ConvState(self.weight.new_zeros(self.span + 1, clips, joints, self.weight.shape[1]))

    def _convolve(self, x: Tensor, dilation: int) -> Tensor:
        """Taps over x `(N, T, V, C)` without padding; channels-last memory on both sides."""
        if x.shape[2] == 1:
            # Time as the inner axis: measured, this trains twice as fast. With several joints it is
            # slower than the form below, and so are one product per tap and one of all taps.
            y = F.conv2d(
                x.permute(0, 3, 2, 1),
                self.weight.unsqueeze(2),
                self.bias,
                stride=(1, self.stride),
                dilation=(1, dilation),
            )
            return y.permute(0, 3, 2, 1)
        y = F.conv2d(
            x.permute(0, 3, 1, 2),
            self.weight.unsqueeze(3),
            self.bias,
            stride=(self.stride, 1),
            dilation=(dilation, 1),
        )
        return y.permute(0, 2, 3, 1)


@dataclass
class LayerState:
    """A residual layer between frames: its convolution's FIFO, and the inputs that wait for it."""

    conv: ConvState
    waiting: deque[Tensor] = field(default_factory=deque)


class ResidualLayer(nn.Module, ABC):
    """`after(tconv(before(x)), x)`: a temporal convolution inside a residual connection.

    In the realtime form the layer's input waits in a delay line of `lookahead` frames until the
    convolution answers for the same frame.
    """

    tconv: TemporalConv
    joints: int

    @abstractmethod
    def before(self, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """What the convolution reads, frame by frame from x `(N, T, V, C)`."""

    @abstractmethod
    def after(self, y: Tensor, x: Tensor, observe: Observe | None, name: str) -> Tensor:
        """The layer's output from the convolution's y and the same frames of the input x."""

    def forward(self, x: Tensor, observe: Observe | None = None, name: str = "") -> Tensor:
        """Whole clips, x `(N, T, V, C)`."""
        y = self.tconv(self.before(x, observe, name))
        return self.after(y, x[:, :: self.tconv.stride], observe, name)

    def step(self, x: Tensor | None, state: LayerState) -> Tensor | None:
        """One frame, `None` as in `TemporalConv.step`; moves `state` on."""
        inner = None
        if x is not None:
            state.waiting.append(x)
            inner = self.before(x, None, "")
        y = self.tconv.step(inner, state.conv)
        return None if y is None else self.after(y, state.waiting.popleft(), None, "")

    def initial_state(self, clips: int) -> LayerState:
        """Empty memories for `clips` parallel clips."""
        return LayerState(self.tconv.initial_state(clips, self.joints))


def residual_layers(modules: Iterable[nn.Module]) -> list[ResidualLayer]:
    """The modules of a `ModuleList` by their type."""
    layers = list(modules)
    assert all(isinstance(layer, ResidualLayer) for layer in layers)
    return layers  # type: ignore[return-value]


def steps(
    layers: Sequence[ResidualLayer], x: Tensor | None, states: Sequence[LayerState]
) -> Tensor | None:
    """One frame through a chain of layers; an answer that is not there yet is `None`."""
    for layer, state in zip(layers, states, strict=True):
        x = layer.step(x, state)
    return x


def undecimated(strides: Sequence[int]) -> tuple[int, ...]:
    """Dilation of each layer that makes a strided chain answer for every frame.

    A layer behind strides of product s reads frames s apart. Without the strides, and with taps s
    times as far apart, it gives the same value on every s-th frame, and further ones between.
    """
    return tuple(accumulate((1, *strides[:-1]), mul))


class Streaming(Protocol):
    """A network with a realtime form: logits of a frame come `latency_frames` frames later."""

    @property
    def latency_frames(self) -> int:
        """Frames that must follow a frame before its logits are there."""

    def stream_state(self, clips: int = 1) -> Any:
        """Empty memories for `clips` parallel clips; take a new one for each clip."""

    def step(self, frame: Any, state: Any) -> Tensor | None:
        """One frame `(N, C, V)`, `None` after the last one -> logits `(N, classes)` or `None`."""


def stream(net: Streaming, x: Tensor) -> Tensor:
    """Whole clips x `(N, C, T, V)` through the realtime form; logits `(N, classes, T)`.

    The clip is followed by `latency_frames` empty steps, so that every frame gets its logits.
    """
    state, frames = net.stream_state(x.shape[0]), x.shape[2]
    answers = [net.step(x[:, :, t], state) for t in range(frames)]
    answers += [net.step(None, state) for _ in range(net.latency_frames)]
    return torch.stack([y for y in answers if y is not None], dim=2)
