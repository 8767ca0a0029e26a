"""Networks from the state dicts that their authors published.

`load` reads three families. Names are mapped strictly and hyperparameters come from the tensors'
shapes; what shapes cannot tell is a keyword. The graph is the checkpoint's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fxp.errors import InputError
from fxp.skeleton import Skeleton, load_skeleton
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.rtstgcn import RTSTGCN
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.published_graph import check_graph
from stgcn_ref.published_msgcn import msgcn
from stgcn_ref.published_rtstgcn import rtstgcn
from stgcn_ref.published_stgcn import stgcn
from stgcn_ref.published_tensors import Tensors, read_tensors

Network = STGCN | MSGCN | RTSTGCN


@dataclass(frozen=True)
class _Family:
    """Reader of a family, its keywords, and the names of graph and edge importance."""

    read: Callable[..., Network]
    keywords: tuple[str, ...]
    graph: str
    importance: str


_FAMILIES = {
    "stgcn": _Family(stgcn, ("strides", "importance"), "A", "edge_importance.{}"),
    "msgcn": _Family(msgcn, ("dilations", "importance"), "stream.A", "stream.edge_importance.{}"),
    "rtstgcn": _Family(
        rtstgcn,
        ("window", "dilations", "residual", "importance", "config"),
        "A",
        "st_gcn.{}.edge_importance",
    ),
}


def load(
    path: Path | str, family: str, skeleton: str | Skeleton | None = None, **hyper: Any
) -> Network:
    """The published network in `path`, in eval mode on the CPU.

    - `stgcn` (github.com/yysijie/st-gcn): `(N, C, T, V, M)` -> `(N, classes)`. Keyword `strides`,
      one a block; left out, a block whose shortcut is a convolution has stride 2, as published.
    - `msgcn` (github.com/BenjaminFiltjens/MS-GCN): `(N, C, T, V)` -> `(N, classes, T)`. Keyword
      `dilations`, one a layer; left out they are 1, 2, 4..., as published.
    - `rtstgcn` (github.com/maximyudayev/Realtime-ST-GCN), with LayerNorm or BatchNorm:
      `(N, C, T, V)` -> `(N, classes, T)`. Keywords `window` and `dilations`, one number or one a
      layer, and `residual`, one flag a layer (left out: all have one); or `config`, a JSON file of
      that repository, which the keywords override. Window and dilation are what its `kernel` and
      `stride` are called there. (Its batch code sums only `kernel // stride` frames, its realtime
      code `kernel`; the latter is the definition here. Give `window` one number a layer for a
      network whose weights belong to the former.)
    - All take `importance=False` for a network trained without edge importance.

    The graph stored in the checkpoint is used. A skeleton, if it is named, must have its number of
    joints; if no construction gives the stored graph on that skeleton there is a warning
    (`stgcn_ref.published_graph.match_graph` says which one does).

    Raises:
        InputError: unknown family, keyword or skeleton; the file is no state dict; a tensor is
            missing, extra, of another shape or not finite (the message names it); the skeleton has
            another number of joints.
    """
    return assemble(read_tensors(path), family, skeleton, **hyper)


def assemble(
    tensors: Tensors, family: str, skeleton: str | Skeleton | None = None, **hyper: Any
) -> Network:
    """The network of a state dict that has been read; everything else as in `load`."""
    if family not in _FAMILIES:
        raise InputError(f"`family` must be one of {', '.join(_FAMILIES)}, got {family!r}")
    kind = _FAMILIES[family]
    source = tensors.source
    for key in hyper:
        if key not in kind.keywords:
            allowed = ", ".join(kind.keywords)
            raise InputError(f"{source}: keyword `{key}` is none of family {family} ({allowed})")
    if isinstance(skeleton, str):
        skeleton = load_skeleton(skeleton)
    graph = tensors.graph(kind.graph, kind.importance)
    if skeleton is not None:
        check_graph(graph, skeleton, source)
    with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten
        net = kind.read(tensors, graph, **hyper)
    return net.eval()
