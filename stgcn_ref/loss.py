"""What a training minimises: errors of frames, and restlessness between frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stgcn_ref.datasets.clips import LabelArray
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.segments import IGNORE


@dataclass(frozen=True)
class Mass:
    """What the sums of a loss are divided by: class weights of counted frames, and their pairs.

    Masses add: with the mass of several batches, the losses of the batches add up to the loss, and
    their gradients to the gradient, of all their frames at once.
    """

    frames: float
    pairs: int


def mass(targets: Sequence[Tensor], weight: Tensor | None) -> Mass:
    """The mass of batches: targets (N, T) each; `weight` (K,) of classes as in `segment_loss`."""
    frames, pairs = 0.0, 0
    for target in targets:
        counted = target[target != IGNORE]
        frames += float(len(counted) if weight is None else weight[counted].sum())
        pairs += int(_pairs(target).sum())
    return Mass(frames, pairs)


def segment_loss(
    logits: Tensor,
    target: Tensor,
    recipe: TrainRecipe,
    weight: Tensor | None,
    over: Mass | None = None,
) -> Tensor:
    """Cross-entropy plus truncated smoothing over the frames that count (see `TrainRecipe`).

    The smoothing term is the mean over classes and over pairs of neighbouring counted frames of
    `min(limit, (log p_t - log p_{t-1})^2)`, the earlier detached.

    Args:
        logits: (N, K, T).
        target: (N, T).
        recipe: smoothing, its limit and label smoothing.
        weight: of classes (K,) in the cross-entropy, or None for equal ones.
        over: what the means are over, if that is more than these frames.
    """
    over = mass([target], weight) if over is None else over
    loss = F.cross_entropy(
        logits,
        target,
        weight=weight,
        ignore_index=IGNORE,
        label_smoothing=recipe.label_smoothing,
        reduction="sum",
    )
    loss = loss / over.frames
    if not recipe.smoothing:
        return loss
    logp = F.log_softmax(logits, dim=1)
    change = (logp[:, :, 1:] - logp[:, :, :-1].detach()).square().clamp(max=recipe.smoothing_limit)
    pairs = max(over.pairs, 1) * logits.shape[1]
    return loss + recipe.smoothing * (change * _pairs(target).unsqueeze(1)).sum() / pairs


def _pairs(target: Tensor) -> Tensor:
    """Where a counted frame follows a counted one, bool (N, T - 1)."""
    return (target[:, 1:] != IGNORE) & (target[:, :-1] != IGNORE)


def class_weight(labels: LabelArray, classes: int, balance: float) -> Tensor | None:
    """Weights `frequency ** -balance` (K,) over the labels of a data set; None for equal ones.

    Their mean over the labels is one; a class without a label has weight 0.
    """
    if not balance:
        return None
    counts = np.bincount(labels, minlength=classes)
    weight = np.where(counts > 0, np.maximum(counts, 1.0) ** -balance, 0.0)
    scale = counts.sum() / (weight * counts).sum()  # mean weight of a label: one
    return torch.from_numpy((weight * scale).astype(np.float32))
