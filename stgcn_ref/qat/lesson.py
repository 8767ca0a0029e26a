"""What an integer network learns from: the float network's classes, and the labels it had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fxp.cast import FloatArray
from fxp.floatnet import FloatNet
from fxp.ir import Graph, Input
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.frame_task import FrameTask, frame_task
from stgcn_ref.loss import Mass, segment_loss
from stgcn_ref.models.build import FrameNet
from stgcn_ref.models.ending import ending
from stgcn_ref.qat.interpreter import evaluate
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.teacher import taught, teacher_of
from stgcn_ref.segments import IGNORE, Batch


@dataclass(frozen=True, eq=False)
class Lesson:
    """The float network, the lowered one, the data and the recipe.

    `wanted` are the float network's logits (T, K) of the validation recordings.
    """

    teacher: FrameNet
    graph: Graph
    task: FrameTask
    recipe: QatRecipe
    wanted: Sequence[FloatArray]


def lesson_of(
    net: FloatNet,
    graph: Graph,
    train_set: Dataset,
    valid_set: Dataset,
    recipe: QatRecipe,
) -> Lesson:
    """The lesson; how much context segments have follows from the network and the recipe.

    Args:
        net: the float network that teaches.
        graph: what learns, with the numbers that it starts from.
        train_set, valid_set, recipe: as `stgcn_ref.qat.train.train_quantised` takes them.

    Raises:
        InputError: the network has one class for a whole clip.
    """
    teacher = teacher_of(net)
    sees = teacher.receptive_field, teacher.latency_frames
    task = frame_task(train_set, valid_set, recipe, *sees)
    return Lesson(teacher, graph, task, recipe, taught(net, [clip.x for clip in valid_set.clips]))


def batch_loss(
    lesson: Lesson, masters: Mapping[str, Tensor], batch: Batch, over: Mass, counted: int
) -> Tensor:
    """A batch's part of a step's loss, that of the last stage where there are several.

    Args:
        lesson, masters: what to learn, and the numbers that learn it.
        batch: segments.
        over, counted: mass and number of the counted frames of all batches of the step.
    """
    front, recipe = lesson.graph.nodes[0], lesson.recipe
    assert isinstance(front, Input)
    # augmentation leaves fractions, but a sensor gives words
    words = torch.from_numpy(batch.x).round_().clamp_(front.fmt.raw_min, front.fmt.raw_max)
    target, lengths = torch.from_numpy(batch.target), torch.from_numpy(batch.lengths)
    values = evaluate(lesson.graph, words, masters, lengths)
    logits = values["logits"].x[:, :, 0].transpose(1, 2).float()  # (N, K, T)
    loss = logits.new_zeros(())
    if recipe.distillation < 1:
        own = segment_loss(logits, target, recipe, lesson.task.class_weight, over)
        loss = loss + (1 - recipe.distillation) * own
    if recipe.distillation > 0:
        with torch.no_grad(), ending(lesson.teacher, lengths, words.shape[1]):
            taught = lesson.teacher(words.permute(0, 3, 1, 2))
        apart = divergence(logits, taught, target != IGNORE, recipe.temperature)
        loss = loss + recipe.distillation * apart / max(counted, 1)
    return loss


def divergence(logits: Tensor, taught: Tensor, counted: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence from the taught classes, summed over counted frames.

    logits and taught `(N, K, T)`, counted bool `(N, T)`; both are divided by the temperature, and
    the result is multiplied by its square (Hinton, Vinyals & Dean 2015, section 2).
    """
    found = F.log_softmax(logits / temperature, dim=1)
    wanted = F.log_softmax(taught / temperature, dim=1)
    frames = (wanted.exp() * (wanted - found)).sum(dim=1)
    return (frames * counted).sum() * temperature**2
