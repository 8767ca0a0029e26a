"""Random changes of training segments: how sensors sit, how much they gain, how fast it goes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stgcn_ref.datasets.clips import LabelArray
from stgcn_ref.recipe import Augmentation

Features = npt.NDArray[np.float32]


def augment(
    x: Features,
    target: LabelArray,
    spec: Augmentation,
    statistics: tuple[Features, Features],
    rng: np.random.Generator,
) -> tuple[Features, LabelArray]:
    """One segment, changed at random as `spec` says.

    Args:
        x: float32 (T, V, C), raw words.
        target: int64 (T,); it follows the frames where time is scaled.
        spec: what to draw.
        statistics: mean and standard deviation of every feature, (V, C) each.
        rng: the only source of randomness.

    Returns:
        New arrays (or the same ones where nothing changes), of a new length if time is scaled.
    """
    x = _change_words(x, spec, statistics, rng)
    if spec.time_scale:
        x, target = _change_pace(x, target, 1 + spec.time_scale * rng.uniform(-1, 1))
    return x, target


def augment_clip(
    x: Features,
    spec: Augmentation,
    statistics: tuple[Features, Features],
    rng: np.random.Generator,
) -> Features:
    """One clip of several persons, changed at random as `spec` says.

    As `augment`, but all joints of all persons turn and scale alike, as if another camera had seen
    them, and what is not there (a joint whose words are all zero) stays so. A clip that is played
    faster ends with zeros, one that is played slower is cut.

    Args:
        x: float32 (T, J, C), raw words of the joints of all persons.
        spec: what to draw.
        statistics: mean and standard deviation of every feature, (J, C) each.
        rng: the only source of randomness.

    Returns:
        A new array of the same shape (or the same one where nothing changes).
    """
    there = x.any(axis=2, keepdims=True)
    changed = _change_words(x, spec, statistics, rng, alike=True)
    if changed is not x:
        changed = np.where(there, changed, np.float32(0))
    if not spec.time_scale:
        return changed
    pace = 1 + spec.time_scale * rng.uniform(-1, 1)
    played, _ = _change_pace(changed, np.zeros(len(x), dtype=np.int64), pace)
    out = np.zeros_like(x)
    out[: len(played)] = played[: len(x)]
    return out


def rotations(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rotation matrices (N, 3, 3) about the axes `vectors` (N, 3), by their lengths in radians.

    Rodrigues' formula: `I + sin(a) K + (1 - cos(a)) K^2` with the cross product matrix K of the
    unit axis.
    """
    angle = np.linalg.norm(vectors, axis=1)
    x, y, z = (vectors / np.where(angle > 0, angle, 1.0)[:, None]).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine, versine = np.sin(angle)[:, None, None], (1 - np.cos(angle))[:, None, None]
    return np.asarray(np.eye(3) + sine * cross + versine * (cross @ cross))


def _change_words(
    x: Features,
    spec: Augmentation,
    statistics: tuple[Features, Features],
    rng: np.random.Generator,
    alike: bool = False,
) -> Features:
    """All changes but that of time; `alike`: every joint turns and scales as the others do."""
    mean, deviation = statistics
    if spec.rotation_deg or any(spec.vector_scale):
        x = _move_sensors(x, spec, rng, alike)
    if spec.noise:
        white = rng.standard_normal(x.shape, dtype=np.float32)
        x = x + white * (np.float32(spec.noise) * deviation)
    if spec.joint_drop:
        dropped = np.less(rng.random(x.shape[1]), spec.joint_drop)
        x = np.where(dropped[:, None], mean, x)
    return x


def _move_sensors(
    x: Features, spec: Augmentation, rng: np.random.Generator, alike: bool
) -> Features:
    """Rotate and scale the channel triples of each joint; all triples of a joint turn together."""
    joints = x.shape[1]
    drawn = 1 if alike else joints
    # A vector of three normal angles of deviation s has a mean square length of 3 s**2.
    turn = rotations(np.deg2rad(spec.rotation_deg) * rng.standard_normal((drawn, 3)))
    out = x.copy()
    for triple in range(spec.vectors):
        spread = spec.vector_scale[triple] if triple < len(spec.vector_scale) else 0.0
        gain = np.exp(spread * rng.standard_normal(drawn))
        matrix = (turn * gain[:, None, None]).astype(np.float32)
        matrix = np.broadcast_to(matrix, (joints, 3, 3))
        part = slice(3 * triple, 3 * triple + 3)
        for joint in range(joints):
            out[:, joint, part] = x[:, joint, part] @ matrix[joint].T
    return out


def _change_pace(x: Features, target: LabelArray, pace: float) -> tuple[Features, LabelArray]:
    """Play a segment `pace` times as fast: frames between neighbours, the nearest target."""
    if len(x) < 2:
        return x, target
    at = np.arange(0, len(x) - 1, pace)
    before = at.astype(np.int64)
    part = (at - before).astype(np.float32)[:, None, None]
    near = np.rint(at).astype(np.int64)
    return x[before] * (1 - part) + x[before + 1] * part, target[near]
