"""Trimming, knapsack and search on benches whose losses and costs are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from dse.mixed.bench import Trial, cheapest, front, key_of
from dse.mixed.choose import choose, savings
from dse.mixed.knapsack import additive_designs, best_choices
from dse.mixed.recipe import MixRecipe
from dse.mixed.sensitivity import measure_sensitivity, spearman
from dse.mixed.trim import LEAST_LOSS, trim
from dse.mixed.widths import Design, Part
from fxp.errors import InputError

PARTS = tuple(Part(f"block{i}", "weights") for i in range(4))
SIZES = dict(zip(PARTS, (1, 2, 4, 8), strict=True))
HARM = dict(zip(PARTS, (1.0, 0.02, 0.3, 0.05), strict=True))


@dataclass
class Known:
    """A bench of a formula: each part adds `harm * 4**-bits`, all together a little more."""

    recipe: MixRecipe
    refuses: Any = None
    trials: dict[str, Trial] = field(default_factory=dict)
    measured: list[Design] = field(default_factory=list)

    def measure(self, design: Design, origin: str) -> Trial:
        key = key_of(design)
        if key not in self.trials:
            self.measured.append(design)
            cost = sum(SIZES[p] * w for p, w in design.items()) / (8 * sum(SIZES.values()))
            loss = sum(HARM[p] * 4.0**-w for p, w in design.items()) ** 1.1
            trial = Trial(key, origin, design, cost, loss, 100 - loss, {})
            if self.refuses is not None and self.refuses(design):
                trial = Trial(key, origin, design, np.inf, np.inf, 0.0, {}, "no")
            self.trials[key] = trial
        return self.trials[key]

    def excess(self, trial: Trial) -> float:
        return trial.divergence / self.recipe.budget.divergence

    def looked_at(self) -> list[Trial]:
        return [t for t in self.trials.values() if self.excess(t) <= self.recipe.beyond]


def bench(budget: float = 2e-3, **keys: Any) -> Known:
    given = {"budget": {"divergence": budget}, "weights": [2, 3, 4, 5, 6, 8], **keys}
    return Known(MixRecipe.model_validate({"beyond": 2.0, **given}))


def exhaustive(one: Known) -> list[Trial]:
    other = bench()
    for widths in product(one.recipe.weights, repeat=len(PARTS)):
        other.measure(dict(zip(PARTS, widths, strict=True)), "all")
    return list(other.trials.values())


def test_every_change_is_measured_alone() -> None:
    one = bench()
    known = measure_sensitivity(one, PARTS)
    assert len(one.trials) == 1 + len(PARTS) * 5
    for part, width in known.changes():
        others = [p for p in PARTS if p != part]
        assert all(known.trials[part][width].design[p] == 8 for p in others)
        assert known.cost(part, width) == pytest.approx(SIZES[part] * (width - 8) / 120)
    assert known.counting() == PARTS and known.counting_kinds() == {"weights"}


def test_trimming_goes_down_step_by_step_and_keeps_to_the_margin() -> None:
    one = bench()
    way = trim(one, measure_sensitivity(one, PARTS))
    for before, after in pairwise(way):
        moves = [p for p in PARTS if before.design[p] != after.design[p]]
        widths = one.recipe.weights
        assert len(moves) == 1
        places = [widths.index(trial.design[moves[0]]) for trial in (before, after)]
        assert places[1] == places[0] - 1 and after.cost < before.cost
        assert one.excess(after) <= one.recipe.beyond
    end = way[-1]
    for part in PARTS:  # and ends where every further step breaks it
        place = one.recipe.weights.index(end.design[part])
        if place:
            narrower = {**end.design, part: one.recipe.weights[place - 1]}
            assert one.excess(one.measure(narrower, "test")) > one.recipe.beyond
    assert end.design[PARTS[1]] < end.design[PARTS[0]]


def test_trimming_takes_the_step_that_gains_most() -> None:
    """Gains fall from step to step here, so those measured last are never too low."""
    one = bench()
    known = measure_sensitivity(one, PARTS)
    least = LEAST_LOSS * known.base.divergence
    for before, after in pairwise(trim(one, known)):
        gains = {}
        for part in PARTS:
            place = one.recipe.weights.index(before.design[part])
            if place:
                narrow = {**before.design, part: one.recipe.weights[place - 1]}
                trial = one.measure(narrow, "test")
                added = max(trial.divergence - before.divergence, least)
                if one.excess(trial) <= one.recipe.beyond:
                    gains[trial.key] = (before.cost - trial.cost) / added
        assert gains[after.key] == max(gains.values())


def test_trimming_passes_over_what_cannot_be_built() -> None:
    one = bench()
    one.refuses = lambda design: design[PARTS[3]] < 5
    way = trim(one, measure_sensitivity(one, PARTS))
    assert way[-1].design[PARTS[3]] == 5 and not way[-1].refused


@pytest.mark.parametrize("seed", range(20))
def test_the_knapsack_is_that_of_trying_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = [
        [(float(c), float(rng.random())) for c in rng.choice(9, int(rng.integers(1, 5)), False)]
        for _ in range(int(rng.integers(1, 5)))
    ]
    lows = [min(c for c, _ in options) for options in items]
    span = int(sum(max(c for c, _ in o) - low for o, low in zip(items, lows, strict=True)))
    found = best_choices(items, max(span, 1))  # whole costs: a bin each, so nothing is rounded
    every = [
        (sum(c - low for (c, _), low in zip(x, lows, strict=True)), sum(loss for _, loss in x))
        for x in product(*items)
    ]
    of_found = [[options[i] for options, i in zip(items, c, strict=True)] for c in found]
    for budget in range(span + 1):
        best = min(loss for cost, loss in every if cost <= budget)
        own = min(
            sum(loss for _, loss in x)
            for x in of_found
            if sum(c - low for (c, _), low in zip(x, lows, strict=True)) <= budget
        )
        assert own == pytest.approx(best, abs=1e-12)


def test_additive_designs_stay_within_the_loss_and_start_with_the_least() -> None:
    known = measure_sensitivity(bench(), PARTS)
    designs = additive_designs(known, 1e-3)
    assert designs and designs[0][0] == pytest.approx(known.base.divergence)
    assert all(loss <= known.base.divergence + 1e-3 for loss, _ in designs)
    assert [loss for loss, _ in designs] == sorted(loss for loss, _ in designs)


def test_all_together_come_near_to_the_best_there_is() -> None:
    one = bench(evaluations=60, knapsacks=12)
    choice = choose(one, PARTS)
    assert len(one.measured) < 6**4 / 6
    best = cheapest(exhaustive(one), one.recipe.budget.divergence)
    assert choice.best is not None and best is not None
    assert choice.best.cost <= 1.02 * best.cost
    assert choice.best_uniform is not None and choice.best.cost < choice.best_uniform.cost
    for saving in savings(choice):
        assert saving.percent >= 0
        assert saving.mixed.divergence <= saving.uniform.divergence
    assert all(len(set(t.design.values())) == 1 for t in choice.uniform_front)


def test_the_search_stops_at_its_number_of_evaluations() -> None:
    few, many = bench(evaluations=5, knapsacks=0), bench(evaluations=20, knapsacks=0)
    for one in (few, many):
        choose(one, PARTS)
    searched = [sum(t.origin == "search" for t in b.trials.values()) for b in (few, many)]
    assert searched == [5, 20]


def test_the_front_drops_what_is_beaten_and_what_was_refused() -> None:
    places = [(3, 1), (2, 2), (2, 3), (1, 3), (4, 1), (np.inf, np.inf)]
    trials = [Trial(str(i), "", {}, c, d, 0, {}) for i, (c, d) in enumerate(places)]
    assert [trial.key for trial in front(trials)] == ["3", "1", "0"]


def test_nothing_to_save_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_mixed_search.SIZES", dict.fromkeys(PARTS, 0.0) | {None: 1})
    with pytest.raises(InputError, match="no width of any layer saves memory_weights_bits"):
        choose(bench(), PARTS)


def test_spearman_with_ties_and_without_spread() -> None:
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5)
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert np.isnan(spearman([1, 1], [1, 2])) and np.isnan(spearman([], []))
