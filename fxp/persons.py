"""Several persons as more joints: person m is joints `m * V .. m * V + V - 1`.

Text: docs/arithmetic.md, "Persons". The one place where that order stands.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


def persons_as_joints(words: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Words of a clip, (T, C, V, M) -> (T, C, M * V)."""
    frames, channels, joints, persons = words.shape
    return words.transpose(0, 1, 3, 2).reshape(frames, channels, persons * joints)


def block_diagonal(adjacency: npt.NDArray[Any], persons: int) -> npt.NDArray[np.float64]:
    """One copy of an adjacency (P, V, V) per person, (P, M * V, M * V): persons do not mix."""
    partitions, joints, _ = adjacency.shape
    whole = np.zeros((partitions, persons, joints, persons, joints))
    for m in range(persons):
        whole[:, m, :, m] = adjacency
    return whole.reshape(partitions, persons * joints, persons * joints)


def for_each_person(columns: npt.NDArray[Scalar], persons: int) -> npt.NDArray[Scalar]:
    """Constants per joint (C, V), shared by all persons, (C, M * V)."""
    return np.tile(columns, (1, persons))
