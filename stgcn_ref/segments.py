"""What a training step sees: segments of clips with context, put together to batches.

A segment's frames count in the loss, the context in front of them only fills the FIFOs. A segment
at a clip's start has no context, because a stream starts with empty FIFOs too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgcn_ref.augment import Features, augment
from stgcn_ref.datasets.clips import Clip, LabelArray
from stgcn_ref.recipe import Augmentation

IGNORE = -1  # target of a frame that does not count
_SHARDS = 8  # batches whose segments are shuffled among each other before they are sorted by length


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames `start..stop` of clip number `clip`, of which those from `counted` on count."""

    clip: int
    start: int
    counted: int
    stop: int


@dataclass(frozen=True, eq=False)
class Batch:
    """x float32 (N, T, V, C), target int64 (N, T) with `IGNORE` where a frame does not count."""

    x: Features
    target: LabelArray


def cut(
    lengths: Sequence[int], segment: int, warmup: int, rng: np.random.Generator
) -> list[Segment]:
    """Cut clips so that every frame counts exactly once; where the cuts fall is random.

    The first segment of a clip counts from frame 0 and takes up to `segment + warmup` frames, the
    further ones count `segment` frames behind `warmup` frames of context (less at a clip's end).
    """
    found = []
    for clip, length in enumerate(lengths):
        stop = min(length, warmup + int(rng.integers(1, segment + 1)))
        found.append(Segment(clip, 0, 0, stop))
        while stop < length:
            counted, stop = stop, min(length, stop + segment)
            found.append(Segment(clip, max(0, counted - warmup), counted, stop))
    return found


def batches(
    clips: Sequence[Clip],
    features: Sequence[Features],
    segments: Sequence[Segment],
    batch: int,
    augmentation: Augmentation,
    statistics: tuple[Features, Features],
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """All segments once, in random order, those of similar length together.

    Args:
        clips: the recordings, for their labels.
        features: their frames, float32 (T, V, C) each.
        segments: what `cut` made of them.
        batch: segments in a batch.
        augmentation, statistics: see `augment`; statistics are mean and deviation (V, C).
        rng: draws order and augmentation.
    """
    order = rng.permutation(len(segments))
    groups = []
    for shard in np.array_split(order, max(1, round(len(order) / (batch * _SHARDS)))):
        by_length = sorted(shard, key=lambda i: segments[i].stop - segments[i].start)
        groups += [by_length[i : i + batch] for i in range(0, len(by_length), batch)]
    for number in rng.permutation(len(groups)):
        chosen = [segments[i] for i in groups[number]]
        yield _assemble(
            [
                augment(
                    features[s.clip][s.start : s.stop],
                    _target(clips[s.clip].labels, s),
                    augmentation,
                    statistics,
                    rng,
                )
                for s in chosen
            ]
        )


def _target(labels: LabelArray, segment: Segment) -> LabelArray:
    target = labels[segment.start : segment.stop].copy()
    target[: segment.counted - segment.start] = IGNORE
    return target


def _assemble(items: Sequence[tuple[Features, LabelArray]]) -> Batch:
    """Pad to one length: the last frame is held (plausible words for the norms) and not counted."""
    frames = max(len(target) for _, target in items)
    x = np.empty((len(items), frames, *items[0][0].shape[1:]), dtype=np.float32)
    target = np.full((len(items), frames), IGNORE, dtype=np.int64)
    for row, (frame, labels) in enumerate(items):
        x[row, : len(labels)] = frame
        x[row, len(labels) :] = frame[-1]
        target[row, : len(labels)] = labels
    return Batch(x, target)
