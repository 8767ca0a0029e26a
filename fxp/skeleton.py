"""Skeletons as data, and the partitioned adjacency matrices built from them.

A skeleton is a connected undirected graph over joints; its edges come from a JSON file in
`fxp/skeletons/` that states its source. `partitions` builds the matrices `A[p, v, w]` of a graph
convolution `x_w = sum_v x_v A[p, v, w]` (v the source joint, w the joint that receives), by the
strategies of Yan et al., "Spatial Temporal Graph Convolutional Networks" (2018), section 3.3, in
both published constructions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError

Strategy = Literal["uniform", "distance", "spatial"]
Normalisation = Literal["column", "symmetric"]
FloatArray = npt.NDArray[np.float64]
IntMatrix = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints (names, in the order of the data's last axis), undirected edges, and the centre joint.

    Raises:
        InputError: no joint, a repeated joint name, an edge out of range, a self edge, the same
            edge twice, a centre out of range, or a graph in more than one piece.
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    center: int
    source: str = ""

    def __post_init__(self) -> None:
        count = len(self.joints)
        where = f"skeleton {self.name}"
        if not count or len(set(self.joints)) != count:
            raise InputError(f"{where}: `joints` must be one or more distinct names")
        if not 0 <= self.center < count:
            raise InputError(f"{where}: `center` must be 0..{count - 1}, got {self.center}")
        seen: set[frozenset[int]] = set()
        for edge in self.edges:
            if len(edge) != 2 or not all(0 <= joint < count for joint in edge):
                raise InputError(f"{where}: edge {list(edge)}: needs two joints in 0..{count - 1}")
            if edge[0] == edge[1]:
                raise InputError(f"{where}: edge {list(edge)}: self edges are implied, not listed")
            if frozenset(edge) in seen:
                raise InputError(f"{where}: edge {list(edge)} is listed twice")
            seen.add(frozenset(edge))
        lost = np.flatnonzero(hop_distances(self)[self.center] < 0)
        if lost.size:
            names = ", ".join(self.joints[joint] for joint in lost)
            raise InputError(f"{where}: not connected to the centre: {names}")


def skeleton_names() -> tuple[str, ...]:
    """Names of the skeletons that come with the toolkit, sorted."""
    files = (resources.files("fxp") / "skeletons").iterdir()
    return tuple(sorted(f.name.removesuffix(".json") for f in files if f.name.endswith(".json")))


@cache
def load_skeleton(name: str) -> Skeleton:
    """The skeleton of that name.

    Raises:
        InputError: unknown name (the message lists the allowed ones), or a file that breaks a rule.
    """
    if name not in skeleton_names():
        raise InputError(f"unknown skeleton {name!r}, allowed: {', '.join(skeleton_names())}")
    text = (resources.files("fxp") / "skeletons" / f"{name}.json").read_text(encoding="utf-8")
    return parse_skeleton(name, json.loads(text))


def parse_skeleton(name: str, data: dict[str, Any]) -> Skeleton:
    """A skeleton from its JSON object: keys `joints`, `edges`, `center`, `source` (`note` is free).

    Raises:
        InputError: a key is missing, unknown or of the wrong type, or `Skeleton` refuses it.
    """
    allowed = {"joints", "edges", "center", "source", "note"}
    for key in sorted((allowed - {"note"}) - data.keys()):
        raise InputError(f"skeleton {name}: key `{key}` is missing")
    for key in sorted(data.keys() - allowed):
        raise InputError(f"skeleton {name}: key `{key}` is unknown")
    edges = data["edges"]
    if not isinstance(edges, list) or not all(
        isinstance(edge, list) and all(type(joint) is int for joint in edge) for edge in edges
    ):
        raise InputError(
            f"skeleton {name}: key `edges`: a list of pairs of joint numbers is needed"
        )
    if not isinstance(data["joints"], list) or not all(type(j) is str for j in data["joints"]):
        raise InputError(f"skeleton {name}: key `joints`: a list of names is needed")
    if type(data["center"]) is not int:
        raise InputError(f"skeleton {name}: key `center`: a joint number is needed")
    joints, pairs = tuple(data["joints"]), tuple((*edge,) for edge in edges)
    return Skeleton(name, joints, pairs, data["center"], data["source"])


def hop_distances(skeleton: Skeleton) -> IntMatrix:
    """Edges on the shortest path between every two joints, (V, V); -1 where there is no path."""
    count = len(skeleton.joints)
    near = adjacency(skeleton).astype(np.bool_)
    hops = np.full((count, count), -1, dtype=np.int64)
    reached = np.eye(count, dtype=np.bool_)
    for distance in range(count):
        hops[reached & (hops < 0)] = distance
        reached = reached @ near  # boolean product: one edge further (self loops keep the old)
    return hops


def adjacency(skeleton: Skeleton) -> IntMatrix:
    """Neighbours within one edge, every joint its own neighbour: symmetric 0/1 matrix (V, V)."""
    matrix = np.eye(len(skeleton.joints), dtype=np.int64)
    for a, b in skeleton.edges:
        matrix[a, b] = matrix[b, a] = 1
    return matrix


def partitions(
    skeleton: Skeleton,
    strategy: str,
    normalisation: str,
    alpha: float = 0.001,
) -> FloatArray:
    """Normalised adjacency per partition, (P, V, V) float64, `x_w = sum_v x_v A[p, v, w]`.

    `uniform` has one partition, `distance` two (the joint itself, its neighbours), `spatial` three:
    the joint itself and its neighbours split by their hop distance to the centre.

    - `column` (Yan et al.'s code, also MS-GCN's): the whole adjacency is normalised by columns,
      `A D^-1`, then split. Partition 1 holds sources farther from the centre than the receiver, and
      those at equal distance; partition 2 holds the closer ones. `alpha` plays no part.
    - `symmetric` (Realtime-ST-GCN's code): split first, rows being receivers, then each partition
      becomes `D^-1/2 A D^-1/2` with `D_ii = alpha + sum_j A_ij`, then is transposed. Partition 1
      holds the closer sources and those at equal distance, partition 2 the farther ones.

    Hop distances are true shortest paths, and no edge is lost. (Yan's code stops counting at one
    hop, so that joints two and more hops out count as equally far; Realtime-ST-GCN's drops
    neighbours at equal distance, which no tree has, and leaves `uniform` empty.)

    Raises:
        InputError: unknown strategy or normalisation, or an `alpha` that is not positive.
    """
    if strategy not in get_args(Strategy):
        raise InputError(f"`partition` must be one of {get_args(Strategy)}, got {strategy!r}")
    if normalisation not in get_args(Normalisation):
        raise InputError(
            f"`normalisation` must be one of {get_args(Normalisation)}, got {normalisation!r}"
        )
    if not alpha > 0:
        raise InputError(f"`alpha` must be positive, got {alpha}")
    if normalisation == "column":
        near = adjacency(skeleton)
        whole: FloatArray = near / near.sum(axis=0)
        return np.multiply(_masks(skeleton, strategy, np.greater), whole)
    masks = _masks(skeleton, strategy, np.less)
    # a mask is [source, receiver], and a published row is a receiver: its degree sums over sources
    root: FloatArray = 1.0 / np.sqrt(masks.sum(axis=1) + alpha)  # (P, V)
    return np.multiply(root[:, :, None] * masks, root[:, None, :])


def _masks(
    skeleton: Skeleton,
    strategy: str,
    first: Callable[[IntMatrix, IntMatrix], npt.NDArray[np.bool_]],
) -> FloatArray:
    """0/1 masks (P, V, V), [source, receiver]; `first(source, receiver)` picks partition 1.

    The comparison is of hop distances to the centre; neighbours at equal distance join partition 1.
    """
    self_loops = np.eye(len(skeleton.joints), dtype=np.bool_)
    near = adjacency(skeleton).astype(np.bool_)
    match strategy:
        case "uniform":
            parts = [near]
        case "distance":
            parts = [self_loops, near & ~self_loops]
        case _:
            from_centre = hop_distances(skeleton)[skeleton.center]
            source, receiver = from_centre[:, None], from_centre[None, :]
            chosen = first(source, receiver) | (source == receiver)
            neighbours = near & ~self_loops
            parts = [self_loops, neighbours & chosen, neighbours & ~chosen]
    return np.stack(parts).astype(np.float64)
