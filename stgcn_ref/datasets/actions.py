"""Single actions cut out of long recordings: the data of a network that names whole clips."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fxp.errors import InputError
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet
from stgcn_ref.metrics import segments


def cut_actions(ds: Dataset, steps: int) -> RecognitionSet:
    """Every run of one label as clips of `steps` network steps, one person each.

    A run of more steps is cut into as many whole clips as it holds, evenly spread; a shorter one is
    one clip, padded behind with zeros (`frames` says how many steps were recorded).

    Raises:
        InputError: fewer than one step.
    """
    if steps < 1:
        raise InputError(f"`steps` must be at least 1, got {steps}")
    return RecognitionSet(
        f"{ds.name} actions",
        ds.skeleton,
        ds.classes,
        ds.rate_hz,
        tuple(action for clip in ds.clips for action in _actions(clip, steps)),
        ds.synthetic,
        {**ds.meta, "cut_from": ds.name, "steps": steps},
    )


def _actions(clip: Clip, steps: int) -> Iterator[RecognitionClip]:
    for label, first, end in segments(clip.labels):
        count = max((end - first) // steps, 1)
        for start in np.linspace(first, max(end - steps, first), count).astype(int).tolist():
            words = clip.x[start : min(start + steps, end)]
            padded = np.pad(words, ((0, steps - len(words)), (0, 0), (0, 0)))
            yield RecognitionClip(
                f"{clip.name}_{start:05}", clip.subject, padded[..., None], label, len(words)
            )
