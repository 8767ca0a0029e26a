"""One design measured: quantised with the base's repair, certified, priced, run, and kept.

All designs, uniform ones too, go through `Bench.measure`, so that they are compared alike. What it
finds is kept file by file: a run that was killed goes on where it stood.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dse.metrics import REFUSED, cost_metrics
from dse.mixed.recipe import MixRecipe
from dse.mixed.widths import Design, Part, as_layers, design_name, spec_of
from dse.rows import Row, kept
from fxp.cast import FloatArray
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Graph
from fxp.ptq.quantise import quantise
from fxp.ptq.reference import real_values
from fxp.ptq.search import LOGITS, divergence_of
from fxp.replay import Replay
from fxp.spec import QuantSpec
from hw_model.accelerator import Accelerator
from hw_model.cost import estimate
from stgcn_ref.metrics import argmax_agreement


@dataclass(frozen=True, eq=False)
class Trial:
    """A design and what was measured of it.

    `cost` is relative to the widest design's, `costs` are those of `dse.metrics`; `divergence` in
    nats a step and `agreement` in percent are against the float network on the selection
    recordings. A design that was `refused` (the line says why) has infinite cost and divergence.
    """

    key: str
    origin: str
    design: Design
    cost: float
    divergence: float
    agreement: float
    costs: dict[str, Any]
    refused: str = ""


@dataclass(eq=False)
class Bench:
    """What designs are measured with, and those that were.

    `wanted` are the float network's logits (T, K) of the selection recordings; `trials` by key, in
    the order in which they were first asked for. `on_trial` is told of each of them.
    """

    net: FloatNet
    base: QuantSpec
    recipe: MixRecipe
    accelerator: Accelerator
    rate_hz: float
    calibration: Replay
    selection: Replay
    wanted: Sequence[FloatArray]
    folder: Path
    on_trial: Callable[[Trial], None] | None = None
    trials: dict[str, Trial] = field(default_factory=dict)
    unit: dict[str, float] = field(default_factory=dict)

    def measure(self, design: Design, origin: str) -> Trial:
        """The trial of a design; the first one measured is the unit of cost."""
        key = key_of(design)
        if key not in self.trials:
            row = kept(self.folder / f"{key}.json", lambda: self._row(design))
            self.trials[key] = trial = self._trial(key, origin, design, row)
            if self.on_trial is not None:
                self.on_trial(trial)
        return self.trials[key]

    def graph(self, design: Design, name: str = "") -> Graph:
        """The integer network of a design.

        Raises:
            InputError: as `fxp.ptq.quantise.quantise`.
        """
        return quantise(self.net, spec_of(self.base, design), self.calibration, name)

    def excess(self, trial: Trial) -> float:
        """What it loses over what it may lose: at most 1 within the budget."""
        budget = self.recipe.budget
        shares = [0.0 if not trial.refused else float("inf")]
        if budget.divergence is not None:
            shares.append(trial.divergence / budget.divergence)
        if budget.agreement is not None:
            shares.append((100 - trial.agreement) / (100 - budget.agreement))
        return max(shares)

    def looked_at(self) -> list[Trial]:
        """The trials so far within `recipe.beyond` times the budget."""
        most = self.recipe.beyond
        return [trial for trial in self.trials.values() if self.excess(trial) <= most]

    def _row(self, design: Design) -> Row:
        row: Row = {"widths": as_layers(design)}
        try:
            graph = self.graph(design)
        except InputError as error:
            return {**row, REFUSED: " ".join(str(error).split())}
        costs = cost_metrics(estimate(graph, self.accelerator, frame_rate_hz=self.rate_hz))
        logits = [
            values[LOGITS][:, :, 0] for values in real_values(graph, self.selection, [LOGITS])
        ]
        found = [array.argmax(axis=1) for array in logits]
        return {
            **row,
            **costs,
            "divergence": divergence_of(graph, self.selection, self.wanted),
            "argmax_agreement": argmax_agreement(found, [w.argmax(axis=1) for w in self.wanted]),
        }

    def _trial(self, key: str, origin: str, design: Design, row: Row) -> Trial:
        if REFUSED in row:
            infinite = float("inf")
            return Trial(key, origin, design, infinite, infinite, 0.0, {}, row[REFUSED])
        shares = self.recipe.cost
        self.unit = self.unit or {name: max(float(row[name]), 1e-300) for name in shares}
        parts = (share * row[name] / self.unit[name] for name, share in shares.items())
        cost = sum(parts) / sum(shares.values())
        costs = {name: row[name] for name in row if name not in ("widths", "divergence")}
        return Trial(key, origin, design, cost, row["divergence"], row["argmax_agreement"], costs)


def key_of(design: Design) -> str:
    """The name of a design's file."""
    return hashlib.sha256(design_name(design).encode()).hexdigest()[:24]


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other beats in cost and divergence, cheapest first, one of equal ones."""
    found: list[Trial] = []
    for trial in sorted(trials, key=lambda t: (t.cost, t.divergence, t.key)):
        if np.isfinite(trial.cost) and (not found or trial.divergence < found[-1].divergence):
            found.append(trial)
    return found


def cheapest(trials: Sequence[Trial], divergence: float) -> Trial | None:
    """The cheapest trial that diverges no more."""
    within = [trial for trial in trials if trial.divergence <= divergence]
    return min(within, key=lambda t: (t.cost, t.divergence, t.key), default=None)


def claim(folder: Path, about: dict[str, Any]) -> None:
    """Make `folder` that of one question, or refuse it if it is of another.

    Raises:
        InputError: it holds results of other inputs, or cannot be made.
    """
    from dse.sweep import make_folder

    make_folder(folder)
    found = kept(folder / "about.json", lambda: about)
    given = json.loads(json.dumps(about))
    for key, value in given.items():
        if found.get(key) != value:
            raise InputError(
                f"{folder}: holds results of another `{key}`; give another folder for this one"
            )


def moved(trial: Trial, part: Part, widths: Sequence[int], step: int) -> int | None:
    """The next width of a part, so many places away; None at the end."""
    place = widths.index(trial.design[part]) + step
    return widths[place] if 0 <= place < len(widths) else None
