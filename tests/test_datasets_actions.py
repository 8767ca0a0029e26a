"""Single actions cut out of recordings: every run of a label once, whole or padded."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.datasets.actions import cut_actions
from stgcn_ref.datasets.clips import Clip, Dataset


def recording(labels: list[int], name: str = "r", subject: int = 3) -> Clip:
    """Words that tell their step: step + 1 everywhere."""
    array = np.array(labels, np.int64)
    steps = np.arange(1, len(labels) + 1, dtype=np.int32)
    return Clip(
        name,
        subject,
        np.broadcast_to(steps[:, None, None], (len(labels), 2, 6)).copy(),
        array,
        array,
    )


def dataset(*clips: Clip) -> Dataset:
    return Dataset("made up", "hugadb", ("a", "b", "c"), 10.0, clips, synthetic=True)


def test_runs_become_clips_by_hand() -> None:
    found = cut_actions(dataset(recording([0] * 3 + [1] * 9 + [0] * 4)), 4)
    assert [clip.name for clip in found.clips] == ["r_00000", "r_00003", "r_00008", "r_00012"]
    assert [clip.label for clip in found.clips] == [0, 1, 1, 0]
    assert [clip.frames for clip in found.clips] == [3, 4, 4, 4]
    steps = [clip.x[:, 0, 0, 0].tolist() for clip in found.clips]
    assert steps == [[1, 2, 3, 0], [4, 5, 6, 7], [9, 10, 11, 12], [13, 14, 15, 16]]
    assert all(clip.x.shape == (4, 2, 6, 1) and clip.subject == 3 for clip in found.clips)
    assert (found.name, found.synthetic, found.rate_hz) == ("made up actions", True, 10.0)
    assert found.meta["cut_from"] == "made up"


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 9))
def test_no_step_is_in_two_clips(labels: list[int], steps: int) -> None:
    found = cut_actions(dataset(recording(labels)), steps)
    seen: list[int] = []
    for clip in found.clips:
        inside = clip.x[: clip.frames, 0, 0, 0] - 1
        assert (clip.x[clip.frames :] == 0).all()
        assert {labels[step] for step in inside.tolist()} == {clip.label}
        assert (np.diff(inside) == 1).all()
        seen += inside.tolist()
    assert len(seen) == len(set(seen)) and seen == sorted(seen)
    runs = 1 + sum(a != b for a, b in pairwise(labels))
    assert len(found.clips) >= runs


def test_a_clip_has_a_step() -> None:
    with pytest.raises(InputError, match="`steps` must be at least 1, got 0"):
        cut_actions(dataset(recording([0])), 0)
