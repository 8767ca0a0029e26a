"""Designs of the fronts scored on recordings that took no part in the choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dse.evaluate import scores
from dse.mixed.bench import Bench, Trial
from dse.mixed.inputs import words_of
from dse.rows import Row, kept
from fxp.cast import FloatArray
from fxp.ir import Graph, IntArray
from fxp.ptq.reference import real_values, reference
from fxp.ptq.search import LOGITS, divergence_of
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.metrics import argmax_agreement


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


def _logits(graph: Graph, words: Sequence[IntArray]) -> list[FloatArray]:
    return [values[LOGITS][:, :, 0] for values in real_values(graph, words, [LOGITS])]
