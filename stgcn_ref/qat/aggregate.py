"""The product with a sparse adjacency and its gradient, edge by edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fxp.kernels.graph import graph_product
from stgcn_ref.qat.kernels import Indices, Reals, edge_products


def aggregate(x: Tensor, adjacency: Tensor, edges: Tensor) -> Tensor:
    """`y[.., w, c] = sum_{p, v} x[.., v, p * C + c] * adjacency[p, v, w]` over the edges.

    Args:
        x: `(N, T, V, P * C)`.
        adjacency: `(P, V, V)`, of the dtype of `x`; an entry off the edges counts as zero and gets
            no gradient.
        edges: bool `(P, V, V)`.

    Returns:
        `(N, T, V, C)`.
    """
    n, t, v, _ = x.shape
    frames = x.reshape(n * t, -1)
    y: Tensor = _Aggregate.apply(frames, adjacency, edges)  # type: ignore[no-untyped-call]
    return y.view(n, t, v, -1)


class _Aggregate(torch.autograd.Function):
    """x `(T, V * P * C)` -> `(T, V, C)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: Tensor, edges: Tensor) -> Tensor:
        partitions, joints, _ = adjacency.shape
        channels = x.shape[1] // (partitions * joints)
        w, p, v = np.nonzero(edges.numpy().transpose(2, 0, 1))  # sorted by target joint
        factor = adjacency.detach().numpy()[p, v, w]
        rows = v * partitions + p
        ctx.edges = (w, p, v, rows, factor, channels)
        ctx.save_for_backward(x, adjacency)
        y = torch.empty(len(x), joints, channels, dtype=x.dtype)
        _gather(x.detach().numpy(), w, rows, factor, y.numpy())
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, adjacency = ctx.saved_tensors
        w, p, v, rows, factor, channels = ctx.edges
        grad = grad.contiguous()
        grad_x = grad_adjacency = None
        if ctx.needs_input_grad[0]:
            back = np.argsort(rows, kind="stable")  # the same edges, sorted by where they start
            grad_x = torch.empty_like(x)
            into = grad_x.view(len(x), -1, channels).numpy()
            flat = grad.view(len(x), -1).numpy()
            _gather(flat, rows[back], w[back], factor[back], into)
        if ctx.needs_input_grad[1]:
            sums = torch.zeros(len(w), channels, dtype=x.dtype)
            edge_products(x.numpy(), grad.numpy(), w, rows * channels, sums.numpy())
            grad_adjacency = torch.zeros_like(adjacency)
            grad_adjacency[p, v, w] = sums.sum(dim=1)
        return grad_x, grad_adjacency, None


def _gather(x: Reals, target: Indices, source: Indices, factor: Reals, y: Reals) -> None:
    """Sum over edges sorted by target; `source` counts rows of the width of y's."""
    first = np.searchsorted(target, np.arange(y.shape[1] + 1)).astype(np.int64)
    # the simulator's kernel: it computes in the dtype of y, which here is a float
    graph_product(x, first, source * y.shape[2], factor, y)  # type: ignore[arg-type]
