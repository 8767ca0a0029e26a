"""The Fisher proxy beside the measured sensitivities, and how far their ranks agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import mean

from dse.mixed.bench import Bench
from dse.mixed.inputs import words_of
from dse.mixed.sensitivity import Sensitivity, spearman
from dse.mixed.widths import KINDS, Part, spec_of
from fxp.calibrate import calibrate
from stgcn_ref.datasets.clips import Clip, spread

SAME_WIDTH = "same_width"
FEWEST = 3  # layers to rank

Guesses = Mapping[tuple[Part, int], float]


def guess(bench: Bench, known: Sensitivity, clips: tuple[Clip, ...]) -> Guesses:
    """The proxy's loss of every measured change, in nats a step; on `recipe.proxy_clips` clips."""
    from stgcn_ref.qat.fisher import fisher_losses  # torch: only where it is asked for

    changes = list(known.changes())
    base = calibrate(bench.net, spec_of(bench.base, known.base.design))
    others = [
        calibrate(bench.net, spec_of(bench.base, known.trials[part][width].design))
        for part, width in changes
    ]
    words = words_of(spread(clips, bench.recipe.proxy_clips))
    losses = fisher_losses(bench.net, base, others, words, bench.recipe.seed)
    return dict(zip(changes, losses, strict=True))


def agreement(known: Sensitivity, guesses: Guesses) -> dict[str, float | None]:
    """Spearman's rank correlation of guessed and measured losses: of all, by kind, and of layers.

    `same_width` compares layers alone: the mean over kinds and widths of the correlation among the
    layers that have them. A correlation that cannot be taken is None.
    """
    pairs = [
        (part, width, loss, known.loss(part, width)) for (part, width), loss in guesses.items()
    ]
    found = {"all": spearman([p[2] for p in pairs], [p[3] for p in pairs])}
    for kind in KINDS:
        own = [p for p in pairs if p[0].kind == kind]
        found[kind] = spearman([p[2] for p in own], [p[3] for p in own])
    groups = {(part.kind, width) for part, width, _, _ in pairs}
    each = []
    for kind, width in sorted(groups):
        own = [p for p in pairs if (p[0].kind, p[1]) == (kind, width)]
        if len(own) >= FEWEST:
            each.append(spearman([p[2] for p in own], [p[3] for p in own]))
    finite = [value for value in each if math.isfinite(value)]
    found[SAME_WIDTH] = mean(finite) if finite else math.nan
    return {name: value if math.isfinite(value) else None for name, value in found.items()}
