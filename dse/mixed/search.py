"""The measured search around the best designs found so far, led by the additive model.

A round looks at every design on the front and at its neighbours: one part narrower or wider by one
width, or one narrower and another one wider. The additive model, brought to the scale of what was
measured of that design, predicts what they cost and lose; those that promise to push the front
furthest are measured, at most `PER_DESIGN` of one design's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dse.mixed.bench import Bench, Trial, front, key_of, moved
from dse.mixed.sensitivity import Sensitivity
from dse.mixed.widths import Design, Part, allowed, changed

ORIGIN = "search"
PER_ROUND = 8
PER_DESIGN = 2
SCALES = (0.25, 4.0)  # how far a design's loss may be from the additive one's to be believed


@dataclass(frozen=True)
class Proposal:
    """A design not measured yet: what it is predicted to bring, and the key it came from."""

    gain: float
    source: str
    key: str
    design: Design


def search(bench: Bench, known: Sensitivity) -> None:
    """Measure `recipe.evaluations` neighbours of the front, or fewer where there are no more."""
    left = bench.recipe.evaluations
    while left:
        best = front(bench.looked_at())
        proposals = [p for trial in best for p in _proposals(bench, known, trial, best)]
        chosen = _chosen(proposals, min(PER_ROUND, left))
        if not chosen:
            return
        for proposal in chosen:
            bench.measure(proposal.design, ORIGIN)
        left -= len(chosen)


def _chosen(proposals: Sequence[Proposal], count: int) -> list[Proposal]:
    """The most promising, each design once, few of one source."""
    found: dict[str, Proposal] = {}
    used: dict[str, int] = {}
    for proposal in sorted(proposals, key=lambda p: (-p.gain, p.key)):
        if len(found) == count:
            break
        if proposal.key not in found and used.get(proposal.source, 0) < PER_DESIGN:
            found[proposal.key] = proposal
            used[proposal.source] = used.get(proposal.source, 0) + 1
    return list(found.values())


def _proposals(
    bench: Bench, known: Sensitivity, trial: Trial, best: Sequence[Trial]
) -> Iterator[Proposal]:
    """Neighbours of one design that were not measured."""
    parts = known.counting()
    scale = _scale(known, trial, parts)
    for moves in _moves(bench, trial, parts):
        design = changed(trial.design, *moves)
        key = key_of(design)
        if key in bench.trials or any(known.trials[part][w].refused for part, w in moves):
            continue
        cost, loss = trial.cost, trial.divergence
        for part, width in moves:
            cost += known.cost(part, width) - known.cost(part, trial.design[part])
            loss += scale * (known.loss(part, width) - known.loss(part, trial.design[part]))
        loss = max(loss, known.base.divergence / 2)
        beaten = [other.divergence for other in best if other.cost <= cost]
        # cheaper than all: worth as much as it is cheaper
        gain = math.log(min(beaten) / loss) if beaten else math.log(best[0].cost / max(cost, 1e-9))
        yield Proposal(gain, trial.key, key, design)


def _moves(
    bench: Bench, trial: Trial, parts: Sequence[Part]
) -> Iterator[tuple[tuple[Part, int], ...]]:
    """One down, one up, or one of each."""
    steps = {
        step: [
            (part, width)
            for part in parts
            if (width := moved(trial, part, allowed(bench.recipe, part.kind), step)) is not None
        ]
        for step in (-1, 1)
    }
    for move in (*steps[-1], *steps[1]):
        yield (move,)
    for down in steps[-1]:
        yield from ((down, up) for up in steps[1] if up[0] != down[0])


def _scale(known: Sensitivity, trial: Trial, parts: Sequence[Part]) -> float:
    """Loss measured of a design over the sum of its parts' own."""
    added = sum(max(known.loss(part, trial.design[part]), 0.0) for part in parts)
    if added <= 0:
        return 1.0
    scale = (trial.divergence - known.base.divergence) / added
    return min(max(scale, SCALES[0]), SCALES[1])
