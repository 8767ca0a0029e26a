"""State dicts with the published names and shapes, and what the published networks compute.

The references work on the state dicts alone, channels first, in torch's functional layers, and
share nothing with the networks they check. Values are random, the norms' neutral ones included.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

State = dict[str, Tensor]


class _Draft:
    """Collects tensors; sizes are kept small, so that ten layers do not explode."""

    def __init__(self, seed: int) -> None:
        self.state: State = {}
        self.random = torch.Generator().manual_seed(seed)

    def put(self, name: str, *shape: int, low: float = -0.5, high: float = 0.5) -> None:
        self.state[name] = low + (high - low) * torch.rand(*shape, generator=self.random)

    def conv(self, name: str, *shape: int, bias: bool = True) -> None:
        self.put(f"{name}.weight", *shape)
        if bias:
            self.put(f"{name}.bias", shape[0])

    def norm(self, name: str, *features: int, statistics: bool = True) -> None:
        self.put(f"{name}.weight", *features, low=0.5, high=1.5)
        self.put(f"{name}.bias", *features)
        if statistics:
            self.put(f"{name}.running_mean", *features)
            self.put(f"{name}.running_var", *features, low=0.5, high=2.0)
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def blocks(self, prefix: str, graph: Tensor, inputs: int, channels: Sequence[int]) -> None:
        for i, outputs in enumerate(channels):
            name = f"{prefix}st_gcn_networks.{i}"
            self.conv(f"{name}.gcn.conv", len(graph) * outputs, inputs, 1, 1)
            self.norm(f"{name}.tcn.0", outputs)
            self.conv(f"{name}.tcn.2", outputs, outputs, 3, 1)
            self.norm(f"{name}.tcn.3", outputs)
            self.put(f"{prefix}edge_importance.{i}", *graph.shape, low=0.5, high=1.5)
            inputs = outputs


def stgcn_state(
    graph: Tensor, channels: Sequence[int], strides: Sequence[int], seed: int = 0
) -> State:
    """An ST-GCN of 3 channels, 5 classes and 3 taps as yysijie/st-gcn stores it."""
    draft = _Draft(seed)
    draft.state["A"] = graph
    draft.norm("data_bn", 3 * graph.shape[-1])
    draft.blocks("", graph, 3, channels)
    for i in range(1, len(channels)):
        if strides[i] != 1 or channels[i - 1] != channels[i]:
            draft.conv(f"st_gcn_networks.{i}.residual.0", channels[i], channels[i - 1], 1, 1)
            draft.norm(f"st_gcn_networks.{i}.residual.1", channels[i])
    draft.conv("fcn", 5, channels[-1], 1, 1)
    return draft.state


def msgcn_state(
    graph: Tensor,
    depth: int,
    refinements: int,
    seed: int = 0,
    channels: int = 3,
    classes: int = 5,
) -> State:
    """An MS-GCN of 4 filters as BenjaminFiltjens/MS-GCN stores it."""
    draft = _Draft(seed)
    draft.state["stream.A"] = graph
    draft.norm("stream.data_bn", channels * graph.shape[-1])
    draft.conv("stream.conv_1x1", 4, channels, 1, 1)
    draft.blocks("stream.", graph, 4, [4] * depth)
    draft.conv("stream.conv_out", classes, 4, 1)
    for s in range(refinements):
        draft.conv(f"stages.{s}.conv_1x1", 4, classes, 1)
        for i in range(depth):
            draft.conv(f"stages.{s}.layers.{i}.conv_dilated", 4, 4, 3)
            draft.norm(f"stages.{s}.layers.{i}.bn", 4)
        draft.conv(f"stages.{s}.conv_out", classes, 4, 1)
    return draft.state


def rtstgcn_state(
    graph: Tensor,
    channels: Sequence[int],
    dilations: Sequence[int],
    norm: str = "layer",
    seed: int = 0,
) -> State:
    """An RT-ST-GCN of 3 channels, embedded in 4, and 5 classes as Realtime-ST-GCN stores it.

    `norm`: `layer`, `batch` (with running statistics) or `batch alone` (without).
    """
    draft, joints = _Draft(seed), graph.shape[-1]

    def put_norm(name: str, features: int) -> None:
        if norm == "layer":
            draft.norm(name, features, 1, joints, statistics=False)
        else:
            draft.norm(name, features, statistics=norm == "batch")

    draft.state["A"] = graph
    if norm == "layer":
        put_norm("norm_in", 3)
    else:
        put_norm("norm_in.norm", 3 * joints)
    draft.conv("fcn_in", 4, 3, 1, 1)
    inputs = 4
    for i, outputs in enumerate(channels):
        name = f"st_gcn.{i}"
        draft.put(f"{name}.edge_importance", *graph.shape, low=0.5, high=1.5)
        draft.conv(f"{name}.conv", len(graph) * outputs, inputs, 1, 1)
        put_norm(f"{name}.bn_relu.0", outputs)
        if inputs != outputs or dilations[i] != 1:
            draft.conv(f"{name}.residual.0", outputs, inputs, 1, 1, bias=False)
            put_norm(f"{name}.residual.1", outputs)
        inputs = outputs
    draft.conv("fcn_out", 5, inputs, 1, 1)
    return draft.state


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    """BatchNorm over axis 1, or the published LayerNorm over (C, V) of x (N, C, T, V)."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    if weight.ndim == 3:
        mean = x.mean(dim=(1, 3), keepdim=True)
        variance = x.var(dim=(1, 3), keepdim=True)  # torch's is the unbiased one
        return weight * ((x - mean) / torch.sqrt(variance + 1e-5)) + bias
    mean, variance = state.get(f"{name}.running_mean"), state.get(f"{name}.running_var")
    return F.batch_norm(x, mean, variance, weight, bias, training=mean is None)


def _input_norm(state: State, name: str, x: Tensor) -> Tensor:
    """BatchNorm over joints times channels of x (N, C, T, V), joints first."""
    n, c, t, v = x.shape
    flat = x.permute(0, 3, 1, 2).reshape(n, v * c, t)
    return _norm(state, name, flat).view(n, v, c, t).permute(0, 2, 3, 1)


def _conv(state: State, name: str, x: Tensor, **keys: int | tuple[int, int]) -> Tensor:
    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
    return (F.conv1d if x.ndim == 3 else F.conv2d)(x, weight, bias, **keys)  # type: ignore[arg-type]


def _graph_conv(state: State, name: str, graph: Tensor, x: Tensor) -> Tensor:
    y = _conv(state, name, x)
    y = y.unflatten(1, (len(graph), -1))
    return torch.einsum("nkctv,kvw->nctw", y, graph)


def _block(state: State, prefix: str, i: int, x: Tensor, stride: int, dilation: int) -> Tensor:
    """Graph convolution, norm, ReLU, temporal convolution, norm."""
    name = f"{prefix}st_gcn_networks.{i}"
    graph = state[f"{prefix}A"] * state[f"{prefix}edge_importance.{i}"]
    y = _norm(state, f"{name}.tcn.0", _graph_conv(state, f"{name}.gcn.conv", graph, x)).relu()
    y = _conv(
        state,
        f"{name}.tcn.2",
        y,
        stride=(stride, 1),
        padding=(dilation, 0),
        dilation=(dilation, 1),
    )
    return _norm(state, f"{name}.tcn.3", y)


def stgcn_reference(state: State, x: Tensor, strides: Sequence[int]) -> Tensor:
    """x (N, C, T, V, M) -> (N, classes)."""
    n, _, _, _, persons = x.shape
    y = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
    y = _input_norm(state, "data_bn", y)
    for i, stride in enumerate(strides):
        name, shortcut = f"st_gcn_networks.{i}.residual", y if i else 0
        if f"{name}.0.weight" in state:
            shortcut = _norm(state, f"{name}.1", _conv(state, f"{name}.0", y, stride=(stride, 1)))
        y = (_block(state, "", i, y, stride, 1) + shortcut).relu()
    y = F.avg_pool2d(y, y.shape[2:]).view(n, persons, -1, 1, 1).mean(dim=1)
    return _conv(state, "fcn", y).view(n, -1)


def msgcn_reference(state: State, x: Tensor, dilations: Sequence[int], stages: int) -> Tensor:
    """x (N, C, T, V) -> logits of all stages (stages, N, classes, T)."""
    y = _conv(state, "stream.conv_1x1", _input_norm(state, "stream.data_bn", x))
    for i, dilation in enumerate(dilations):
        y = _block(state, "stream.", i, y, 1, dilation).relu() + y
    y = F.avg_pool2d(y, (1, y.shape[3])).squeeze(3)
    logits = [_conv(state, "stream.conv_out", y)]
    for s in range(stages - 1):
        y = _conv(state, f"stages.{s}.conv_1x1", logits[-1].softmax(dim=1))
        for i, d in enumerate(dilations):
            name = f"stages.{s}.layers.{i}"
            z = _conv(state, f"{name}.conv_dilated", y, padding=d, dilation=d)
            y = _norm(state, f"{name}.bn", z).relu() + y
        logits.append(_conv(state, f"stages.{s}.conv_out", y))
    return torch.stack(logits)


def rtstgcn_reference(
    state: State, x: Tensor, window: Sequence[int], dilations: Sequence[int]
) -> Tensor:
    """x (N, C, T, V) -> (N, classes, T); the window sum frame by frame."""
    flat = "norm_in.norm.weight" in state
    y = _input_norm(state, "norm_in.norm", x) if flat else _norm(state, "norm_in", x)
    y = _conv(state, "fcn_in", y)
    for i, (frames, dilation) in enumerate(zip(window, dilations, strict=True)):
        name = f"st_gcn.{i}"
        graph = state["A"] * state[f"{name}.edge_importance"]
        z = _graph_conv(state, f"{name}.conv", graph, y)
        total = torch.zeros_like(z)
        for t in range(z.shape[2]):
            for k in range(frames):
                if t - k * dilation >= 0:
                    total[:, :, t] += z[:, :, t - k * dilation]
        residual = y
        if f"{name}.residual.0.weight" in state:
            residual = _norm(state, f"{name}.residual.1", _conv(state, f"{name}.residual.0", y))
        y = (_norm(state, f"{name}.bn_relu.0", total).relu() + residual).relu()
    return _conv(state, "fcn_out", y.mean(dim=3, keepdim=True)).squeeze(3)
