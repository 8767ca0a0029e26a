"""What each scored recording adds to the scores of an integer network and of its float network.

Frame accuracy, F1@50 and agreement are ratios of sums over recordings. With the terms kept one by
one, the scores of any selection of recordings follow without another simulation, and so do the
intervals of a bootstrap (`dse.losses`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxp.archive import load_arrays, save_arrays
from stgcn_ref.datasets.clips import Dataset, LabelArray, held
from stgcn_ref.metrics import overlap_counts, segments

KIND = "tallies"
# One row a recording: original frames, those right in integers and in float; segments found, extra
# and missed at an IoU of 0.5 in integers and in float; network steps, and those labelled alike.
COLUMNS = (
    "frames",
    "right",
    "float_right",
    "found",
    "extra",
    "missed",
    "float_found",
    "float_extra",
    "float_missed",
    "steps",
    "same",
)

Counts = npt.NDArray[np.int64]


def tallies_file(directory: Path, design: str) -> Path:
    """Where a design's counts are kept."""
    return directory / "networks" / f"{design}-tallies.fxp"


def tally(scored: Dataset, labels: Sequence[LabelArray], floats: Sequence[LabelArray]) -> Counts:
    """The counts of every recording, int64 (recordings, `COLUMNS`).

    Args:
        scored: the recordings.
        labels, floats: step labels (T,) of each by the integer and by the float network.
    """
    rows = []
    for clip, own, other in zip(scored.clips, labels, floats, strict=True):
        truth = clip.frame_labels
        frames, float_frames = held(clip, own), held(clip, other)
        wanted = segments(truth)
        counts = [overlap_counts(segments(x), wanted, 0.5) for x in (frames, float_frames)]
        right = [int((x == truth).sum()) for x in (frames, float_frames)]
        same = int((np.asarray(own) == np.asarray(other)).sum())
        rows.append([len(truth), *right, *counts[0], *counts[1], len(own), same])
    return np.array(rows, np.int64)


def save_tallies(counts: Counts, path: Path) -> None:
    """Write counts as `tally` gives them."""
    save_arrays(path, {"kind": KIND, "columns": list(COLUMNS)}, {"counts": counts})


def load_tallies(path: Path) -> Counts:
    """Counts as `save_tallies` wrote them.

    Raises:
        InputError: no such file, or another one.
    """
    return np.asarray(load_arrays(path, KIND)[1]["counts"], np.int64)
