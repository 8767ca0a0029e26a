"""What a training step sees: segments of clips with context, put together to batches.

A segment's counted frames are those of the loss. The context before them only fills the FIFOs, the
context behind them is what a network that looks ahead reads there. At a clip's first and last frame
there is no context, because a stream begins and ends there too.

A segment that is shorter than the longest of its batch is followed by padding. Where it ends is
kept (`Batch.lengths`), so that padding can be made to act as the outside of a clip does
(`stgcn_ref.models.ending`): a segment gives in a batch what it gives alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stgcn_ref.augment import Features, augment
from stgcn_ref.datasets.clips import Clip, LabelArray
from stgcn_ref.recipe import Augmentation

IGNORE = -1  # target of a frame that does not count
_SHARDS = 8  # batches whose segments are shuffled among each other before they are sorted by length


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames `start..stop` of clip number `clip`; those from `counted` to `counted_stop` count."""

    clip: int
    start: int
    counted: int
    counted_stop: int
    stop: int


@dataclass(frozen=True, eq=False)
class Batch:
    """x float32 (N, T, V, C), target int64 (N, T) with `IGNORE` where a frame does not count.

    `lengths` int64 (N,): frames of each segment, the rest is padding.
    """

    x: Features
    target: LabelArray
    lengths: npt.NDArray[np.int64]


def cut(
    lengths: Sequence[int], segment: int, before: int, after: int, rng: np.random.Generator
) -> list[Segment]:
    """Cut clips so that every frame counts exactly once; where the cuts fall is random.

    The first segment of a clip counts from frame 0 and counts up to `segment + before` frames, the
    further ones count `segment` frames behind `before` frames of context (less at a clip's end).
    `after` frames of context follow, or as many as the clip has. If `segment` is as long as the
    longest clip, nothing is cut.
    """
    found = []
    whole = segment >= max(lengths)
    for clip, length in enumerate(lengths):
        first = length if whole else min(length, before + int(rng.integers(1, segment + 1)))
        counted, stop = 0, first
        while counted < length:
            start, end = max(0, counted - before), min(length, stop + after)
            found.append(Segment(clip, start, counted, stop, end))
            counted, stop = stop, min(length, stop + segment)
    return found


def grouped(
    segments: Sequence[Segment], batch: int, rng: np.random.Generator
) -> list[list[Segment]]:
    """All segments once, `batch` at a time in random order, those of similar length together."""
    order = rng.permutation(len(segments))
    groups = []
    for shard in np.array_split(order, max(1, round(len(order) / (batch * _SHARDS)))):
        by_length = sorted(shard, key=lambda i: segments[i].stop - segments[i].start)
        groups += [by_length[i : i + batch] for i in range(0, len(by_length), batch)]
    return [[segments[i] for i in groups[number]] for number in rng.permutation(len(groups))]


def batches(
    clips: Sequence[Clip],
    features: Sequence[Features],
    groups: Sequence[Sequence[Segment]],
    augmentation: Augmentation,
    statistics: tuple[Features, Features],
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """The batches of these groups of segments, one by one.

    Args:
        clips: the recordings, for their labels.
        features: their frames, float32 (T, V, C) each.
        groups: what `grouped` made of the segments.
        augmentation, statistics: see `augment`; statistics are mean and deviation (V, C).
        rng: draws the augmentation.
    """
    for group in groups:
        yield _assemble(
            [
                augment(
                    features[s.clip][s.start : s.stop],
                    _target(clips[s.clip].labels, s),
                    augmentation,
                    statistics,
                    rng,
                )
                for s in group
            ]
        )


def _target(labels: LabelArray, segment: Segment) -> LabelArray:
    target = labels[segment.start : segment.stop].copy()
    target[: segment.counted - segment.start] = IGNORE
    target[segment.counted_stop - segment.start :] = IGNORE
    return target


def _assemble(items: Sequence[tuple[Features, LabelArray]]) -> Batch:
    """Pad to one length: the last frame is held (plausible words for the norms) and not counted."""
    lengths = np.array([len(target) for _, target in items], dtype=np.int64)
    x = np.empty((len(items), lengths.max(), *items[0][0].shape[1:]), dtype=np.float32)
    target = np.full((len(items), lengths.max()), IGNORE, dtype=np.int64)
    for row, (frame, labels) in enumerate(items):
        x[row, : len(labels)] = frame
        x[row, len(labels) :] = frame[-1]
        target[row, : len(labels)] = labels
    return Batch(x, target, lengths)
