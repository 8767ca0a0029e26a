"""The parameters of a torch network with its norms folded, and the torch network they make.

A BatchNorm with running statistics is an affine map per channel, `scale = gamma / sqrt(var + eps)`,
`bias = beta - mean * scale` (Ioffe & Szegedy 2015, section 3.1), computed in float64 here. The norm
of a residual or temporal convolution always goes into that convolution; a block's norm stays an
affine node, and with `fold="weights"` its scale moves into the convolution in front of it
(everything between the two is linear and treats channels alike), which leaves a scale of exactly
one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from fxp.errors import InputError
from fxp.floatnet import FloatArray, FloatNet, Fold
from stgcn_ref.models.blocks import Block, ChannelNorm
from stgcn_ref.models.build import FrameNet, build
from stgcn_ref.models.msgcn import MSGCN, RefinementLayer, RefinementStage
from stgcn_ref.models.stgcn import STBlock
from stgcn_ref.models.temporal import TemporalConv

Params = dict[str, FloatArray]


def folded_parameters(model: FrameNet, fold: Fold) -> Params:
    """Parameters by the keys of `FloatNet`, float64.

    Raises:
        InputError: a norm has no running statistics, or the model has no embedding.
    """
    joints, channels = model.joints, model.in_channels
    scale, bias = _affine(model.input_norm, "input_norm")
    params = {
        "input_norm.scale": scale.reshape(joints, channels).T.copy(),  # (V * C,) -> (C, V)
        "input_norm.bias": bias.reshape(joints, channels).T.copy(),
    }
    params |= _linear(_embedding(model), "embedding")
    for i, block in enumerate(blocks_of(model)):
        params |= _under(f"block{i}", _block(block, fold, f"block{i}"))
    params |= _linear(model.classifier, "classifier")
    for s, stage in enumerate(stages_of(model), start=1):
        params |= _linear(stage.embedding, f"stage{s}.embedding")
        for i, layer in enumerate(layers_of(stage)):
            name = f"stage{s}.layer{i}.tconv"
            params |= _under(name, _normed(layer.tconv, layer.tnorm, name))
        params |= _linear(stage.classifier, f"stage{s}.classifier")
    return params


def rebuild(net: FloatNet) -> FrameNet:
    """The torch network that computes what `net` says: folded norms, importance of one; eval mode.

    Raises:
        InputError: a family that has no float network.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
        model = build(net.arch)
    with torch.no_grad():
        _put_norm(model.input_norm, net.params, "input_norm")
        _put(_embedding(model), net.params, "embedding")
        for i, block in enumerate(blocks_of(model)):
            _put_block(block, net.params, f"block{i}")
        _put(model.classifier, net.params, "classifier")
        for s, stage in enumerate(stages_of(model), start=1):
            _put(stage.embedding, net.params, f"stage{s}.embedding")
            for i, layer in enumerate(layers_of(stage)):
                _put(layer.tconv, net.params, f"stage{s}.layer{i}.tconv")
                _neutral(layer.tnorm)
            _put(stage.classifier, net.params, f"stage{s}.classifier")
    return model.eval()


def blocks_of(model: FrameNet) -> list[Block | STBlock]:
    """The graph layers of a network."""
    return [block for block in model.blocks if isinstance(block, Block | STBlock)]


def stages_of(model: FrameNet) -> list[RefinementStage]:
    """The refinement stages of a network; only MS-GCN has any."""
    found = model.stages if isinstance(model, MSGCN) else ()
    return [stage for stage in found if isinstance(stage, RefinementStage)]


def layers_of(stage: RefinementStage) -> list[RefinementLayer]:
    """The layers of a refinement stage."""
    return [layer for layer in stage.layers if isinstance(layer, RefinementLayer)]


def _embedding(model: FrameNet) -> nn.Linear:
    if model.embedding is None:
        raise InputError("embedding: the model has none, which no architecture describes")
    return model.embedding


def _residual(block: Block | STBlock) -> nn.Sequential | None:
    """The residual convolution and its norm, where the residual is no identity."""
    found = block.residual if isinstance(block, Block) else block.shortcut
    return found if isinstance(found, nn.Sequential) else None


def _block(block: Block | STBlock, fold: Fold, name: str) -> Params:
    weight, bias = _float64(block.gcn.conv.weight), _float64(block.gcn.conv.bias)
    scale, shift = _affine(block.norm, f"{name}.norm")
    if fold == "weights":
        per_row = np.tile(scale, block.gcn.partitions)  # rows are partition-major
        weight, bias = weight * per_row[:, None], bias * per_row
        scale = np.ones_like(scale)
    params = {
        "conv.weight": weight,
        "conv.bias": bias,
        "graph.adjacency": _float64(block.gcn.adjacency) * _float64(block.gcn.importance),
        "norm.scale": scale[:, None],
        "norm.bias": shift[:, None],
    }
    if isinstance(block, STBlock):
        params |= _under("tconv", _normed(block.tconv, block.tnorm, f"{name}.tconv"))
    if (residual := _residual(block)) is not None:
        conv, norm = residual
        assert isinstance(conv, nn.Linear) and isinstance(norm, ChannelNorm)
        params |= _under("residual", _normed(conv, norm, f"{name}.residual"))
    return params


def _normed(conv: TemporalConv | nn.Linear, norm: nn.BatchNorm1d, name: str) -> Params:
    """A convolution with the norm behind it."""
    scale, shift = _affine(norm, f"{name} norm")
    weight = _float64(conv.weight)
    return {
        "weight": weight * scale.reshape(-1, *[1] * (weight.ndim - 1)),
        "bias": _float64(conv.bias) * scale + shift,
    }


def _linear(conv: nn.Linear, name: str) -> Params:
    return {f"{name}.weight": _float64(conv.weight), f"{name}.bias": _float64(conv.bias)}


def _under(name: str, params: Params) -> Params:
    return {f"{name}.{key}": value for key, value in params.items()}


def _affine(norm: nn.BatchNorm1d, name: str) -> tuple[FloatArray, FloatArray]:
    """Scale and bias that the norm is in inference, each `(features,)`."""
    if norm.running_mean is None or norm.running_var is None:
        raise InputError(
            f"{name}: the norm has no running statistics (track_running_stats=False) and depends "
            "on the batch at inference, so it cannot be folded; train it with running statistics"
        )
    scale = _float64(norm.weight) / np.sqrt(_float64(norm.running_var) + norm.eps)
    return scale, _float64(norm.bias) - _float64(norm.running_mean) * scale


def _float64(x: Tensor) -> FloatArray:
    return np.asarray(x.detach().cpu().double().numpy(), dtype=np.float64).copy()


def _put_block(block: Block | STBlock, params: Mapping[str, FloatArray], name: str) -> None:
    _put(block.gcn.conv, params, f"{name}.conv")
    graph = torch.from_numpy(params[f"{name}.graph.adjacency"])
    block.gcn.adjacency = graph.float()  # a fresh one: the blocks were built sharing theirs
    _put_norm(block.norm, params, f"{name}.norm")
    if isinstance(block, STBlock):
        _put(block.tconv, params, f"{name}.tconv")
        _neutral(block.tnorm)
    if (residual := _residual(block)) is not None:
        conv = residual[0]
        assert isinstance(conv, nn.Linear)
        _put(conv, params, f"{name}.residual")
        residual[1] = nn.Identity()


def _put(into: nn.Linear | TemporalConv, params: Mapping[str, FloatArray], key: str) -> None:
    into.weight.copy_(torch.from_numpy(params[f"{key}.weight"]))
    into.bias.copy_(torch.from_numpy(params[f"{key}.bias"]))


def _put_norm(into: nn.BatchNorm1d, params: Mapping[str, FloatArray], key: str) -> None:
    """The affine map (C, V or 1) becomes weight and bias, statistics that change nothing."""
    _neutral(into)
    for own, name in ((into.weight, "scale"), (into.bias, "bias")):
        own.copy_(torch.from_numpy(params[f"{key}.{name}"].T.flatten()))  # joint-major


def _neutral(norm: nn.BatchNorm1d) -> None:
    """A norm that changes nothing."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
    norm.weight.fill_(1.0)
    norm.bias.zero_()
