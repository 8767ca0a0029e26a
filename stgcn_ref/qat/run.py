"""A training of integers between two steps: what the next one depends on, and the best yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fxp.calibrate import Formats
from fxp.floatnet import FloatNet
from fxp.ir import Graph
from fxp.lower import lower
from stgcn_ref.metrics import Scores
from stgcn_ref.optimiser import learning_rate
from stgcn_ref.qat.lesson import Learner
from stgcn_ref.qat.points import Points, formats_at, keep_near, points_of
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.words import scales
from stgcn_ref.train import Epoch

Masters = dict[str, Tensor]
LEAST_SIZE = 1e-3  # of a tensor whose numbers are about zero: it must be able to move


@dataclass(frozen=True)
class Numbers:
    """What a training moves: masters by the keys of the `FloatNet`, and points if they are learnt.

    Both float64; points as `stgcn_ref.qat.points.points_of` gives them.
    """

    masters: Masters
    points: Points

    def copied(self) -> Numbers:
        """The same numbers, without gradient, in memory of their own."""
        return Numbers(_copied(self.masters), _copied(self.points))

    def pairs(self, other: Numbers) -> list[tuple[Tensor, Tensor]]:
        """Every tensor with the other's of that name."""
        masters = [(value, other.masters[key]) for key, value in self.masters.items()]
        return masters + [(value, other.points[key]) for key, value in self.points.items()]


@dataclass
class Run:
    """A training; `formats` are those that it started in.

    `now` are the trained numbers, `average` is their moving mean and `best` that of the best
    validated epoch, -1 being the network before training. `graph` is in the formats of `now`.
    Random numbers are drawn anew from (seed, epoch).
    """

    net: FloatNet
    formats: Formats
    now: Numbers
    optimiser: torch.optim.AdamW
    average: Numbers
    graph: Graph
    steps: int = 0
    done: int = 0
    best: Numbers = field(default_factory=lambda: Numbers({}, {}))
    best_epoch: int = -1
    best_scores: Scores | None = None
    best_merit: float = -math.inf
    history: list[Epoch] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Plain tensors, numbers and lists; `restore` takes them back."""
        return {
            "now": asdict(self.now.copied()),
            "optimiser": self.optimiser.state_dict(),
            "average": asdict(self.average.copied()),
            "steps": self.steps,
            "done": self.done,
            "best": asdict(self.best),
            "best_epoch": self.best_epoch,
            "best_scores": asdict(self.best_scores) if self.best_scores else None,
            "best_merit": self.best_merit,
            "history": [asdict(epoch) for epoch in self.history],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave."""
        with torch.no_grad():
            for value, kept in self.now.pairs(Numbers(**state["now"])):
                value.copy_(kept)
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.best = Numbers(**state["average"]), Numbers(**state["best"])
        self.steps, self.done = state["steps"], state["done"]
        self.best_epoch, scores = state["best_epoch"], state["best_scores"]
        self.best_scores = Scores(**scores) if scores else None
        self.best_merit = state["best_merit"]
        self.history = [
            Epoch(e["number"], e["loss"], Scores(**e["scores"]) if e["scores"] else None)
            for e in state["history"]
        ]
        self.place()

    def learner(self) -> Learner:
        """The network as it is now."""
        return Learner(self.graph, self.now.masters, self.now.points)

    def floats(self, masters: Masters) -> FloatNet:
        """The float network of these masters."""
        params = {key: value.detach().numpy().copy() for key, value in masters.items()}
        return replace(self.net, params=params)

    def formats_of(self, numbers: Numbers) -> Formats:
        """The formats at these points."""
        return formats_at(self.formats, numbers.points)

    def lowered(self, numbers: Numbers, name: str = "") -> Graph:
        """The integer network of these numbers."""
        return lower(self.floats(numbers.masters), self.formats_of(numbers), name)

    def kept(self, name: str = "") -> Graph:
        """The integer network of the best validated epoch."""
        return self.lowered(self.best, name)

    @torch.no_grad()
    def place(self) -> None:
        """Bring the numbers to where they can be trained, and the graph to the points' formats.

        Weights go to the ends of their formats, where they would get no gradient beyond. Not so
        where points are learnt: weights beyond the ends are what moves a point to the left.
        """
        if self.now.points:
            self.graph = lower(self.net, self.formats_of(self.now))
            return
        for key, (word_bits, frac_bits) in self.formats.weights.items():
            ends = (-(1 << (word_bits - 1)), (1 << (word_bits - 1)) - 1)
            shape = (-1, *[1] * (self.now.masters[key].ndim - 1))
            low, high = (end / scales(frac_bits).view(shape) for end in ends)
            self.now.masters[key].clamp_(low, high)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the averages towards the trained numbers; faster in the beginning."""
        self.steps += 1
        keep = min(decay, self.steps / (self.steps + 10))
        for mean, value in self.average.pairs(self.now):
            mean.lerp_(value.detach(), 1 - keep)

    def set_rates(self, recipe: QatRecipe, share: float) -> None:
        """Set the rates of the next step, after this share of the training."""
        for group in self.optimiser.param_groups:
            ended = share >= group["until"]
            rate = 0.0 if ended else learning_rate(recipe, share / group["until"])
            group["lr"] = rate * group["size"]

    def bound(self, recipe: QatRecipe) -> None:
        """Keep points near to where they started."""
        if recipe.learn_binary_points is not None:
            keep_near(self.now.points, self.formats, recipe.learn_binary_points.most)


def start(net: FloatNet, formats: Formats, graph: Graph, recipe: QatRecipe) -> Run:
    """A training before its first step; `graph` is `net` lowered in `formats`."""
    masters = {key: torch.from_numpy(value.copy()) for key, value in net.params.items()}
    groups: list[dict[str, Any]] = []
    for key, value in masters.items():
        if bool((value == 1.0).all()):
            continue
        size = max(float(value.square().mean().sqrt()), LEAST_SIZE)
        decay = recipe.weight_decay if key.endswith(".weight") else 0.0
        own = {"size": size, "until": 1.0, "weight_decay": decay}
        groups.append({"params": [value.requires_grad_()], **own})
    points: Points = {}
    if recipe.learn_binary_points is not None:
        points, how = points_of(net, formats), recipe.learn_binary_points
        own = {"size": how.lr / recipe.lr, "until": how.until, "weight_decay": 0.0}
        groups.append({"params": list(points.values()), **own})
    now = Numbers(masters, points)
    run = Run(net, formats, now, torch.optim.AdamW(groups), now.copied(), graph)
    run.place()
    run.average = now.copied()
    return run


def _copied(numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in numbers.items()}
