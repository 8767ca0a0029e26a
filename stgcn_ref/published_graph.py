"""Which graph a published checkpoint was trained on: its matrix against the known constructions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fxp.errors import InputError
from fxp.skeleton import (
    FloatArray,
    Skeleton,
    adjacency,
    hop_distances,
    load_skeleton,
    partitions,
    skeleton_names,
)

TOLERANCE = 1e-5  # of an entry; published matrices are float32


@dataclass(frozen=True)
class GraphMatch:
    """A skeleton, a partition strategy and a construction that give a matrix, see `match_graph`.

    `construction` is a normalisation of `fxp.skeleton.partitions`, or `column, one hop` for what
    Yan et al.'s code makes of it: it counts no further than one hop, so that all joints two and
    more hops from the centre are equally far from it.
    """

    skeleton: str
    strategy: str
    construction: str

    def __str__(self) -> str:
        return f"skeleton {self.skeleton}, {self.strategy} partitions, {self.construction}"


def match_graph(graph: Tensor, skeleton: Skeleton | None = None) -> GraphMatch | None:
    """What gives the matrix `graph` (P, V, V), or None; all skeletons are tried if none is given.

    Where several constructions give the same matrix the first of `column`, `column, one hop`,
    `symmetric` is named.
    """
    wanted = graph.detach().cpu().double().numpy()
    skeletons = [skeleton] if skeleton else [load_skeleton(name) for name in skeleton_names()]
    for candidate in skeletons:
        for match, matrix in _constructions(candidate):
            if matrix.shape == wanted.shape and np.abs(matrix - wanted).max() <= TOLERANCE:
                return match
    return None


def check_graph(graph: Tensor, skeleton: Skeleton, source: str) -> GraphMatch | None:
    """Compare a checkpoint's own matrix with the skeleton that the caller names.

    The matrix is used as it is. Another number of joints is an error; a matrix that no construction
    gives on this skeleton is a warning, which names the skeleton that would.

    Raises:
        InputError: the skeleton has another number of joints.
    """
    joints = len(skeleton.joints)
    if graph.shape[-1] != joints:
        raise InputError(
            f"{source}: tensor `A` has {graph.shape[-1]} joints, skeleton {skeleton.name} {joints}"
        )
    found = match_graph(graph, skeleton)
    if found is None:
        other = match_graph(graph)
        warnings.warn(
            f"{source}: the stored graph is used; no construction gives it on skeleton "
            f"{skeleton.name} ({f'it is that of {other}' if other else 'nor on any other known'})",
            stacklevel=4,
        )
    return found


def one_hop_spatial(skeleton: Skeleton) -> FloatArray:
    """Yan et al.'s spatial partitions with hop distances that end at one, (3, V, V)."""
    near = adjacency(skeleton)
    whole: FloatArray = near / near.sum(axis=0)
    far = np.minimum(hop_distances(skeleton)[skeleton.center], 2)
    own = np.eye(len(skeleton.joints), dtype=np.bool_)
    closer = far[:, None] < far[None, :]  # [source, receiver]
    return np.stack([whole * own, whole * (~own & ~closer), whole * (~own & closer)])


def _constructions(skeleton: Skeleton) -> Iterator[tuple[GraphMatch, FloatArray]]:
    name = skeleton.name
    for strategy in ("spatial", "distance", "uniform"):
        yield GraphMatch(name, strategy, "column"), partitions(skeleton, strategy, "column")
    yield GraphMatch(name, "spatial", "column, one hop"), one_hop_spatial(skeleton)
    for strategy in ("spatial", "distance", "uniform"):
        matrix = partitions(skeleton, strategy, "symmetric")
        yield GraphMatch(name, strategy, "symmetric"), matrix
