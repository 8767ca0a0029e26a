"""Float networks of a sweep quantised by several files of widths, beside each other.

    python -m benchmarks.beside_choices DIR --data FOLDER --score 10 --quant a.yaml --quant b.yaml

DIR is the results directory of a sweep over HuGaDB. Its training recordings calibrate, and judge
where a repair is to be chosen, as in a sweep; the participants of `--score` are scored. Prints a
line for every network, seed and file as soon as it is measured: divergence from the float network
in 0.001 nats a step, agreement with its labels, frame accuracy and F1@50 in percent, and what was
chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.beside_brevitas import Trained, participants_of, recordings, trained_networks
from dse.evaluate import CALIBRATION_CLIPS
from fxp.cast import FloatArray
from fxp.console import run
from fxp.errors import InputError
from fxp.ir import Graph, IntArray
from fxp.ptq.quantise import quantise
from fxp.ptq.reference import real_values, reference
from fxp.ptq.search import LOGITS, divergence_of
from fxp.spec import QuantSpec, load_spec
from stgcn_ref.datasets.clips import Clip, Dataset, spread
from stgcn_ref.judge import label_judge, others
from stgcn_ref.metrics import argmax_agreement
from stgcn_ref.scoring import predict_integers, score_steps

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, eq=False)
class Measured:
    """One network quantised one way: `divergence` in nats a step, the others in percent."""

    divergence: float
    agreement: float
    frame_accuracy: float
    f1_50: float
    chosen: str = ""

    def __str__(self) -> str:
        """As a line has it."""
        scores = f"{self.agreement:6.2f} {self.frame_accuracy:6.2f} {self.f1_50:6.2f}"
        return f"{1000 * self.divergence:8.2f} {scores} {self.chosen}".rstrip()


@app.command()
def main(
    directory: Annotated[Path, typer.Argument(help="results directory of a sweep")],
    data: Annotated[Path, typer.Option(help="folder of the HuGaDB recordings")],
    score: Annotated[str, typer.Option(help="participants that are scored, as `10`")],
    quant: Annotated[list[Path], typer.Option(help="file of widths; repeatable")],
    network: Annotated[list[str] | None, typer.Option(help="only this one; repeatable")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="only this one; repeatable")] = None,
) -> None:
    """Quantise the networks of DIRECTORY by every file and score them."""
    specs = {path.stem: load_spec(QuantSpec, path) for path in quant}
    if len(specs) < len(quant):
        raise InputError("--quant: two files of one name")
    trained, participants = trained_networks(directory, network, seed)
    people = participants_of("--score", score)
    for one in trained:
        sides = recordings(one.net, data, participants, people)
        for name, found in measured(one, *sides, specs):
            typer.echo(f"{one.name}, seed {one.seed}, {name}: {found}")


def measured(
    one: Trained, train: Dataset, scored: Dataset, specs: dict[str, QuantSpec]
) -> Iterator[tuple[str, Measured]]:
    """What each file of widths makes of a network, by its name."""
    clips = spread(train.clips, CALIBRATION_CLIPS)
    words = _words(scored.clips)
    wanted: dict[int, list[FloatArray]] = {}
    for name, spec in specs.items():
        bits = spec.input_bits
        if bits not in wanted:
            wide = real_values(reference(one.net, bits), words, [LOGITS])
            wanted[bits] = [values[LOGITS][:, :, 0] for values in wide]
        judge = None
        if spec.repair.choose:
            judge = label_judge(one.net, bits, others(train.clips, clips))
        graph = quantise(one.net, spec, _words(clips), judge=judge)
        yield name, _scores(graph, scored, words, wanted[bits])


def _scores(
    graph: Graph, scored: Dataset, words: Sequence[IntArray], wanted: Sequence[FloatArray]
) -> Measured:
    labels = predict_integers(graph, scored)
    scores = score_steps(scored, labels)
    return Measured(
        divergence_of(graph, words, wanted),
        argmax_agreement(labels, [logits.argmax(axis=1) for logits in wanted]),
        float(scores.frame_accuracy),
        float(scores.f1_50),
        _chosen(graph.meta.get("choice")),
    )


def _chosen(choice: Any) -> str:
    """The name of the best candidate: the first of the least loss."""
    return "" if choice is None else str(min(choice["losses"], key=choice["losses"].get))


def _words(clips: Sequence[Clip]) -> list[IntArray]:
    return [clip.x.astype(np.int64) for clip in clips]


if __name__ == "__main__":
    run(app)
