"""Recordings as values: clips of integer words with a label per frame, and sets of them.

Everything is integer: `x` holds the words that the network's input port receives, so that a data
set, its preparation and the integer network meet without a conversion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError

if TYPE_CHECKING:
    from stgcn_ref.datasets.recognition import RecognitionSet

SetT = TypeVar("SetT", "Dataset", "RecognitionSet")
WordArray = npt.NDArray[np.int32]
LabelArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

# Classes that a report may count as another one, by merge name. Riding an elevator is standing
# still to a body sensor: `elevator` shows what is lost to that confusion alone.
MERGES: Mapping[str, Mapping[str, str]] = {
    "elevator": {"up_by_elevator": "standing", "down_by_elevator": "standing"},
}


@dataclass(frozen=True, eq=False)
class Clip:
    """One continuous recording of one participant.

    `x` int32 (T, C, V): integer words, one row a network step. `labels` int64 (T,): the class index
    of each step. A step covers `hold` original frames: its prediction is held for them and scored
    on `frame_labels` int64 (T_full,), `T * hold <= T_full < (T + 1) * hold` (see `held`); with
    `hold` 1 both label arrays are the same. `flagged` lists the joints whose gyroscope is known to
    be corrupted in this recording.

    Raises:
        InputError: a shape, a type or a length that breaks these rules.
    """

    name: str
    subject: int
    x: WordArray
    labels: LabelArray
    frame_labels: LabelArray
    hold: int = 1
    flagged: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        where = f"clip {self.name}"
        if self.x.ndim != 3 or self.x.dtype != np.int32:
            raise InputError(
                f"{where}: `x` must be int32 (T, C, V), got {self.x.dtype} {self.x.shape}"
            )
        frames = len(self.x)
        if frames < 1:
            raise InputError(f"{where}: at least one frame is needed, got none")
        for key, array in (("labels", self.labels), ("frame_labels", self.frame_labels)):
            if array.ndim != 1 or array.dtype != np.int64:
                raise InputError(
                    f"{where}: `{key}` must be int64 (T,), got {array.dtype} {array.shape}"
                )
        if len(self.labels) != frames:
            raise InputError(f"{where}: {frames} frames, but {len(self.labels)} labels")
        if self.hold < 1 or len(self.frame_labels) // self.hold != frames:
            raise InputError(
                f"{where}: {len(self.frame_labels)} frame labels do not fit {frames} steps"
                f" of {self.hold} frames"
            )
        if any(not 0 <= joint < self.x.shape[2] for joint in self.flagged):
            raise InputError(f"{where}: `flagged` must be 0..{self.x.shape[2] - 1}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Clips of one layout. `skeleton` names the joints, `classes` the labels by index.

    `rate_hz` is the rate of network steps. `synthetic` is True for generated data and must show
    wherever results are reported. `meta` is JSON data: provenance, preparation, original ids.

    Raises:
        InputError: no clips, clips of different shapes, a label outside the classes, or two clips
            of one name.
    """

    name: str
    skeleton: str
    classes: tuple[str, ...]
    rate_hz: float
    clips: tuple[Clip, ...]
    synthetic: bool
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.clips:
            raise InputError(f"data set {self.name}: no clips")
        layout, top = self.clips[0].x.shape[1:], len(self.classes) - 1
        names: set[str] = set()
        for clip in self.clips:
            where = f"data set {self.name}: clip {clip.name}"
            if clip.x.shape[1:] != layout:
                raise InputError(f"{where}: (C, V) is {clip.x.shape[1:]}, the others' {layout}")
            for labels in (clip.labels, clip.frame_labels):
                if labels.min() < 0 or labels.max() > top:
                    raise InputError(f"{where}: labels must be 0..{top} ({top + 1} classes)")
            if clip.name in names:
                raise InputError(f"{where}: a second clip of that name")
            names.add(clip.name)


def subjects_of(ds: Dataset | RecognitionSet) -> tuple[int, ...]:
    """Participants of the data set, sorted."""
    return tuple(sorted({clip.subject for clip in ds.clips}))


def select(ds: SetT, subjects: Iterable[int]) -> SetT:
    """The clips of these participants, in the data set's order.

    Raises:
        InputError: a participant the data set does not have, or none at all.
    """
    wanted = set(subjects)
    present = subjects_of(ds)
    for subject in sorted(wanted - set(present)):
        have = ", ".join(map(str, present))
        raise InputError(f"data set {ds.name}: participant {subject} is absent (present: {have})")
    if not wanted:
        raise InputError(f"data set {ds.name}: no participant selected")
    return replace(ds, clips=tuple(clip for clip in ds.clips if clip.subject in wanted))


def split(ds: SetT, train: Iterable[int], valid: Iterable[int]) -> tuple[SetT, SetT]:
    """Training and validation sets by participant: one participant's frames are never divided.

    Raises:
        InputError: a participant is in both or absent, or a side is empty.
    """
    train, valid = tuple(train), tuple(valid)
    both = ", ".join(str(s) for s in sorted(set(train) & set(valid)))
    if both:
        raise InputError(f"data set {ds.name}: participant {both} is in both train and valid")
    return select(ds, train), select(ds, valid)


def held(clip: Clip, predictions: npt.ArrayLike) -> LabelArray:
    """Predictions of the steps (T,) as predictions of the original frames (T_full,).

    Each is held for `hold` frames; the last one also for the ragged tail of frames that fill no
    step, so that every recorded frame is scored.

    Raises:
        InputError: not one prediction per step.
    """
    steps = np.asarray(predictions, dtype=np.int64)
    if steps.shape != clip.labels.shape:
        raise InputError(
            f"clip {clip.name}: {len(clip.labels)} predictions are needed, got {steps.shape}"
        )
    index = np.arange(len(clip.frame_labels)) // clip.hold
    return steps[np.minimum(index, len(steps) - 1)]


def merged(classes: tuple[str, ...], merge: str) -> LabelArray:
    """Class index to class index (K,) under a named merge; index both labels and predictions.

    Raises:
        InputError: unknown merge, or a class that it names is not among `classes`.
    """
    if merge not in MERGES:
        raise InputError(f"unknown merge {merge!r}, allowed: {', '.join(MERGES)}")
    table = np.arange(len(classes), dtype=np.int64)
    for old, new in MERGES[merge].items():
        for name in (old, new):
            if name not in classes:
                raise InputError(f"merge {merge}: class {name!r} is not in {', '.join(classes)}")
        table[classes.index(old)] = classes.index(new)
    return table


def input_statistics(ds: Dataset) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of every input word, each float64 (C, V), over all steps."""
    return word_statistics([clip.x for clip in ds.clips])


def word_statistics(words: Sequence[WordArray]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation, each float64 (C, V), over all axes of `words` (..., C, V).

    Sums are exact integers; only the last division and root are float. The deviation is the
    population's, and 1.0 where a word never changes.
    """
    axes = tuple(range(words[0].ndim - 2))
    steps = sum(x.size // (x.shape[-2] * x.shape[-1]) for x in words)
    total = sum(x.sum(axis=axes, dtype=np.int64) for x in words)
    mean = np.asarray(total, dtype=np.float64) / steps
    # centred, in float64: squares of 32-bit words summed over a long set may pass 2**63
    spread = sum(np.square(x - mean).sum(axis=axes) for x in words)
    std = np.sqrt(np.asarray(spread, dtype=np.float64) / steps)
    return mean, np.where(std > 0, std, 1.0)


def dataset_hash(ds: Dataset) -> str:
    """SHA-256 (hex) of everything in the data set: two equal hashes mean the same data."""
    head = {
        "name": ds.name,
        "skeleton": ds.skeleton,
        "classes": ds.classes,
        "rate_hz": ds.rate_hz,
        "synthetic": ds.synthetic,
        "meta": ds.meta,
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for clip in ds.clips:
        about = [clip.name, clip.subject, clip.x.shape, clip.hold, clip.flagged]
        digest.update(json.dumps([*about, len(clip.frame_labels)]).encode())
        digest.update(np.ascontiguousarray(clip.x, dtype="<i4").tobytes())
        digest.update(np.ascontiguousarray(clip.labels, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(clip.frame_labels, dtype="<i8").tobytes())
    return digest.hexdigest()
