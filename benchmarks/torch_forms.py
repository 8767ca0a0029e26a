"""An RT-ST-GCN in float32 by torch, in the fastest forms found: what integer speed is held against.

All maps of a layer but its ReLUs are linear, so their order is free: the window sum comes first,
on the fewest channels, then the adjacency, one gather for each non-zero it needs, then all
partitions in one matrix product, whose bias and ReLU are part of it. Norms are folded. Clips pass
in chunks that stay in the second-level cache; a layer keeps the frames that its window reaches
back to. Tensors are channels-last, (T, V, C), on one thread.

On processors where torch's `linear` (MKL) does not use the widest vectors, the oneDNN product that
`torch.compile` also calls does; both are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fxp.cast import FloatArray
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.spec import ArchSpec
from stgcn_ref.folding import rebuild
from stgcn_ref.models.rtstgcn import RTSTGCN

CHUNK = 64  # frames
PADDED = 16  # columns of constants, of which one a partition is in use: rows stay aligned
# x (rows, Cin), with ReLU or not -> (rows, Cout)
Product = Callable[[Tensor, bool], Tensor]
MakeProduct = Callable[[Tensor, Tensor | None], Product]


@dataclass(frozen=True, eq=False)
class Slot:
    """One source per joint of a partition: `u[:, w] = x[:, source[w]] * factor[w]`.

    Joints without one have a factor of zero. `further` are the joints' other non-zeros: (joint,
    source, factor).
    """

    source: Tensor | None  # None: the joint itself
    factor: Tensor  # (V, 1)
    further: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """A folded layer. weight `(Co, P * Ci + PADDED)`: columns of constants carry the convs' bias.

    The constants of a joint are the sums of its adjacency's columns, times the frames in its
    window; `columns` `(V, P)` are those of one frame.
    """

    window: int
    dilation: int
    inputs: int
    slots: tuple[Slot, ...]
    adjacency: Tensor  # (V * P, V)
    columns: Tensor
    weight: Tensor
    bias: Tensor
    residual: tuple[Tensor, Tensor] | None  # weight and bias of its convolution
    identity: bool  # the residual is the layer's input
    signed: bool  # the sum with the residual can be negative, so its ReLU acts

    @property
    def reach(self) -> int:
        """Frames before the present one that the window reaches back to."""
        return (self.window - 1) * self.dilation

    def counts(self, first: int, frames: int) -> Tensor:
        """Frames of the clip in the windows of `frames` frames from `first` on, (T,)."""
        t = torch.arange(first, first + frames)
        return (t // self.dilation + 1).clamp(max=self.window).float()


@dataclass(frozen=True, eq=False)
class Folded:
    """All constants of the network; scale and shift of the input are (V, Cin)."""

    scale: Tensor
    shift: Tensor
    embedding: tuple[Tensor, Tensor]
    layers: tuple[Layer, ...]
    classifier: tuple[Tensor, Tensor]


def forms(
    arch: ArchSpec, params: Mapping[str, FloatArray], chunk: int = CHUNK
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions from clips (T, C, V) to logits (T, classes), by name; sets one thread.

    `params` are those of a `FloatNet`. "as trained" is this project's own model.

    Raises:
        InputError: the network is no RT-ST-GCN with foldable norms.
    """
    torch.set_num_threads(1)
    net = fold(arch, params)
    model = rebuild(FloatNet(arch, params, meta={"fold": "weights"}))
    return {
        "as trained": partial(_as_trained, model),
        "eager, MKL": Eager(net, mkl, chunk),
        "eager, oneDNN": Eager(net, onednn, chunk),
        "compiled": Compiled(net, chunk),
    }


def fold(arch: ArchSpec, params: Mapping[str, FloatArray]) -> Folded:
    """The network's constants, every norm's scale in the weights before it.

    Raises:
        InputError: another family, or LayerNorms.
    """
    if arch.family != "rtstgcn" or arch.norm != "batch":
        raise InputError(f"torch forms: an rtstgcn with batch norms is needed, got {arch.family}")
    return Folded(
        _tensor(params["input_norm.scale"].T),
        _tensor(params["input_norm.bias"].T),
        _linear(params, "embedding"),
        tuple(_layer(arch, params, i) for i in range(len(arch.channels))),
        _linear(params, "classifier"),
    )


def _layer(arch: ArchSpec, params: Mapping[str, FloatArray], i: int) -> Layer:
    name, residual = f"block{i}", arch.residuals[i]
    adjacency = params[f"{name}.graph.adjacency"]
    partitions, joints, _ = adjacency.shape
    scale = params[f"{name}.norm.scale"]  # (Co, 1)
    weight = params[f"{name}.conv.weight"].reshape(partitions, len(scale), -1)
    bias = params[f"{name}.conv.bias"].reshape(partitions, len(scale))
    wide = np.zeros((len(scale), PADDED))
    wide[:, :partitions] = bias.T
    side_by_side = weight.transpose(1, 0, 2).reshape(len(scale), -1)  # (Co, P * Ci)
    return Layer(
        arch.window[i],
        arch.dilation[i],
        weight.shape[2],
        tuple(_slot(matrix) for matrix in adjacency),
        _tensor(adjacency.transpose(2, 0, 1).reshape(joints * partitions, joints)),
        _tensor(adjacency.sum(axis=1).T),
        _tensor(scale * np.concatenate([side_by_side, wide], axis=1)),
        _tensor(params[f"{name}.norm.bias"][:, 0]),
        _linear(params, f"{name}.residual") if residual == "conv" else None,
        residual == "identity",
        residual == "conv" or (residual == "identity" and i == 0),  # others add to a ReLU's output
    )


def _slot(matrix: FloatArray) -> Slot:
    """The non-zeros of one partition's adjacency (V, V), from the first axis to the second."""
    sources = [np.flatnonzero(column).tolist() for column in matrix.T]
    first = [found[0] if found else w for w, found in enumerate(sources)]
    own = first == list(range(len(sources)))
    return Slot(
        None if own else torch.tensor(first),
        _tensor(matrix[first, np.arange(len(first))][:, None]),
        tuple((w, v, float(matrix[v, w])) for w, found in enumerate(sources) for v in found[1:]),
    )


def _linear(params: Mapping[str, FloatArray], name: str) -> tuple[Tensor, Tensor]:
    return _tensor(params[f"{name}.weight"]), _tensor(params[f"{name}.bias"])


def _tensor(x: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def mkl(weight: Tensor, bias: Tensor | None) -> Product:
    """`torch.nn.functional.linear`, its ReLU in place."""

    def product(x: Tensor, relu: bool) -> Tensor:
        y = F.linear(x, weight, bias)
        return y.relu_() if relu else y

    return product


def onednn(weight: Tensor, bias: Tensor | None) -> Product:
    """oneDNN's product with packed weights; the ReLU is part of it."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)

    def product(x: Tensor, relu: bool) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, packed, bias, "relu" if relu else "none", [], ""
        )
        return y

    return product


def window_sum(x: Tensor, frames: int, window: int, dilation: int) -> Tensor:
    """Sums over the windows of the last `frames` frames of x (reach + frames, ...), by doubling."""
    total: Tensor | None = None
    part, span, done = x, 1, 0
    while span <= window:
        if window & span:
            piece = part[done * dilation : done * dilation + frames]
            total = piece if total is None else total + piece
            done += span
        if done < window:
            part = part[: len(part) - span * dilation] + part[span * dilation :]
        span *= 2
    assert total is not None
    return total


@torch.inference_mode()
def _as_trained(model: RTSTGCN, x: Tensor) -> Tensor:
    return model(x.transpose(0, 1).unsqueeze(0))[0].T  # (1, C, T, V) -> (1, classes, T)


class Eager:
    """The network chunk by chunk in buffers of its own; a layer writes into the next one's."""

    def __init__(self, net: Folded, make: MakeProduct, chunk: int) -> None:
        """`make` gives the matrix products."""
        self.net, self.chunk = net, chunk
        self.embedding, self.classifier = make(*net.embedding), make(*net.classifier)
        self.products = [make(layer.weight, layer.bias) for layer in net.layers]
        self.shortcuts = [layer.residual and make(*layer.residual) for layer in net.layers]
        joints = len(net.scale)
        sizes = [(layer.reach + chunk, layer.inputs) for layer in net.layers]
        last = (chunk, net.classifier[0].shape[1])
        self.inputs = [torch.zeros(t, joints, c) for t, c in (*sizes, last)]
        widths = (layer.weight.shape[1] for layer in net.layers)
        self.gathered = [torch.zeros(chunk, joints, width) for width in widths]

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """A whole clip."""
        for layer, buffer in zip(self.net.layers, self.inputs, strict=False):
            buffer[: layer.reach].zero_()
        starts = range(0, len(x), self.chunk)
        return torch.cat([self._advance(x[t : t + self.chunk], t) for t in starts])

    def _advance(self, x: Tensor, first: int) -> Tensor:
        net, frames = self.net, len(x)
        entered = torch.addcmul(net.shift, x.transpose(1, 2), net.scale)
        head = self.inputs[0][net.layers[0].reach :][:frames]
        head.view(-1, head.shape[2]).copy_(self.embedding(entered.view(-1, x.shape[1]), False))
        for i, layer in enumerate(net.layers):
            reach = self.net.layers[i + 1].reach if i + 1 < len(net.layers) else 0
            self._block(i, layer, first, frames, self.inputs[i + 1][reach : reach + frames])
            kept = self.inputs[i][frames : frames + layer.reach].clone()
            self.inputs[i][: layer.reach] = kept
        return self.classifier(self.inputs[-1][:frames].mean(dim=1), False)

    def _block(self, i: int, layer: Layer, first: int, frames: int, out: Tensor) -> None:
        past = self.inputs[i][: layer.reach + frames]
        present, u = past[layer.reach :], self.gathered[i][:frames]
        gather(window_sum(past, frames, layer.window, layer.dilation), layer, u)
        counts = layer.counts(first, frames)[:, None, None]
        constants = u[:, :, len(layer.slots) * layer.inputs :][:, :, : len(layer.slots)]
        torch.mul(layer.columns, counts, out=constants)
        y = self.products[i](u.view(-1, u.shape[2]), True).view(out.shape)
        shortcut = self.shortcuts[i]
        if shortcut is not None:
            x = shortcut(present.reshape(-1, layer.inputs), False).view(out.shape)
            torch.add(y, x, out=out).relu_()
        elif layer.identity:
            torch.add(y, present, out=out)
            if layer.signed:
                out.relu_()
        else:
            out.copy_(y)


def gather(x: Tensor, layer: Layer, u: Tensor) -> None:
    """Products of x (T, V, C) with every partition's adjacency, side by side into u (T, V, .)."""
    for p, slot in enumerate(layer.slots):
        columns = u[:, :, p * layer.inputs : (p + 1) * layer.inputs]
        chosen = x if slot.source is None else x.index_select(1, slot.source)
        torch.mul(chosen, slot.factor, out=columns)
        for joint, source, factor in slot.further:
            columns[:, joint].add_(x[:, source], alpha=factor)


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
        self.step = torch.compile(ChunkNet(net).eval(), dynamic=False, options={"freezing": True})

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """A whole clip."""
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
