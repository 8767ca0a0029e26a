"""Persons as joints: the order of words, constants for all of them."""

from __future__ import annotations

import numpy as np

from fxp.persons import block_diagonal, for_each_person, persons_as_joints


def test_words_of_a_person_lie_together() -> None:
    x = np.arange(2 * 3 * 4 * 5, dtype=np.int32).reshape(2, 3, 4, 5)  # (T, C, V, M)
    joints = persons_as_joints(x)
    assert joints.shape == (2, 3, 20) and joints.dtype == np.int32
    for m in range(5):
        assert np.array_equal(joints[:, :, m * 4 : m * 4 + 4], x[..., m])


def test_persons_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    adjacency, x = rng.normal(size=(3, 4, 4)), rng.normal(size=(2, 3, 4, 5))
    whole = block_diagonal(adjacency, 5)
    assert whole.shape == (3, 20, 20) and np.count_nonzero(whole) == 5 * adjacency.size
    for p in range(3):
        apart = np.einsum("tcvm,vw->tcwm", x, adjacency[p])
        assert np.allclose(persons_as_joints(x) @ whole[p], persons_as_joints(apart))
    assert np.array_equal(block_diagonal(adjacency, 1), adjacency)


def test_constants_of_a_joint_are_those_of_every_person() -> None:
    scale, x = np.arange(12.0).reshape(3, 4), np.ones((1, 3, 4, 2))
    assert np.array_equal(
        persons_as_joints(x) * for_each_person(scale, 2), persons_as_joints(x * scale[..., None])
    )
