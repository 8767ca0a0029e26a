"""Training of the integer network itself, from the float network it was calibrated to.

What is validated and kept is the lowered graph, run by the simulator. The trained numbers stay
those of a `FloatNet`, so there is one way to integers for trained and for calibrated networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, assert_never

import numpy as np
import torch
from torch import Tensor

from fxp.calibrate import Formats
from fxp.cast import FloatArray
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Graph
from fxp.lower import lower
from fxp.ptq.narrow import narrowed
from fxp.ptq.search import divergence_of
from fxp.qformat import Overflow
from fxp.spec import QuantSpec
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.judge import label_loss
from stgcn_ref.loss import mass
from stgcn_ref.metrics import Scores
from stgcn_ref.optimiser import learning_rate
from stgcn_ref.qat.accumulators import bring_within
from stgcn_ref.qat.lesson import Lesson, batch_loss, lesson_of
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.words import scales
from stgcn_ref.scoring import check_fit, predict_integers, score_steps
from stgcn_ref.segments import IGNORE, Batch
from stgcn_ref.train import Epoch, one_thread

Masters = dict[str, Tensor]
LEAST_SIZE = 1e-3  # of a tensor whose numbers are about zero: it must be able to move


@dataclass
class Run:
    """A training between two epochs: what the next one depends on, and the best yet.

    `masters` are the trained numbers, float64, by the keys of `net`; `average` is their moving mean
    and `best` that of the best validated epoch, -1 being the network before training. Random
    numbers are drawn anew from (seed, epoch).
    """

    net: FloatNet
    formats: Formats
    masters: Masters
    optimiser: torch.optim.AdamW
    average: Masters
    steps: int = 0
    done: int = 0
    best: Masters = field(default_factory=dict)
    best_epoch: int = -1
    best_scores: Scores | None = None
    best_merit: float = -math.inf
    history: list[Epoch] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Plain tensors, numbers and lists; `restore` takes them back."""
        return {
            "masters": _copied(self.masters),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "steps": self.steps,
            "done": self.done,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_scores": asdict(self.best_scores) if self.best_scores else None,
            "best_merit": self.best_merit,
            "history": [asdict(epoch) for epoch in self.history],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave."""
        with torch.no_grad():
            for key, value in self.masters.items():
                value.copy_(state["masters"][key])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.best = state["average"], state["best"]
        self.steps, self.done = state["steps"], state["done"]
        self.best_epoch, scores = state["best_epoch"], state["best_scores"]
        self.best_scores = Scores(**scores) if scores else None
        self.best_merit = state["best_merit"]
        self.history = [
            Epoch(e["number"], e["loss"], Scores(**e["scores"]) if e["scores"] else None)
            for e in state["history"]
        ]

    def floats(self, masters: Masters) -> FloatNet:
        """The float network of these masters."""
        params = {key: value.detach().numpy().copy() for key, value in masters.items()}
        return replace(self.net, params=params)

    def kept(self, name: str = "") -> Graph:
        """The integer network of the best validated epoch."""
        return lower(self.floats(self.best), self.formats, name)


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
        start = net
        if recipe.accumulators:
            start, formats = narrowed(net, formats, recipe.accumulators)
        graph = lower(start, formats)
        lesson = lesson_of(teacher or net, graph, train_set, valid_set, recipe)
        run = _start(net, start.params, formats, recipe)
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


def _start(
    net: FloatNet, params: Mapping[str, FloatArray], formats: Formats, recipe: QatRecipe
) -> Run:
    masters = {key: torch.from_numpy(value.copy()) for key, value in params.items()}
    groups = []
    for key, value in masters.items():
        if bool((value == 1.0).all()):
            continue
        size = max(float(value.square().mean().sqrt()), LEAST_SIZE)
        decay = recipe.weight_decay if key.endswith(".weight") else 0.0
        groups.append({"params": [value.requires_grad_()], "size": size, "weight_decay": decay})
    optimiser = torch.optim.AdamW(groups)
    _into_range(masters, formats)
    return Run(net, formats, masters, optimiser, _copied(masters))


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
        rate = learning_rate(recipe, (run.done + number / count) / recipe.epochs)
        for group in run.optimiser.param_groups:
            group["lr"] = rate * group["size"]
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
        loss = batch_loss(lesson, run.masters, batch, over, counted)
        if not math.isfinite(loss.item()):
            raise InputError(f"training: loss is {loss.item()} in epoch {run.done}: lower `lr`")
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    trained = [value for value in run.masters.values() if value.requires_grad]
    torch.nn.utils.clip_grad_norm_(trained, recipe.gradient_limit)
    run.optimiser.step()
    _into_range(run.masters, run.formats)
    bring_within(run.masters, lesson.graph, run.formats, recipe.accumulators)
    _average(run, recipe.ema)
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
    valid_set, average = lesson.task.valid_set, _copied(run.average)
    bring_within(average, lesson.graph, run.formats, lesson.recipe.accumulators)
    graph = lower(run.floats(average), run.formats)
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


@torch.no_grad()
def _into_range(masters: Masters, formats: Formats) -> None:
    """Bring weights to the ends of their formats, where they would get no gradient beyond."""
    for key, (word_bits, frac_bits) in formats.weights.items():
        ends = (-(1 << (word_bits - 1)), (1 << (word_bits - 1)) - 1)
        shape = (-1, *[1] * (masters[key].ndim - 1))
        low, high = (end / scales(frac_bits).view(shape) for end in ends)
        masters[key].clamp_(low, high)


@torch.no_grad()
def _average(run: Run, decay: float) -> None:
    """Move the averaged masters towards the trained ones; faster in the beginning."""
    run.steps += 1
    keep = min(decay, run.steps / (run.steps + 10))
    for key, value in run.masters.items():
        run.average[key].lerp_(value.detach(), 1 - keep)


def _copied(masters: Mapping[str, Tensor]) -> Masters:
    return {key: value.detach().clone() for key, value in masters.items()}
