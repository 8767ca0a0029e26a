"""Labels and scores of a float network over recordings, or over clips with one class each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fxp.errors import InputError
from stgcn_ref.datasets.clips import Dataset, LabelArray
from stgcn_ref.datasets.recognition import RecognitionSet, stacked
from stgcn_ref.metrics import Scores
from stgcn_ref.models.build import Net
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.recognition_metrics import RecognitionScores, score_clips
from stgcn_ref.scoring import score_steps

FloatScores = npt.NDArray[np.float32]

_BATCH_FRAMES = 8192  # padded frames evaluated at once: bounds memory, little is padded


@torch.inference_mode()
def predict(net: Net, ds: Dataset, on_clip: Callable[[], None] | None = None) -> list[LabelArray]:
    """The label of every network step, int64 (T,) per clip, each clip from empty FIFOs.

    Clips of similar length share a batch; padding follows a clip's last frame, and a causal
    network's labels do not depend on what follows. One that looks ahead takes clips one by one.
    `on_clip` is called after each clip.

    Raises:
        InputError: the network labels clips, not frames.
    """
    if isinstance(net, STGCN):
        raise InputError("family stgcn labels whole clips, not frames: use `evaluate_clips`")
    was_training = net.training
    net.eval()
    device = device_of(net)
    found: list[LabelArray] = [np.empty(0, dtype=np.int64)] * len(ds.clips)
    alone = [[index] for index in range(len(ds.clips))]
    for group in alone if net.latency_frames else _groups([len(clip.x) for clip in ds.clips]):
        longest = len(ds.clips[group[-1]].x)
        x = np.zeros((len(group), longest, *ds.clips[0].x.shape[1:]), dtype=np.float32)
        for row, index in enumerate(group):
            x[row, : len(ds.clips[index].x)] = ds.clips[index].x
        logits = net(torch.from_numpy(x).to(device).transpose(1, 2))
        labels = logits.argmax(dim=1).cpu().numpy()
        for row, index in enumerate(group):
            found[index] = labels[row, : len(ds.clips[index].x)]
            if on_clip is not None:
                on_clip()
    net.train(was_training)
    return found


def evaluate(net: Net, ds: Dataset) -> Scores:
    """Scores over original frames: a step's label is held for all frames the step covers."""
    return score_steps(ds, predict(net, ds))


def predict_clips(net: Net, ds: RecognitionSet) -> list[LabelArray]:
    """The label of every clip, int64 (1,) each."""
    return list(class_scores(net, ds).argmax(axis=1)[:, None])


@torch.inference_mode()
def class_scores(
    net: Net, ds: RecognitionSet, on_clip: Callable[[], None] | None = None
) -> FloatScores:
    """The logits of every clip in its whole length, float32 (N, classes); family `stgcn`.

    `on_clip` is called after each clip.
    """
    assert isinstance(net, STGCN)
    was_training = net.training
    net.eval()
    device = device_of(net)
    found = []
    for length, clips in groupby(ds.clips, key=lambda clip: len(clip.x)):
        size = max(1, _BATCH_FRAMES // (length * ds.clips[0].x.shape[3]))
        while batch := list(islice(clips, size)):
            x, _ = stacked(batch)
            found.append(net(torch.from_numpy(x).to(device)).cpu().numpy())
            if on_clip is not None:
                for _ in batch:
                    on_clip()
    net.train(was_training)
    return np.concatenate(found)


def evaluate_clips(net: Net, ds: RecognitionSet) -> RecognitionScores:
    """Scores of a network of whole clips (family `stgcn`)."""
    return score_clips(class_scores(net, ds), [clip.label for clip in ds.clips])


def as_batch(words: npt.NDArray[np.int32]) -> Tensor:
    """Words (T, C, V) or (T, C, V, M) as a batch of one, channels in front of time."""
    return torch.from_numpy(words.swapaxes(0, 1).copy())[None]


def device_of(net: nn.Module) -> torch.device:
    """Where a network's parameters are, and its input must be."""
    return next(net.parameters()).device


def _groups(lengths: list[int]) -> list[list[int]]:
    """Indices by ascending length, so many together that their padded frames stay bounded."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and (len(groups[-1]) + 1) * lengths[index] <= _BATCH_FRAMES:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
