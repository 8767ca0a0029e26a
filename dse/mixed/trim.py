"""Trimming by a margin: narrow what saves most for what it loses, until the margin breaks.

After Ristretto (Gysel et al. 2016), which narrows one kind of words at a time; here it is one part,
by one width. Each step is measured where it is taken. A part's gain is measured again only while
its last one, from an earlier step, is still the best there is: gains fall more often than they
rise, so a few measurements a step find nearly always what all of them would.
"""

from __future__ import annotations

from dse.mixed.bench import Bench, Trial, moved
from dse.mixed.sensitivity import Sensitivity
from dse.mixed.widths import Part, allowed, changed

ORIGIN = "trim"
LEAST_LOSS = 0.01  # of the widest design's divergence: smaller differences are chance


def trim(bench: Bench, known: Sensitivity) -> list[Trial]:
    """The way down from the widest design, its end the last one within `recipe.beyond` budgets."""
    least = max(LEAST_LOSS * known.base.divergence, 1e-12)
    gains: dict[Part, float] = {}
    for part in known.counting():
        width = moved(known.base, part, allowed(bench.recipe, part.kind), -1)
        if width is not None:
            gains[part] = _gain(known.base, known.trials[part][width], least)
    now = known.base
    way = [now]
    while (step := _step(bench, now, gains, least)) is not None:
        now = step
        way.append(now)
    return way


def _step(bench: Bench, now: Trial, gains: dict[Part, float], least: float) -> Trial | None:
    """The best narrowing by one, measured; parts that cannot be narrowed leave `gains`."""
    best: tuple[float, Part, Trial] | None = None
    measured: set[Part] = set()
    while waiting := [part for part in gains if part not in measured]:
        part = max(waiting, key=lambda p: gains[p])
        if best is not None and best[0] >= gains[part]:
            break
        measured.add(part)
        width = moved(now, part, allowed(bench.recipe, part.kind), -1)
        trial = None
        if width is not None:
            trial = bench.measure(changed(now.design, (part, width)), ORIGIN)
        if trial is None or trial.cost >= now.cost or bench.excess(trial) > bench.recipe.beyond:
            del gains[part]
            continue
        gains[part] = _gain(now, trial, least)
        if best is None or gains[part] > best[0]:
            best = (gains[part], part, trial)
    return None if best is None else best[2]


def _gain(before: Trial, after: Trial, least: float) -> float:
    """Cost saved over divergence added."""
    if after.refused:
        return 0.0
    return (before.cost - after.cost) / max(after.divergence - before.divergence, least)
