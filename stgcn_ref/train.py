"""Training of a float network on CPU: deterministic for a seed, resumable after any epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fxp.errors import InputError
from fxp.spec import ArchSpec
from stgcn_ref.augment import Features
from stgcn_ref.datasets.clips import Dataset, input_statistics
from stgcn_ref.evaluate import evaluate
from stgcn_ref.loss import class_weight, segment_loss
from stgcn_ref.metrics import Scores
from stgcn_ref.models.build import FrameNet, build
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.scoring import check_fit
from stgcn_ref.segments import Batch, batches, cut

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought: mean training loss, and validation scores if it was validated."""

    number: int
    loss: float
    scores: Scores | None


@dataclass
class Run:
    """A training between two epochs: everything that the next epoch depends on, and the best yet.

    `done` epochs are over. `average` holds the averaged weights and statistics, `best` those of the
    best validated epoch. Random numbers are drawn anew from (seed, epoch), so none are kept.
    """

    net: FrameNet
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
        self.average, self.best = state["average"], state["best"]
        self.steps, self.done = state["steps"], state["done"]
        self.best_epoch = state["best_epoch"]
        self.history = [
            Epoch(e["number"], e["loss"], Scores(**e["scores"]) if e["scores"] else None)
            for e in state["history"]
        ]

    @property
    def best_scores(self) -> Scores:
        """Validation scores of the network that is kept."""
        scores = self.history[self.best_epoch].scores
        assert scores is not None
        return scores

    def kept(self) -> FrameNet:
        """The network of the best validated epoch, in inference mode."""
        self.net.load_state_dict(self.best)
        return self.net.eval()


def train(
    arch: ArchSpec,
    train_set: Dataset,
    valid_set: Dataset,
    recipe: TrainRecipe,
    seed: int,
    *,
    state: dict[str, Any] | None = None,
    on_epoch: Callable[[Run], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """Train `arch`; the result's `kept()` is the best validated network.

    One thread, whatever torch is set to: sums split over threads would change the weights.

    Args:
        arch: the network; channels, joints and classes must be the data's.
        train_set, valid_set: recordings of different participants.
        recipe: how to train.
        seed: of weights, sampling and dropout.
        state: of a `Run` to continue.
        on_epoch: called after each epoch (to save the state, to show scores).
        on_step: called with (step, steps) of the running epoch.

    Raises:
        InputError: network and data do not fit, or the loss is no longer finite.
    """
    check_fit(arch, train_set)
    check_fit(arch, valid_set)
    turned = 3 * recipe.augmentation.vectors
    if turned > arch.in_channels:
        raise InputError(
            f"recipe: `vectors`: {turned // 3} triples need {turned} channels,"
            f" the data has {arch.in_channels}"
        )
    with one_thread():
        run, sampler = _start(arch, train_set, recipe, seed)
        if state is not None:
            run.restore(state)
        while run.done < recipe.epochs and not _exhausted(run, recipe):
            loss = _epoch(run, sampler, recipe, seed, on_step)
            _judge(run, valid_set, recipe, loss)
            if on_epoch is not None:
                on_epoch(run)
    return run


@dataclass(frozen=True, eq=False)
class _Sampler:
    """The training set as the loop reads it: features (T, V, C) per clip, statistics (V, C)."""

    data: Dataset
    features: list[Features]
    statistics: tuple[Features, Features]
    class_weight: Tensor | None
    warmup: int

    def epoch(self, recipe: TrainRecipe, rng: np.random.Generator) -> list[Batch]:
        lengths = [len(x) for x in self.features]
        segments = cut(lengths, recipe.segment, self.warmup, rng)
        return list(
            batches(
                self.data.clips,
                self.features,
                segments,
                recipe.batch,
                recipe.augmentation,
                self.statistics,
                rng,
            )
        )


def _start(arch: ArchSpec, ds: Dataset, recipe: TrainRecipe, seed: int) -> tuple[Run, _Sampler]:
    torch.manual_seed(seed)
    net = build(arch, recipe.dropout)
    mean, deviation = input_statistics(ds)
    net.set_input_statistics(torch.from_numpy(mean), torch.from_numpy(deviation).square())
    warmup = recipe.warmup
    if warmup is None:
        warmup = min(net.receptive_field - 1, recipe.warmup_limit)
    sampler = _Sampler(
        ds,
        [np.ascontiguousarray(c.x.transpose(0, 2, 1), dtype=np.float32) for c in ds.clips],
        (mean.T.astype(np.float32), deviation.T.astype(np.float32)),
        class_weight(ds, recipe.class_balance),
        warmup,
    )
    optimiser = torch.optim.AdamW(
        _decay_groups(net, recipe.weight_decay), lr=recipe.lr, foreach=True
    )
    return Run(net, optimiser, _copy(net)), sampler


def _epoch(
    run: Run,
    sampler: _Sampler,
    recipe: TrainRecipe,
    seed: int,
    on_step: Callable[[int, int], None] | None,
) -> float:
    """One pass over the training set; returns the mean loss."""
    rng = np.random.default_rng([seed, run.done])
    torch.manual_seed(int(rng.integers(2**62)))  # dropout
    run.net.train()
    run.net.input_norm.eval()  # its statistics are the data set's, exactly, from the start
    todo = sampler.epoch(recipe, rng)
    total = 0.0
    for number, batch in enumerate(todo):
        rate = learning_rate(recipe, (run.done + number / len(todo)) / recipe.epochs)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        logits = run.net(torch.from_numpy(batch.x).permute(0, 3, 1, 2))
        loss = segment_loss(logits, torch.from_numpy(batch.target), recipe, sampler.class_weight)
        if not math.isfinite(loss.item()):
            raise InputError(f"training: loss is {loss.item()} in epoch {run.done}: lower `lr`")
        run.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(run.net.parameters(), recipe.gradient_limit)
        run.optimiser.step()
        _average(run, recipe.ema)
        total += loss.item()
        if on_step is not None:
            on_step(number + 1, len(todo))
    run.done += 1
    return total / len(todo)


def _judge(run: Run, valid_set: Dataset, recipe: TrainRecipe, loss: float) -> None:
    """Validate the averaged weights if it is time to, and keep them if they are the best yet."""
    last = run.done == recipe.epochs
    if not last and run.done < recipe.select_from * recipe.epochs:
        run.history.append(Epoch(run.done - 1, loss, None))
        return
    own = _copy(run.net)
    run.net.load_state_dict(run.average)
    scores = evaluate(run.net, valid_set)
    run.net.load_state_dict(own)
    run.history.append(Epoch(run.done - 1, loss, scores))
    if run.best_epoch < 0 or merit(scores, recipe) > merit(run.best_scores, recipe):
        run.best_epoch = run.done - 1
        run.best = {key: value.clone() for key, value in run.average.items()}


def _exhausted(run: Run, recipe: TrainRecipe) -> bool:
    return run.best_epoch >= 0 and run.done - 1 - run.best_epoch >= recipe.patience


def merit(scores: Scores, recipe: TrainRecipe) -> float:
    """What decides which epoch is the best."""
    if recipe.metric == "mean":
        return (scores.frame_accuracy + scores.f1_50 + scores.edit) / 3
    return float(getattr(scores, recipe.metric))


def learning_rate(recipe: TrainRecipe, share: float) -> float:
    """Learning rate after this share of the training: a linear rise, then half a cosine."""
    if share < recipe.lr_rise:
        return recipe.lr * max(share / recipe.lr_rise, 1e-3)
    rest = (share - recipe.lr_rise) / max(1 - recipe.lr_rise, 1e-9)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * rest))


def _decay_groups(net: FrameNet, decay: float) -> list[dict[str, Any]]:
    """Only matrices decay; norms, biases and edge importances (which start at one) do not."""
    matrix = [p for n, p in net.named_parameters() if p.ndim == 2]
    other = [p for n, p in net.named_parameters() if p.ndim != 2]
    return [{"params": matrix, "weight_decay": decay}, {"params": other, "weight_decay": 0.0}]


def _copy(net: FrameNet) -> Tensors:
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
    """Sums of one order: one thread of torch inside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
