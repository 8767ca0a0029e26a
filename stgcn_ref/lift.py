"""Slow vertical motion from body sensors, in integers: what tells an elevator from standing still.

A ride is two bursts of acceleration seconds apart, each a few percent of gravity, with rest in
between that looks like standing. Both channels start from `q`, the squared magnitude of a joint's
acceleration (about 8192 per frame at rest, and it moves one for one with the magnitude there,
however the sensor is turned), summed over the frames of a step:

- *surplus*: `q` less its own slow mean, per joint. The mean is a tracker of `2**MEAN_BITS` steps
  that follows by at most `TRACK` a step, so that a burst hardly moves it.
- *velocity*: the surplus of all joints together, beyond a dead zone, summed up with a slow leak:
  about the speed of the ride. A step with a blow on any joint (`GATE`) clears it: who walks does
  not ride.

Hardware keeps one mean per joint and one sum, and needs adders, comparators and shifts only. The
limits were chosen on the validation recordings of HuGaDB that docs/results.md reports on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

IntArray = npt.NDArray[np.int64]

MAGNITUDE_SHIFT = 15  # of the squared magnitude: 16384 words per g give 8192
MEAN_BITS = 8
LEAK_BITS = 12
SUM_BITS = 24  # the velocity saturates at +-2**24
VELOCITY_BITS, VELOCITY_SHIFT = 17, 2  # it is shown up to +-2**17, in steps of 2**2: 16 bits
# Per frame of a step and, for the dead zone, per joint:
TRACK, CLIP_THIRDS, DEAD_ZONE, GATE = 100, 4096, 300, 4000

CHANNELS = ("acc_surplus", "lift_velocity")


def squared_magnitude(acc: IntArray) -> IntArray:
    """`min((x*x + y*y + z*z) >> 15, 32767)`, accelerations (T, 3, V) to (T, V)."""
    return np.asarray(np.minimum(np.square(acc).sum(axis=1) >> MAGNITUDE_SHIFT, 32767))


def lift_channels(q: IntArray, frames_per_step: int) -> IntArray:
    """Surplus and velocity of every step, `(T, 2, V)` of 16 bits each; the velocity on all joints.

    Args:
        q: `squared_magnitude` summed over the frames of a step, `(T, V)`, T >= 1; the slow means
            start from its first row.
        frames_per_step: how many frames were summed.
    """
    n = frames_per_step
    joints = q.shape[1]
    limits = np.array(
        [TRACK * n, CLIP_THIRDS * n // 3, DEAD_ZONE * n * joints, GATE * n], dtype=np.int64
    )
    surplus, velocity = _lift(np.ascontiguousarray(q), limits)
    shown = velocity.clip(-(1 << VELOCITY_BITS), (1 << VELOCITY_BITS) - 1) >> VELOCITY_SHIFT
    return np.stack((surplus, np.broadcast_to(shown[:, None], q.shape)), axis=1)


@njit(cache=True)
def _lift(q: IntArray, limits: IntArray) -> tuple[IntArray, IntArray]:
    """The recurrences, step by step; `limits` are track, clip, dead zone and gate."""
    track, clip, dead, gate = limits
    steps, joints = q.shape
    mean = q[0] << MEAN_BITS
    surplus = np.empty_like(q)
    velocity = np.empty(steps, dtype=np.int64)
    speed = 0
    for t in range(steps):
        total, blow = 0, False
        for v in range(joints):
            difference = q[t, v] - (mean[v] >> MEAN_BITS)
            mean[v] += min(max(difference, -track), track)
            blow = blow or abs(difference) > gate
            surplus[t, v] = min(max(difference, -clip), clip)
            total += surplus[t, v]
        total -= min(max(total, -dead), dead)
        speed = speed - (speed >> LEAK_BITS) + total
        speed = 0 if blow else min(max(speed, -(1 << SUM_BITS)), (1 << SUM_BITS) - 1)
        velocity[t] = speed
    return surplus, velocity
