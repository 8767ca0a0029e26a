"""Predictions as CSV: a table of frames for each recording, or one of clips."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stgcn_ref.datasets.recognition import RecognitionClip
from stgcn_ref.metrics import LabelArray
from stgcn_ref.recognition_metrics import ranked

FRAME_COLUMNS = ("frame", "time_s", "label", "class", "truth", "truth_class")
CLIP_COLUMNS = ("clip", "label", "class", "truth", "truth_class", "top_5", "in_top_5")


def write_frames(
    path: Path, found: LabelArray, truth: LabelArray, classes: tuple[str, ...], rate_hz: float
) -> None:
    """One line a frame: its number, time in s, found label and class, true label and class."""
    rows = (
        (frame, f"{frame / rate_hz:.4f}", ours, classes[ours], theirs, classes[theirs])
        for frame, (ours, theirs) in enumerate(zip(found.tolist(), truth.tolist(), strict=True))
    )
    _write(path, FRAME_COLUMNS, rows)


def write_clips(
    path: Path,
    clips: Sequence[RecognitionClip],
    scores: npt.NDArray[np.generic],
    classes: tuple[str, ...],
) -> None:
    """One line a clip: found and true class, and the five best labels, best first.

    `scores` (N, K) are the clips' class scores.
    """
    rows = []
    for clip, best in zip(clips, ranked(scores)[:, :5].tolist(), strict=True):
        top, truth = best[0], clip.label
        five, within = " ".join(map(str, best)), int(truth in best)
        rows.append((clip.name, top, classes[top], truth, classes[truth], five, within))
    _write(path, CLIP_COLUMNS, rows)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[str | int, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
