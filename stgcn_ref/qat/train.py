"""Training of the integer network itself, from the float network it was calibrated to.

What is validated and kept is the lowered graph, run by the simulator. The trained numbers stay
those of a `FloatNet`, so there is one way to integers for trained and for calibrated networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import numpy as np
import torch

from fxp.calibrate import Formats
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.lower import lower
from fxp.ptq.narrow import narrowed
from fxp.ptq.search import divergence_of
from fxp.qformat import Overflow
from fxp.spec import QuantSpec
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.judge import label_loss
from stgcn_ref.loss import mass
from stgcn_ref.metrics import Scores
from stgcn_ref.qat.accumulators import bring_within
from stgcn_ref.qat.lesson import Lesson, batch_loss, lesson_of
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.run import Run, start
from stgcn_ref.scoring import check_fit, predict_integers, score_steps
from stgcn_ref.segments import IGNORE, Batch
from stgcn_ref.train import Epoch, one_thread


def train_quantised(
    net: FloatNet,
    formats: Formats,
    train_set: Dataset,
    valid_set: Dataset,
    recipe: QatRecipe,
    seed: int,
    *,
    teacher: FloatNet | None = None,
    state: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Run], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """Train the numbers of `net` in `formats`; the result's `kept()` is the best integer network.

    With `select_from: 0` the network before training is validated too, and kept if none is better.

    The float network teaches: its logits are what the distillation follows. A scale that is one
    everywhere (a norm folded into the weights before it) and the zeros of an adjacency stay what
    they are: they cost no multiplier. Where the recipe gives widths of accumulators, the masters
    are brought under them after every step, and so are their averages before they are validated.

    Args:
        net, formats: what `fxp.lower` would take; the numbers that the training starts from.
        train_set, valid_set: recordings of different participants.
        recipe: how to train.
        seed: of sampling and augmentation.
        teacher: the float network, where `net` is one that was repaired (`fxp.ptq.prepare`).
        state: of a `Run` to continue.
        on_epoch: called after each epoch.
        on_step: called with (step, steps) of the running epoch.

    Raises:
        InputError: an overflow without gradient, network and data that do not fit, a network with
            one class for a whole clip, or a loss that is no longer finite.
        GraphError: sums that floats cannot carry, an accumulator beyond the formats' width, or one
            that no weights bring to the width that the recipe gives it.
    """
    check_overflow(formats.quant)
    check_fit(net.arch, train_set)
    check_fit(net.arch, valid_set)
    with one_thread():
        lesson = lesson_of(teacher or net, train_set, valid_set, recipe)
        if recipe.accumulators:
            net, formats = narrowed(net, formats, recipe.accumulators)
        run = start(net, formats, lower(net, formats), recipe)
        if state is not None:
            run.restore(state)
        elif recipe.select_from == 0:
            _keep_best(run, lesson)
        while run.done < recipe.epochs and not _exhausted(run, recipe):
            loss = _epoch(run, lesson, recipe, seed, on_step)
            _judge(run, lesson, loss)
            if on_epoch is not None:
                on_epoch(run)
    return run


def check_overflow(quant: QuantSpec) -> None:
    """Refuse casts that nothing can be learnt through.

    Raises:
        InputError: what is out of range does not end at the nearest bound.
    """
    if quant.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        raise InputError(
            f"key `overflow`: training needs SAT or SAT_SYM, got {quant.overflow}: a value that "
            "jumps away from the end of its range gives no direction to learn from"
        )


def _epoch(
    run: Run,
    lesson: Lesson,
    recipe: QatRecipe,
    seed: int,
    on_step: Callable[[int, int], None] | None,
) -> float:
    """One pass over the training set; returns the mean loss."""
    count, steps = lesson.task.steps(np.random.default_rng([seed, run.done]))
    total = 0.0
    for number, step in enumerate(steps):
        run.set_rates(recipe, (run.done + number / count) / recipe.epochs)
        total += _step(run, lesson, recipe, step)
        if on_step is not None:
            on_step(number + 1, count)
    run.done += 1
    return total / count


def _step(run: Run, lesson: Lesson, recipe: QatRecipe, step: Sequence[Batch]) -> float:
    """Add up the gradients of all batches and follow them; returns the loss."""
    over = mass([torch.from_numpy(batch.target) for batch in step], lesson.task.class_weight)
    counted = sum(int((batch.target != IGNORE).sum()) for batch in step)
    run.optimiser.zero_grad()
    total = 0.0
    for batch in step:
        loss = batch_loss(lesson, run.learner(), batch, over, counted)
        if not math.isfinite(loss.item()):
            raise InputError(f"training: loss is {loss.item()} in epoch {run.done}: lower `lr`")
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    masters = run.now.masters
    trained = [value for value in masters.values() if value.requires_grad]
    torch.nn.utils.clip_grad_norm_(trained, recipe.gradient_limit)
    run.optimiser.step()
    run.bound(recipe)
    run.place()
    bring_within(masters, run.graph, run.formats, recipe.accumulators)
    run.follow(recipe.ema)
    return total


def _judge(run: Run, lesson: Lesson, loss: float) -> None:
    """Validate the averaged masters if it is time to."""
    recipe = lesson.recipe
    last = run.done == recipe.epochs
    if not last and run.done < recipe.select_from * recipe.epochs:
        run.history.append(Epoch(run.done - 1, loss, None))
        return
    run.history.append(Epoch(run.done - 1, loss, _keep_best(run, lesson)))


def _keep_best(run: Run, lesson: Lesson) -> Scores:
    """Score the integer network of the averaged masters, and keep them if they are the best yet."""
    valid_set, average = lesson.task.valid_set, run.average.copied()
    bring_within(average.masters, run.graph, run.formats, lesson.recipe.accumulators)
    graph = run.lowered(average)
    labels = predict_integers(graph, valid_set)
    scores = score_steps(valid_set, labels)
    match lesson.recipe.select_by:
        case "agreement":
            merit = -label_loss(labels, [logits.argmax(axis=1) for logits in lesson.wanted])
        case "divergence":
            merit = -divergence_of(graph, [clip.x for clip in valid_set.clips], lesson.wanted)
        case "metric":
            merit = lesson.task.merit(scores)
        case _:
            assert_never(lesson.recipe.select_by)
    if merit > run.best_merit:
        run.best_epoch, run.best = run.done - 1, average
        run.best_scores, run.best_merit = scores, merit
    return scores


def _exhausted(run: Run, recipe: QatRecipe) -> bool:
    return run.best_scores is not None and run.done - 1 - run.best_epoch >= recipe.patience
