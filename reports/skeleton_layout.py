"""What the drawing of a skeleton shows, as plain data: joints, partitions, adjacency matrices.

Joints stand at their distance from the centre, because that distance is what the spatial partitions
compare: a row of the drawing is a number of hops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from fxp.skeleton import (
    FloatArray,
    Normalisation,
    Skeleton,
    adjacency,
    hop_distances,
    load_skeleton,
    partitions,
)

ROOT, CENTRIPETAL, CENTRIFUGAL = "root", "centripetal", "centrifugal"
DECIMALS = 3


@dataclass(frozen=True)
class Joint:
    """A joint at `(x, hops)`; `part` is its partition as a source for the chosen joint, or ``."""

    number: int
    name: str
    x: float
    hops: int
    part: str


@dataclass(frozen=True)
class Matrix:
    """`A[p]` of a normalisation, rounded: rows are sources, columns receivers.

    `sources` says which neighbours it holds.
    """

    normalisation: str
    p: int
    sources: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SkeletonDrawing:
    """A skeleton, the neighbours of its joint `chosen`, and the matrices of both constructions."""

    name: str
    chosen: int
    joints: tuple[Joint, ...]
    edges: tuple[tuple[int, int], ...]
    matrices: tuple[Matrix, ...]


@dataclass(frozen=True)
class Skeletons:
    """All that the figure of the partitions shows."""

    drawings: tuple[SkeletonDrawing, ...]


def skeletons(chosen: dict[str, int]) -> Skeletons:
    """The drawings of named skeletons, each with its chosen joint."""
    return Skeletons(tuple(skeleton_drawing(name, joint) for name, joint in chosen.items()))


def skeleton_drawing(name: str, chosen: int) -> SkeletonDrawing:
    """Layout, partitions and matrices of one skeleton.

    Raises:
        InputError: there is no such skeleton.
    """
    skeleton = load_skeleton(name)
    hops = hop_distances(skeleton)[skeleton.center]
    matrices = []
    for normalisation in get_args(Normalisation):
        for p, matrix in enumerate(partitions(skeleton, "spatial", normalisation)):
            values = tuple(tuple(round(float(v), DECIMALS) for v in row) for row in matrix)
            matrices.append(Matrix(normalisation, p, _sources(matrix, skeleton), values))
    parts = {  # of one construction: they part only over sources at equal distance
        v: matrix.sources
        for matrix in matrices
        for v, row in enumerate(matrix.values)
        if matrix.normalisation == "symmetric" and row[chosen] > 0
    }
    places = tree_places(skeleton)
    joints = tuple(
        Joint(v, joint, places[v], int(hops[v]), parts.get(v, ""))
        for v, joint in enumerate(skeleton.joints)
    )
    return SkeletonDrawing(name, chosen, joints, skeleton.edges, tuple(matrices))


def _sources(matrix: FloatArray, skeleton: Skeleton) -> str:
    """Which neighbours a partition holds, read off its entries (equal distances aside)."""
    source, receiver = np.nonzero(matrix)
    hops = hop_distances(skeleton)[skeleton.center]
    if (source == receiver).all():
        return ROOT
    return CENTRIPETAL if (hops[source] < hops[receiver]).any() else CENTRIFUGAL


def tree_places(skeleton: Skeleton) -> tuple[float, ...]:
    """Horizontal place of every joint: the ends one apart, an inner joint amid its children.

    A joint's parent is its lowest neighbour one hop nearer to the centre, so that edges of a tree
    do not cross.
    """
    hops = hop_distances(skeleton)[skeleton.center]
    near = adjacency(skeleton)
    children: dict[int, list[int]] = {v: [] for v in range(len(hops))}
    for v, distance in enumerate(hops):
        if distance:
            parents = np.flatnonzero(near[v] & (hops == distance - 1))
            children[int(parents[0])].append(v)
    places = dict.fromkeys(children, 0.0)
    ends = 0

    def place(v: int) -> float:
        nonlocal ends
        if children[v]:
            across = [place(child) for child in children[v]]
            places[v] = (across[0] + across[-1]) / 2
        else:
            places[v] = float(ends)
            ends += 1
        return places[v]

    place(skeleton.center)
    return tuple(places[v] for v in range(len(hops)))
