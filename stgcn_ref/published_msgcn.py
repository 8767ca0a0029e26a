"""MS-GCN as published by its authors (github.com/BenjaminFiltjens/MS-GCN): names of its tensors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.published_stgcn import block_state, blocks_of, features_of
from stgcn_ref.published_tensors import Tensors, per_layer

_STREAM = "stream."


def msgcn(
    tensors: Tensors,
    graph: Tensor,
    dilations: Sequence[int] | None = None,
    importance: bool = True,
) -> MSGCN:
    """The network of all tensors of a checkpoint; graph (P, V, V).

    Raises:
        InputError: as `stgcn_ref.published.load`.
    """
    depth = tensors.count(f"{_STREAM}st_gcn_networks.")
    outputs, taps = blocks_of(tensors, _STREAM, depth)
    if dilations is None:
        dilations = [2**i for i in range(depth)]
    dilations = per_layer(tensors.source, "dilations", dilations, depth)
    in_channels = features_of(tensors, f"{_STREAM}data_bn", graph)
    filters = max(outputs, key=outputs.count)
    refinements = tensors.count("stages.")
    heads = [f"{_STREAM}conv_out", *(f"stages.{s}.conv_out" for s in range(refinements))]
    classes = tensors.size(*((f"{head}.{key}", 0) for head in heads for key in ("weight", "bias")))
    state = tensors.batch_norm("input_norm", f"{_STREAM}data_bn", graph.shape[-1] * in_channels)
    state |= tensors.linear("embedding", f"{_STREAM}conv_1x1", filters, in_channels, 2)
    for i in range(depth):
        both = (filters, filters)
        state |= block_state(tensors, _STREAM, i, graph, both, taps, importance)
    state |= tensors.linear("classifier", f"{_STREAM}conv_out", classes, filters, 1)
    for s in range(refinements):
        name = f"stages.{s}"
        state |= tensors.linear(f"{name}.embedding", f"{name}.conv_1x1", filters, classes, 1)
        for i in range(depth):
            layer = f"{name}.layers.{i}"
            state |= tensors.temporal(f"{layer}.tconv", f"{layer}.conv_dilated", filters, taps, 1)
            state |= tensors.batch_norm(f"{layer}.tnorm", f"{layer}.bn", filters)
        state |= tensors.linear(f"{name}.classifier", f"{name}.conv_out", classes, filters, 1)
    tensors.finish(f"no part of an MS-GCN of {depth} layers and {refinements} refinements")
    net = MSGCN(in_channels, classes, graph, filters, dilations, taps, refinements)
    net.load_state_dict(state)
    return net
