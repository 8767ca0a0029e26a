"""All steps of a choice of widths, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dse.mixed.bench import Bench, Trial, cheapest, front
from dse.mixed.knapsack import measure_knapsacks
from dse.mixed.search import search
from dse.mixed.sensitivity import Sensitivity, measure_sensitivity
from dse.mixed.trim import trim
from dse.mixed.widths import Part, uniform_designs
from fxp.errors import InputError


@dataclass(frozen=True, eq=False)
class Choice:
    """What was found.

    `uniform` are all uniform designs, `trimmed` the way down of trimming; `uniform_front` and
    `mixed_front` what none of their kind beats (every uniform design is a mixed one too), within
    `recipe.beyond` budgets. `best` and `best_uniform` are the cheapest within the budget.
    """

    sensitivity: Sensitivity
    uniform: Sequence[Trial]
    trimmed: Sequence[Trial]
    uniform_front: Sequence[Trial]
    mixed_front: Sequence[Trial]
    best: Trial | None
    best_uniform: Trial | None


@dataclass(frozen=True)
class Saving:
    """A uniform design and the cheapest mixed one that diverges no more: percent of cost saved."""

    uniform: Trial
    mixed: Trial
    percent: float


def choose(bench: Bench, parts: Sequence[Part]) -> Choice:
    """Measure single changes, uniform designs, the trimmed, the additive and the searched ones.

    Raises:
        InputError: the widest design cannot be built, or no width saves any of the cost.
    """
    known = measure_sensitivity(bench, parts)
    if known.base.refused:
        raise InputError(f"the widest design cannot be built: {known.base.refused}")
    if not known.counting():
        names = ", ".join(bench.recipe.cost)
        raise InputError(f"key `cost`: no width of any layer saves {names}")
    designs = uniform_designs(parts, bench.recipe, known.counting_kinds())
    uniform = [bench.measure(design, "uniform") for design in designs]
    trimmed = trim(bench, known)
    most = max((t.divergence for t in bench.looked_at()), default=known.base.divergence)
    measure_knapsacks(bench, known, max(most - known.base.divergence, 0.0))
    search(bench, known)
    return _choice(bench, known, uniform, trimmed)


def _choice(
    bench: Bench, known: Sensitivity, uniform: Sequence[Trial], trimmed: Sequence[Trial]
) -> Choice:
    within = [t for t in bench.trials.values() if bench.excess(t) <= 1]
    own = {trial.key for trial in uniform}
    seen = bench.looked_at()
    infinity = float("inf")
    return Choice(
        known,
        uniform,
        trimmed,
        front([trial for trial in seen if trial.key in own]),
        front(seen),
        cheapest(within, infinity),
        cheapest([trial for trial in within if trial.key in own], infinity),
    )


def savings(choice: Choice) -> list[Saving]:
    """What mixed widths save beside each uniform design of the front, at its divergence."""
    found = []
    for uniform in choice.uniform_front:
        mixed = cheapest(choice.mixed_front, uniform.divergence)
        assert mixed is not None  # the uniform design is one of those compared
        found.append(Saving(uniform, mixed, 100 * (1 - mixed.cost / uniform.cost)))
    return found
