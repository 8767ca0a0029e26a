"""Synthetic recognition clips: stays of the synthetic gait, the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.datasets.recognition import recognition_hash
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.datasets.synthetic_recognition import generate_synthetic_recognition


def test_clips_are_stays_in_one_activity() -> None:
    ds = generate_synthetic_recognition(3, subjects=2, clips_per_subject=6, frames=90, rate_hz=20)
    assert ds.synthetic and ds.name.startswith("synthetic") and len(ds.clips) == 12
    gait = generate_synthetic(3, 2, 1, 7 * 12 * 20, 20)
    for subject, recording in enumerate(gait.clips, start=1):
        at = 0
        for clip in (c for c in ds.clips if c.subject == subject):
            assert clip.x.shape == (90, 6, 6, 2)
            n = clip.frames
            assert np.array_equal(clip.x[:n, ..., 0], recording.x[at : at + n])
            assert (recording.labels[at : at + n] == clip.label).all()
            assert not clip.x[n:].any()
            changes = np.flatnonzero(recording.labels[at:] != clip.label)
            at += int(changes[0])
            assert n == min(90, int(changes[0]))


def test_the_second_person_does_the_same_or_is_absent() -> None:
    ds = generate_synthetic_recognition(1, subjects=3, clips_per_subject=8, frames=40)
    beside = [clip.x[..., 1].any() for clip in ds.clips]
    assert not any(beside[0::2]) and any(beside[1::2]) and not all(beside[1::2])
    for clip, there in zip(ds.clips, beside, strict=True):
        if there:
            other = ds.clips[0].subject if clip.subject == 3 else clip.subject + 1
            words = [
                c.x[0, ..., 0] for c in ds.clips if (c.subject, c.label) == (other, clip.label)
            ]
            assert np.array_equal(clip.x[0, ..., 1], words[0])


def test_the_same_arguments_give_the_same_set() -> None:
    first = generate_synthetic_recognition(5, 2, 3, 20)
    assert recognition_hash(first) == recognition_hash(generate_synthetic_recognition(5, 2, 3, 20))
    other = generate_synthetic_recognition(6, 2, 3, 20)
    assert recognition_hash(first) != recognition_hash(other)


def test_arguments_out_of_range_are_named() -> None:
    with pytest.raises(InputError, match="synthetic-gait-clips: key `frames`"):
        generate_synthetic_recognition(0, 2, 3, 0)
