"""From a trained torch network to a `FloatNet`: fold the norms, then observe every accumulator.

A BatchNorm with running statistics is an affine map per channel, `scale = gamma / sqrt(var + eps)`,
`bias = beta - mean * scale` (Ioffe & Szegedy 2015, section 3.1), computed in float64 here. The
norm of a residual convolution always goes into that convolution; a block's norm stays an affine
node, and with `fold="weights"` its scale moves into the convolution in front of it (everything
between the two is linear and treats channels alike), which leaves a scale of exactly one.

Observations are of the folded network, run in float32: folding changes what the accumulators hold.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fxp.errors import InputError
from fxp.floatnet import FloatArray, FloatNet, Fold
from fxp.observe import Reservoir, observation, observe_update
from fxp.spec import ArchSpec
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.models.blocks import Block, ChannelNorm
from stgcn_ref.models.build import build
from stgcn_ref.models.rtstgcn import RTSTGCN

SEGMENT_FRAMES = 2048
CHECK_FRAMES = 256
CHECK_TOLERANCE = 1e-5


def export(
    model: RTSTGCN,
    arch: ArchSpec,
    clips: Sequence[Clip],
    meta: Mapping[str, Any] | None = None,
    fold: Fold = "weights",
    seed: int = 0,
) -> FloatNet:
    """The network of `model` as numbers, with what its accumulators hold over `clips`.

    Args:
        model: a network of `arch`; it is read only, whatever mode it is in.
        clips: calibration clips (training data); each starts with empty FIFOs.
        meta: JSON data to keep with the network (classes, preparation, provenance).
        fold: where the scales of the blocks' norms go, see above.
        seed: of the samples of the observations.

    Raises:
        InputError: a norm has no running statistics, the model is not one of `arch`, there is no
            clip, or an accumulator becomes infinite.
    """
    if not clips:
        raise InputError("calibration: at least one clip is needed")
    about = {**(meta or {}), "fold": fold, "calibration_clips": [clip.name for clip in clips]}
    _check_times(model, arch)
    bare = FloatNet(arch, folded_parameters(model, fold), meta=about)
    folded = rebuild(bare)
    _check_equal(model, folded, clips[0])
    reservoirs: dict[str, Reservoir] = {}

    def keep(name: str, values: npt.ArrayLike) -> None:
        own = Reservoir((seed << 32) + zlib.crc32(name.encode()))
        observe_update(reservoirs.setdefault(name, own), values, name)

    for clip in clips:
        keep("input", clip.x)
        for x, warm in _segments(clip, folded.receptive_field):

            def observe(name: str, y: Tensor, warm: int = warm) -> None:
                # (N, C, T, V) as the network shows it, back to the order it lies in memory
                keep(name, y[:, :, warm:].permute(0, 2, 3, 1).reshape(-1).numpy())

            with torch.inference_mode():
                folded(x, observe)
    observations = {name: observation(kept, name) for name, kept in reservoirs.items()}
    return FloatNet(arch, bare.params, observations, about)


def folded_parameters(model: RTSTGCN, fold: Fold) -> dict[str, FloatArray]:
    """Parameters by the keys of `FloatNet`, float64.

    Raises:
        InputError: a norm has no running statistics.
    """
    joints, channels = model.joints, model.in_channels
    scale, bias = _affine(model.input_norm, "input_norm")
    params = {
        "input_norm.scale": scale.reshape(joints, channels).T.copy(),  # (V * C,) -> (C, V)
        "input_norm.bias": bias.reshape(joints, channels).T.copy(),
        "embedding.weight": _float64(model.embedding.weight),
        "embedding.bias": _float64(model.embedding.bias),
    }
    for i, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        params |= {f"block{i}.{key}": value for key, value in _block(block, fold, i).items()}
    params["classifier.weight"] = _float64(model.classifier.weight)
    params["classifier.bias"] = _float64(model.classifier.bias)
    return params


def rebuild(net: FloatNet) -> RTSTGCN:
    """The torch network that computes what `net` says: folded norms, importance of one; eval mode.

    Raises:
        InputError: a family that has no float network.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
        model = build(net.arch)

    def put_linear(into: nn.Linear, key: str) -> None:
        into.weight.copy_(torch.from_numpy(net.params[f"{key}.weight"]))
        into.bias.copy_(torch.from_numpy(net.params[f"{key}.bias"]))

    def put_norm(into: nn.BatchNorm1d, key: str) -> None:
        """The affine map (C, V or 1) becomes weight and bias, statistics that change nothing."""
        assert into.running_mean is not None and into.running_var is not None
        into.running_mean.zero_()
        into.running_var.fill_(1.0 - into.eps)
        for own, name in ((into.weight, "scale"), (into.bias, "bias")):
            own.copy_(torch.from_numpy(net.params[f"{key}.{name}"].T.flatten()))  # joint-major

    with torch.no_grad():
        put_norm(model.input_norm, "input_norm")
        put_linear(model.embedding, "embedding")
        for i, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            put_linear(block.gcn.conv, f"block{i}.conv")
            graph = torch.from_numpy(net.params[f"block{i}.graph.adjacency"])
            block.gcn.adjacency = graph.float()  # a fresh one: the blocks were built sharing theirs
            put_norm(block.norm, f"block{i}.norm")
            if block.residual is not None:
                conv = block.residual[0]
                assert isinstance(conv, nn.Linear)
                put_linear(conv, f"block{i}.residual")
                block.residual[1] = nn.Identity()
        put_linear(model.classifier, "classifier")
    return model.eval()


def _block(block: Block, fold: Fold, index: int) -> dict[str, FloatArray]:
    weight, bias = _float64(block.gcn.conv.weight), _float64(block.gcn.conv.bias)
    scale, shift = _affine(block.norm, f"block{index}.norm")
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
    if block.residual is not None:
        conv, norm = block.residual
        assert isinstance(conv, nn.Linear) and isinstance(norm, ChannelNorm)
        scale, shift = _affine(norm, f"block{index}.residual norm")
        params["residual.weight"] = _float64(conv.weight) * scale[:, None]
        params["residual.bias"] = _float64(conv.bias) * scale + shift
    return params


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


def _segments(clip: Clip, receptive_field: int) -> Iterator[tuple[Tensor, int]]:
    """The clip piece by piece as `(1, C, T, V)`, and how many leading frames are only warm-up.

    A warm-up of the receptive field makes every piece equal to the same frames of the whole clip.
    """
    for start in range(0, len(clip.x), SEGMENT_FRAMES):
        warm = min(start, receptive_field - 1)
        piece = clip.x[start - warm : start + SEGMENT_FRAMES]
        yield torch.from_numpy(piece.transpose(1, 0, 2).copy())[None], warm


def _check_times(model: RTSTGCN, arch: ArchSpec) -> None:
    """What no parameter's shape tells: windows and dilations."""
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    found = tuple((block.window, block.dilation) for block in blocks)
    asked = tuple(zip(arch.window, arch.dilation, strict=True))
    if found != asked:
        raise InputError(
            f"export: (window, dilation) of the model are {found}, of the architecture {asked}"
        )


def _check_equal(model: RTSTGCN, folded: RTSTGCN, clip: Clip) -> None:
    """Both networks in float64 must agree on the first frames of a clip."""
    frames = torch.from_numpy(clip.x[:CHECK_FRAMES].transpose(1, 0, 2).copy())[None].double()
    with torch.inference_mode():
        given, made = (_double(m)(frames) for m in (model, folded))
    error = float((given - made).abs().max() / given.abs().max().clamp(min=1e-30))
    if not error <= CHECK_TOLERANCE:
        raise InputError(
            f"export: the folded network differs from the model by {error:.2g} of the largest "
            f"logit (allowed {CHECK_TOLERANCE:g}): its parameters are too extreme to fold"
        )


def _double(model: RTSTGCN) -> RTSTGCN:
    return copy.deepcopy(model).double().eval()
