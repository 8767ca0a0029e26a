"""MS-GCN as published by its authors (github.com/BenjaminFiltjens/MS-GCN): names of its tensors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from fxp.spec import ArchSpec
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.stgcn import STBlock
from stgcn_ref.published_graph import match_graph
from stgcn_ref.published_stgcn import block_state, blocks_of, features_of
from stgcn_ref.published_tensors import Tensors, per_layer

_STREAM = "stream."
_PARTITION = {1: "uniform", 2: "distance", 3: "spatial"}  # by number of matrices


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


def arch_of(net: MSGCN, source: str, skeleton: str | None = None) -> ArchSpec:
    """The architecture of a network. Skeleton and partition are those that give its graph.

    Where none gives it, `skeleton` names the joints; the network's own graph counts all the same.

    Raises:
        InputError: no skeleton gives the graph and none was named.
    """
    blocks = [block for block in net.blocks if isinstance(block, STBlock)]
    graph = blocks[0].gcn.adjacency
    match = match_graph(graph, None if skeleton is None else load_skeleton(skeleton))
    if match is None and skeleton is None:
        raise InputError(f"{source}: the graph is of no known skeleton: name one (`--skeleton`)")
    if match is None and len(graph) not in _PARTITION:
        raise InputError(f"{source}: the graph has {len(graph)} partitions: 1 to 3 can be lowered")
    column = match is not None and match.construction.startswith("column")
    return ArchSpec.model_validate(
        {
            "family": "msgcn",
            "skeleton": skeleton if match is None else match.skeleton,
            "partition": _PARTITION[len(graph)] if match is None else match.strategy,
            "normalisation": "column" if column else "symmetric",
            "in_channels": net.in_channels,
            "embedding": net.embedding.out_features,
            "channels": [block.gcn.out_channels for block in blocks],
            "window": [block.tconv.taps for block in blocks],
            "dilation": [block.tconv.dilation for block in blocks],
            "refinements": len(net.stages),
            "classes": net.classifier.out_features,
        }
    )
