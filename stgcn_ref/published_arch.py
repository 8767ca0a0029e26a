"""The architecture of a published network, and its input as the words of a data set.

Skeleton and partition are found by the network's graph, everything else is read from its layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from fxp.spec import ArchSpec, parse_spec
from stgcn_ref.models.blocks import Block, ChannelNorm, NoResidual
from stgcn_ref.models.layernorm import LayerNormRTSTGCN
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.rtstgcn import RTSTGCN
from stgcn_ref.models.stgcn import STGCN, STBlock
from stgcn_ref.published import Network
from stgcn_ref.published_graph import match_graph

PERSONS = 2  # that the published ST-GCN reads of a clip, of NTU and of Kinetics
_PARTITION = {1: "uniform", 2: "distance", 3: "spatial"}  # by number of matrices


def arch_of(
    net: Network, source: str, skeleton: str | None = None, persons: int = PERSONS
) -> ArchSpec:
    """The architecture of a network. Skeleton and partition are those that give its graph.

    Where none gives it, `skeleton` names the joints; the network's own graph counts all the same.
    `persons` are those of a clip (ST-GCN): no tensor tells how many there are.

    Raises:
        InputError: no skeleton gives the graph and none was named, or an architecture cannot
            describe the network.
    """
    keys: dict[str, Any] = {
        "in_channels": net.in_channels,
        "classes": net.classifier.out_features,
    }
    match net:
        case STGCN():
            blocks = [block for block in net.blocks if isinstance(block, STBlock)]
            keys |= _over_time(blocks) | {"family": "stgcn", "persons": persons}
        case MSGCN():
            blocks = [block for block in net.blocks if isinstance(block, STBlock)]
            keys |= _over_time(blocks) | {
                "family": "msgcn",
                "embedding": net.embedding.out_features,
                "refinements": len(net.stages),
            }
        case RTSTGCN():
            layers = [block for block in net.blocks if isinstance(block, Block)]
            keys |= {
                "family": "rtstgcn",
                "embedding": net.embedding.out_features,
                "channels": [block.gcn.out_channels for block in layers],
                "window": [block.window for block in layers],
                "dilation": [block.dilation for block in layers],
                "residual": [_residual(block) for block in layers],
                "norm": "layer" if isinstance(net, LayerNormRTSTGCN) else "batch",
            }
        case _:
            assert_never(net)
    first = net.blocks[0]
    assert isinstance(first, Block | STBlock)
    return parse_spec(ArchSpec, keys | _graph(first.gcn.adjacency, source, skeleton), source)


@torch.no_grad()
def read_words(net: Network, frac_bits: Sequence[int], source: str) -> None:
    """Make a network that was trained on measurements read words, `2**frac_bits[c]` to the unit.

    The words' scale goes into the input norm. A LayerNorm takes it out by itself, if it is the same
    for all channels (its epsilon, then in units of words, is below all they resolve).

    Raises:
        InputError: not one entry per channel, a norm without statistics, or a LayerNorm whose
            channels differ.
    """
    if len(frac_bits) != net.in_channels:
        raise InputError(
            f"{source}: `frac_bits` needs {net.in_channels} entries, one a channel, "
            f"got {len(frac_bits)}"
        )
    norm = net.input_norm
    if not isinstance(norm, ChannelNorm):
        if len(set(frac_bits)) > 1:
            raise InputError(f"{source}: `frac_bits` must be equal in front of a LayerNorm")
        return
    if norm.running_mean is None or norm.running_var is None:
        raise InputError(f"{source}: the input norm has no running statistics to scale")
    scale = torch.tensor([2.0**bits for bits in frac_bits]).repeat(net.joints)  # joint-major
    norm.running_mean *= scale
    norm.running_var.copy_((norm.running_var + norm.eps) * scale**2 - norm.eps)


def _over_time(blocks: Sequence[STBlock]) -> dict[str, Any]:
    return {
        "channels": [block.gcn.out_channels for block in blocks],
        "window": [block.tconv.taps for block in blocks],
        "dilation": [block.tconv.dilation for block in blocks],
        "stride": [block.tconv.stride for block in blocks],
    }


def _residual(block: Block) -> str:
    """What `ArchSpec` calls a block's residual."""
    if isinstance(block.residual, NoResidual):
        return "none"
    return "conv" if isinstance(block.residual, nn.Sequential) else "auto"


def _graph(graph: Tensor, source: str, skeleton: str | None) -> dict[str, str]:
    match = match_graph(graph, None if skeleton is None else load_skeleton(skeleton))
    if match is not None:
        column = match.construction.startswith("column")
        return {
            "skeleton": match.skeleton,
            "partition": match.strategy,
            "normalisation": "column" if column else "symmetric",
        }
    if skeleton is None:
        raise InputError(f"{source}: the graph is of no known skeleton: name one (`--skeleton`)")
    if len(graph) not in _PARTITION:
        raise InputError(f"{source}: the graph has {len(graph)} partitions: 1 to 3 can be lowered")
    return {"skeleton": skeleton, "partition": _PARTITION[len(graph)], "normalisation": "symmetric"}
