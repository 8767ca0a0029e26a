"""Widths for every budget at once, if losses added up: a knapsack with one choice a part.

The sum of single losses is not the loss of all changes together. What is found here is measured
before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dse.mixed.bench import Bench, Trial
from dse.mixed.sensitivity import Sensitivity
from dse.mixed.widths import Design

ORIGIN = "knapsack"
BINS = 2000

Option = tuple[float, float]  # cost and loss


def best_choices(items: Sequence[Sequence[Option]], bins: int = BINS) -> list[tuple[int, ...]]:
    """For every budget of cost the choice of one option an item that loses least, dearest first.

    Costs are rounded up to `bins` steps between the cheapest choice of all and the dearest.

    Returns:
        Indices, one an item; each choice once.
    """
    lows = [min(cost for cost, _ in options) for options in items]
    span = sum(max(c for c, _ in options) - low for options, low in zip(items, lows, strict=True))
    unit = span / bins if span > 0 else 1.0
    used = [
        [int(np.ceil((cost - low) / unit - 1e-9)) for cost, _ in options]
        for options, low in zip(items, lows, strict=True)
    ]
    budgets = sum(map(max, used)) + 1  # rounded up, all dearest options may take more than `bins`
    total = np.zeros(budgets)
    taken = []
    for options, steps in zip(items, used, strict=True):
        table = np.full((len(options), budgets), np.inf)
        for index, (step, (_, loss)) in enumerate(zip(steps, options, strict=True)):
            table[index, step:] = total[: budgets - step] + loss
        choice = table.argmin(axis=0)
        taken.append(choice)
        total = table[choice, np.arange(budgets)]
    found: dict[tuple[int, ...], None] = {}
    for budget in reversed(range(budgets)):
        left, choices = budget, []
        for choice, steps in zip(reversed(taken), reversed(used), strict=True):
            index = int(choice[left])
            choices.append(index)
            left -= steps[index]
        found[tuple(reversed(choices))] = None
    return list(found)


def additive_designs(known: Sensitivity, most_loss: float) -> list[tuple[float, Design]]:
    """Predicted divergence and design of every budget, dearest first, up to a loss."""
    parts = known.counting()
    widths = [[w for w, trial in known.trials[part].items() if not trial.refused] for part in parts]
    items = [
        [(known.cost(part, w), max(known.loss(part, w), 0.0)) for w in own]
        for part, own in zip(parts, widths, strict=True)
    ]
    found: list[tuple[float, Design]] = []
    for choice in best_choices(items):
        loss = sum(options[i][1] for options, i in zip(items, choice, strict=True))
        chosen = {part: own[i] for part, own, i in zip(parts, widths, choice, strict=True)}
        if loss <= most_loss:
            found.append((known.base.divergence + loss, {**known.base.design, **chosen}))
    return found


def measure_knapsacks(bench: Bench, known: Sensitivity, most_loss: float) -> list[Trial]:
    """So many of these designs as the recipe says, evenly spaced in predicted divergence's log."""
    designs = additive_designs(known, most_loss)
    count = min(bench.recipe.knapsacks, len(designs))
    if not count:
        return []
    logs = np.log(np.maximum([loss for loss, _ in designs], 1e-12))
    targets = np.linspace(logs[0], logs[-1], count)
    places = sorted({int(np.abs(logs - target).argmin()) for target in targets})
    return [bench.measure(designs[place][1], ORIGIN) for place in places]
