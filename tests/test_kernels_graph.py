from __future__ import annotations

import numpy as np
import pytest

from fxp.kernels.graph import graph_product, joint_mean


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_any_number_of_edges_into_a_joint(dtype: type) -> None:
    rng = np.random.default_rng(0)
    joints, channels, frames = 6, 5, 3
    x = rng.integers(-99, 99, (frames, joints, 2 * channels))  # 2 partitions
    counts = [0, 1, 2, 3, 4, 7]  # edges into each joint
    first = np.cumsum([0, *counts])
    joint, partition = rng.integers(0, joints, 17), rng.integers(0, 2, 17)
    factor = rng.integers(-99, 99, 17)
    y = np.full((frames, joints, channels), 77, dtype)
    source = (joint * 2 + partition) * channels
    graph_product(x.astype(dtype).reshape(frames, -1), first, source, factor.astype(dtype), y)
    parts = x.reshape(frames, joints, 2, channels)
    for w in range(joints):
        edges = range(first[w], first[w + 1])
        terms = [factor[e] * parts[:, joint[e], partition[e]] for e in edges]
        assert np.array_equal(y[:, w], sum(terms, np.zeros((frames, channels), np.int64)))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("joints", [1, 2, 7])
def test_joint_mean(dtype: type, joints: int) -> None:
    x = np.random.default_rng(joints).integers(-99, 99, (4, joints, 3))
    y = np.full((4, 1, 3), 77, dtype)
    joint_mean(x.astype(np.int32), 10923, y)
    assert np.array_equal(y, 10923 * x.sum(axis=1, keepdims=True))
