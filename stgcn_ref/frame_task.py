"""Training of networks that label every frame of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from stgcn_ref.augment import Features
from stgcn_ref.datasets.clips import Dataset, FloatArray, input_statistics
from stgcn_ref.evaluate import device_of, evaluate
from stgcn_ref.loss import Mass, class_weight, mass, segment_loss
from stgcn_ref.metrics import Scores
from stgcn_ref.models.build import FrameNet, Net
from stgcn_ref.models.ending import ending
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.segments import Batch, batches, cut, grouped
from stgcn_ref.task import AnyScores, Pass, Plan


@dataclass(frozen=True, eq=False)
class FrameTask:
    """Segments of recordings, the segment loss, and segmental scores."""

    train_set: Dataset
    valid_set: Dataset
    recipe: TrainRecipe
    before: int
    after: int
    features: Sequence[Features]  # (T, V, C) per clip
    moments: tuple[FloatArray, FloatArray]  # mean and deviation, (C, V)
    class_weight: Tensor | None

    def prepare(self, net: Net) -> None:
        """The input norm starts from mean and variance of every word."""
        mean, deviation = (torch.from_numpy(value) for value in self.moments)
        net.set_input_statistics(mean, deviation.square())

    def epoch(self, rng: np.random.Generator) -> Plan:
        """Every frame counts once; a step has `batch` times `accumulate` segments."""
        count, steps = self.steps(rng)
        return Plan(count, (self._passes(step) for step in steps))

    def steps(self, rng: np.random.Generator) -> tuple[int, Iterator[list[Batch]]]:
        """The number of steps of an epoch, and their batches."""
        recipe = self.recipe
        segments = cut(
            [len(x) for x in self.features], recipe.segment, self.before, self.after, rng
        )
        groups = grouped(segments, recipe.batch, rng)
        mean, deviation = (value.T.astype(np.float32) for value in self.moments)
        found = batches(
            self.train_set.clips,
            self.features,
            groups,
            recipe.augmentation,
            (mean, deviation),
            rng,
        )
        steps = iter(lambda: list(islice(found, recipe.accumulate)), [])
        return -(-len(groups) // recipe.accumulate), steps

    def judge(self, net: Net) -> Scores:
        """Scores over the original frames of the validation set."""
        return evaluate(frame_net(net), self.valid_set)

    def merit(self, scores: AnyScores) -> float:
        """The recipe's `metric`."""
        assert isinstance(scores, Scores)
        if self.recipe.metric == "mean":
            return (scores.frame_accuracy + scores.f1_50 + scores.edit) / 3
        return float(getattr(scores, self.recipe.metric))

    def _passes(self, step: Sequence[Batch]) -> list[Pass]:
        over = mass([torch.from_numpy(batch.target) for batch in step], self.class_weight)
        return [self._pass(batch, over) for batch in step]

    def _pass(self, batch: Batch, over: Mass) -> Pass:
        def loss(net: Net) -> Tensor:
            return frame_loss(frame_net(net), batch, self.recipe, self.class_weight, over)

        return loss


def frame_task(
    train_set: Dataset, valid_set: Dataset, recipe: TrainRecipe, receptive_field: int, latency: int
) -> FrameTask:
    """The task; how much context segments have follows from recipe and network."""
    before, after = context(recipe, receptive_field, latency)
    labels = np.concatenate([clip.labels for clip in train_set.clips])
    return FrameTask(
        train_set,
        valid_set,
        recipe,
        before,
        after,
        [np.ascontiguousarray(c.x.transpose(0, 2, 1), dtype=np.float32) for c in train_set.clips],
        input_statistics(train_set),
        class_weight(labels, len(train_set.classes), recipe.class_balance),
    )


def context(recipe: TrainRecipe, receptive_field: int, latency: int) -> tuple[int, int]:
    """Frames of context before and behind the counted frames of a segment (see `TrainRecipe`)."""
    if recipe.warmup is not None:
        return recipe.warmup, min(latency, recipe.warmup)
    limit = recipe.warmup_limit
    return min(receptive_field - 1 - latency, limit), min(latency, limit)


def frame_loss(
    net: FrameNet, batch: Batch, recipe: TrainRecipe, weight: Tensor | None, over: Mass
) -> Tensor:
    """A batch's part of a step's loss; with refinements, the sum over all stages.

    So MS-GCN is trained: B. Filtjens et al. (2022), and Farha & Gall, MS-TCN (2019), equation 11.
    """
    device = device_of(net)
    x = torch.from_numpy(batch.x).to(device).permute(0, 3, 1, 2)
    target, lengths = (torch.from_numpy(y).to(device) for y in (batch.target, batch.lengths))
    weight = None if weight is None else weight.to(device)
    with ending(net, lengths, x.shape[2]):
        stages = net(x, all_stages=True) if isinstance(net, MSGCN) else net(x).unsqueeze(0)
    losses = [segment_loss(logits, target, recipe, weight, over) for logits in stages]
    return torch.stack(losses).sum()


def frame_net(net: Net) -> FrameNet:
    """The network as one that labels frames."""
    assert not isinstance(net, STGCN)
    return net
