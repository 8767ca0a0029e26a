"""Moving legs in integers: the arithmetic under the synthetic generator.

Angles are counted in 2**-24 turns, sines in 2**-14, time in frames. Only `PCG64.random_raw` and
`SeedSequence` are used for chance (numpy promises their streams; `Generator`'s may change), and all
sums, products and shifts are exact int64: the same seed gives the same words everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

TURN_BITS = 24
DEGREE = round(2**TURN_BITS / 360)
SINE_BITS = 14
# No entry lies near a rounding tie (the tests check it): every libm rounds to the same table.
SINE = np.rint(np.sin(np.arange(2**16) * (2 * np.pi / 2**16)) * 2**SINE_BITS).astype(np.int64)

GRAVITY_WORD = 2**14  # 1 g in the sensors' words (int16 is +-2 g)
GYRO_WORDS_PER_DPS = 16.4  # int16 is +-2000 degrees a second
LEVER_M = (0.22, 0.24, 0.10)  # from the joint above to the sensor: thigh, shin, foot


class Dice:
    """Integer chance from a seed: uniform and bell-shaped draws."""

    def __init__(self, *seed: int) -> None:
        """A stream of its own for every tuple of non-negative integers."""
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def uniform(self, low: int, high: int, *shape: int) -> IntArray:
        """Integers low..high, both included."""
        raw = (self._raw(shape) >> np.uint64(32)).astype(np.int64)
        return low + ((raw * (high - low + 1)) >> 32)

    def draw(self, low: int, high: int) -> int:
        """One integer low..high."""
        return int(self.uniform(low, high, 1)[0])

    def bell(self, deviation: int, *shape: int) -> IntArray:
        """Near-normal integers around 0: the sum of four uniform ones, scaled to `deviation`."""
        raw = self._raw(shape)
        quarters = (raw >> np.uint64(shift) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48))
        total = sum(quarter.astype(np.int64) for quarter in quarters) - 2 * 0xFFFF
        return np.asarray(total * deviation // 37837)  # 65536 * sqrt(4 / 12)

    def _raw(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint64]:
        count = int(np.prod(shape))
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64).reshape(shape)


def sine(turns: IntArray) -> IntArray:
    """Sine of angles in 2**-24 turns, in 2**-14."""
    return np.asarray(SINE[(turns >> (TURN_BITS - 16)) & 0xFFFF])


def cosine(turns: IntArray) -> IntArray:
    """Cosine of angles in 2**-24 turns, in 2**-14."""
    return sine(turns + 2 ** (TURN_BITS - 2))


def smooth(values: IntArray, frames: int) -> IntArray:
    """Centred mean over `frames` frames along axis 0, the ends repeated, rounded down."""
    before = frames // 2
    padding = [(before + 1, frames - 1 - before)] + [(0, 0)] * (values.ndim - 1)
    sums = np.pad(values, padding, mode="edge").cumsum(axis=0)
    return np.asarray((sums[frames:] - sums[:-frames]) // frames)


@dataclass(frozen=True, eq=False)
class Pose:
    """What a clip's legs do, frame by frame (T frames, 3 segments: thigh, shin, foot).

    `phase` (T,): gait cycle of the right leg, 2**-24 turns. Angles in 2**-24 turns (T, 3): `mean`,
    and the first two harmonics `swing`, `second` with their lags behind the phase (3,).
    `impact` (T,): the heel strike's height in words.
    """

    phase: IntArray
    mean: IntArray
    swing: IntArray
    second: IntArray
    lag: IntArray
    second_lag: IntArray
    impact: IntArray


def leg_angles(pose: Pose, offset: int) -> IntArray:
    """Angles (T, 3) of a leg whose cycle is `offset` turns (2**-24) behind the right leg's."""
    phase = (pose.phase - offset)[:, None]
    first = pose.swing * sine(phase - pose.lag) >> SINE_BITS
    second = pose.second * sine(2 * phase - pose.second_lag) >> SINE_BITS
    return np.asarray(pose.mean + first + second)


def leg_words(pose: Pose, angles: IntArray, offset: int, rate_hz: int) -> IntArray:
    """Ideal sensor words (T, 3 segments, 6 channels) of a leg that moves through `angles`.

    The limb's axis is x and it swings about y: gravity turns in the x-z plane, the gyroscope's y is
    the angle's difference, and the accelerometer adds the lever's centripetal and tangential parts
    and the heel strike.
    """
    speed = np.diff(angles, axis=0, prepend=angles[:1])  # 2**-24 turns a frame
    bend = np.diff(speed, axis=0, prepend=speed[:1])
    words = np.zeros((*angles.shape, 6), dtype=np.int64)
    per_frame2 = [2 * np.pi * rate_hz**2 * lever / 9.81 * GRAVITY_WORD for lever in LEVER_M]
    tangential = bend * np.rint(per_frame2).astype(np.int64) >> TURN_BITS
    # a turn is 2 pi, so the square of the speed has one more factor 2 pi than its difference
    fast = speed >> 8
    levers = np.rint(np.array(per_frame2) * (2 * np.pi)).astype(np.int64)
    centripetal = fast * fast * levers >> 2 * (TURN_BITS - 8)
    strike = np.maximum(sine(pose.phase - offset), 0)
    for _ in range(3):  # to the 8th power: a short bump once a cycle
        strike = strike * strike >> SINE_BITS
    shock = (pose.impact * strike >> SINE_BITS)[:, None] * np.array([2, 3, 4]) >> 2
    words[..., 0] = centripetal - (GRAVITY_WORD * cosine(angles) >> SINE_BITS) - shock
    words[..., 2] = (GRAVITY_WORD * sine(angles) >> SINE_BITS) + tangential - (shock >> 1)
    words[..., 4] = speed * round(360 * rate_hz * GYRO_WORDS_PER_DPS) >> TURN_BITS
    return words


def rotate(words: IntArray, angles: IntArray) -> IntArray:
    """Turn sensors: words (..., 6) as acc xyz, gyro xyz; `angles` (..., 3) about x, then y, then z.

    Angles in 2**-24 turns, broadcast against the words.
    """
    turned = words.copy()
    for axis, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):
        s, c = sine(angles[..., axis]), cosine(angles[..., axis])
        for base in (0, 3):
            u, v = turned[..., base + a].copy(), turned[..., base + b].copy()
            turned[..., base + a] = (c * u - s * v) >> SINE_BITS
            turned[..., base + b] = (s * u + c * v) >> SINE_BITS
    return turned
