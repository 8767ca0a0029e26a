"""ST-GCN as published by its authors (github.com/yysijie/st-gcn): names and shapes of its tensors.

The block of graph and temporal convolution is also MS-GCN's, under the same names.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fxp.errors import InputError
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.published_tensors import Tensors, per_layer

_BLOCK = "st_gcn_networks.{}"


def stgcn(
    tensors: Tensors, graph: Tensor, strides: Sequence[int] | None = None, importance: bool = True
) -> STGCN:
    """The network of all tensors of a checkpoint; graph (P, V, V).

    Raises:
        InputError: as `stgcn_ref.published.load`.
    """
    depth = tensors.count("st_gcn_networks.")
    outputs, taps = blocks_of(tensors, "", depth)
    if strides is None:
        strides = [
            2 if f"{_BLOCK.format(i)}.residual.0.weight" in tensors else 1 for i in range(depth)
        ]
    strides = per_layer(tensors.source, "strides", strides, depth)
    in_channels = features_of(tensors, "data_bn", graph)
    classes = tensors.size(("fcn.weight", 0), ("fcn.bias", 0))
    state = tensors.batch_norm("input_norm", "data_bn", graph.shape[-1] * in_channels)
    for i, (inputs, channels) in enumerate(zip((in_channels, *outputs), outputs, strict=False)):
        state |= block_state(tensors, "", i, graph, (inputs, channels), taps, importance)
        if i > 0 and (inputs != channels or strides[i] != 1):
            own, name = f"blocks.{i}.shortcut", f"{_BLOCK.format(i)}.residual"
            state |= tensors.linear(f"{own}.0", f"{name}.0", channels, inputs, 2)
            state |= tensors.batch_norm(f"{own}.1", f"{name}.1", channels)
    state |= tensors.linear("classifier", "fcn", classes, outputs[-1], 2)
    tensors.finish("no part of an ST-GCN with these strides and this edge importance")
    net = STGCN(in_channels, classes, graph, outputs, strides, taps)
    net.load_state_dict(state)
    return net


def blocks_of(tensors: Tensors, prefix: str, depth: int) -> tuple[list[int], int]:
    """Output channels of every block under `prefix`, and the taps of their convolutions.

    Raises:
        InputError: there is no block, or the taps are even, which no symmetric padding fits.
    """
    names = [f"{prefix}{_BLOCK.format(i)}.tcn" for i in range(max(depth, 1))]
    parts = ("2.weight", "2.bias", "0.weight", "0.bias", "3.weight", "3.bias")
    outputs = [tensors.size(*((f"{name}.{part}", 0) for part in parts)) for name in names]
    taps = tensors.size(*((f"{name}.2.weight", 2) for name in names))
    if taps % 2 == 0:
        raise InputError(f"{tensors.source}: tensor `{names[0]}.2.weight` has {taps} taps: not odd")
    return outputs, taps


def features_of(tensors: Tensors, name: str, graph: Tensor) -> int:
    """Input channels, from the norm `name` over joints times channels.

    Raises:
        InputError: the joints do not divide its features.
    """
    keys = ("weight", "bias", "running_mean", "running_var")
    return tensors.size(*((f"{name}.{key}", 0) for key in keys), per=graph.shape[-1])


def block_state(
    tensors: Tensors,
    prefix: str,
    index: int,
    graph: Tensor,
    channels: tuple[int, int],
    taps: int,
    importance: bool,
) -> dict[str, Tensor]:
    """Tensors of block `index` but its shortcut, by the names of `STBlock`; channels (in, out)."""
    own, name = f"blocks.{index}", f"{prefix}{_BLOCK.format(index)}"
    inputs, outputs = channels
    state = tensors.linear(f"{own}.gcn.conv", f"{name}.gcn.conv", len(graph) * outputs, inputs, 2)
    state |= tensors.batch_norm(f"{own}.norm", f"{name}.tcn.0", outputs)
    state |= tensors.temporal(f"{own}.tconv", f"{name}.tcn.2", outputs, taps, 2)
    state |= tensors.batch_norm(f"{own}.tnorm", f"{name}.tcn.3", outputs)
    state[f"{own}.gcn.adjacency"] = graph
    edges = f"{prefix}edge_importance.{index}"
    state[f"{own}.gcn.importance"] = tensors.importance(edges, graph, importance)
    return state
