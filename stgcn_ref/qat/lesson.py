"""What an integer network learns from: the float network's classes, and the labels it had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fxp.cast import FloatArray
from fxp.floatnet import FloatNet
from fxp.ir import Graph, Input, Softmax
from fxp.ptq.search import LOGITS
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.frame_task import FrameTask, frame_task
from stgcn_ref.loss import Mass, segment_loss
from stgcn_ref.models.build import FrameNet
from stgcn_ref.models.ending import ending
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.qat.interpreter import evaluate
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.teacher import taught, teacher_of
from stgcn_ref.segments import IGNORE, Batch


@dataclass(frozen=True, eq=False)
class Lesson:
    """The float network, the data and the recipe.

    `wanted` are the float network's logits (T, K) of the validation recordings.
    """

    teacher: FrameNet
    task: FrameTask
    recipe: QatRecipe
    wanted: Sequence[FloatArray]


@dataclass(frozen=True, eq=False)
class Learner:
    """An integer network while it is trained: its graph, and what stands behind its numbers.

    `masters` and `points` as `stgcn_ref.qat.interpreter.evaluate` takes them; the `frac_bits` of
    the graph are the rounded points.
    """

    graph: Graph
    masters: Mapping[str, Tensor]
    points: Mapping[str, Tensor]


def lesson_of(net: FloatNet, train_set: Dataset, valid_set: Dataset, recipe: QatRecipe) -> Lesson:
    """The lesson; how much context segments have follows from the network and the recipe.

    Args:
        net: the float network that teaches.
        train_set, valid_set, recipe: as `stgcn_ref.qat.train.train_quantised` takes them.

    Raises:
        InputError: the network has one class for a whole clip.
    """
    teacher = teacher_of(net)
    sees = teacher.receptive_field, teacher.latency_frames
    task = frame_task(train_set, valid_set, recipe, *sees)
    return Lesson(teacher, task, recipe, taught(net, [clip.x for clip in valid_set.clips]))


def batch_loss(lesson: Lesson, learner: Learner, batch: Batch, over: Mass, counted: int) -> Tensor:
    """A batch's part of a step's loss; stages before the last count as the recipe weighs them.

    Args:
        lesson, learner: what to learn, and what learns it.
        batch: segments.
        over, counted: mass and number of the counted frames of all batches of the step.
    """
    recipe, graph = lesson.recipe, learner.graph
    front = graph.nodes[0]
    assert isinstance(front, Input)
    # augmentation leaves fractions, but a sensor gives words
    words = torch.from_numpy(batch.x).round_().clamp_(front.fmt.raw_min, front.fmt.raw_max)
    target, lengths = torch.from_numpy(batch.target), torch.from_numpy(batch.lengths)
    values = evaluate(graph, words, learner.masters, lengths, learner.points)
    names = stage_logits(graph) if recipe.earlier_stages else [LOGITS]
    stages = [values[name].x[:, :, 0].transpose(1, 2).float() for name in names]  # (N, K, T)
    taught = [None] * len(stages) if recipe.distillation == 0 else _taught(lesson, words, lengths)
    loss = stages[0].new_zeros(())
    weights = [*[recipe.earlier_stages] * (len(stages) - 1), 1.0]
    for weight, logits, wanted in zip(weights, stages, taught[-len(stages) :], strict=True):
        if recipe.distillation < 1:
            own = segment_loss(logits, target, recipe, lesson.task.class_weight, over)
            loss = loss + weight * (1 - recipe.distillation) * own
        if wanted is not None:
            apart = divergence(logits, wanted, target != IGNORE, recipe.temperature)
            loss = loss + weight * recipe.distillation * apart / max(counted, 1)
    return loss


def stage_logits(graph: Graph) -> list[str]:
    """The values that are logits, stage by stage: what a softmax reads, and the network's own."""
    return [*(node.x for node in graph.nodes if isinstance(node, Softmax)), LOGITS]


@torch.no_grad()
def _taught(lesson: Lesson, words: Tensor, lengths: Tensor) -> list[Tensor | None]:
    """The float network's logits of all its stages, (N, K, T) each."""
    x, teacher = words.permute(0, 3, 1, 2), lesson.teacher
    with ending(teacher, lengths, words.shape[1]):
        stages = teacher(x, all_stages=True) if isinstance(teacher, MSGCN) else teacher(x)[None]
    return list(stages)


def divergence(logits: Tensor, taught: Tensor, counted: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence from the taught classes, summed over counted frames.

    logits and taught `(N, K, T)`, counted bool `(N, T)`; both are divided by the temperature, and
    the result is multiplied by its square (Hinton, Vinyals & Dean 2015, section 2).
    """
    found = F.log_softmax(logits / temperature, dim=1)
    wanted = F.log_softmax(taught / temperature, dim=1)
    frames = (wanted.exp() * (wanted - found)).sum(dim=1)
    return (frames * counted).sum() * temperature**2
