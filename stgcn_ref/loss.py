"""What a training minimises: errors of single frames, and restlessness between frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.segments import IGNORE


def segment_loss(
    logits: Tensor, target: Tensor, recipe: TrainRecipe, weight: Tensor | None
) -> Tensor:
    """Cross-entropy plus truncated smoothing over the frames that count (see `TrainRecipe`).

    logits (N, K, T), target (N, T). The smoothing term is the mean over classes and over pairs of
    neighbouring counted frames of `min(limit, (log p_t - log p_{t-1})^2)`, the earlier detached.
    """
    loss = F.cross_entropy(
        logits,
        target,
        weight=weight,
        ignore_index=IGNORE,
        label_smoothing=recipe.label_smoothing,
    )
    if not recipe.smoothing:
        return loss
    logp = F.log_softmax(logits, dim=1)
    change = (logp[:, :, 1:] - logp[:, :, :-1].detach()).square().clamp(max=recipe.smoothing_limit)
    both = (target[:, 1:] != IGNORE) & (target[:, :-1] != IGNORE)
    pairs = both.sum().clamp(min=1) * logits.shape[1]
    return loss + recipe.smoothing * (change * both.unsqueeze(1)).sum() / pairs


def class_weight(ds: Dataset, balance: float) -> Tensor | None:
    """Weights `frequency ** -balance` (K,) over the steps of a data set; None for equal ones.

    Their mean over the steps is one; a class without a step has weight 0.
    """
    if not balance:
        return None
    counts = np.bincount(np.concatenate([c.labels for c in ds.clips]), minlength=len(ds.classes))
    weight = np.where(counts > 0, np.maximum(counts, 1.0) ** -balance, 0.0)
    scale = counts.sum() / (weight * counts).sum()  # mean weight of a frame: one
    return torch.from_numpy((weight * scale).astype(np.float32))
