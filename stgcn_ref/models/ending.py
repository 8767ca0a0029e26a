"""Clips of several lengths in one batch of a network that looks ahead.

Outside a clip every temporal convolution reads zeros. In a batch, a clip that is shorter than the
longest is followed by padding, and only zeros in the input of each single convolution act as its
end does: padding of the network's input goes through norms and biases first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from stgcn_ref.models.temporal import TemporalConv


@contextmanager
def ending(net: nn.Module, lengths: Tensor, frames: int) -> Iterator[None]:
    """Within, frames of clip n from `lengths[n]` on are zero where a temporal convolution reads.

    The frames before them then equal those of the clip alone. Gradients pass through. A network
    without temporal convolutions (RT-ST-GCN looks back only) is left as it is, and so is one whose
    clips all have `frames` frames. Temporal convolutions must have stride 1.

    Args:
        net: the network; its batch form is to be called within.
        lengths: int64 `(N,)`, on the network's device.
        frames: of the padded batch.
    """
    if bool((lengths == frames).all()):
        yield
        return
    inside = torch.arange(frames, device=lengths.device) < lengths[:, None]
    keep = inside[:, :, None, None]  # (N, T, 1, 1)

    def cut(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0] * keep,)

    convs = [module for module in net.modules() if isinstance(module, TemporalConv)]
    hooks = [conv.register_forward_pre_hook(cut) for conv in convs]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
