"""The parameters of a torch network with its norms folded, and the torch network they make.

A BatchNorm with running statistics is an affine map per channel, `scale = gamma / sqrt(var + eps)`,
`bias = beta - mean * scale` (Ioffe & Szegedy 2015, section 3.1), computed in float64 here. The norm
of a residual or temporal convolution always goes into that convolution; a block's norm stays an
affine node, and with `fold="weights"` its scale moves into the convolution in front of it
(everything between the two is linear and treats channels alike), which leaves a scale of exactly
one. A LayerNorm folds into nothing: it leaves its weights, times the factor that turns the biased
deviation of a `LayerNorm` node into its own unbiased one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from fxp.errors import InputError
from fxp.floatnet import FloatArray, FloatNet, Fold
from fxp.node_tables import LAYER_NORM_EPS
from fxp.persons import block_diagonal, for_each_person
from stgcn_ref.models.blocks import Block, ChannelNorm, FrameNorm
from stgcn_ref.models.build import Net, build
from stgcn_ref.models.msgcn import MSGCN, RefinementLayer, RefinementStage
from stgcn_ref.models.stgcn import STGCN, STBlock
from stgcn_ref.models.tcn import TCN, TCNBlock
from stgcn_ref.models.temporal import TemporalConv

Params = dict[str, FloatArray]
Norm = ChannelNorm | FrameNorm


def folded_parameters(model: Net, fold: Fold, persons: int = 1) -> Params:
    """Parameters by the keys of `FloatNet`, float64; constants per joint are for all `persons`.

    Raises:
        InputError: a norm has no running statistics, or a LayerNorm another epsilon than
            `LAYER_NORM_EPS`.
    """
    norm = _affine(model.input_norm, model.in_channels, "input_norm")
    params = _under("input_norm", {k: for_each_person(v, persons) for k, v in norm.items()})
    if (embedding := _embedding(model)) is not None:
        params |= _linear(embedding, "embedding")
    for i, block in enumerate(blocks_of(model)):
        found = _block(block, fold, f"block{i}")
        found["graph.adjacency"] = block_diagonal(found["graph.adjacency"], persons)
        params |= _under(f"block{i}", found)
    if isinstance(model, TCN):
        params |= _tcn(model)
    params |= _linear(model.classifier, "classifier")
    for s, stage in enumerate(stages_of(model), start=1):
        params |= _linear(stage.embedding, f"stage{s}.embedding")
        for i, layer in enumerate(layers_of(stage)):
            name = f"stage{s}.layer{i}.tconv"
            params |= _under(name, _normed(layer.tconv, layer.tnorm, name))
        params |= _linear(stage.classifier, f"stage{s}.classifier")
    return params


def rebuild(net: FloatNet) -> Net:
    """The torch network that computes what `net` says: folded norms, importance of one; eval mode.

    Persons share all constants: those of the first one are taken.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
        model = build(net.arch)
    with torch.no_grad():
        _put_affine(model.input_norm, net.params, "input_norm")
        if (embedding := _embedding(model)) is not None:
            _put(embedding, net.params, "embedding")
        for i, block in enumerate(blocks_of(model)):
            _put_block(block, net.params, f"block{i}")
        if isinstance(model, TCN):
            _put_tcn(model, net.params)
        _put(model.classifier, net.params, "classifier")
        for s, stage in enumerate(stages_of(model), start=1):
            _put(stage.embedding, net.params, f"stage{s}.embedding")
            for i, layer in enumerate(layers_of(stage)):
                _put(layer.tconv, net.params, f"stage{s}.layer{i}.tconv")
                _neutral(layer.tnorm)
            _put(stage.classifier, net.params, f"stage{s}.classifier")
    return model.eval()


def blocks_of(model: Net) -> list[Block | STBlock]:
    """The graph layers of a network."""
    return [block for block in model.blocks if isinstance(block, Block | STBlock)]


def stages_of(model: Net) -> list[RefinementStage]:
    """The refinement stages of a network; only MS-GCN has any."""
    found = model.stages if isinstance(model, MSGCN) else ()
    return [stage for stage in found if isinstance(stage, RefinementStage)]


def layers_of(stage: RefinementStage) -> list[RefinementLayer]:
    """The layers of a refinement stage."""
    return [layer for layer in stage.layers if isinstance(layer, RefinementLayer)]


def _embedding(model: Net) -> nn.Linear | None:
    return None if isinstance(model, STGCN | TCN) else model.embedding


def _residual(block: Block | STBlock) -> tuple[nn.Linear, Norm] | None:
    """The residual convolution and its norm, where the residual is one."""
    found = block.residual if isinstance(block, Block) else block.shortcut
    if not isinstance(found, nn.Sequential):
        return None
    conv, norm = found
    assert isinstance(conv, nn.Linear) and isinstance(norm, ChannelNorm | FrameNorm)
    return conv, norm


def _block(block: Block | STBlock, fold: Fold, name: str) -> Params:
    weight, bias = _float64(block.gcn.conv.weight), _float64(block.gcn.conv.bias)
    norm = _affine(block.norm, block.gcn.out_channels, f"{name}.norm")
    if fold == "weights" and isinstance(block.norm, ChannelNorm):
        per_row = np.tile(norm["scale"], (block.gcn.partitions, 1))  # rows are partition-major
        weight, bias = weight * per_row, bias * per_row[:, 0]
        norm["scale"] = np.ones_like(norm["scale"])
    params = {
        "conv.weight": weight,
        "conv.bias": bias,
        "graph.adjacency": _float64(block.gcn.adjacency) * _float64(block.gcn.importance),
        **_under("norm", norm),
    }
    if isinstance(block, STBlock):
        params |= _under("tconv", _normed(block.tconv, block.tnorm, f"{name}.tconv"))
    if (residual := _residual(block)) is not None:
        conv, after = residual
        if isinstance(after, FrameNorm):
            params |= _linear(conv, "residual")
            shift = _affine(after, block.gcn.out_channels, f"{name}.residual norm")
            params |= _under("residual_norm", shift)
        else:
            params |= _under("residual", _normed(conv, after, f"{name}.residual"))
        if isinstance(block, STBlock) and block.tconv.stride != 1:  # a convolution over time
            params["residual.weight"] = params["residual.weight"][:, :, None]
    return params


def _tcn(model: TCN) -> Params:
    """Stem, blocks and last norm; no norm folds, each is in front of a ReLU of a sum."""
    params = _linear(model.stem, "stem")
    for i, block in enumerate(_tcn_blocks(model)):
        name = f"block{i}.norm"
        params |= _under(name, _affine(block.norm, block.norm.num_features, name))
        params |= _linear(block.tconv, f"block{i}.tconv")
        if isinstance(block.shortcut, nn.Linear):
            params |= _linear(block.shortcut, f"block{i}.residual")
    return params | _under("norm", _affine(model.norm, model.norm.num_features, "norm"))


def _tcn_blocks(model: TCN) -> list[TCNBlock]:
    return [block for block in model.blocks if isinstance(block, TCNBlock)]


def _normed(conv: TemporalConv | nn.Linear, norm: ChannelNorm, name: str) -> Params:
    """A convolution with the norm behind it."""
    weight = _float64(conv.weight)
    scale, shift = _affine(norm, len(weight), f"{name} norm").values()
    return {
        "weight": weight * scale.reshape(-1, *[1] * (weight.ndim - 1)),
        "bias": _float64(conv.bias) * scale[:, 0] + shift[:, 0],
    }


def _linear(conv: nn.Linear | TemporalConv, name: str) -> Params:
    return {f"{name}.weight": _float64(conv.weight), f"{name}.bias": _float64(conv.bias)}


def _under(name: str, params: Params) -> Params:
    return {f"{name}.{key}": value for key, value in params.items()}


def _affine(norm: Norm, channels: int, name: str) -> Params:
    """`scale` and `bias` that the norm is in inference, (C, V), or (C, 1) of a norm per channel."""
    scale, bias = _float64(norm.weight), _float64(norm.bias)
    if isinstance(norm, FrameNorm):
        if norm.eps != LAYER_NORM_EPS:
            raise InputError(f"{name}: epsilon must be {LAYER_NORM_EPS:g}, got {norm.eps:g}")
        scale = scale * norm.unit
    else:
        if norm.running_mean is None or norm.running_var is None:
            raise InputError(
                f"{name}: the norm has no running statistics (track_running_stats=False) and "
                "depends on the batch at inference, so it cannot be folded; train it with running "
                "statistics"
            )
        scale = scale / np.sqrt(_float64(norm.running_var) + norm.eps)
        bias = bias - _float64(norm.running_mean) * scale
    both = {"scale": scale, "bias": bias}
    # joint-major (V, C), (V * C,) or (C,) -> (C, V or 1)
    return {key: value.reshape(-1, channels).T.copy() for key, value in both.items()}


def _float64(x: Tensor) -> FloatArray:
    return np.asarray(x.detach().cpu().double().numpy(), dtype=np.float64).copy()


def _put_block(block: Block | STBlock, params: Mapping[str, FloatArray], name: str) -> None:
    _put(block.gcn.conv, params, f"{name}.conv")
    joints = slice(block.gcn.joints)
    graph = params[f"{name}.graph.adjacency"][:, joints, joints].copy()
    block.gcn.adjacency = torch.from_numpy(graph).float()  # fresh: the blocks share theirs
    _put_affine(block.norm, params, f"{name}.norm")
    if isinstance(block, STBlock):
        _put(block.tconv, params, f"{name}.tconv")
        _neutral(block.tnorm)
    if (residual := _residual(block)) is not None:
        conv, norm = residual
        _put(conv, params, f"{name}.residual")
        if isinstance(norm, FrameNorm):
            _put_affine(norm, params, f"{name}.residual_norm")
        else:
            _neutral(norm)


def _put_tcn(model: TCN, params: Mapping[str, FloatArray]) -> None:
    _put(model.stem, params, "stem")
    for i, block in enumerate(_tcn_blocks(model)):
        _put_affine(block.norm, params, f"block{i}.norm")
        _put(block.tconv, params, f"block{i}.tconv")
        if isinstance(block.shortcut, nn.Linear):
            _put(block.shortcut, params, f"block{i}.residual")
    _put_affine(model.norm, params, "norm")


def _put(into: nn.Linear | TemporalConv, params: Mapping[str, FloatArray], key: str) -> None:
    weight = torch.from_numpy(params[f"{key}.weight"])
    into.weight.copy_(weight.reshape(into.weight.shape))  # a strided residual has one tap
    into.bias.copy_(torch.from_numpy(params[f"{key}.bias"]))


def _put_affine(into: Norm, params: Mapping[str, FloatArray], key: str) -> None:
    """The affine map (C, V or 1) becomes weight and bias, statistics that change nothing."""
    scale, bias = params[f"{key}.scale"], params[f"{key}.bias"]
    if isinstance(into, FrameNorm):
        scale = scale / into.unit
    else:
        _neutral(into)
    joints = into.weight.numel() // len(scale)  # of one person
    for own, columns in ((into.weight, scale), (into.bias, bias)):
        rows = columns[:, :joints].T.copy()  # joint-major
        own.copy_(torch.from_numpy(rows).reshape(own.shape))


def _neutral(norm: ChannelNorm) -> None:
    """A norm that changes nothing."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
    norm.weight.fill_(1.0)
    norm.bias.zero_()
