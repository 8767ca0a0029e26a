"""What the training loop asks of the data it trains on; see `frame_task` and `clip_task`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

import numpy as np
from torch import Tensor

from stgcn_ref.metrics import Scores
from stgcn_ref.models.build import Net
from stgcn_ref.recognition_metrics import RecognitionScores

AnyScores = Scores | RecognitionScores

# A pass of a step: its part of the step's loss. The parts and their gradients add up to those of
# the mean over all the step's frames or clips, so a step may be larger than memory.
Pass = Callable[[Net], Tensor]


@dataclass(frozen=True, eq=False)
class Plan:
    """An epoch: the number of its steps, and the steps one by one, as their passes."""

    count: int
    steps: Iterator[Sequence[Pass]]


class Task(Protocol):
    """A training set, a validation set, and what is to be learnt."""

    def prepare(self, net: Net) -> None:
        """Start a freshly built network from the training set's statistics."""

    def epoch(self, rng: np.random.Generator) -> Plan:
        """One pass over the training set; `rng` is the only source of randomness."""

    def judge(self, net: Net) -> AnyScores:
        """Scores of a network on the validation set."""

    def merit(self, scores: AnyScores) -> float:
        """By what the best epoch is chosen, higher is better."""


def brief(scores: AnyScores) -> str:
    """The scores that tell most, in a few words."""
    match scores:
        case Scores():
            return f"acc {scores.frame_accuracy:.1f} F1@50 {scores.f1_50:.1f}"
        case RecognitionScores():
            return f"top-1 {scores.top_1:.1f} top-5 {scores.top_5:.1f}"
        case _:
            assert_never(scores)
