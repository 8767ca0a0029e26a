"""Scores of whole clips: top-k accuracy, and the correlation of two labellings.

Top-1 and top-5 as in Yan et al. (2018). The correlation is Matthews', for any number of classes:
J. Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient" (2004);
scikit-learn's `matthews_corrcoef` computes the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from stgcn_ref.metrics import LabelArray, confusion_matrix


@dataclass(frozen=True)
class RecognitionScores:
    """`top_1` and `top_5` in percent of the clips, `mcc` in -1..1."""

    top_1: float
    top_5: float
    mcc: float


def score_clips(scores: npt.ArrayLike, labels: npt.ArrayLike) -> RecognitionScores:
    """All scores of a list of clips: class scores (N, K), float or integer, and classes (N,).

    With fewer than five classes top-5 is 100.

    Raises:
        InputError: as `top_k`.
    """
    table, truth = _checked(scores, labels)
    classes = table.shape[1]
    confusion = confusion_matrix([ranked(table)[:, 0]], [truth], classes)
    five = top_k(table, truth, min(5, classes))
    return RecognitionScores(top_k(table, truth, 1), five, matthews(confusion))


def top_k(scores: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> float:
    """Percent of the clips whose class is among the k highest scores.

    Ties go to the lowest class, as in the integer network's argmax.

    Raises:
        InputError: not (N, K) scores for N labels 0..K-1, no clip, a NaN, or k outside 1..K.
    """
    table, truth = _checked(scores, labels)
    if not 1 <= k <= table.shape[1]:
        raise InputError(f"`k` must be 1..{table.shape[1]}, got {k}")
    found = (ranked(table)[:, :k] == truth[:, None]).any(axis=1)
    return 100.0 * int(found.sum()) / len(truth)


def matthews(confusion: npt.ArrayLike) -> float:
    """Matthews' correlation coefficient of a confusion matrix (K, K), rows the truth; -1..1.

    0 where it has no value: all truths, or all predictions, are of one class.

    Raises:
        InputError: not a square matrix of counts.
    """
    matrix = np.asarray(confusion)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not square or not np.issubdtype(matrix.dtype, np.integer) or (matrix < 0).any():
        raise InputError(f"a square matrix of counts is needed, got {matrix.dtype} {matrix.shape}")
    # Python integers: products of counts of a long set pass 2**63
    truth = [int(count) for count in matrix.sum(axis=1)]
    found = [int(count) for count in matrix.sum(axis=0)]
    total, right = sum(truth), int(np.trace(matrix))
    covariance = right * total - sum(t * f for t, f in zip(truth, found, strict=True))
    spread = (total**2 - sum(t * t for t in truth)) * (total**2 - sum(f * f for f in found))
    return covariance / spread**0.5 if spread else 0.0


def ranked(table: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    """Classes of each clip by falling score, ties by rising class, (N, K)."""
    # a stable sort of the reversed table, read backwards: no score is negated, whatever its type
    backwards = np.argsort(table[:, ::-1], axis=1, kind="stable")
    return np.asarray(table.shape[1] - 1 - backwards[:, ::-1])


def _checked(
    scores: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[npt.NDArray[np.generic], LabelArray]:
    table, truth = np.asarray(scores), np.asarray(labels)
    if table.ndim != 2 or not table.size or table.dtype.kind not in "iuf":
        raise InputError(f"scores must be numbers (N, K), got {table.dtype} {table.shape}")
    if table.dtype.kind == "f" and np.isnan(table).any():
        raise InputError("scores must not be NaN")
    if truth.shape != table.shape[:1] or truth.dtype.kind not in "iu":
        raise InputError(
            f"labels must be integers ({len(table)},), got {truth.dtype} {truth.shape}"
        )
    if truth.min() < 0 or truth.max() >= table.shape[1]:
        raise InputError(
            f"labels must be 0..{table.shape[1] - 1}, got {truth.min()}..{truth.max()}"
        )
    return table, truth.astype(np.int64)
