"""Training of a float network of any family: repeatable for a seed, resumable after any epoch.

What is learnt from which data is a task (`stgcn_ref.task`): labels of frames, or of whole clips.
On the CPU the same seed gives the same weights on one machine; on a GPU sums may differ in their
last digits from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fxp.errors import InputError
from fxp.spec import ArchSpec
from stgcn_ref.clip_task import clip_task
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.evaluate import device_of
from stgcn_ref.frame_task import frame_task
from stgcn_ref.metrics import Scores
from stgcn_ref.models.build import Net, build
from stgcn_ref.optimiser import learning_rate, parameter_groups
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.recognition_metrics import RecognitionScores
from stgcn_ref.scoring import check_fit
from stgcn_ref.task import AnyScores, Pass, Task

Device = Literal["auto", "cpu", "cuda"]
AnySet = Dataset | RecognitionSet
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought: mean training loss, and validation scores if it was validated."""

    number: int
    loss: float
    scores: AnyScores | None


@dataclass
class Run:
    """A training between two epochs: everything that the next epoch depends on, and the best yet.

    `done` epochs are over. `average` holds the averaged weights and statistics, `best` those of the
    best validated epoch. Random numbers are drawn anew from (seed, epoch), so none are kept.
    """

    net: Net
    optimiser: torch.optim.AdamW
    average: Tensors
    steps: int = 0
    done: int = 0
    best: Tensors = field(default_factory=dict)
    best_epoch: int = -1
    history: list[Epoch] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Plain tensors, numbers and lists; `restore` takes them back."""
        return {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "steps": self.steps,
            "done": self.done,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "history": [asdict(epoch) for epoch in self.history],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        device = device_of(self.net)
        self.average, self.best = (
            {key: value.to(device) for key, value in state[name].items()}
            for name in ("average", "best")
        )
        self.steps, self.done = state["steps"], state["done"]
        self.best_epoch = state["best_epoch"]
        self.history = [
            Epoch(e["number"], e["loss"], _scores(e["scores"]) if e["scores"] else None)
            for e in state["history"]
        ]

    @property
    def best_scores(self) -> AnyScores:
        """Validation scores of the network that is kept."""
        scores = self.history[self.best_epoch].scores
        assert scores is not None
        return scores

    def kept(self) -> Net:
        """The network of the best validated epoch, in inference mode, on the CPU."""
        self.net.load_state_dict(self.best)
        return self.net.cpu().eval()


def train(
    arch: ArchSpec,
    train_set: AnySet,
    valid_set: AnySet,
    recipe: TrainRecipe,
    seed: int,
    *,
    device: Device = "auto",
    state: dict[str, Any] | None = None,
    on_epoch: Callable[[Run], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """Train `arch`; the result's `kept()` is the best validated network.

    One thread, whatever torch is set to: sums split over threads would change the weights.

    Args:
        arch: the network; channels, joints and classes must be the data's.
        train_set, valid_set: recordings of different participants; clips with one class each
            (`RecognitionSet`) for family `stgcn`.
        recipe: how to train.
        seed: of weights, sampling and dropout.
        device: `auto` is a CUDA device where there is one, else the CPU.
        state: of a `Run` to continue.
        on_epoch: called after each epoch (to save the state, to show scores).
        on_step: called with (step, steps) of the running epoch.

    Raises:
        InputError: network and data do not fit, there is no such device, or the loss is no longer
            finite.
    """
    check_fit(arch, train_set)
    check_fit(arch, valid_set)
    turned = 3 * recipe.augmentation.vectors
    if turned > arch.in_channels:
        raise InputError(
            f"recipe: `vectors`: {turned // 3} triples need {turned} channels,"
            f" the data has {arch.in_channels}"
        )
    place = training_device(device)
    with one_thread():
        torch.manual_seed(seed)
        net = build(arch, recipe.dropout)
        task = _task(net, train_set, valid_set, recipe)
        task.prepare(net)
        run = _start(net.to(place), recipe)
        if state is not None:
            run.restore(state)
        while run.done < recipe.epochs and not _exhausted(run, recipe):
            loss = _epoch(run, task, recipe, seed, on_step)
            _judge(run, task, recipe, loss)
            if on_epoch is not None:
                on_epoch(run)
    return run


def training_device(asked: Device) -> torch.device:
    """The device that is meant.

    Raises:
        InputError: CUDA is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise InputError("`device` is cuda, but torch finds no CUDA device here")
    return torch.device("cuda" if there and asked != "cpu" else "cpu")


def _task(net: Net, train_set: AnySet, valid_set: AnySet, recipe: TrainRecipe) -> Task:
    if isinstance(train_set, RecognitionSet) and isinstance(valid_set, RecognitionSet):
        return clip_task(train_set, valid_set, recipe)
    assert isinstance(train_set, Dataset) and isinstance(valid_set, Dataset)
    return frame_task(train_set, valid_set, recipe, net.receptive_field, net.latency_frames)


def _start(net: Net, recipe: TrainRecipe) -> Run:
    groups = parameter_groups(net, recipe.weight_decay)
    return Run(net, torch.optim.AdamW(groups, lr=recipe.lr, foreach=True), _copy(net))


def _epoch(
    run: Run,
    task: Task,
    recipe: TrainRecipe,
    seed: int,
    on_step: Callable[[int, int], None] | None,
) -> float:
    """One pass over the training set; returns the mean loss."""
    rng = np.random.default_rng([seed, run.done])
    torch.manual_seed(int(rng.integers(2**62)))  # dropout
    run.net.train()
    run.net.input_norm.eval()  # its statistics are the data set's, exactly, from the start
    plan = task.epoch(rng)
    total = 0.0
    for number, step in enumerate(plan.steps):
        rate = learning_rate(recipe, (run.done + number / plan.count) / recipe.epochs)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        total += _step(run, step, recipe)
        if on_step is not None:
            on_step(number + 1, plan.count)
    run.done += 1
    return total / plan.count


def _step(run: Run, passes: Sequence[Pass], recipe: TrainRecipe) -> float:
    """Add up the gradients of all passes and follow them; returns the loss."""
    run.optimiser.zero_grad()
    total = 0.0
    for one in passes:
        loss = one(run.net)
        if not math.isfinite(loss.item()):
            raise InputError(f"training: loss is {loss.item()} in epoch {run.done}: lower `lr`")
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(run.net.parameters(), recipe.gradient_limit)
    run.optimiser.step()
    _average(run, recipe.ema)
    return total


def _judge(run: Run, task: Task, recipe: TrainRecipe, loss: float) -> None:
    """Validate the averaged weights if it is time to, and keep them if they are the best yet."""
    last = run.done == recipe.epochs
    if not last and run.done < recipe.select_from * recipe.epochs:
        run.history.append(Epoch(run.done - 1, loss, None))
        return
    own = _copy(run.net)
    run.net.load_state_dict(run.average)
    scores = task.judge(run.net)
    run.net.load_state_dict(own)
    run.history.append(Epoch(run.done - 1, loss, scores))
    if run.best_epoch < 0 or task.merit(scores) > task.merit(run.best_scores):
        run.best_epoch = run.done - 1
        run.best = {key: value.clone() for key, value in run.average.items()}


def _exhausted(run: Run, recipe: TrainRecipe) -> bool:
    return run.best_epoch >= 0 and run.done - 1 - run.best_epoch >= recipe.patience


def _scores(values: dict[str, Any]) -> AnyScores:
    """Scores of the kind that has these fields."""
    return RecognitionScores(**values) if "top_1" in values else Scores(**values)


def _copy(net: Net) -> Tensors:
    return {key: value.detach().clone() for key, value in net.state_dict().items()}


@torch.no_grad()
def _average(run: Run, decay: float) -> None:
    """Move the averaged weights and statistics towards the network's; faster in the beginning."""
    run.steps += 1
    keep = min(decay, run.steps / (run.steps + 10))
    for key, value in run.net.state_dict().items():
        mean = run.average[key]
        if keep and mean.is_floating_point():
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch inside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
