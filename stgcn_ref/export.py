"""From a trained torch network to a `FloatNet`: fold the norms, then observe every accumulator.

Observations are of the folded network, run in float32: folding changes what the accumulators hold.
Networks that label frames take long clips piece by piece; one that labels a clip takes it whole.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from fxp.errors import InputError
from fxp.floatnet import FloatNet, Fold
from fxp.observe import Reservoir, observation, observe_update
from fxp.spec import ArchSpec
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.datasets.recognition import RecognitionClip
from stgcn_ref.evaluate import as_batch
from stgcn_ref.folding import folded_parameters, layers_of, rebuild, stages_of
from stgcn_ref.models.blocks import Block
from stgcn_ref.models.build import Net
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.models.temporal import ResidualLayer
from stgcn_ref.scoring import check_clip

AnyClip = Clip | RecognitionClip

SEGMENT_FRAMES = 2048
CHECK_FRAMES = 256
CHECK_TOLERANCE = 1e-5


def export(
    model: Net,
    arch: ArchSpec,
    clips: Sequence[AnyClip],
    meta: Mapping[str, Any] | None = None,
    fold: Fold = "weights",
    seed: int = 0,
) -> FloatNet:
    """The network of `model` as numbers, with what its accumulators hold over `clips`.

    Args:
        model: a network of `arch`; it is read only, whatever mode it is in.
        clips: calibration clips (training data); each starts with empty FIFOs. Those of a network
            that labels clips are recognition clips of its number of persons.
        meta: JSON data to keep with the network (classes, preparation, provenance).
        fold: where the scales of the blocks' norms go, see `stgcn_ref.folding`.
        seed: of the samples of the observations.

    Raises:
        InputError: a norm has no running statistics, the model is not one of `arch`, there is no
            clip or one of another kind, or an accumulator becomes infinite.
    """
    if not clips:
        raise InputError("calibration: at least one clip is needed")
    about = {**(meta or {}), "fold": fold, "calibration_clips": [clip.name for clip in clips]}
    for clip in clips:
        check_clip(arch, clip, f"calibration: clip {clip.name}")
    _check_times(model, arch)
    bare = FloatNet(arch, folded_parameters(model, fold, arch.persons), meta=about)
    folded = rebuild(bare)
    _check_equal(model, folded, clips[0])
    reservoirs: dict[str, Reservoir] = {}

    def keep(name: str, values: npt.ArrayLike) -> None:
        own = Reservoir((seed << 32) + zlib.crc32(name.encode()))
        observe_update(reservoirs.setdefault(name, own), values, name)

    for clip in clips:
        keep("input", clip.x)
        for x, kept in _pieces(clip, folded):

            def observe(name: str, y: Tensor, kept: slice = kept) -> None:
                # (N, C, T, V) as the network shows it, back to the order it lies in memory
                keep(name, y[:, :, kept].permute(0, 2, 3, 1).reshape(-1).numpy())

            with torch.inference_mode():
                folded(x, observe)
    observations = {name: observation(kept, name) for name, kept in reservoirs.items()}
    return FloatNet(arch, bare.params, observations, about)


def _pieces(clip: AnyClip, net: Net) -> Iterator[tuple[Tensor, slice]]:
    """The clip piece by piece as the network reads it, and which of a piece's frames count.

    The receptive field around them, `latency_frames` of it in the future, makes them equal to the
    same frames of the whole clip.
    """
    if isinstance(net, STGCN):
        yield as_batch(clip.x), slice(None)
        return
    reach, ahead = net.receptive_field, net.latency_frames
    length = max(SEGMENT_FRAMES, ahead)  # else a long look ahead is computed over and over
    for start in range(0, len(clip.x), length):
        warm = min(start, reach - 1 - ahead)
        piece = clip.x[start - warm : start + length + ahead]
        yield as_batch(piece), slice(warm, warm + length)


def _check_times(model: Net, arch: ArchSpec) -> None:
    """What no parameter's shape tells: windows, dilations and strides."""
    blocks = [_times(block) for block in model.blocks if isinstance(block, Block | ResidualLayer)]
    stages = [[_times(layer) for layer in layers_of(stage)] for stage in stages_of(model)]
    asked = list(zip(arch.window, arch.dilation, arch.stride, strict=True))
    for found in (blocks, *stages):
        if found != asked:
            raise InputError(
                f"export: (window, dilation, stride) of the model are {tuple(found)}, of the "
                f"architecture {tuple(asked)}"
            )


def _times(layer: Block | ResidualLayer) -> tuple[int, int, int]:
    if isinstance(layer, Block):
        return layer.window, layer.dilation, 1
    return layer.tconv.taps, layer.tconv.dilation, layer.tconv.stride


def _check_equal(model: Net, folded: Net, clip: AnyClip) -> None:
    """Both networks in float64 must agree on the first frames of a clip."""
    frames = as_batch(clip.x[:CHECK_FRAMES]).double()
    with torch.inference_mode():
        given, made = (_double(m)(frames) for m in (model, folded))
    error = float((given - made).abs().max() / given.abs().max().clamp(min=1e-30))
    if not error <= CHECK_TOLERANCE:
        raise InputError(
            f"export: the folded network differs from the model by {error:.2g} of the largest "
            f"logit (allowed {CHECK_TOLERANCE:g}): its parameters are too extreme to fold"
        )


def _double(model: Net) -> Net:
    return copy.deepcopy(model).double().eval()
