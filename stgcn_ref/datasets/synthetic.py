"""Synthetic gait: a seeded generator of labelled six-sensor streams in HuGaDB's layout.

This is made-up data, for the embedded default and the tests; it stands for no person. A grammar of
activities (sit, stand up, stand, walk, run, stairs, sit down) drives a two-leg model in integers
(`gait_model`). Subjects differ in gait frequency, amplitudes, posture and in how their sensors sit;
clips add fidgeting, slow drift of the sensors and noise. Numbers measured on it say how the tools
behave, and nothing of how a network does on people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fxp.spec import Spec, parse_spec
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.gait_model import (
    DEGREE,
    GRAVITY_WORD,
    SINE_BITS,
    TURN_BITS,
    Dice,
    IntArray,
    Pose,
    leg_angles,
    leg_words,
    rotate,
    sine,
    smooth,
)

HALF_TURN = 2 ** (TURN_BITS - 1)
WORD_BITS = 16
CHANNELS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")


@dataclass(frozen=True)
class Motion:
    """An activity: how the legs move in it, how long it lasts, and what may follow.

    Angles in degrees for (thigh, shin, foot), 0 standing upright: `mean`, `swing` and `second` (the
    cycle's first two harmonics) with their `lag`s in degrees of the cycle. Cycles in mHz, the heel
    strike in thousandths of g, the duration in tenths of a second, `then` as relative odds.
    """

    mean: tuple[int, int, int]
    duration_ds: tuple[int, int]
    then: tuple[tuple[str, int], ...]
    cycle_mhz: int = 0
    swing: tuple[int, int, int] = (0, 0, 0)
    second: tuple[int, int, int] = (0, 0, 0)
    impact_mg: int = 0


LAG = (0, 62, 88)
SECOND_LAG = (40, 130, 170)
UPRIGHT, SEATED = (0, -3, 0), (84, -4, 0)

MOTIONS = {
    "walking": Motion(
        (8, -16, -4),
        (40, 120),
        (("standing", 4), ("running", 3), ("going_up", 2), ("going_down", 2)),
        cycle_mhz=940,
        swing=(23, 31, 36),
        second=(4, 11, 13),
        impact_mg=500,
    ),
    "running": Motion(
        (17, -38, -20),
        (30, 80),
        (("walking", 3), ("standing", 1)),
        cycle_mhz=1330,
        swing=(30, 40, 46),
        second=(6, 14, 14),
        impact_mg=1100,
    ),
    "going_up": Motion(
        (25, -28, 2),
        (35, 90),
        (("walking", 3), ("standing", 2)),
        cycle_mhz=790,
        swing=(26, 26, 27),
        second=(7, 8, 8),
        impact_mg=280,
    ),
    "going_down": Motion(
        (12, -27, -14),
        (35, 90),
        (("walking", 3), ("standing", 2)),
        cycle_mhz=980,
        swing=(14, 32, 24),
        second=(3, 9, 12),
        impact_mg=850,
    ),
    "sitting": Motion(SEATED, (30, 80), (("standing_up", 1),)),
    "sitting_down": Motion(SEATED, (9, 18), (("sitting", 1),)),
    "standing_up": Motion(UPRIGHT, (8, 16), (("standing", 3), ("walking", 1))),
    "standing": Motion(
        UPRIGHT,
        (20, 60),
        (("walking", 5), ("sitting_down", 4), ("going_up", 1), ("going_down", 1)),
    ),
}
CLASSES = tuple(MOTIONS)
STILL = tuple(CLASSES.index(name) for name in ("sitting", "standing"))


@dataclass(frozen=True, eq=False)
class Person:
    """What stays with a subject: per-mille factors, angles in 2**-24 turns, gyro bias in words."""

    cycle: int
    impact: int
    swing: IntArray  # (3,) per mille
    posture: IntArray  # (3,)
    lag: IntArray  # (3,)
    limp: int  # of the left leg behind half a cycle
    mount: IntArray  # (6 sensors, 3 axes)
    bias: IntArray  # (6 sensors, 3 axes)


class SyntheticSpec(Spec):
    """The arguments of `generate_synthetic`, readable from YAML."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    subjects: Annotated[int, Field(ge=1, le=1000)] = 8
    clips_per_subject: Annotated[int, Field(ge=1, le=1000)] = 4
    frames_per_clip: Annotated[int, Field(ge=1, le=10**6)] = 1800
    rate_hz: Annotated[int, Field(ge=10, le=240)] = 60


def generate_synthetic(
    seed: int = 0,
    subjects: int = 8,
    clips_per_subject: int = 4,
    frames_per_clip: int = 1800,
    rate_hz: int = 60,
) -> Dataset:
    """Synthetic recordings of subjects 1..`subjects`, the same for the same arguments everywhere.

    Clips are `x` int16 words in int32 (T, 6, 6): channels acc xyz (16384 = 1 g) and gyro xyz
    (16.4 = 1 degree/s), joints in the order of the skeleton `hugadb`; eight classes. A subject's
    clips do not depend on how many others are asked for.

    Raises:
        InputError: an argument out of the range that `SyntheticSpec` states.
    """
    given = {
        "seed": seed,
        "subjects": subjects,
        "clips_per_subject": clips_per_subject,
        "frames_per_clip": frames_per_clip,
        "rate_hz": rate_hz,
    }
    spec = parse_spec(SyntheticSpec, given, "synthetic-gait")
    clips = tuple(
        _clip(spec, subject, number)
        for subject in range(1, spec.subjects + 1)
        for number in range(spec.clips_per_subject)
    )
    meta: dict[str, Any] = {
        "source": "synthetic gait generator",
        "channels": list(CHANNELS),
        "word_bits": WORD_BITS,
        "gyro_flags": "none",
        "generator": spec.model_dump(),
    }
    rate = float(spec.rate_hz)
    return Dataset("synthetic-gait", "hugadb", CLASSES, rate, clips, synthetic=True, meta=meta)


def _clip(spec: SyntheticSpec, subject: int, number: int) -> Clip:
    frames, rate_hz = spec.frames_per_clip, spec.rate_hz
    person = _person(Dice(spec.seed, subject, 0))
    dice = Dice(spec.seed, subject, number + 1)
    labels, pose = _act(dice, person, frames, rate_hz)
    legs = []
    for offset in (0, HALF_TURN + person.limp):  # right, left
        angles = leg_angles(pose, offset) + _fidgets(dice, labels, rate_hz)
        legs.append(leg_words(pose, angles, offset, rate_hz))
    words = np.concatenate(legs, axis=1)  # (T, 6 sensors, 6 channels)
    words += np.concatenate((dice.bell(600, frames, 6, 3), dice.bell(100, frames, 6, 3)), axis=2)
    sway = sine(pose.phase) * pose.impact >> SINE_BITS + 2
    words[..., 1] += sway[:, None]
    words = rotate(words, person.mount + _drift(dice, frames))
    words[..., 3:] += person.bias
    x = np.clip(words, -(2 ** (WORD_BITS - 1)), 2 ** (WORD_BITS - 1) - 1).transpose(0, 2, 1)
    return Clip(
        f"synthetic_{subject:02d}_{number:02d}",
        subject,
        np.ascontiguousarray(x, dtype=np.int32),
        labels,
        labels,
    )


def _person(dice: Dice) -> Person:
    return Person(
        cycle=dice.draw(900, 1100),
        impact=dice.draw(700, 1300),
        swing=dice.uniform(880, 1120, 3),
        posture=dice.uniform(-4 * DEGREE, 4 * DEGREE, 3),
        lag=dice.uniform(-12 * DEGREE, 12 * DEGREE, 3),
        limp=dice.draw(-10 * DEGREE, 10 * DEGREE),
        mount=dice.uniform(-12 * DEGREE, 12 * DEGREE, 6, 3),
        bias=dice.uniform(-60, 60, 6, 3),
    )


def _act(dice: Dice, person: Person, frames: int, rate_hz: int) -> tuple[IntArray, Pose]:
    """Labels (T,) by the grammar, and the pose that follows them with soft transitions."""
    parts = []
    labels = np.empty(frames, dtype=np.int64)
    name, start = CLASSES[dice.draw(0, len(CLASSES) - 1)], 0
    while start < frames:
        motion = MOTIONS[name]
        length = max(1, dice.draw(*motion.duration_ds) * rate_hz // 10)
        end = min(start + length, frames)
        labels[start:end] = CLASSES.index(name)
        parts.append(_targets(dice, name, length)[: end - start])
        start, name = end, _follower(dice, motion)
    columns = smooth(np.concatenate(parts), max(1, rate_hz // 2))  # (T, 11)
    pace = 1000 + smooth(dice.bell(900, frames, 1), rate_hz)[:, 0]  # per mille, wanders
    cycle = columns[:, 9] * person.cycle // 1000 * pace // 1000
    phase = dice.draw(0, 2**TURN_BITS - 1) + np.cumsum(cycle * 2**TURN_BITS // (1000 * rate_hz))
    impact = columns[:, 10] * person.impact // 1000 * GRAVITY_WORD // 1000
    swing = columns[:, 3:9].reshape(-1, 2, 3) * person.swing // 1000
    mean = columns[:, :3] + person.posture
    lags = np.array([LAG, SECOND_LAG]) * DEGREE + person.lag
    return labels, Pose(phase, mean, swing[:, 0], swing[:, 1], lags[0], lags[1], impact)


def _targets(dice: Dice, name: str, length: int) -> IntArray:
    """(length, 11): mean, swing, second for the three segments; cycle in mHz; strike in mg.

    Each stay in an activity varies: the same person climbs one stair higher than the next.
    """
    motion = MOTIONS[name]
    vary = dice.uniform(900, 1100, 11)
    row = np.array(
        [*motion.mean, *motion.swing, *motion.second, motion.cycle_mhz, motion.impact_mg]
    )
    row[:9] *= DEGREE
    rows = np.tile(row * vary // 1000, (length, 1))
    if name in ("standing_up", "sitting_down"):
        start = np.array(SEATED if name == "standing_up" else UPRIGHT) * DEGREE
        way = np.arange(1, length + 1)[:, None]
        rows[:, :3] = start + (row[:3] - start) * way // length
    return rows


def _follower(dice: Dice, motion: Motion) -> str:
    bag = [name for name, odds in motion.then for _ in range(odds)]
    return bag[dice.draw(0, len(bag) - 1)]


def _fidgets(dice: Dice, labels: IntArray, rate_hz: int) -> IntArray:
    """Angles (T, 3) of small movements while a leg should be still: one in four seconds."""
    angles = np.zeros((len(labels), 3), dtype=np.int64)
    for _ in range(len(labels) // (4 * rate_hz)):
        start, length = dice.draw(0, len(labels) - 1), dice.draw(4, 12) * rate_hz // 10
        size = dice.uniform(-16 * DEGREE, 16 * DEGREE, 3)
        if labels[start] in STILL:
            end = min(start + length, len(labels))
            bump = sine(np.arange(end - start) * HALF_TURN // length)
            angles[start:end] += bump[:, None] * size >> SINE_BITS
    return angles


def _drift(dice: Dice, frames: int) -> IntArray:
    """Slow turn of every sensor over the clip, (T, 6, 3) in 2**-24 turns: a line and a wave."""
    slope, height = dice.uniform(-5 * DEGREE, 5 * DEGREE, 2, 6, 3)
    start = dice.uniform(0, 2**TURN_BITS - 1, 6, 3)
    time = np.arange(frames)[:, None, None]
    wave = sine(start + time * 2**TURN_BITS // frames) * height >> SINE_BITS
    return np.asarray(slope * time // frames + wave)
