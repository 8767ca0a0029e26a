"""How well a labelling of frames agrees with the truth: by frame, by segment, by order.

Frame accuracy counts frames. F1@k and edit score look at segments (runs of one label), as in Lea et
al., "Temporal Convolutional Networks for Action Segmentation and Detection" (2017), and in the
evaluation of MS-GCN: flicker that hardly moves frame accuracy ruins them. All scores are percent.
Labels are integer arrays, one per recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError

LabelArray = npt.NDArray[np.int64]
Segment = tuple[int, int, int]  # label, first frame, one past the last frame

THRESHOLDS = (0.10, 0.25, 0.50)  # IoU at which a segment counts as found


@dataclass(frozen=True)
class Scores:
    """Percent, 0..100. F1 counts are summed over recordings, edit is their mean."""

    frame_accuracy: float
    f1_10: float
    f1_25: float
    f1_50: float
    edit: float


def segments(labels: npt.ArrayLike, background: Sequence[int] = ()) -> list[Segment]:
    """Runs of one label in a sequence (T,), in time order; those of `background` are left out."""
    array = np.asarray(labels)
    if array.ndim != 1:
        raise InputError(f"labels must be one-dimensional, got shape {array.shape}")
    if not len(array):
        return []
    cuts = (np.flatnonzero(array[1:] != array[:-1]) + 1).tolist()
    runs = ((int(array[a]), a, b) for a, b in pairwise([0, *cuts, len(array)]))
    return [run for run in runs if run[0] not in background]


def score(
    predictions: Sequence[npt.ArrayLike],
    labels: Sequence[npt.ArrayLike],
    background: Sequence[int] = (),
    drop_last: bool = False,
) -> Scores:
    """All scores over a list of recordings, each prediction and truth an integer array (T,).

    `background` classes make no segments (frame accuracy still counts them). `drop_last` leaves
    out each recording's last frame, as MS-GCN's evaluation does. Two recordings without a segment
    agree: edit 100. Without a single segment anywhere F1 is 0, without a frame accuracy is 0.

    Raises:
        InputError: no recording, or a prediction whose length is not its truth's.
    """
    pairs = _pairs(predictions, labels, drop_last)
    frames = sum(len(truth) for _, truth in pairs)
    right = sum(int((found == truth).sum()) for found, truth in pairs)
    runs = [(segments(found, background), segments(truth, background)) for found, truth in pairs]
    f1_10, f1_25, f1_50 = (
        _f1([overlap_counts(found, truth, threshold) for found, truth in runs])
        for threshold in THRESHOLDS
    )
    edits = [_edit([run[0] for run in found], [run[0] for run in truth]) for found, truth in runs]
    accuracy = 100.0 * right / max(frames, 1)
    return Scores(accuracy, f1_10, f1_25, f1_50, edit=sum(edits) / len(edits))


def overlap_counts(
    found: Sequence[Segment], truth: Sequence[Segment], threshold: float
) -> tuple[int, int, int]:
    """(true positives, false positives, false negatives) of one recording at an IoU threshold.

    In time order, a found segment is right if its best IoU with a true segment of its class (the
    earliest among equals) reaches the threshold and that segment is not matched yet.
    """
    if not found or not truth:
        return 0, len(found), len(truth)
    label, start, end = np.array(found).T[:, :, None]  # (found, 1) against (truth,)
    other, first, last = np.array(truth).T
    common = np.minimum(end, last) - np.maximum(start, first)
    union = np.maximum(end, last) - np.minimum(start, first)
    iou = np.where((label == other) & (common > 0), common / union, 0.0)
    wanted = iou.argmax(axis=1)[iou.max(axis=1) >= threshold]
    right = len(np.unique(wanted))  # later segments that want a matched one are extra
    return right, len(found) - right, len(truth) - right


def _f1(counts: Sequence[tuple[int, int, int]]) -> float:
    right, extra, missed = (sum(column) for column in zip(*counts, strict=True))
    segments_counted = 2 * right + extra + missed
    return 200.0 * right / segments_counted if segments_counted else 0.0


def _edit(found: Sequence[int], truth: Sequence[int]) -> float:
    """100 * (1 - Levenshtein distance / the longer length) of two label sequences."""
    longest = max(len(found), len(truth))
    if not longest:
        return 100.0
    row = list(range(len(truth) + 1))
    for i, label in enumerate(found, start=1):
        above, row[0] = row[0], i
        for j, other in enumerate(truth, start=1):
            change = above + (label != other)
            above = row[j]
            row[j] = min(change, row[j] + 1, row[j - 1] + 1)
    return 100.0 * (1 - row[-1] / longest)


def confusion_matrix(
    predictions: Sequence[npt.ArrayLike], labels: Sequence[npt.ArrayLike], classes: int
) -> LabelArray:
    """Frames by class, int64 (classes, classes): row the true class, column the predicted one.

    Raises:
        InputError: lengths differ, or a label is outside 0..classes-1.
    """
    counts = np.zeros(classes * classes, dtype=np.int64)
    for found, truth in _pairs(predictions, labels, drop_last=False):
        for array in (found, truth):
            if array.size and not 0 <= array.min() <= array.max() < classes:
                raise InputError(
                    f"labels must be 0..{classes - 1}, got {array.min()}..{array.max()}"
                )
        counts += np.bincount(truth * classes + found, minlength=classes * classes)
    return counts.reshape(classes, classes)


def class_recall(confusion: LabelArray) -> npt.NDArray[np.float64]:
    """Percent of each class's true frames that were found, (classes,); NaN where it has none."""
    truth = confusion.sum(axis=1)
    recall = np.full(len(truth), np.nan)
    np.divide(100.0 * np.diag(confusion), truth, out=recall, where=truth > 0)
    return recall


def argmax_agreement(a: Sequence[npt.ArrayLike], b: Sequence[npt.ArrayLike]) -> float:
    """Percent of frames on which two networks give the same label, over all recordings.

    Raises:
        InputError: the recordings differ in number or length, or there is no frame.
    """
    pairs = _pairs(a, b, drop_last=False)
    frames = sum(len(second) for _, second in pairs)
    if not frames:
        raise InputError("agreement needs at least one frame")
    return 100.0 * sum(int((first == second).sum()) for first, second in pairs) / frames


def _pairs(
    predictions: Sequence[npt.ArrayLike], labels: Sequence[npt.ArrayLike], drop_last: bool
) -> list[tuple[LabelArray, LabelArray]]:
    if not labels or len(predictions) != len(labels):
        raise InputError(
            f"one prediction per recording is needed, got {len(predictions)} for {len(labels)}"
        )
    pairs = []
    for index, (found, truth) in enumerate(zip(predictions, labels, strict=True)):
        both = _labels(found), _labels(truth)
        if len(both[0]) != len(both[1]):
            raise InputError(
                f"recording {index}: {len(both[0])} predictions for {len(both[1])} labels"
            )
        pairs.append((both[0][:-1], both[1][:-1]) if drop_last else both)
    return pairs


def _labels(values: npt.ArrayLike) -> LabelArray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"labels must be integers (T,), got {array.dtype} {array.shape}")
    return array.astype(np.int64)
