"""The synthetic generator: the same words everywhere, and the structure that it promises."""

from __future__ import annotations

import hashlib
import time
from itertools import pairwise

import numpy as np
import pytest

from fxp.errors import InputError
from stgcn_ref.datasets.clips import dataset_hash
from stgcn_ref.datasets.gait_model import DEGREE, SINE, Dice, cosine, rotate, sine, smooth
from stgcn_ref.datasets.synthetic import CLASSES, MOTIONS, SyntheticSpec, generate_synthetic
from stgcn_ref.metrics import segments

# of seed 0, 2 subjects, 2 clips of 600 frames
WORDS_SHA256 = "f8f1642a21bbb3f9dc6567eca1ddfadfecfdee537fc5363d615251728e71a231"


def test_committed_words() -> None:
    digest = hashlib.sha256()
    for clip in generate_synthetic(0, subjects=2, clips_per_subject=2, frames_per_clip=600).clips:
        digest.update(clip.x.astype("<i4").tobytes() + clip.labels.astype("<i8").tobytes())
    assert digest.hexdigest() == WORDS_SHA256


def test_no_sine_lies_near_a_rounding_tie() -> None:
    exact = np.sin(np.arange(2**16) * (2 * np.pi / 2**16)) * 2**14
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-7  # a libm errs by less than 1e-11
    assert (SINE[::16384] == [0, 2**14, 0, -(2**14)]).all()


def test_seeds_subjects_and_clips_differ_and_nest() -> None:
    two = generate_synthetic(3, subjects=2, clips_per_subject=2, frames_per_clip=300)
    three = generate_synthetic(3, subjects=3, clips_per_subject=2, frames_per_clip=300)
    for a, b in zip(two.clips, three.clips, strict=False):
        assert a.name == b.name and (a.x == b.x).all() and (a.labels == b.labels).all()
    assert len({clip.x.tobytes() for clip in three.clips}) == 6
    other = generate_synthetic(4, subjects=2, clips_per_subject=2, frames_per_clip=300)
    assert dataset_hash(other) != dataset_hash(two)


def test_layout_and_name_say_synthetic() -> None:
    ds = generate_synthetic(0, subjects=3, clips_per_subject=1, frames_per_clip=100)
    assert ds.synthetic and ds.name == "synthetic-gait" and ds.skeleton == "hugadb"
    assert [clip.subject for clip in ds.clips] == [1, 2, 3]
    assert all(clip.name.startswith("synthetic_") for clip in ds.clips)
    assert all(clip.x.shape == (100, 6, 6) and clip.x.dtype == np.int32 for clip in ds.clips)
    assert (
        ds.meta["generator"]
        == SyntheticSpec(subjects=3, clips_per_subject=1, frames_per_clip=100).model_dump()
    )


def test_labels_follow_the_grammar_and_its_durations() -> None:
    ds = generate_synthetic(7)
    for clip in ds.clips:
        runs = segments(clip.labels)
        for (label, start, end), (after, _, _) in pairwise(runs):
            motion = MOTIONS[CLASSES[label]]
            assert CLASSES[after] in dict(motion.then)
            low, high = motion.duration_ds
            assert low * 6 <= end - start <= high * 6
    share = np.bincount(np.concatenate([clip.labels for clip in ds.clips])) / (8 * 4 * 1800)
    assert len(share) == len(CLASSES) and share.min() > 0.01 and share.max() < 0.5


def test_words_are_plausible_for_the_activity() -> None:
    ds = generate_synthetic(0)
    x = np.concatenate([clip.x for clip in ds.clips]).astype(np.float64)
    labels = np.concatenate([clip.labels for clip in ds.clips])
    assert np.abs(x).max() <= 2**15 and (np.abs(x) >= 2**15 - 1).mean() < 0.01

    def of(name: str) -> np.ndarray:
        return x[labels == CLASSES.index(name)]

    at_rest = np.sqrt(np.square(of("standing")[:, :3]).sum(axis=1)).mean(axis=0)
    assert (np.abs(at_rest - 2**14) < 500).all()  # 1 g on every sensor
    thigh_x = [of(name)[:, 0, 0].mean() for name in ("standing", "sitting")]
    assert thigh_x[0] < -14000 < -5000 < thigh_x[1]  # sitting turns the thigh by a quarter
    turning = [np.abs(of(name)[:, 4]).mean() for name in ("standing", "walking", "running")]
    assert turning[0] * 4 < turning[1] < turning[2]


def test_rate_scales_time() -> None:
    slow = generate_synthetic(5, subjects=1, clips_per_subject=2, frames_per_clip=900, rate_hz=20)
    assert slow.rate_hz == 20.0
    for clip in slow.clips:
        for label, start, end in segments(clip.labels)[:-1]:
            low, high = MOTIONS[CLASSES[label]].duration_ds
            assert low * 2 <= end - start <= high * 2


def test_fast_enough() -> None:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        generate_synthetic(11, subjects=8, clips_per_subject=4, frames_per_clip=1875)  # 60,000
        best = min(best, time.process_time() - start)
    assert best < 2.0


def test_dice() -> None:
    raw = Dice(1, 2).uniform(-3, 3, 20_000)
    assert set(raw.tolist()) == set(range(-3, 4)) and abs(raw.mean()) < 0.1
    bell = Dice(1, 2).bell(1000, 20_000)
    assert abs(bell.mean()) < 30 and abs(bell.std() - 1000) < 30
    assert Dice(1, 2).draw(0, 2**24) == Dice(1, 2).draw(0, 2**24) != Dice(1, 3).draw(0, 2**24)


def test_sine_smooth_and_rotate_by_hand() -> None:
    quarter = np.array([2**22, -(2**22), 2**24 + 2**22])
    assert sine(quarter).tolist() == [2**14, -(2**14), 2**14]
    assert cosine(np.array([0, 2**23])).tolist() == [2**14, -(2**14)]
    assert smooth(np.array([0, 0, 6, 6, 6]), 3).tolist() == [0, 2, 4, 6, 6]
    assert smooth(np.array([5, 7]), 1).tolist() == [5, 7]
    word = np.array([100, 0, 0, 0, 200, 0])
    about_z = rotate(word, np.array([0, 0, 90 * DEGREE]))  # x to y, y to -x
    assert np.abs(about_z - [0, 100, 0, -200, 0, 0]).max() <= 1


@pytest.mark.parametrize(
    ("key", "value"), [("subjects", 0), ("rate_hz", 9), ("frames_per_clip", 0), ("seed", -1)]
)
def test_bad_arguments(key: str, value: int) -> None:
    with pytest.raises(InputError, match=f"synthetic-gait: key `{key}`: .*, got '{value}'"):
        generate_synthetic(**{"seed": 0, key: value})
