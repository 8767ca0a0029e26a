"""From an `ArchSpec` to a float network."""

from __future__ import annotations

from typing import assert_never

import numpy as np
import torch

from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec
from stgcn_ref.models.costgcn import CoSTGCN
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.rtstgcn import RTSTGCN

# Networks that an architecture describes: `(N, C, T, V)` -> logits `(N, classes, T)`
FrameNet = RTSTGCN | CoSTGCN | MSGCN


def build(arch: ArchSpec, dropout: float = 0.0) -> FrameNet:
    """A freshly initialised network (torch's global generator draws the weights), training mode."""
    matrix = partitions(load_skeleton(arch.skeleton), arch.partition, arch.normalisation)
    graph = torch.from_numpy(matrix.astype(np.float32))
    match arch.family:
        case "rtstgcn":
            return RTSTGCN(
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
        case "msgcn":
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
        case _:
            assert_never(arch.family)
