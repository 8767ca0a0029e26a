"""Which construction a stored graph is, and what is said when it is none of the skeleton's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fxp.errors import InputError
from fxp.skeleton import load_skeleton, partitions, skeleton_names
from stgcn_ref.published import load
from stgcn_ref.published_graph import GraphMatch, check_graph, match_graph, one_hop_spatial
from tests.families import graph
from tests.published_states import stgcn_state


@pytest.mark.parametrize("skeleton", skeleton_names())
@pytest.mark.parametrize("strategy", ["uniform", "distance", "spatial"])
@pytest.mark.parametrize("normalisation", ["column", "symmetric"])
def test_own_constructions_are_recognised(skeleton: str, strategy: str, normalisation: str) -> None:
    sk = load_skeleton(skeleton)
    matrix = torch.from_numpy(partitions(sk, strategy, normalisation).astype(np.float32))
    assert match_graph(matrix, sk) == GraphMatch(skeleton, strategy, normalisation)
    found = match_graph(matrix)
    assert found is not None and (found.strategy, found.construction) == (strategy, normalisation)


def test_yans_code_counts_one_hop() -> None:
    # Yan et al.'s graph.py, by hand: distances from the centre are 0, 1 or infinite
    sk = load_skeleton("openpose")
    joints = len(sk.joints)
    near = np.eye(joints)
    for a, b in sk.edges:
        near[a, b] = near[b, a] = 1
    normalised = near / near.sum(axis=0)
    hops = np.where(near[:, sk.center] > 0, 1.0, np.inf)
    hops[sk.center] = 0
    expected = np.zeros((3, joints, joints))
    for i in range(joints):
        for j in range(joints):
            if i == j:
                expected[0, j, i] = normalised[j, i]
            elif near[j, i]:
                expected[1 if hops[j] >= hops[i] else 2, j, i] = normalised[j, i]
    np.testing.assert_allclose(one_hop_spatial(sk), expected)
    match = match_graph(torch.from_numpy(expected), sk)
    assert match == GraphMatch("openpose", "spatial", "column, one hop")
    assert str(match) == "skeleton openpose, spatial partitions, column, one hop"
    assert match_graph(torch.from_numpy(expected)) == match


def test_one_hop_is_all_that_a_small_skeleton_has() -> None:
    sk = load_skeleton("hugadb-msgcn")
    np.testing.assert_allclose(one_hop_spatial(sk), partitions(sk, "spatial", "column"))


def test_unknown_graphs() -> None:
    assert match_graph(torch.rand(3, 6, 6)) is None
    assert match_graph(torch.rand(2, 5, 5)) is None


def test_the_checkpoints_graph_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(stgcn_state(graph("hugadb"), (4,), (1,)), path)
    assert torch.equal(load(path, "stgcn", "hugadb").blocks[0].gcn.adjacency, graph("hugadb"))
    message = "on skeleton hugadb-msgcn .it is that of skeleton hugadb, spatial partitions, column"
    with pytest.warns(UserWarning, match=message):
        net = load(path, "stgcn", "hugadb-msgcn")
    assert torch.equal(net.blocks[0].gcn.adjacency, graph("hugadb"))
    with pytest.warns(UserWarning, match="nor on any other known"):
        assert check_graph(torch.rand(3, 6, 6), load_skeleton("hugadb"), "file") is None
    with pytest.raises(InputError, match=r"file: .* 5 joints, skeleton hugadb 6"):
        check_graph(torch.rand(3, 5, 5), load_skeleton("hugadb"), "file")
