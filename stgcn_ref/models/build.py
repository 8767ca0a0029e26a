"""From an `ArchSpec` to a float network."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import torch
from torch import nn

from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec
from stgcn_ref.models.blocks import Block, NoResidual, give_residual
from stgcn_ref.models.costgcn import CoSTGCN
from stgcn_ref.models.layernorm import LayerNormRTSTGCN
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.rtstgcn import RTSTGCN
from stgcn_ref.models.stgcn import STGCN, STBlock, give_shortcut
from stgcn_ref.models.tcn import TCN

# Networks that label every frame: `(N, C, T, V)` -> logits `(N, classes, T)`
FrameNet = RTSTGCN | CoSTGCN | MSGCN | TCN
# Networks that an architecture describes; `STGCN`: `(N, C, T, V, M)` -> logits `(N, classes)`
Net = FrameNet | STGCN


def build(arch: ArchSpec, dropout: float = 0.0) -> Net:
    """A freshly initialised network (torch's global generator draws the weights), training mode."""
    matrix = partitions(load_skeleton(arch.skeleton), arch.partition, arch.normalisation)
    graph = torch.from_numpy(matrix.astype(np.float32))
    match arch.family:
        case "rtstgcn":
            assert arch.embedding is not None
            kind = LayerNormRTSTGCN if arch.norm == "layer" else RTSTGCN
            rtstgcn = kind(
                arch.in_channels,
                arch.embedding,
                arch.channels,
                arch.window,
                arch.dilation,
                arch.classes,
                graph,
                dropout,
            )
            _set_residuals(rtstgcn, arch)
            return rtstgcn
        case "costgcn":
            costgcn = CoSTGCN(
                arch.in_channels,
                arch.classes,
                graph,
                arch.channels,
                arch.window,
                arch.dilation,
                arch.embedding,
                dropout,
            )
            _set_residuals(costgcn, arch)
            return costgcn
        case "stgcn":
            return STGCN(
                arch.in_channels,
                arch.classes,
                graph,
                arch.channels,
                arch.stride,
                arch.window[0],
                dropout,
            )
        case "msgcn":
            assert arch.embedding is not None
            return MSGCN(
                arch.in_channels,
                arch.classes,
                graph,
                arch.embedding,
                arch.dilation,
                arch.window[0],
                arch.refinements,
                dropout,
            )
        case "tcn":
            assert arch.embedding is not None
            return TCN(
                arch.in_channels,
                arch.classes,
                graph.shape[-1],
                arch.channels,
                arch.dilation,
                arch.window[0],
                arch.embedding,
                dropout,
            )
        case _:
            assert_never(arch.family)


def _set_residuals(net: RTSTGCN | CoSTGCN, arch: ArchSpec) -> None:
    """Residuals as `arch` asks for them, where they are not what the channels make of them."""
    for block, wanted in zip(net.blocks, arch.residuals, strict=True):
        if isinstance(block, Block):
            if wanted == "none":
                block.residual = NoResidual()
            elif wanted == "conv" and block.residual is None:
                give_residual(block)
        elif isinstance(block, STBlock):
            if wanted == "none":
                block.shortcut = None
            elif wanted == "conv" and not isinstance(block.shortcut, nn.Sequential):
                give_shortcut(block)
