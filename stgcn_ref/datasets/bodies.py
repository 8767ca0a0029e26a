"""From camera coordinates to body coordinates, as the published preparations of NTU RGB+D do it.

Arrays are float64 (M, T, V, 3): persons, frames, joints, metres; zero where nothing was measured.
Sources: github.com/lshiwjx/2s-AGCN, data_gen/preprocess.py (padding, the centre of every frame, the
two rotations), and github.com/Uason-Chen/CTR-GCN, data/ntu/seq_transformation.py (the centre of the
first frame alone). Yan et al. (2018) feed camera coordinates as they are.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from stgcn_ref.datasets.clips import FloatArray

Centre = Literal["frame", "first", "none"]
SPINE_BASE, SPINE_MID, LEFT_SHOULDER, RIGHT_SHOULDER = 0, 1, 4, 8  # Kinect v2 joints
SMALL = 1e-6  # below it, by the published code, there is nothing to rotate


def _present(person: FloatArray) -> npt.NDArray[np.bool_]:
    """The frames (T,) of (T, V, 3) in which there is a body."""
    return np.asarray(person.any(axis=(1, 2)), dtype=np.bool_)


def most_moving(xyz: FloatArray, persons: int) -> npt.NDArray[np.intp]:
    """The slots (persons,) with the largest spread of positions, the largest first.

    The spread is the sum over x, y, z of the standard deviation over a slot's joints in the frames
    in which it has a body; ties go to the earlier slot.
    """
    spread = [
        float(body.reshape(-1, 3).std(axis=0).sum()) if len(body) else 0.0
        for body in (slot[_present(slot)] for slot in xyz)
    ]
    return np.argsort(-np.array(spread), kind="stable")[:persons]


def padded(xyz: FloatArray, frames: int, repeat: bool) -> FloatArray:
    """The first `frames` frames, (M, frames, V, 3); a shorter recording is filled up.

    With `repeat`, a person who is not in the first frame is moved to start there (frames without
    them fall out), and the frames after their last one repeat the earlier ones from the start;
    frames missing in between stay zero. Without it the rest is zero.
    """
    persons, recorded, joints, axes = xyz.shape
    out = np.zeros((persons, frames, joints, axes))
    out[:, : min(recorded, frames)] = xyz[:, :frames]
    if not repeat:
        return out
    for person in out:
        alive = _present(person)
        if not alive.any():
            continue
        if not alive[0]:
            moved = person[alive]
            person[:] = 0.0
            person[: len(moved)] = moved
        last = int(np.flatnonzero(_present(person))[-1]) + 1
        person[last:] = person[np.arange(frames - last) % last]
    return out


def centred(xyz: FloatArray, centre: Centre) -> FloatArray:
    """Positions relative to the middle of the first person's spine.

    `frame`: its position in the same frame; joints at exactly zero stay there. `first`: its
    position in the first frame in which that person is seen; bodies that are not there stay zero.
    """
    main = xyz[0]
    alive = _present(main)
    if centre == "none" or not alive.any():
        return xyz
    if centre == "frame":
        moved = xyz - main[None, :, SPINE_MID, None, :]
        return np.where(xyz.any(axis=3, keepdims=True), moved, 0.0)
    origin = main[int(alive.argmax()), SPINE_MID]
    return np.where(xyz.any(axis=(2, 3), keepdims=True), xyz - origin, 0.0)


def turned(xyz: FloatArray) -> FloatArray:
    """Everything rotated twice: the spine to the z axis, then the shoulders to the x axis.

    Both directions are the first person's in the first frame in which that person is seen: from
    the spine's base to its middle, and from the left shoulder to the right one. The second
    rotation leaves the spine near the z axis, not on it, as in the published code.
    """
    alive = _present(xyz[0])
    if not alive.any():
        return xyz
    frame = int(alive.argmax())
    for start, end, axis in ((SPINE_BASE, SPINE_MID, 2), (LEFT_SHOULDER, RIGHT_SHOULDER, 0)):
        direction = xyz[0, frame, end] - xyz[0, frame, start]
        xyz = xyz @ rotation(direction, np.eye(3)[axis]).T
    return xyz


def rotation(direction: FloatArray, target: FloatArray) -> FloatArray:
    """The matrix (3, 3) that turns `direction` to the unit vector `target` (Rodrigues' formula).

    No rotation where there is no direction, or no axis because the two are opposite, as published.
    """
    axis = np.cross(direction, target)
    if np.abs(direction).sum() < SMALL or np.abs(axis).sum() < SMALL:
        return np.eye(3)
    cosine = float(np.clip(direction @ target / np.linalg.norm(direction), -1.0, 1.0))
    if np.arccos(cosine) < SMALL:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turn: FloatArray = np.eye(3) + np.sqrt(1 - cosine**2) * cross + (1 - cosine) * cross @ cross
    return turn
