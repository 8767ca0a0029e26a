"""Top-k and Matthews' correlation: hand-made cases with published values, and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.metrics import confusion_matrix
from stgcn_ref.recognition_metrics import RecognitionScores, matthews, score_clips, top_k

SCORES = [[5, 1, 3, 0], [1, 5, 3, 0], [0, 1, 2, 3], [9, 8, 7, 6]]


def test_top_k_by_hand() -> None:
    labels = [0, 2, 0, 3]
    assert [top_k(SCORES, labels, k) for k in (1, 2, 3, 4)] == [25.0, 50.0, 50.0, 100.0]


def test_ties_go_to_the_lowest_class() -> None:
    for kind in (np.int64, np.float64, np.uint8, np.int8):
        scores = np.array([[7, 7, 7], [0, 7, 7]], dtype=kind)
        assert top_k(scores, [0, 1], 1) == 100.0
        assert top_k(scores, [1, 2], 1) == 0.0
        assert top_k(scores, [1, 2], 2) == 100.0
        assert top_k(scores, [2, 0], 2) == 0.0


def test_extreme_words_are_not_negated() -> None:
    lowest = np.iinfo(np.int8).min
    assert top_k(np.array([[lowest, 0]], dtype=np.int8), [1], 1) == 100.0


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=20),
    st.data(),
)
def test_top_k_is_the_definition(scores: list[list[int]], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)))
    found = [top_k(scores, labels, k) for k in range(1, 5)]
    for k in range(1, 5):
        right = 0
        for row, label in zip(scores, labels, strict=True):
            before = sum(
                other > row[label] or (other == row[label] and index < label)
                for index, other in enumerate(row)
            )
            right += before < k
        assert found[k - 1] == 100.0 * right / len(scores)
    assert found == sorted(found) and found[-1] == 100.0


def test_matthews_by_hand() -> None:
    # two classes: the usual formula from true and false positives and negatives
    tn, fp, fn, tp = 90, 4, 1, 5
    binary = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert matthews([[tn, fp], [fn, tp]]) == pytest.approx(binary, abs=1e-15)
    assert matthews([[3, 0, 0], [0, 2, 0], [0, 0, 5]]) == 1.0
    assert matthews([[0, 4], [4, 0]]) == -1.0
    assert matthews([[2, 2], [2, 2]]) == 0.0
    # scikit-learn's documented example: truth +1 +1 +1 -1, predicted +1 -1 +1 +1
    assert matthews([[0, 1], [1, 2]]) == pytest.approx(-1 / 3, abs=1e-15)


def test_three_classes_by_the_covariances() -> None:
    """Gorodkin's first form: covariances of the indicator columns of truth and prediction."""
    truth = np.array([0, 0, 1, 1, 2, 2, 2, 1, 0, 2])
    found = np.array([0, 1, 1, 1, 2, 0, 2, 2, 0, 2])

    def covariance(a: np.ndarray, b: np.ndarray) -> float:
        x, y = np.eye(3)[a], np.eye(3)[b]
        return float(((x - x.mean(axis=0)) * (y - y.mean(axis=0))).sum())

    expected = covariance(truth, found) / math.sqrt(
        covariance(truth, truth) * covariance(found, found)
    )
    assert matthews(confusion_matrix([found], [truth], 3)) == pytest.approx(expected, abs=1e-15)


def test_where_the_correlation_has_no_value() -> None:
    for matrix in ([[5, 0], [0, 0]], [[3, 2], [0, 0]], [[3, 0], [2, 0]], [[0, 0], [0, 0]], [[7]]):
        assert matthews(matrix) == 0.0


def test_counts_beyond_64_bits() -> None:
    big = 2**40
    assert matthews(np.array([[big, 0], [0, big]])) == 1.0


def test_score_clips() -> None:
    scores = score_clips(SCORES, [0, 2, 3, 0])
    assert scores == RecognitionScores(
        75.0, 100.0, matthews([[2, 0, 0, 0], [0] * 4, [0, 1, 0, 0], [0, 0, 0, 1]])
    )
    many = np.tile(np.arange(8, dtype=np.float64), (2, 1))
    assert score_clips(many, [7, 2]) == RecognitionScores(50.0, 50.0, 0.0)
    assert score_clips(many, [7, 3]).top_5 == 100.0


@pytest.mark.parametrize(
    ("scores", "labels", "k", "error"),
    [
        ([[1, 2]], [0], 0, r"`k` must be 1\.\.2, got 0"),
        ([[1, 2]], [0], 3, r"`k` must be 1\.\.2, got 3"),
        ([[1, 2]], [2], 1, r"labels must be 0\.\.1, got 2\.\.2"),
        ([[1, 2]], [-1], 1, r"labels must be 0\.\.1, got -1"),
        ([[1, 2]], [0, 1], 1, r"labels must be integers \(1,\), got int64 \(2,\)"),
        ([[1, 2]], [0.0], 1, r"labels must be integers \(1,\), got float64"),
        ([[1.0, np.nan]], [0], 1, "scores must not be NaN"),
        ([1, 2], [0], 1, r"scores must be numbers \(N, K\)"),
        ([], [], 1, r"scores must be numbers \(N, K\)"),
        ([["a"]], [0], 1, r"scores must be numbers \(N, K\)"),
    ],
)
def test_wrong_input(scores: object, labels: object, k: int, error: str) -> None:
    with pytest.raises(InputError, match=error):
        top_k(scores, labels, k)  # type: ignore[arg-type]


@pytest.mark.parametrize("matrix", [[[1, 2]], [[1.0]], [[-1]], [1, 2]])
def test_no_confusion_matrix(matrix: list[list[int]]) -> None:
    with pytest.raises(InputError, match="a square matrix of counts is needed"):
        matthews(matrix)
