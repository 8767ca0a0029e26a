"""Input preparation: what stands between the sensors and the network's input port.

Every step is causal, integer in and integer out, and small enough for hardware: it is part of the
design, so the float reference, the integer network and the RTL all see the same words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from fxp.errors import InputError
from fxp.spec import Spec
from stgcn_ref import lift
from stgcn_ref.datasets.clips import Clip, Dataset, LabelArray

MAX_LIFT_FRAMES = 8  # more would take the surplus beyond 16 bits
ACC, GYRO = slice(0, 3), slice(3, 6)  # channels of an inertial sensor
IntArray = npt.NDArray[np.int64]


class PreparationSpec(Spec):
    """The steps of a preparation, in the order in which they act.

    - `gyro_repair`: the gyroscope words (channels 3..5) of the joints flagged in a clip are divided
      by ten, rounded half up.
    - `magnitude`: one more channel, the square of the acceleration's magnitude,
      `min((x*x + y*y + z*z) >> 15, 32767)`: 8192 at rest, and it moves one for one with the
      magnitude there, however the sensor is turned. It shows what a rotation hides: slow
      accelerations, as of an elevator.
    - `frames_per_step`: that many frames make one network step, their words summed exactly; a tail
      that fills no step is dropped.
    - `shift`: the sums are shifted right by so many bits, rounded half up, to fit a narrower port.
    - `lift`: two more channels of 16 bits, slow vertical motion as `stgcn_ref.lift` sums it up over
      the steps of a clip (needs at most 8 frames per step).
    """

    gyro_repair: bool = False
    magnitude: bool = False
    frames_per_step: Annotated[int, Field(ge=1, le=256)] = 1
    shift: Annotated[int, Field(ge=0, le=8)] = 0
    lift: bool = False

    @model_validator(mode="after")
    def _lift_fits(self) -> Self:
        if self.lift and self.frames_per_step > MAX_LIFT_FRAMES:
            raise ValueError(f"`lift` needs `frames_per_step` of at most {MAX_LIFT_FRAMES}")
        return self


def prepare(ds: Dataset, spec: PreparationSpec) -> Dataset:
    """The data set as the network sees it; `meta["preparation"]` records the spec.

    A step's label is the majority of its frames', ties going to the latest of them. `frame_labels`
    stay as recorded, so scores are per original frame (`stgcn_ref.datasets.clips.held`).
    `meta["word_bits"]` is the signed width that holds every word the steps can make.

    Raises:
        InputError: the set is prepared already, a word is wider than 16 bits, a clip is shorter
            than one step, the inertial steps are asked of other data, or a gyroscope repair where
            no list of faults came with the data.
    """
    where = f"data set {ds.name}"
    if "preparation" in ds.meta:
        raise InputError(f"{where}: is prepared already")
    if spec.gyro_repair and ds.meta.get("gyro_flags") is None:
        raise InputError(f"{where}: `gyro_repair` needs the list of faults (gyro_corruption.csv)")
    if (spec.gyro_repair or spec.magnitude or spec.lift) and ds.clips[0].x.shape[1] != 6:
        raise InputError(
            f"{where}: `gyro_repair`, `magnitude` and `lift` need channels acc xyz, gyro xyz"
        )
    meta: dict[str, Any] = dict(ds.meta)
    meta |= {"preparation": spec.model_dump(), "word_bits": word_bits(spec)}
    if "channels" in meta:
        added = ["acc_magnitude"] * spec.magnitude + list(lift.CHANNELS) * spec.lift
        meta["channels"] = [*meta["channels"], *added]
    clips = tuple(_prepare_clip(clip, spec) for clip in ds.clips)
    return replace(ds, clips=clips, rate_hz=ds.rate_hz / spec.frames_per_step, meta=meta)


def word_bits(spec: PreparationSpec) -> int:
    """Signed width that holds every word a preparation can make of 16-bit ones."""
    extremes = np.array([-(2**15), 2**15 - 1]) * spec.frames_per_step
    low, high = (int(extreme) for extreme in _shifted(extremes, spec.shift))
    sums = 1 + max((-low - 1).bit_length(), high.bit_length())
    return max(sums, 16) if spec.lift else sums


def divide_by_ten(words: IntArray) -> IntArray:
    """Integers divided by ten, rounded half up: `floor((x + 5) / 10)`.

    For 16-bit words hardware needs one multiplication and no divider:
    `((x + 40965) * 52429 >> 19) - 4096`.
    """
    return np.asarray((words + 5) // 10)


def _prepare_clip(clip: Clip, spec: PreparationSpec) -> Clip:
    n = spec.frames_per_step
    steps = len(clip.x) // n
    if not steps:
        raise InputError(f"clip {clip.name}: {len(clip.x)} frames are fewer than one step of {n}")
    words = clip.x.astype(np.int64)  # (T, C, V)
    if words.min() < -(2**15) or words.max() >= 2**15:
        raise InputError(f"clip {clip.name}: preparation needs 16-bit words (-32768..32767)")
    if spec.gyro_repair:
        for joint in clip.flagged:
            words[:, GYRO, joint] = divide_by_ten(words[:, GYRO, joint])
    square = lift.squared_magnitude(words[:, ACC]) if spec.magnitude or spec.lift else None
    if spec.magnitude and square is not None:
        words = np.concatenate((words, square[:, None]), axis=1)
    x = _shifted(_step_sums(words, steps, n), spec.shift)
    if spec.lift and square is not None:
        x = np.concatenate((x, lift.lift_channels(_step_sums(square, steps, n), n)), axis=1)
    labels = majority(clip.labels[: steps * n].reshape(steps, n))
    return replace(clip, x=x.astype(np.int32), labels=labels, hold=n)


def _step_sums(words: IntArray, steps: int, n: int) -> IntArray:
    """Sums over the `n` frames of each step, (T, ...) to (steps, ...)."""
    return np.asarray(words[: steps * n].reshape(steps, n, *words.shape[1:]).sum(axis=1))


def _shifted(sums: IntArray, shift: int) -> IntArray:
    """Right shift, rounded half up."""
    return np.asarray((sums + (1 << shift >> 1)) >> shift)


def majority(labels: LabelArray) -> LabelArray:
    """The most frequent label of each row (T, n), ties going to the latest frame, (T,)."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)  # per frame, its label's count
    latest = labels.shape[1] - 1 - votes[:, ::-1].argmax(axis=1)
    return np.asarray(labels[np.arange(len(labels)), latest])
