"""Designs of the fronts scored on recordings that took no part in the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dse.evaluate import scores
from dse.mixed.bench import Bench, Trial
from dse.mixed.choose import Choice
from dse.mixed.inputs import words_of
from dse.rows import Row, kept
from fxp.cast import FloatArray
from fxp.ir import Graph, IntArray
from fxp.ptq.reference import real_values, reference
from fxp.ptq.search import LOGITS, divergence_of
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.metrics import argmax_agreement

# By the keys of a design's scores: what is compared, and the sign by which more of it is better.
COMPARED: Mapping[str, tuple[str, int]] = {
    "divergence": ("divergence", -1),
    "argmax_agreement": ("agreement", 1),
    "frame_accuracy": ("frame accuracy", 1),
    "f1_50": ("F1@50", 1),
}


def score_designs(
    bench: Bench,
    trials: Sequence[Trial],
    ds: Dataset,
    folder: Path,
    on_design: Callable[[], None],
) -> tuple[Row, dict[str, Row]]:
    """Scores of the float network, and of each design by its key.

    Percent, on original frames: `frame_accuracy`, `f1_50` and the like; `argmax_agreement` in
    percent of steps and `divergence` in nats a step are against the float network.
    """
    words = words_of(ds.clips)
    wanted = _logits(reference(bench.net, bench.base.input_bits), words)
    truth = [logits.argmax(axis=1) for logits in wanted]
    own = dict(scores(ds, truth))
    found = {}
    for trial in trials:

        def row(trial: Trial = trial) -> Row:
            graph = bench.graph(trial.design)
            labels = [logits.argmax(axis=1) for logits in _logits(graph, words)]
            return {
                **scores(ds, labels),
                "argmax_agreement": argmax_agreement(labels, truth),
                "divergence": divergence_of(graph, words, wanted),
            }

        found[trial.key] = kept(folder / f"{trial.key}.json", row)
        on_design()
    return own, found


def savings_on(choice: Choice, scored: Mapping[str, Mapping[str, float]]) -> dict[str, list[float]]:
    """What mixed widths save beside each uniform design of the front, by its scores.

    Args:
        choice: its fronts were scored.
        scored: scores of designs by their keys, as `score_designs` gives them.

    Returns:
        By the names of `COMPARED`, percent of cost saved by the cheapest scored design that is no
        worse; never below zero, as the uniform design itself is among those compared.
    """
    among = {trial.key: trial for trial in (*choice.uniform_front, *choice.mixed_front)}.values()
    found: dict[str, list[float]] = {}
    for key, (name, sign) in COMPARED.items():
        found[name] = []
        for uniform in choice.uniform_front:
            least = sign * scored[uniform.key][key]
            costs = [trial.cost for trial in among if sign * scored[trial.key][key] >= least]
            found[name].append(100 * (1 - min(costs) / uniform.cost))
    return found


def _logits(graph: Graph, words: Sequence[IntArray]) -> list[FloatArray]:
    return [values[LOGITS][:, :, 0] for values in real_values(graph, words, [LOGITS])]
