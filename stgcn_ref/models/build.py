"""From an `ArchSpec` to a float network."""

from __future__ import annotations

import numpy as np
import torch

from fxp.errors import InputError
from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec
from stgcn_ref.models.rtstgcn import RTSTGCN


def build(arch: ArchSpec, dropout: float = 0.0) -> RTSTGCN:
    """A freshly initialised network (torch's global generator draws the weights), training mode.

    Raises:
        InputError: a family that has no float network (`costgcn` exists for its cost alone).
    """
    if arch.family != "rtstgcn":
        raise InputError(f"`family`: only rtstgcn can be trained, got {arch.family!r}")
    graph = partitions(load_skeleton(arch.skeleton), arch.partition, arch.normalisation)
    return RTSTGCN(
        arch.in_channels,
        arch.embedding,
        arch.channels,
        arch.window,
        arch.dilation,
        arch.classes,
        torch.from_numpy(graph.astype(np.float32)),
        dropout,
    )
