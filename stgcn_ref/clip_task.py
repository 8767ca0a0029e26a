"""Training of networks that name the action of a whole clip (ST-GCN)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stgcn_ref.augment import Features, augment_clip
from stgcn_ref.datasets.clips import FloatArray, word_statistics
from stgcn_ref.datasets.recognition import PersonWords, RecognitionClip, RecognitionSet
from stgcn_ref.evaluate import device_of, evaluate_clips
from stgcn_ref.loss import class_weight
from stgcn_ref.models.build import Net
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.recognition_metrics import RecognitionScores
from stgcn_ref.task import AnyScores, Pass, Plan


@dataclass(frozen=True, eq=False)
class ClipTask:
    """Windows of clips, the cross-entropy of their classes, and top-1 accuracy."""

    train_set: RecognitionSet
    valid_set: RecognitionSet
    recipe: TrainRecipe
    moments: tuple[FloatArray, FloatArray]  # mean and deviation, (C, V)
    class_weight: Tensor | None

    def prepare(self, net: Net) -> None:
        """The input norm starts from mean and variance of every word, absent persons' included."""
        mean, deviation = (torch.from_numpy(value) for value in self.moments)
        net.set_input_statistics(mean, deviation.square())

    def epoch(self, rng: np.random.Generator) -> Plan:
        """Every clip once, in random order; a step has `batch` times `accumulate` clips."""
        order = rng.permutation(len(self.train_set.clips))
        size = self.recipe.batch * self.recipe.accumulate
        steps = [order[i : i + size].tolist() for i in range(0, len(order), size)]
        return Plan(len(steps), self._steps(steps, rng))

    def judge(self, net: Net) -> RecognitionScores:
        """Scores over the validation set's clips, each in its whole length."""
        return evaluate_clips(net, self.valid_set)

    def merit(self, scores: AnyScores) -> float:
        """Top-1 accuracy."""
        assert isinstance(scores, RecognitionScores)
        return scores.top_1

    def _steps(
        self, steps: Sequence[Sequence[int]], rng: np.random.Generator
    ) -> Iterator[Sequence[Pass]]:
        size = self.recipe.batch
        for step in steps:
            clips = [self.train_set.clips[i] for i in step]
            target = torch.tensor([clip.label for clip in clips])
            weight = self.class_weight
            over = float(len(target) if weight is None else weight[target].sum())
            yield [
                self._pass(self._windows(clips[i : i + size], rng), target[i : i + size], over)
                for i in range(0, len(clips), size)
            ]

    def _windows(self, clips: Sequence[RecognitionClip], rng: np.random.Generator) -> Features:
        """A window of each clip, augmented: float32 (N, T, M, V, C)."""
        frames = min(self.recipe.segment, max(len(clip.x) for clip in clips))
        persons = clips[0].x.shape[3]
        mean, deviation = (
            np.tile(value.T.astype(np.float32), (persons, 1)) for value in self.moments
        )
        found = []
        for clip in clips:
            x = window(clip, frames, rng).transpose(0, 3, 2, 1).astype(np.float32)  # (T, M, V, C)
            flat = x.reshape(len(x), -1, x.shape[3])
            flat = augment_clip(flat, self.recipe.augmentation, (mean, deviation), rng)
            found.append(flat.reshape(x.shape))
        return np.stack(found)

    def _pass(self, x: Features, target: Tensor, over: float) -> Pass:
        def loss(net: Net) -> Tensor:
            device = device_of(net)
            logits = net(torch.from_numpy(x).to(device).permute(0, 4, 1, 3, 2))  # (N, C, T, V, M)
            total = F.cross_entropy(
                logits,
                target.to(device),
                weight=None if self.class_weight is None else self.class_weight.to(device),
                label_smoothing=self.recipe.label_smoothing,
                reduction="sum",
            )
            return total / over

        return loss


def clip_task(
    train_set: RecognitionSet, valid_set: RecognitionSet, recipe: TrainRecipe
) -> ClipTask:
    """The task of these sets."""
    labels = np.array([clip.label for clip in train_set.clips], dtype=np.int64)
    return ClipTask(
        train_set,
        valid_set,
        recipe,
        word_statistics([clip.x.transpose(3, 0, 1, 2) for clip in train_set.clips]),
        class_weight(labels, len(train_set.classes), recipe.class_balance),
    )


def window(clip: RecognitionClip, frames: int, rng: np.random.Generator) -> PersonWords:
    """`frames` frames of a clip from a random one on, int32 (frames, C, V, M).

    It holds as many recorded frames as it can: a recording that is shorter begins with it. A clip
    that is shorter than the window ends with zeros.
    """
    start = int(rng.integers(max(clip.frames - frames, 0) + 1))
    found = np.zeros((frames, *clip.x.shape[1:]), dtype=np.int32)
    part = clip.x[start : start + frames]
    found[: len(part)] = part
    return found
