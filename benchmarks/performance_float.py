"""ST-GCN and MS-GCN in float32 by torch, as fast as we could write them: a measure for speed.

As `benchmarks.torch_forms`, whose parts these are: norms folded, tensors channels-last, the
adjacency by gathers first, then all partitions in one product whose bias and ReLU are part of it;
gathers and product go through a clip in chunks. Temporal convolutions are oneDNN's, or one product
of all taps side by side. One thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from benchmarks.performance_names import AS_TRAINED, ONEDNN, UNFOLDED
from benchmarks.torch_folded import Layer, fold
from benchmarks.torch_forms import CHUNK, MakeProduct, Product, gather, mkl, onednn
from fxp.cast import FloatArray
from fxp.floatnet import FloatNet
from fxp.spec import ArchSpec
from stgcn_ref.folding import rebuild
from stgcn_ref.models.build import Net
from stgcn_ref.models.stgcn import STGCN

Taps = Callable[[Tensor], Tensor]  # (T, V, Cin) -> (T', V, Cout), symmetric zero padding


@dataclass(frozen=True)
class Block:
    """A graph layer: `before` multiplies what `layer` gathered, `shortcut` is a product or None."""

    layer: Layer
    before: Product
    taps: Taps
    shortcut: Product | None
    identity: bool
    stride: int


def clip_forms(net: FloatNet) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions from clips (T, C, V) to the last logits, (T, classes) or (1, classes), by name."""
    torch.set_num_threads(1)
    return {
        AS_TRAINED: partial(_as_trained, rebuild(net)),
        UNFOLDED: ClipNet(net, mkl, _unfolded),
        ONEDNN: ClipNet(net, onednn, _convolved),
    }


@torch.inference_mode()
def _as_trained(model: Net, x: Tensor) -> Tensor:
    clips = x.transpose(0, 1).unsqueeze(0)  # (1, C, T, V)
    if isinstance(model, STGCN):  # it knows of persons, and gives one label
        label: Tensor = model(clips.unsqueeze(4))
        return label
    logits: Tensor = model(clips)
    return logits[0].T


class ClipNet:
    """A whole network of family stgcn (one person) or msgcn."""

    def __init__(
        self, net: FloatNet, make: MakeProduct, convolve: Callable[..., Taps], chunk: int = CHUNK
    ) -> None:
        """`make` gives the matrix products, `convolve` the temporal convolutions."""
        arch, params = net.arch, net.params
        self.arch, self.chunk = arch, chunk
        plain = {**params}
        plain.setdefault("embedding.weight", params["classifier.weight"])  # of ST-GCN: none
        plain.setdefault("embedding.bias", params["classifier.bias"])
        folded = fold(_graph_layers(arch), plain)
        self.scale, self.shift = folded.scale, folded.shift
        self.embedding = make(*folded.embedding) if arch.embedding else None
        self.classifier = make(*folded.classifier)
        self.blocks = [
            self._block(params, i, layer, make, convolve) for i, layer in enumerate(folded.layers)
        ]
        self.stages = [
            _stage(params, f"stage{s}", arch, make, convolve)
            for s in range(1, arch.refinements + 1)
        ]

    def _block(
        self,
        params: Mapping[str, FloatArray],
        i: int,
        layer: Layer,
        make: MakeProduct,
        convolve: Callable[..., Taps],
    ) -> Block:
        arch, name = self.arch, f"block{i}"
        residual = arch.residuals[i]
        shortcut = None
        if residual == "conv":
            weight, bias = _pair(params, f"{name}.residual")
            shortcut = make(weight.flatten(1), bias)
        relu_first = arch.family == "msgcn" or residual == "none"
        taps = convolve(
            *_pair(params, f"{name}.tconv"), arch.dilation[i], arch.stride[i], relu=relu_first
        )
        product = make(layer.weight, layer.bias)
        return Block(layer, product, taps, shortcut, residual == "identity", arch.stride[i])

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """A whole clip."""
        y = torch.addcmul(self.shift, x.transpose(1, 2), self.scale)  # (T, V, C)
        if self.embedding is not None:
            y = _of_joints(y, self.embedding, relu=False)
        for block in self.blocks:
            y = self._through(block, y)
        per_clip = self.arch.family == "stgcn"
        pooled = y.mean(dim=(0, 1)).unsqueeze(0) if per_clip else y.mean(dim=1)
        logits = self.classifier(pooled, False)
        for stage in self.stages:
            logits = stage(logits)
        return logits

    def _through(self, block: Block, x: Tensor) -> Tensor:
        frames, joints, _ = x.shape
        layer, wide = block.layer, block.layer.weight.shape[1]
        u = x.new_zeros(min(self.chunk, frames), joints, wide)
        first = len(layer.slots) * layer.inputs
        u[:, :, first : first + len(layer.slots)] = layer.columns
        z = x.new_empty(frames, joints, len(layer.bias))
        for t in range(0, frames, self.chunk):
            part = x[t : t + self.chunk]
            own = u[: len(part)]
            gather(part, layer, own)
            z[t : t + len(part)] = block.before(own.view(-1, wide), True).view(
                len(part), joints, -1
            )
        y = block.taps(z)
        if block.shortcut is not None:
            y += _of_joints(x[:: block.stride], block.shortcut, relu=False)
        elif block.identity:
            y += x
        return y if self.arch.family == "msgcn" else y.relu_()


def _graph_layers(arch: ArchSpec) -> ArchSpec:
    """The graph layers as an RT-ST-GCN without window and residual: `fold` then folds them."""
    return ArchSpec(
        skeleton=arch.skeleton,
        in_channels=arch.in_channels,
        embedding=arch.embedding or arch.in_channels,
        channels=arch.channels,
        window=(1,),
        residual=("none",),
        classes=arch.classes,
    )


def _stage(
    params: Mapping[str, FloatArray],
    name: str,
    arch: ArchSpec,
    make: MakeProduct,
    convolve: Callable[..., Taps],
) -> Callable[[Tensor], Tensor]:
    embedding, classifier = (
        make(*_pair(params, f"{name}.{k}")) for k in ("embedding", "classifier")
    )
    layers = [
        convolve(*_pair(params, f"{name}.layer{i}.tconv"), dilation, 1, relu=True)
        for i, dilation in enumerate(arch.dilation)
    ]

    def stage(logits: Tensor) -> Tensor:
        y = embedding(torch.softmax(logits, dim=1), False).unsqueeze(1)  # (T, 1, C)
        for layer in layers:
            y = layer(y).add_(y)
        return classifier(y.squeeze(1), False)

    return stage


def _convolved(weight: Tensor, bias: Tensor, dilation: int, stride: int, *, relu: bool) -> Taps:
    """oneDNN's convolution with packed weights, its ReLU part of it."""
    taps = weight.shape[2]
    geometry = ([(taps - 1) * dilation // 2, 0], [stride, 1], [dilation, 1], 1)
    packed: dict[tuple[int, ...], Tensor] = {}
    wide = weight.unsqueeze(3).contiguous()

    def convolution(x: Tensor) -> Tensor:
        nchw = x.permute(2, 0, 1).unsqueeze(0)  # (1, C, T, V), channels last in memory
        shape = tuple(nchw.shape)
        if shape not in packed:
            ready = torch.ops.mkldnn._reorder_convolution_weight(wide, *geometry, list(shape))
            packed[shape] = ready
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            nchw, packed[shape], bias, *geometry, "relu" if relu else "none", [], ""
        )
        return y[0].permute(1, 2, 0).contiguous()

    return convolution


def _unfolded(weight: Tensor, bias: Tensor, dilation: int, stride: int, *, relu: bool) -> Taps:
    """All taps side by side, then one product."""
    taps = weight.shape[2]
    product = mkl(weight.permute(0, 2, 1).flatten(1).contiguous(), bias)
    reach = (taps - 1) * dilation // 2

    def convolution(x: Tensor) -> Tensor:
        frames = len(x)
        padded = F.pad(x, (0, 0, 0, 0, reach, reach))
        parts = [padded[k * dilation : k * dilation + frames : stride] for k in range(taps)]
        return _of_joints(torch.cat(parts, dim=2), product, relu=relu)

    return convolution


def _of_joints(x: Tensor, product: Product, *, relu: bool) -> Tensor:
    """(T, V, Cin) -> (T, V, Cout)."""
    return product(x.reshape(-1, x.shape[2]), relu).view(*x.shape[:2], -1)


def _pair(params: Mapping[str, FloatArray], name: str) -> tuple[Tensor, Tensor]:
    weight, bias = (
        torch.from_numpy(params[f"{name}.{key}"]).float().contiguous() for key in ("weight", "bias")
    )
    return weight, bias
