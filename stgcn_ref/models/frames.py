"""What every network does at its two ends, frame by frame: normalise the input, name the classes.

Tensors are channels-last inside a network, `(N, T, V, C)`, see `stgcn_ref.models.blocks`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stgcn_ref.models.blocks import ChannelNorm, Observe, tell


def normalise(norm: ChannelNorm, x: Tensor, observe: Observe | None) -> Tensor:
    """The input norm over all joints and channels of a frame, x `(N, T, V, C)` of any number type.

    Each pair of joint and channel is a feature of its own, joint-major: sensors differ in scale.
    """
    return norm.observed(x.to(norm.weight.dtype), observe, "input_norm")


def classify(classifier: nn.Linear, y: Tensor, observe: Observe | None, prefix: str = "") -> Tensor:
    """Mean over joints, then the linear classifier: y `(N, T, V, C)` -> logits `(N, T, classes)`.

    Observed as `{prefix}pool` and `{prefix}classifier`.
    """
    pooled = y.mean(dim=2, keepdim=True)
    tell(observe, f"{prefix}pool", pooled)
    logits: Tensor = classifier(pooled)
    tell(observe, f"{prefix}classifier", logits)
    return logits.squeeze(2)


@torch.no_grad()
def start_norm(norm: ChannelNorm, mean: Tensor, variance: Tensor) -> None:
    """Start an input norm from data statistics `(C, V)`; a constant feature gets scale 1."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean.T.flatten())
    norm.running_var.copy_(
        torch.where(variance > 0, variance, torch.ones_like(variance)).T.flatten()
    )
