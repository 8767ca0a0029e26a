"""From an `ArchSpec` to a float network."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import torch

from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec
from stgcn_ref.models.costgcn import CoSTGCN
from stgcn_ref.models.layernorm import LayerNormRTSTGCN
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.rtstgcn import RTSTGCN
from stgcn_ref.models.stgcn import STGCN
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
            return kind(
                arch.in_channels,
                arch.embedding,
                arch.channels,
                arch.window,
                arch.dilation,
                arch.classes,
                graph,
                dropout,
            )
        case "costgcn":
            return CoSTGCN(
                arch.in_channels,
                arch.classes,
                graph,
                arch.channels,
                arch.window,
                arch.dilation,
                arch.embedding,
                dropout,
            )
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
