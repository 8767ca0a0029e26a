"""What each width loses and saves when it alone is changed, from the widest design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dse.mixed.bench import Bench, Trial
from dse.mixed.widths import Kind, Part, allowed, changed, widest

ORIGIN = "sensitivity"


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The widest design, and every single change of it: by part and width, widest included."""

    base: Trial
    trials: Mapping[Part, Mapping[int, Trial]]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in the order of the network."""
        return tuple(self.trials)

    def loss(self, part: Part, width: int) -> float:
        """Divergence added; below zero where the change helped."""
        return self.trials[part][width].divergence - self.base.divergence

    def cost(self, part: Part, width: int) -> float:
        """Cost added, relative to the widest design's cost: what is saved is below zero."""
        return self.trials[part][width].cost - self.base.cost

    def counting(self) -> tuple[Part, ...]:
        """Parts of which some width saves cost."""
        return tuple(
            part for part in self.parts if any(self.cost(part, w) < 0 for w in self.trials[part])
        )

    def counting_kinds(self) -> frozenset[Kind]:
        """Kinds of them."""
        return frozenset(part.kind for part in self.counting())

    def changes(self) -> Iterator[tuple[Part, int]]:
        """Every change that was measured, the widest design and refused ones left out."""
        for part, trials in self.trials.items():
            for width, trial in trials.items():
                if trial is not self.base and not trial.refused:
                    yield part, width


def measure_sensitivity(bench: Bench, parts: Sequence[Part]) -> Sensitivity:
    """One trial for every part and width."""
    whole = widest(parts, bench.recipe)
    base = bench.measure(whole, ORIGIN)
    trials = {
        part: {
            width: bench.measure(changed(whole, (part, width)), ORIGIN)
            for width in reversed(allowed(bench.recipe, part.kind))
        }
        for part in parts
    }
    return Sensitivity(base, trials)


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation, equal values sharing the mean of their ranks; NaN without any spread."""
    x, y = _ranks(a), _ranks(b)
    if not len(x):
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    power = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / power if power > 0 else float("nan")


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    below = (array[None] < array[:, None]).sum(axis=1)
    equal = (array[None] == array[:, None]).sum(axis=1)
    return np.asarray(below + (equal - 1) / 2, np.float64)
