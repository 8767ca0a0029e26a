"""Body coordinates: by hand, by properties, and against a slow form written joint by joint."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgcn_ref.datasets.bodies import (
    LEFT_SHOULDER,
    RIGHT_SHOULDER,
    SPINE_BASE,
    SPINE_MID,
    centred,
    most_moving,
    padded,
    rotation,
    turned,
)
from tests.originals import FloatArray, places


def test_most_moving() -> None:
    xyz = np.zeros((4, 5, 25, 3))
    xyz[1] = places(0, 5, 25, 3)
    xyz[3, 2:] = 4 * places(1, 3, 25, 3)  # the largest spread, in three frames only
    assert most_moving(xyz, 2).tolist() == [3, 1]
    assert most_moving(xyz, 4).tolist() == [3, 1, 0, 2]  # nobody: in the slots' order
    still = np.zeros((2, 3, 25, 3))
    still[1] = 2.0  # a body of one point has no spread; neither has nobody
    assert most_moving(still, 1).tolist() == [0]


def frames_of(person: FloatArray) -> list[float]:
    return person[:, 0, 0].tolist()


def test_padding_repeats() -> None:
    xyz = np.zeros((3, 5, 25, 3))
    xyz[0, :, :, :] = np.array([0, 0, 1, 2, 3])[:, None, None]  # comes late
    xyz[1, :, :, :] = np.array([5, 0, 6, 0, 0])[:, None, None]  # gap, and leaves
    out = padded(xyz, 8, repeat=True)
    assert frames_of(out[0]) == [1, 2, 3, 1, 2, 3, 1, 2]
    assert frames_of(out[1]) == [5, 0, 6, 5, 0, 6, 5, 0]
    assert not out[2].any()
    assert frames_of(xyz[0]) == [0, 0, 1, 2, 3]  # the argument stays as it is


def test_padding_with_zeros_and_cutting() -> None:
    xyz = np.zeros((1, 3, 25, 3))
    xyz[0] = np.array([0, 1, 2])[:, None, None]
    assert frames_of(padded(xyz, 5, repeat=False)[0]) == [0, 1, 2, 0, 0]
    assert frames_of(padded(xyz, 2, repeat=False)[0]) == [0, 1]
    assert frames_of(padded(xyz, 2, repeat=True)[0]) == [1, 1]


def two_persons() -> FloatArray:
    """Person 0 in frames 1.., person 1 in frames 0 and 2; one joint of person 0 at zero."""
    xyz = places(3, 2, 4, 25, 3)
    xyz[0, 0], xyz[1, 1], xyz[1, 3] = 0.0, 0.0, 0.0
    xyz[0, 2, 7] = 0.0
    return xyz


def test_centre_of_every_frame() -> None:
    xyz = two_persons()
    out = centred(xyz, "frame")
    for person in range(2):
        for frame in range(4):
            for joint in range(25):
                place = xyz[person, frame, joint]
                there = place - xyz[0, frame, SPINE_MID] if place.any() else place
                assert out[person, frame, joint].tolist() == there.tolist()
    assert not out[0, :, SPINE_MID].any() and not out[0, 2, 7].any()


def test_centre_of_the_first_frame() -> None:
    xyz = two_persons()
    out = centred(xyz, "first")
    origin = xyz[0, 1, SPINE_MID]
    assert (out[0, 1:] == xyz[0, 1:] - origin).all()
    assert (out[1, [0, 2]] == xyz[1, [0, 2]] - origin).all()
    assert not out[0, 0].any() and not out[1, [1, 3]].any()
    assert centred(xyz, "none") is xyz
    nobody = np.zeros((2, 3, 25, 3))
    assert not centred(nobody, "frame").any() and not turned(nobody).any()


def rodrigues(axis: FloatArray, angle: float, point: FloatArray) -> FloatArray:
    """A point turned about an axis, by the vector form of the formula."""
    k = axis / math.sqrt(float(axis @ axis))
    return np.asarray(
        point * math.cos(angle)
        + np.cross(k, point) * math.sin(angle)
        + k * (k @ point) * (1 - math.cos(angle))
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_rotations_joint_by_joint(seed: int) -> None:
    xyz = places(seed, 2, 2, 25, 3)
    if not xyz[0, 0].any():
        return
    slow = xyz.copy()
    for start, end, target in (
        (SPINE_BASE, SPINE_MID, np.array([0.0, 0.0, 1.0])),
        (LEFT_SHOULDER, RIGHT_SHOULDER, np.array([1.0, 0.0, 0.0])),
    ):
        bone = slow[0, 0, end] - slow[0, 0, start]
        length = math.sqrt(float(bone @ bone))
        axis = np.cross(bone, target)
        if length and axis.any():
            angle = math.acos(float(bone @ target) / length)
            for person in range(2):
                for frame in range(2):
                    for joint in range(25):
                        slow[person, frame, joint] = rodrigues(
                            axis, angle, slow[person, frame, joint]
                        )
    assert np.allclose(turned(xyz), slow, rtol=0, atol=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_rotation_turns_onto_the_target(direction: list[float]) -> None:
    bone, target = np.array(direction), np.array([0.0, 0.0, 1.0])
    turn = rotation(bone, target)
    assert np.allclose(turn @ turn.T, np.eye(3), rtol=0, atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    if np.abs(np.cross(bone, target)).sum() > 1e-5:
        length = float(np.linalg.norm(bone))
        assert np.allclose(turn @ bone, length * target, rtol=0, atol=1e-6)


def test_nothing_to_rotate() -> None:
    up = np.array([0.0, 0.0, 1.0])
    for direction in (np.zeros(3), 2 * up, -up, np.array([1e-7, 0.0, 0.0])):
        assert (rotation(direction, up) == np.eye(3)).all()


def test_spine_and_shoulders_after_turning() -> None:
    """The shoulders end on the x axis; the spine near the z axis, as in the published code."""
    xyz = places(8, 1, 3, 25, 3)
    xyz[0, 0, SPINE_BASE], xyz[0, 0, SPINE_MID] = (0.0, -0.3, 2.0), (0.02, 0.0, 2.05)
    xyz[0, 0, LEFT_SHOULDER], xyz[0, 0, RIGHT_SHOULDER] = (-0.2, 0.25, 2.0), (0.2, 0.26, 2.1)
    out = turned(xyz)
    shoulders = out[0, 0, RIGHT_SHOULDER] - out[0, 0, LEFT_SHOULDER]
    assert np.allclose(shoulders[1:], 0.0, atol=1e-12) and shoulders[0] > 0
    spine = out[0, 0, SPINE_MID] - out[0, 0, SPINE_BASE]
    assert spine[2] > 0.9 * np.linalg.norm(spine)
    assert np.allclose(np.linalg.norm(out[0, 1]), np.linalg.norm(xyz[0, 1]))
