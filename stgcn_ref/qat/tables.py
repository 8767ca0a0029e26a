"""Nodes that divide or read tables: forward by the simulator's kernels, backward as in float.

The kernels see the raw words, so that there is nothing to prove. The gradient is that of the real
function (softmax, layer norm, mean), taken where the integers are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fxp.elementary import layer_norm_bound
from fxp.errors import GraphError
from fxp.ir import ClipMean, LayerNorm, Softmax
from fxp.kernels import norm
from fxp.ranges import MAX_INNER_BITS, Signal, inner_bits
from stgcn_ref.qat.words import Words, exact_dtype, raw_words


def softmax(node: Softmax, x: Words) -> Words:
    """The shares of the channels, joint by joint."""
    _check_inside(node, x)
    reach, frac_bits = 1 << node.frac_bits, (node.frac_bits,)
    words = raw_words(x).flatten(0, 1).numpy()  # (N * T, V, C)
    found = np.empty_like(words)
    norm.softmax(words, node.coarse, node.fine, node.exp_bits, node.frac_bits, found)
    y = _real(found, x.x, node.frac_bits, exact_dtype(node.name, reach, frac_bits))
    return Words(_Softmax.apply(x.x, y), reach, frac_bits)  # type: ignore[no-untyped-call]


def layer_norm(node: LayerNorm, x: Words) -> Words:
    """Every frame less its mean, over its deviation."""
    _check_inside(node, x)
    size = x.x.shape[2] * x.x.shape[3]
    reach = layer_norm_bound(size, node.seeds, node.newton_steps, node.frac_bits)
    words = raw_words(x).reshape(-1, size).numpy()
    found, epsilon = np.empty_like(words), int(node.epsilon[0])
    norm.layer_norm(words, epsilon, node.seeds, node.newton_steps, node.frac_bits, found)
    frac_bits = (node.frac_bits,)
    y = _real(found, x.x, node.frac_bits, exact_dtype(node.name, reach, frac_bits))
    epsilon_real = epsilon * 2.0 ** (-2 * x.frac_bits[0]) / size**2
    out = _LayerNorm.apply(x.x, y, epsilon_real)  # type: ignore[no-untyped-call]
    return Words(out, reach, frac_bits)


def clip_mean(node: ClipMean, x: Words) -> Words:
    """The mean over the frames of a clip, one frame."""
    _check_inside(node, x)
    frames = x.x.shape[1]
    if frames > node.max_frames:
        raise GraphError(
            f"node `{node.name}`: a clip has at most {node.max_frames} frames, got {frames}"
        )
    total = raw_words(x).sum(dim=1, keepdim=True) << node.shift
    words = torch.div(2 * total + frames, 2 * frames, rounding_mode="floor")
    reach, frac_bits = x.reach << node.shift, (x.frac_bits[0] + node.shift,)
    dtype = exact_dtype(node.name, reach, frac_bits)
    y = _real(words.numpy(), words, frac_bits[0], dtype)
    return Words(_Mean.apply(x.x, y), reach, frac_bits)  # type: ignore[no-untyped-call]


def _check_inside(node: ClipMean | LayerNorm | Softmax, x: Words) -> None:
    """The kernels' own registers, as `fxp.ranges.certify` checks them."""
    channels = x.x.shape[-1]
    ends = (-x.reach,) * channels, (x.reach,) * channels
    inside = inner_bits(node, [Signal(channels, x.x.shape[2], *ends, x.frac_bits, stored=True)])
    if inside > MAX_INNER_BITS:
        raise GraphError(
            f"node `{node.name}`: a sum inside it needs {inside} bits in the worst case, "
            f"the most is {MAX_INNER_BITS}"
        )


def _real(words: Any, like: Tensor, frac_bits: int, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(words).view(like.shape).to(dtype).mul_(2.0**-frac_bits)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        ctx.dtype = x.dtype
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        weighted = grad * y
        return (weighted - y * weighted.sum(dim=-1, keepdim=True)).to(ctx.dtype), None


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.epsilon = epsilon
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, y = ctx.saved_tensors
        frame = (2, 3)
        variance = x.double().var(dim=frame, correction=0, keepdim=True) + ctx.epsilon
        inverse = torch.where(variance > 0, variance.rsqrt(), 0.0)  # 0: y is 0 whatever x is
        centred = grad - grad.mean(dim=frame, keepdim=True)
        along = y * (grad * y).mean(dim=frame, keepdim=True)
        return ((centred - along) * inverse).to(x.dtype), None, None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = x.shape, x.dtype
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        frames = ctx.shape[1]
        return (grad / frames).to(ctx.dtype).expand(ctx.shape), None
