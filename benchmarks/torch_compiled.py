"""The float network as one function of a chunk of frames, by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.torch_folded import PADDED, Folded, Slot, window_sum

_PACKED: list[
    tuple[Tensor, Tensor]
] = []  # by index, as a compiled graph cannot hold packed weights


@library.custom_op(
    "benchmarks::product",
    mutates_args=(),
    schema="(Tensor x, int index, int outputs, bool relu) -> Tensor",
)
def product(x: Tensor, index: int, outputs: int, relu: bool) -> Tensor:
    """x (rows, Cin) times weights that `_packed` has given an index, plus bias: (rows, outputs)."""
    assert len(_PACKED[index][1]) == outputs
    packed, bias = _PACKED[index]
    y: Tensor = torch.ops.mkldnn._linear_pointwise(
        x, packed, bias, "relu" if relu else "none", [], ""
    )
    return y


@product.register_fake
def _shape(x: Tensor, index: int, outputs: int, relu: bool) -> Tensor:  # noqa: ARG001
    return x.new_empty(len(x), outputs)


def _packed(weight: Tensor, bias: Tensor) -> tuple[int, int]:
    """The index and the outputs of a product by these weights."""
    _PACKED.append((torch.ops.mkldnn._reorder_linear_weight(weight, None), bias))
    return len(_PACKED) - 1, len(bias)


def _of_joints(x: Tensor, by: tuple[int, int], relu: bool) -> Tensor:
    """A product, (T, V, Cin) -> (T, V, Cout)."""
    y: Tensor = product(x.flatten(0, 1), *by, relu)
    return y.view(*x.shape[:2], -1)


class ChunkNet(nn.Module):
    """One chunk as a function, for `torch.compile`: frames and histories in, logits and new ones.

    The compiler fuses what stands between matrix products. It would call MKL for those in float32,
    so they are an operation of their own, which calls oneDNN.
    """

    def __init__(self, net: Folded) -> None:
        """Take the constants."""
        super().__init__()
        self.layers = net.layers
        self.scale, self.shift = nn.Buffer(net.scale), nn.Buffer(net.shift)
        self.embedding, self.classifier = _packed(*net.embedding), _packed(*net.classifier)
        self.products = [_packed(layer.weight, layer.bias) for layer in net.layers]
        self.shortcuts = [layer.residual and _packed(*layer.residual) for layer in net.layers]

    def forward(
        self, x: Tensor, counts: tuple[Tensor, ...], histories: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x (T, C, V); a layer's history is (reach, V, Ci), its counts those of `Layer.counts`."""
        y = _of_joints(x.transpose(1, 2) * self.scale + self.shift, self.embedding, False)
        kept = []
        for i, layer in enumerate(self.layers):
            past = torch.cat([histories[i], y])
            kept.append(past[len(past) - layer.reach :])
            sums = window_sum(past, len(x), layer.window, layer.dilation)
            constants = layer.columns * counts[i][:, None, None]
            parts = [_aggregate(sums, slot) for slot in layer.slots]
            constants = F.pad(constants, (0, PADDED - constants.shape[2]))
            z = _of_joints(torch.cat([*parts, constants], dim=2), self.products[i], True)
            shortcut = self.shortcuts[i]
            if shortcut is not None:
                z = z + _of_joints(y, shortcut, False)
            elif layer.identity:
                z = z + y
            y = z.relu() if layer.signed else z
        return product(y.mean(dim=1), *self.classifier, False), tuple(kept)


class Compiled:
    """The network by `torch.compile`, chunk by chunk."""

    def __init__(self, net: Folded, chunk: int) -> None:
        """Compiles at its first call, for each length of a chunk."""
        self.net, self.chunk = net, chunk
        self.net_of_a_chunk = ChunkNet(net).eval()
        self.step: Callable[..., Any] | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """A whole clip."""
        if self.step is None:
            self.step = torch.compile(self.net_of_a_chunk, dynamic=False, fullgraph=True)
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
