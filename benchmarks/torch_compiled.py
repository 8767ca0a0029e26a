"""The float network as one function of a chunk of frames, by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.torch_folded import PADDED, Folded, Slot, window_sum


class ChunkNet(nn.Module):
    """One chunk as a function, for `torch.compile`: frames and histories in, logits and new ones.

    Its constants are the module's, so that the compiler may pack them.
    """

    def __init__(self, net: Folded) -> None:
        """Take the constants."""
        super().__init__()
        self.layers = net.layers
        self.scale, self.shift = nn.Buffer(net.scale), nn.Buffer(net.shift)
        self.embedding = _frozen(*net.embedding)
        self.classifier = _frozen(*net.classifier)
        self.products = nn.ModuleList(_frozen(x.weight, x.bias) for x in net.layers)
        self.shortcuts = nn.ModuleList(
            _frozen(*x.residual) if x.residual else nn.Identity() for x in net.layers
        )

    def forward(
        self, x: Tensor, counts: tuple[Tensor, ...], histories: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x (T, C, V); a layer's history is (reach, V, Ci), its counts those of `Layer.counts`."""
        y = self.embedding(x.transpose(1, 2) * self.scale + self.shift)
        kept = []
        for i, layer in enumerate(self.layers):
            past = torch.cat([histories[i], y])
            kept.append(past[len(past) - layer.reach :])
            sums = window_sum(past, len(x), layer.window, layer.dilation)
            constants = layer.columns * counts[i][:, None, None]
            parts = [_aggregate(sums, slot) for slot in layer.slots]
            constants = F.pad(constants, (0, PADDED - constants.shape[2]))
            z = self.products[i](torch.cat([*parts, constants], dim=2)).relu()
            if layer.residual or layer.identity:
                z = z + self.shortcuts[i](y)
            y = z.relu() if layer.signed else z
        return self.classifier(y.mean(dim=1)), tuple(kept)


class Compiled:
    """The network by `torch.compile`, constants frozen, chunk by chunk."""

    def __init__(self, net: Folded, chunk: int) -> None:
        """Compiles at its first call, for each length of a chunk."""
        self.net, self.chunk = net, chunk
        self.net_of_a_chunk = ChunkNet(net).eval()
        self.step: Callable[..., Any] | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """A whole clip."""
        if self.step is None:
            options = {"freezing": True}
            self.step = torch.compile(self.net_of_a_chunk, dynamic=False, options=options)
        layers, joints = self.net.layers, x.shape[2]
        histories = tuple(torch.zeros(k.reach, joints, k.inputs) for k in layers)
        logits = []
        for t in range(0, len(x), self.chunk):
            frames = x[t : t + self.chunk]
            counts = tuple(layer.counts(t, len(frames)) for layer in layers)
            y, histories = self.step(frames, counts, histories)
            logits.append(y)
        return torch.cat(logits)


def _aggregate(x: Tensor, slot: Slot) -> Tensor:
    """x (T, V, C) times one partition's adjacency."""
    y = (x if slot.source is None else x[:, slot.source]) * slot.factor
    if slot.further:
        joints, sources, factors = zip(*slot.further, strict=True)
        more = x[:, list(sources)] * torch.tensor(factors)[:, None]
        y = y.index_add(1, torch.tensor(joints), more)
    return y


def _frozen(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight, linear.bias = (nn.Parameter(x, requires_grad=False) for x in (weight, bias))
    return linear
