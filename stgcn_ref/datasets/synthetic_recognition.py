"""Synthetic clips with one activity each and up to two persons, cut from the synthetic gait.

Made-up data, like `stgcn_ref.datasets.synthetic` that it comes from: it shows that a network of
whole clips trains and what that takes, and nothing of how it does on people.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from fxp.spec import Spec, parse_spec
from stgcn_ref.datasets.clips import Clip, WordArray
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet
from stgcn_ref.datasets.synthetic import generate_synthetic

PERSONS = 2
LONGEST_STAY_S = 12  # in one activity
Stays = list[tuple[int, WordArray]]  # class and words (T, C, V), in the order of a recording


class SyntheticRecognitionSpec(Spec):
    """The arguments of `generate_synthetic_recognition`, readable from YAML."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    subjects: Annotated[int, Field(ge=1, le=1000)] = 8
    clips_per_subject: Annotated[int, Field(ge=1, le=1000)] = 12
    frames: Annotated[int, Field(ge=1, le=10**4)] = 96
    rate_hz: Annotated[int, Field(ge=10, le=240)] = 30


def generate_synthetic_recognition(
    seed: int = 0,
    subjects: int = 8,
    clips_per_subject: int = 12,
    frames: int = 96,
    rate_hz: int = 30,
) -> RecognitionSet:
    """Synthetic clips `x` (frames, 6, 6, 2), the same for the same arguments everywhere.

    A clip is one stay of a subject in an activity: its first `frames` frames, zeros behind a
    shorter one. In every other clip the next subject does the same beside them, if they ever do;
    else the second person is absent, all zero. Words, joints and classes as in the recordings of
    `generate_synthetic`.

    Raises:
        InputError: an argument out of the range that `SyntheticRecognitionSpec` states.
    """
    given = {
        "seed": seed,
        "subjects": subjects,
        "clips_per_subject": clips_per_subject,
        "frames": frames,
        "rate_hz": rate_hz,
    }
    spec = parse_spec(SyntheticRecognitionSpec, given, "synthetic-gait-clips")
    # the last stay of a recording may be cut off: one more than the clips that are needed
    length = (spec.clips_per_subject + 1) * LONGEST_STAY_S * spec.rate_hz
    gait = generate_synthetic(spec.seed, spec.subjects, 1, length, spec.rate_hz)
    stays = [_stays(recording)[: spec.clips_per_subject] for recording in gait.clips]
    clips = [
        _clip(spec, stays, subject, number)
        for subject in range(spec.subjects)
        for number in range(spec.clips_per_subject)
    ]
    meta = {**gait.meta, "source": "synthetic gait generator, stays", "generator": given}
    return RecognitionSet(
        "synthetic-gait-clips",
        gait.skeleton,
        gait.classes,
        gait.rate_hz,
        tuple(clips),
        synthetic=True,
        meta=meta,
    )


def _stays(recording: Clip) -> Stays:
    cuts = np.flatnonzero(np.diff(recording.labels)) + 1
    starts = [0, *cuts.tolist()]
    parts = np.split(recording.x, cuts)
    return [(int(recording.labels[start]), part) for start, part in zip(starts, parts, strict=True)]


def _clip(
    spec: SyntheticRecognitionSpec, stays: list[Stays], subject: int, number: int
) -> RecognitionClip:
    label, words = stays[subject][number]
    words = words[: spec.frames]
    x = np.zeros((spec.frames, *words.shape[1:], PERSONS), dtype=np.int32)
    x[: len(words), ..., 0] = words
    if number % 2:
        beside = [part for other, part in stays[(subject + 1) % spec.subjects] if other == label]
        for part in beside[:1]:
            both = min(len(part), len(words))
            x[:both, ..., 1] = part[:both]
    name = f"synthetic_{subject + 1:02d}_{number:02d}"
    return RecognitionClip(name, subject + 1, x, label, len(words))
