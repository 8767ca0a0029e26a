"""Scores against cases made by hand, and against the definitions on random labellings."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.metrics import (
    Scores,
    argmax_agreement,
    class_recall,
    confusion_matrix,
    overlap_counts,
    score,
    segments,
)

NOTHING = np.array([], dtype=np.int64)
labelling = st.lists(st.integers(0, 2), min_size=1, max_size=14)
pair = st.integers(1, 14).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 2), min_size=n, max_size=n)] * 2)
)


def runs(*lengths: tuple[int, int]) -> list[int]:
    return [label for label, length in lengths for _ in range(length)]


def test_segments_by_hand() -> None:
    assert segments([]) == []
    assert segments([4]) == [(4, 0, 1)]
    assert segments([1, 1, 1]) == [(1, 0, 3)]
    assert segments([1, 1, 2, 1]) == [(1, 0, 2), (2, 2, 3), (1, 3, 4)]
    assert segments([0, 1, 1, 0], background=(0,)) == [(1, 1, 3)]


@given(labelling)
def test_segments_rebuild_the_labels(labels: list[int]) -> None:
    found = segments(labels)
    assert runs(*((label, end - start) for label, start, end in found)) == labels
    assert all(a[0] != b[0] and a[2] == b[1] for a, b in pairwise(found))


def test_perfect_and_single_segment() -> None:
    assert score([[3, 3, 3]], [[3, 3, 3]]) == Scores(100, 100, 100, 100, 100)
    assert score([[2, 2, 2]], [[3, 3, 3]]) == Scores(0, 0, 0, 0, 0)


def test_empty_recordings() -> None:
    assert score([NOTHING], [NOTHING]) == Scores(0, 0, 0, 0, 100)
    assert score([NOTHING, [1]], [NOTHING, [1]]) == Scores(100, 100, 100, 100, 100)
    assert score([[1]], [[2]], drop_last=True) == Scores(0, 0, 0, 0, 100)


def test_over_segmentation_by_hand() -> None:
    # truth: 0 x 10, 1 x 10. One frame of 2 splits the first segment into 6 + 1 + 3.
    truth = runs((0, 10), (1, 10))
    found = runs((0, 6), (2, 1), (0, 3), (1, 10))
    # IoU of the pieces of 0: 0.6 and 0.3; the second finds its segment matched already
    assert overlap_counts(segments(found), segments(truth), 0.5) == (2, 2, 0)
    assert overlap_counts(segments(found), segments(truth), 0.7) == (1, 3, 1)
    # edit: 0 2 0 1 against 0 1 takes two deletions of four
    assert score([found], [truth]) == Scores(95, 200 * 2 / 6, 200 * 2 / 6, 200 * 2 / 6, 50)


def test_the_first_found_piece_takes_the_segment() -> None:
    # 3 of 10 frames come first and match at 0.25; the better piece of 6 comes too late
    truth, found = runs((0, 10)), runs((0, 3), (1, 1), (0, 6))
    assert overlap_counts(segments(found), segments(truth), 0.25) == (1, 2, 0)


def test_thresholds_are_inclusive() -> None:
    truth, found = runs((0, 4), (1, 4)), runs((0, 2), (1, 6))  # IoU 2/4 and 4/6
    scores = score([found], [truth])
    assert (scores.f1_10, scores.f1_25, scores.f1_50) == (100, 100, 100)
    truth = runs((0, 10), (1, 10))
    found = runs((0, 1), (1, 19))  # IoU 1/10 and 10/19
    scores = score([found], [truth])
    assert (scores.f1_10, scores.f1_25, scores.f1_50) == (100, 50, 50)


def test_counts_are_summed_and_edit_is_averaged() -> None:
    truth = [runs((0, 4)), runs((0, 4), (1, 4), (2, 4))]
    found = [runs((1, 4)), runs((0, 4), (1, 4), (2, 4))]
    # summed: 3 right, 1 extra, 1 missed, so F1 is 6/8; a mean of F1s would be 50
    assert score(found, truth) == Scores(75, 75, 75, 75, 50)


def test_background_makes_no_segments() -> None:
    truth, found = runs((9, 2), (0, 4), (9, 2)), runs((9, 1), (0, 6), (9, 1))
    assert score([found], [truth], background=(9,)) == Scores(75, 100, 100, 100, 100)


def test_drop_last() -> None:
    assert score([[1, 1, 0]], [[1, 1, 2]], drop_last=True) == Scores(100, 100, 100, 100, 100)


def distance(a: list[int], b: list[int]) -> int:
    """Levenshtein distance as it is defined."""
    if not a or not b:
        return len(a) + len(b)
    change = distance(a[:-1], b[:-1]) + (a[-1] != b[-1])
    return min(change, distance(a[:-1], b) + 1, distance(a, b[:-1]) + 1)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=4), st.lists(st.integers(0, 2), max_size=4))
def test_edit_is_levenshtein(a: list[int], b: list[int]) -> None:
    # each symbol becomes a segment of its own, by a separator that is then left out
    length = 2 * max(len(a), len(b))
    found, truth = (
        [x for label in seq for x in (label, 9)] + [9] * (length - 2 * len(seq)) for seq in (a, b)
    )
    expected = 100 * (1 - Fraction(distance(a, b), max(len(a), len(b))))
    assert score([found], [truth], background=(9,)).edit == pytest.approx(float(expected))


@given(pair)
def test_f1_is_its_definition(labels: tuple[list[int], list[int]]) -> None:
    found, truth = (segments(one) for one in labels)
    scores = score([labels[0]], [labels[1]])
    for percent, found_at in ((10, scores.f1_10), (25, scores.f1_25), (50, scores.f1_50)):
        taken: set[int] = set()
        right = 0
        for label, start, end in found:
            frames = set(range(start, end))
            ious = [
                Fraction(len(frames & set(range(a, b))), len(frames | set(range(a, b))))
                if other == label
                else Fraction(0)
                for other, a, b in truth
            ]
            best = ious.index(max(ious))
            if ious[best] >= Fraction(percent, 100) and best not in taken:
                taken.add(best)
                right += 1
        assert found_at == pytest.approx(float(Fraction(200 * right, len(found) + len(truth))))


@given(pair)
def test_bounds_symmetry_and_order(labels: tuple[list[int], list[int]]) -> None:
    a, b = labels
    scores = score([a], [b])
    assert 100 >= scores.f1_10 >= scores.f1_25 >= scores.f1_50 >= 0
    assert 0 <= scores.edit <= 100
    assert scores.edit == pytest.approx(score([b], [a]).edit)
    assert (a == b) == (scores == Scores(100, 100, 100, 100, 100))
    assert scores.frame_accuracy == argmax_agreement([a], [b]) == argmax_agreement([b], [a])


def test_confusion_and_recall_by_hand() -> None:
    found, truth = [[0, 1, 1], [1]], [[0, 0, 1], [0]]
    matrix = confusion_matrix(found, truth, 3)
    assert matrix.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    recall = class_recall(matrix)
    assert recall[:2].tolist() == [100 / 3, 100] and np.isnan(recall[2])


def test_bad_input() -> None:
    with pytest.raises(InputError, match="one prediction per recording is needed, got 0 for 0"):
        score([], [])
    with pytest.raises(InputError, match="recording 1: 2 predictions for 1 labels"):
        score([[1], [1, 2]], [[1], [1]])
    with pytest.raises(InputError, match=r"labels must be integers \(T,\), got float64 \(1,\)"):
        score([[1.0]], [[1]])
    with pytest.raises(InputError, match=r"labels must be 0\.\.1, got 0\.\.2"):
        confusion_matrix([[0, 1]], [[0, 2]], 2)
    with pytest.raises(InputError, match="at least one frame"):
        argmax_agreement([NOTHING], [NOTHING])
    with pytest.raises(InputError, match="one-dimensional"):
        segments([[1, 2]])


@pytest.mark.hugadb
def test_the_released_networks_own_outputs(hugadb_root: Path) -> None:
    path = hugadb_root.parent.parent / "checkpoints" / "msgcn_hugadb_various_01_00_logits.npz"
    if not path.is_file():
        pytest.skip(f"the released network's outputs are not at {path}")
    logits = np.load(path, allow_pickle=False)["logits"][-1]  # (classes, frames) of the last stage
    clip = load_hugadb(hugadb_root, subjects=[1], ids="original").clips[0]
    assert clip.name == "various_01_00"
    scores = score([logits.argmax(axis=0)], [clip.labels], drop_last=True)
    assert round(scores.frame_accuracy, 1) == 97.1  # as published for this recording
