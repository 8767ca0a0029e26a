"""Segments: every frame counts once, with the context it is due; batches hold them all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stgcn_ref.augment import Features
from stgcn_ref.recipe import Augmentation
from stgcn_ref.segments import IGNORE, batches, cut, grouped
from tests.training import features, toy

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=5)


@given(
    lengths=LENGTHS,
    segment=st.integers(1, 80),
    before=st.integers(0, 60),
    after=st.integers(0, 60),
    seed=st.integers(0, 100),
)
def test_every_frame_counts_once(
    lengths: list[int], segment: int, before: int, after: int, seed: int
) -> None:
    counts = [np.zeros(length, dtype=int) for length in lengths]
    for s in cut(lengths, segment, before, after, np.random.default_rng(seed)):
        counts[s.clip][s.counted : s.counted_stop] += 1
        assert 0 <= s.start <= s.counted < s.counted_stop <= s.stop <= lengths[s.clip]
        # full context on both sides, or all that there is; a clip's first segment is longer
        assert s.counted - s.start == min(s.counted, before)
        assert s.stop - s.counted_stop == min(lengths[s.clip] - s.counted_stop, after)
        if segment < max(lengths):
            assert s.counted_stop - s.start <= segment + before
    assert all((count == 1).all() for count in counts)


@given(lengths=LENGTHS, more=st.integers(0, 5), before=st.integers(0, 9))
def test_clips_stay_whole_if_a_segment_is_long_enough(
    lengths: list[int], more: int, before: int
) -> None:
    rng = np.random.default_rng(0)
    found = cut(lengths, max(lengths) + more, before, 7, rng)
    assert [(s.start, s.counted, s.counted_stop, s.stop) for s in found] == [
        (0, 0, length, length) for length in lengths
    ]


def test_only_counted_frames_have_a_target() -> None:
    ds = toy(1, (100,))
    rng = np.random.default_rng(3)
    segments = cut([100], 20, 8, 5, rng)
    still = (features(ds)[0][0], features(ds)[0][1])
    groups = [[s] for s in segments]
    for s, batch in zip(
        segments, batches(ds.clips, features(ds), groups, Augmentation(), still, rng), strict=True
    ):
        first, last = s.counted - s.start, s.counted_stop - s.start
        wanted = np.full(s.stop - s.start, IGNORE)
        wanted[first:last] = ds.clips[0].labels[s.counted : s.counted_stop]
        assert batch.target[0].tolist() == wanted.tolist()
        assert np.array_equal(batch.x[0], features(ds)[0][s.start : s.stop])


def test_batches_hold_every_segment_and_pad_with_the_last_frame() -> None:
    ds = toy(1)
    frames = features(ds)
    rng = np.random.default_rng(0)
    segments = cut([len(f) for f in frames], 40, 7, 0, rng)
    still = (frames[0][0], frames[0][1])
    groups = grouped(segments, 2, rng)
    todo = list(batches(ds.clips, frames, groups, Augmentation(), still, rng))
    found = np.sort(np.concatenate([batch.target.ravel() for batch in todo]))
    truth = np.sort(np.concatenate([clip.labels for clip in ds.clips]))
    assert (found[found != IGNORE] == truth).all()
    padded = 0
    assert all(
        (batch.target[n, k:] == IGNORE).all() for batch in todo for n, k in enumerate(batch.lengths)
    )
    lengths = sorted(s.stop - s.start for s in segments)
    for batch in todo:
        assert batch.x.shape[:2] == batch.target.shape and len(batch.x) <= 2
        for x in batch.x:
            end = len(x)
            while end > 1 and (x[end - 1] == x[end - 2]).all():
                end -= 1
            lengths.remove(end)
            padded += len(x) - end
    assert not lengths and padded > 0


def test_segments_meet_in_random_order() -> None:
    ds = toy(1)
    frames = features(ds)

    def first(seed: int) -> Features:
        rng = np.random.default_rng(seed)
        groups = grouped(cut([len(f) for f in frames], 20, 0, 0, rng), 2, rng)
        spread = (frames[0][0], frames[0][1])
        return next(batches(ds.clips, frames, groups, Augmentation(), spread, rng)).x

    assert np.array_equal(first(0), first(0))
    assert not np.array_equal(first(0)[:, :5], first(1)[:, :5])
