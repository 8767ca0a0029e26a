"""Small random networks of every family, and what several of their tests ask."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from fxp.skeleton import load_skeleton, partitions
from stgcn_ref.models.blocks import ChannelNorm
from stgcn_ref.models.temporal import Streaming, stream


def graph(skeleton: str = "hugadb", strategy: str = "spatial") -> Tensor:
    """Adjacency (P, V, V), float32."""
    matrix = partitions(load_skeleton(skeleton), strategy, "column")
    return torch.from_numpy(matrix.astype(np.float32))


def settled(make: Callable[[], nn.Module], x: Tensor, seed: int = 0) -> nn.Module:
    """A random network in eval mode, no parameter at its neutral start, norms settled on `x`."""
    torch.manual_seed(seed)
    net = make()
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith("importance") or (value.ndim == 1 and name.endswith("weight")):
                value.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                value.uniform_(-0.5, 0.5)
        for module in net.modules():
            if isinstance(module, ChannelNorm):
                module.momentum = 1.0
        net(x)
    return net.eval()


def check_stream(net: nn.Module, x: Tensor) -> None:
    """Batch and realtime form agree on every frame, first and last ones included.

    In float64: a random network may amplify the rounding of float32, and what is wrong in the first
    digits there is wrong here too.
    """
    double = copy.deepcopy(net).double()
    with torch.no_grad():
        batch, live = double(x.double()), stream(double, x.double())
    torch.testing.assert_close(live, batch, rtol=1e-9, atol=1e-9)


def check_float32_stream(net: nn.Module, x: Tensor) -> None:
    """Batch and realtime form agree to 1e-5 of the largest logit as they are, in float32."""
    with torch.no_grad():
        batch, live = net(x), stream(net, x)
    assert live.shape == batch.shape
    assert (live - batch).abs().max() <= 1e-5 * batch.abs().max()


def check_delay(net: Streaming, x: Tensor) -> None:
    """Nothing is answered for `latency_frames` frames, then every frame, then nothing again."""
    state, frames = net.stream_state(len(x)), x.shape[2]
    assert frames > net.latency_frames
    with torch.no_grad():
        live = [net.step(x[:, :, t], state) is not None for t in range(frames)]
        rest = [net.step(None, state) is not None for _ in range(net.latency_frames + 3)]
    assert live == [t >= net.latency_frames for t in range(frames)]
    assert rest == [t < net.latency_frames for t in range(net.latency_frames + 3)]


def reach(net: nn.Module, x: Tensor, frame: int) -> tuple[int, int]:
    """First and last input frame that the logits of one frame depend on."""
    x = x.clone().requires_grad_()
    net(x)[0, :, frame].sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    return int(touched.min()), int(touched.max())
