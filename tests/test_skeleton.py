"""Skeletons and their partitioned adjacency matrices, against hand-computed small graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stgcn_ref.skeleton
from fxp.errors import InputError
from fxp.skeleton import (
    Skeleton,
    adjacency,
    hop_distances,
    load_skeleton,
    parse_skeleton,
    partitions,
    skeleton_names,
)

SIZES = {
    "coco": 17,
    "hugadb": 6,
    "hugadb-msgcn": 6,
    "lara": 19,
    "ntu": 25,
    "openpose": 18,
    "pkummd": 25,
    "tpvicon": 9,
}


def graph(joints: int, edges: list[tuple[int, int]], center: int = 0) -> Skeleton:
    return Skeleton("test", tuple(f"j{i}" for i in range(joints)), tuple(edges), center)


CHAIN = graph(3, [(0, 1), (1, 2)])  # 0 - 1 - 2, centre 0
STAR = graph(5, [(0, 1), (0, 2), (2, 3), (2, 4)], center=2)  # 1 - 0 - 2 < 3, 4
TRIANGLE = graph(3, [(0, 1), (0, 2), (1, 2)])  # 1 and 2 are equally far from the centre


@st.composite
def connected(draw: st.DrawFn) -> Skeleton:
    count = draw(st.integers(1, 8))
    edges = {(draw(st.integers(0, joint - 1)), joint) for joint in range(1, count)}
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    edges |= set(draw(st.lists(st.sampled_from(pairs), max_size=4))) if pairs else set()
    return graph(count, sorted(edges), draw(st.integers(0, count - 1)))


def test_names_sizes_and_sources() -> None:
    assert {name: len(load_skeleton(name).joints) for name in skeleton_names()} == SIZES
    assert all(load_skeleton(name).source for name in SIZES)
    assert load_skeleton("ntu").center == load_skeleton("pkummd").center == 20
    assert stgcn_ref.skeleton.load_skeleton is load_skeleton


def test_every_skeleton_is_a_tree() -> None:
    for name in SIZES:
        skeleton = load_skeleton(name)
        assert len(skeleton.edges) == len(skeleton.joints) - 1
        assert hop_distances(skeleton).min() == 0  # -1 would mean no path


def test_hop_distances_of_a_chain_and_a_star() -> None:
    assert hop_distances(CHAIN).tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    assert hop_distances(STAR)[1].tolist() == [1, 0, 2, 3, 3]


@given(connected())
def test_hop_distances_are_shortest_paths(skeleton: Skeleton) -> None:
    hops, near = hop_distances(skeleton), adjacency(skeleton)
    assert (hops == hops.T).all() and (np.diag(hops) == 0).all()
    for a in range(len(hops)):
        for b in range(len(hops)):
            if a != b:  # one more than the nearest of the other's neighbours
                others = [hops[a, n] for n in np.flatnonzero(near[b]) if n != b]
                assert hops[a, b] == 1 + min(others)


def test_column_by_hand_on_three_joints() -> None:
    # degrees, self loops counted: 2, 3, 2; column w is divided by the degree of w
    half, third = 1 / 2, 1 / 3
    expected = [
        [[half, 0, 0], [0, third, 0], [0, 0, half]],  # itself
        [[0, 0, 0], [half, 0, 0], [0, third, 0]],  # from a joint farther out: 1 -> 0, 2 -> 1
        [[0, third, 0], [0, 0, half], [0, 0, 0]],  # from a joint closer in: 0 -> 1, 1 -> 2
    ]
    assert partitions(CHAIN, "spatial", "column").tolist() == expected
    assert partitions(CHAIN, "uniform", "column").tolist() == [
        [[half, third, 0], [half, third, half], [0, third, half]]
    ]
    assert partitions(CHAIN, "distance", "column")[1].tolist() == [
        [0, third, 0],
        [half, 0, half],
        [0, third, 0],
    ]


def test_symmetric_by_hand_on_three_joints() -> None:
    # alpha 0.25. Itself: degree 1 everywhere, 1/1.25. Closer sources (receiver rows: 1 from 0,
    # 2 from 1): degrees 0, 1, 1 -> 0.25, 1.25, 1.25, so 0 -> 1 is 1/sqrt(0.25*1.25) and
    # 1 -> 2 is 1/1.25. Farther sources (0 from 1, 1 from 2): degrees 1, 1, 0.
    a, b = 1 / 1.25, 1 / np.sqrt(0.25 * 1.25)
    expected = [
        [[a, 0, 0], [0, a, 0], [0, 0, a]],
        [[0, b, 0], [0, 0, a], [0, 0, 0]],
        [[0, 0, 0], [a, 0, 0], [0, b, 0]],
    ]
    found = partitions(CHAIN, "spatial", "symmetric", alpha=0.25)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)


def test_symmetric_by_hand_on_five_joints() -> None:
    # centre 2; hops to it: 1, 2, 0, 1, 1. Closer source to receiver: 0->1, 2->0, 2->3, 2->4, so the
    # receivers 0, 1, 3, 4 have degree 1 and the centre 0. Farther: 1->0, 0->2, 3->2, 4->2.
    alpha = 0.001
    one, none, three = 1 + alpha, alpha, 3 + alpha
    close, far = np.zeros((5, 5)), np.zeros((5, 5))
    close[0, 1] = 1 / one
    close[2, [0, 3, 4]] = 1 / np.sqrt(none * one)
    far[1, 0] = 1 / np.sqrt(none * one)
    far[0, 2] = 1 / np.sqrt(one * three)
    far[[3, 4], 2] = 1 / np.sqrt(none * three)
    found = partitions(STAR, "spatial", "symmetric")
    np.testing.assert_allclose(found, [np.eye(5) / one, close, far], rtol=1e-14, atol=0)


def test_column_by_hand_on_five_joints() -> None:
    far, close = np.zeros((5, 5)), np.zeros((5, 5))  # degrees 3, 2, 4, 2, 2
    far[1, 0] = 1 / 3
    far[[0, 3, 4], 2] = 1 / 4
    close[2, 0] = 1 / 3
    close[0, 1] = close[2, 3] = close[2, 4] = 1 / 2
    found = partitions(STAR, "spatial", "column")
    np.testing.assert_array_equal(found, [np.diag([1 / 3, 1 / 2, 1 / 4, 1 / 2, 1 / 2]), far, close])


@pytest.mark.parametrize("normalisation", ["column", "symmetric"])
def test_equal_distance_joins_partition_one(normalisation: str) -> None:
    matrix = partitions(TRIANGLE, "spatial", normalisation)
    assert matrix[1, 1, 2] > 0 and matrix[1, 2, 1] > 0
    assert matrix[2, 1, 2] == matrix[2, 2, 1] == 0


@given(connected(), st.sampled_from(["uniform", "distance", "spatial"]))
def test_partitions_split_the_adjacency(skeleton: Skeleton, strategy: str) -> None:
    near = adjacency(skeleton)
    for normalisation in ("column", "symmetric"):
        parts = partitions(skeleton, strategy, normalisation)
        assert ((parts != 0).sum(axis=0) == near).all()  # every edge in exactly one partition
    columns = partitions(skeleton, strategy, "column").sum(axis=(0, 1))
    np.testing.assert_allclose(columns, 1.0, rtol=1e-12)


@given(connected(), st.sampled_from([0.001, 0.5]))
def test_symmetric_is_the_matrix_formula(skeleton: Skeleton, alpha: float) -> None:
    hops = hop_distances(skeleton)[skeleton.center]
    raw: npt.NDArray[np.float64] = np.zeros((3, len(hops), len(hops)))  # rows are receivers
    for receiver, source in zip(*np.nonzero(adjacency(skeleton)), strict=True):
        part = 0 if receiver == source else 1 if hops[source] <= hops[receiver] else 2
        raw[part, receiver, source] = 1
    for part, found in zip(raw, partitions(skeleton, "spatial", "symmetric", alpha), strict=True):
        root = np.diag((part.sum(axis=1) + alpha) ** -0.5)
        np.testing.assert_allclose(found, (root @ part @ root).T, rtol=1e-12, atol=0)


@pytest.mark.parametrize("normalisation", ["column", "symmetric"])
def test_pkummd_has_73_of_1875(normalisation: str) -> None:
    matrix = partitions(load_skeleton("pkummd"), "spatial", normalisation)
    assert (np.count_nonzero(matrix), matrix.size) == (73, 1875)


@pytest.mark.hugadb
def test_released_msgcn_graph(hugadb_root: Path) -> None:
    import torch

    path = hugadb_root.parent.parent / "checkpoints" / "msgcn_hugadb.model"
    if not path.is_file():
        pytest.skip(f"the released network is not at {path}")
    released = torch.load(path, map_location="cpu", weights_only=True)["stream.A"].numpy()
    ours = partitions(load_skeleton("hugadb-msgcn"), "spatial", "column").astype(np.float32)
    np.testing.assert_array_equal(ours, released)


@pytest.mark.parametrize(
    ("joints", "edges", "center", "message"),
    [
        (0, [], 0, "`joints` must be one or more distinct names"),
        (2, [(0, 1)], 2, r"`center` must be 0\.\.1, got 2"),
        (2, [(0, 2)], 0, r"edge \[0, 2\]: needs two joints in 0\.\.1"),
        (2, [(-1, 1)], 0, r"edge \[-1, 1\]: needs two joints"),
        (2, [(1, 1), (0, 1)], 0, r"edge \[1, 1\]: self edges are implied"),
        (2, [(0, 1), (1, 0)], 0, r"edge \[1, 0\] is listed twice"),
        (4, [(0, 1), (2, 3)], 0, "not connected to the centre: j2, j3"),
    ],
)
def test_bad_skeletons(
    joints: int, edges: list[tuple[int, int]], center: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        graph(joints, edges, center)


def test_bad_json() -> None:
    good = {"joints": ["a", "b"], "edges": [[0, 1]], "center": 0, "source": "here"}
    assert parse_skeleton("x", good) == Skeleton("x", ("a", "b"), ((0, 1),), 0, "here")
    bad = [
        ({"colour": 1}, "key `colour` is unknown"),
        ({"edges": [[0, 1.5]]}, "key `edges`: a list of pairs"),
        ({"edges": [[0]]}, r"edge \[0\]: needs two joints"),
        ({"joints": [1, 2]}, "key `joints`: a list of names"),
        ({"center": "0"}, "key `center`: a joint number"),
    ]
    for change, message in bad:
        with pytest.raises(InputError, match=message):
            parse_skeleton("x", good | change)
    with pytest.raises(InputError, match="key `center` is missing"):
        parse_skeleton("x", {k: v for k, v in good.items() if k != "center"})


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="unknown skeleton 'dog', allowed: coco, hugadb"):
        load_skeleton("dog")
    with pytest.raises(InputError, match="`partition` must be one of"):
        partitions(CHAIN, "radial", "column")
    with pytest.raises(InputError, match="`normalisation` must be one of"):
        partitions(CHAIN, "spatial", "row")
    with pytest.raises(InputError, match="`alpha` must be positive, got 0"):
        partitions(CHAIN, "spatial", "symmetric", alpha=0)
