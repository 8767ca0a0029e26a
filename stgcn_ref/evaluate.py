"""Labels and scores of a float network over recordings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from stgcn_ref.datasets.clips import Dataset, LabelArray
from stgcn_ref.metrics import Scores
from stgcn_ref.models.build import FrameNet
from stgcn_ref.scoring import score_steps

_BATCH_FRAMES = 8192  # padded frames evaluated at once: bounds memory, little is padded


@torch.inference_mode()
def predict(
    net: FrameNet, ds: Dataset, on_clip: Callable[[], None] | None = None
) -> list[LabelArray]:
    """The label of every network step, int64 (T,) per clip, each clip from empty FIFOs.

    Clips of similar length share a batch; padding follows a clip's last frame, and a causal
    network's labels do not depend on what follows. One that looks ahead takes clips one by one.
    `on_clip` is called after each clip.
    """
    was_training = net.training
    net.eval()
    found: list[LabelArray] = [np.empty(0, dtype=np.int64)] * len(ds.clips)
    alone = [[index] for index in range(len(ds.clips))]
    for group in alone if net.latency_frames else _groups([len(clip.x) for clip in ds.clips]):
        longest = len(ds.clips[group[-1]].x)
        x = np.zeros((len(group), longest, *ds.clips[0].x.shape[1:]), dtype=np.float32)
        for row, index in enumerate(group):
            x[row, : len(ds.clips[index].x)] = ds.clips[index].x
        labels = net(torch.from_numpy(x).transpose(1, 2)).argmax(dim=1).numpy()
        for row, index in enumerate(group):
            found[index] = labels[row, : len(ds.clips[index].x)]
            if on_clip is not None:
                on_clip()
    net.train(was_training)
    return found


def evaluate(net: FrameNet, ds: Dataset) -> Scores:
    """Scores over original frames: a step's label is held for all frames the step covers."""
    return score_steps(ds, predict(net, ds))


def _groups(lengths: list[int]) -> list[list[int]]:
    """Indices by ascending length, so many together that their padded frames stay bounded."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and (len(groups[-1]) + 1) * lengths[index] <= _BATCH_FRAMES:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
