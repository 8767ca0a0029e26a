"""Which parameters decay, and how the learning rate moves through a training."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from stgcn_ref.models.temporal import TemporalConv
from stgcn_ref.recipe import TrainRecipe


def parameter_groups(net: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Only weights of convolutions decay; norms, biases and edge importances (they start at one)
    do not."""
    decayed = [m.weight for m in net.modules() if isinstance(m, nn.Linear | TemporalConv)]
    known = {id(weight) for weight in decayed}
    other = [p for p in net.parameters() if id(p) not in known]
    return [{"params": decayed, "weight_decay": decay}, {"params": other, "weight_decay": 0.0}]


def learning_rate(recipe: TrainRecipe, share: float) -> float:
    """Learning rate after this share of the training: a linear rise, then half a cosine."""
    if share < recipe.lr_rise:
        return recipe.lr * max(share / recipe.lr_rise, 1e-3)
    rest = (share - recipe.lr_rise) / max(1 - recipe.lr_rise, 1e-9)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * rest))
