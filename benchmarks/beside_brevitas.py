"""The same trained networks quantised at the same widths by Brevitas and by this toolkit.

    python -m benchmarks.beside_brevitas DIR --data FOLDER --test 1,6 --out beside.csv

DIR is the results directory of a sweep over HuGaDB: its float networks are quantised, its training
recordings calibrate both tools, and the participants of `--test`, whom the sweep must not have
trained on, are scored. Both tools see `CALIBRATION_CLIPS` recordings, spread evenly, and nothing
else. Writes one CSV row a network, seed, widths and method, and prints means over seeds.

Needs Brevitas: `pip install -e ".[brevitas]"`. What each method is, and how the two tools differ,
is on the page `docs/beside-brevitas.md`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer

from benchmarks.beside_rows import FLOAT, Row, Widths, parse_widths, tables, write_rows
from dse.evaluate import CALIBRATION_CLIPS, float_file
from dse.store import Store
from fxp.console import run
from fxp.errors import InputError
from fxp.files import check_target
from fxp.floatnet import FloatNet, load_floatnet
from fxp.ptq.quantise import quantise
from fxp.ptq.reference import observe, reference
from fxp.spec import QuantSpec, Repair, parse_spec
from fxp.tables import print_table
from stgcn_ref.datasets.clips import Clip, Dataset, LabelArray, split, spread
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.evaluate import predict
from stgcn_ref.folding import rebuild
from stgcn_ref.metrics import argmax_agreement
from stgcn_ref.preparation import PreparationSpec, prepare
from stgcn_ref.scoring import predict_integers, score_steps

DEFAULT_WIDTHS = ("8,8", "6,6", "5,5", "4,4", "8,8,12", "4,8,12")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Method:
    """One way to quantise: the tool, how it finds scales, and whether GPTQ and biases follow."""

    tool: Literal["brevitas", "toolkit"]
    ranges: Literal["stats", "mse"]
    repair: bool

    @property
    def name(self) -> str:
        """As tables show it."""
        first = "percentile" if self.tool == "brevitas" else "max"
        return " ".join(
            [self.tool, first if self.ranges == "stats" else "mse"] + ["+ gptq, bias"] * self.repair
        )


METHODS = tuple(
    Method(tool, ranges, repair)
    for ranges in ("stats", "mse")
    for repair in (False, True)
    for tool in ("brevitas", "toolkit")
)


@dataclass(frozen=True, eq=False)
class Trained:
    """A float network of a sweep."""

    name: str
    seed: int
    net: FloatNet


@app.command()
def main(
    directory: Annotated[Path, typer.Argument(help="results directory of a sweep")],
    data: Annotated[Path, typer.Option(help="folder of the HuGaDB recordings")],
    test: Annotated[str, typer.Option(help="participants that are scored, as `1,6`")],
    out: Annotated[Path, typer.Option(help="CSV file of all rows")],
    widths: Annotated[
        list[str], typer.Option(help="bits: weights,operands[,streams]; repeatable")
    ] = list(DEFAULT_WIDTHS),  # noqa: B006  (typer copies it)
    network: Annotated[list[str] | None, typer.Option(help="only this one; repeatable")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="only this one; repeatable")] = None,
    unsigned_relu: Annotated[
        bool, typer.Option("--unsigned-relu", help="no sign bit behind a ReLU, in both tools")
    ] = False,
) -> None:
    """Quantise the networks of DIRECTORY by both tools and score them side by side."""
    check_target(out)
    version = brevitas_version()
    asked = [parse_widths(text) for text in widths]
    trained, participants = trained_networks(directory, network, seed)
    people = _participants(test)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for one in trained:
        train, scored = _recordings(one.net, data, participants, people)
        for row in _rows(one, train, scored, asked, unsigned_relu):
            rows.append(row)
            typer.echo(
                f"{row.network}, seed {row.seed}, {row.widths}, {row.method}: "
                f"{row.frame_accuracy:.2f} {row.f1_50:.2f} {row.agreement:.2f}",
                err=True,
            )
        write_rows(rows, out)
    for columns, lines in tables(rows):
        print_table(columns, lines)
        typer.echo("")
    typer.echo(
        f"brevitas {version}, torch {torch.__version__}, one thread; {CALIBRATION_CLIPS} "
        f"calibration recordings of participants {', '.join(map(str, participants))}; scored: "
        f"{len(scored.clips)} recordings of {test}; rows: {out}"
    )


def brevitas_version() -> str:
    """The installed version.

    Raises:
        InputError: there is none.
    """
    try:
        import brevitas
    except ImportError:
        raise InputError(
            'Brevitas is not installed: `pip install -e ".[brevitas]"` (best in an environment '
            "of its own)"
        ) from None
    return str(brevitas.__version__)


def trained_networks(
    directory: Path, names: Sequence[str] | None, seeds: Sequence[int] | None
) -> tuple[list[Trained], tuple[int, ...]]:
    """The trained float networks of a sweep, by name and seed, and the participants they saw.

    Raises:
        InputError: no sweep over recordings, or no such network in it.
    """
    with Store(directory) as store:
        about, rows = store.meta().get("data"), store.rows("topologies").values()
    if about is None or about["name"] != "hugadb":
        raise InputError(f"{directory}: a sweep over HuGaDB recordings is needed")
    found = [_named(row.params, float_file(directory, row.key, "weights")) for row in rows]
    there = sorted((name, seed, path) for name, seed, path in found if path.is_file())
    for option, wanted, have in (
        ("--network", names, {name for name, _, _ in there}),
        ("--seed", seeds, {seed for _, seed, _ in there}),
    ):
        for missing in sorted(set(wanted or ()) - have):  # type: ignore[type-var]
            raise InputError(
                f"{option} {missing}: not among the trained networks of {directory} "
                f"({', '.join(map(str, sorted(have)))})"  # type: ignore[type-var]
            )
    kept = [
        Trained(name, seed, load_floatnet(path))
        for name, seed, path in there
        if name in (names or [name]) and seed in (seeds or [seed])
    ]
    if not kept:
        raise InputError(f"{directory}: holds no such trained network yet")
    return kept, tuple(about["train"]["participants"])


def _named(params: Any, path: Path) -> tuple[str, int, Path]:
    return str(params.get("model", params.get("plan"))), int(params["seed"] or 0), path


def _participants(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--test {text!r}: whole numbers with commas are needed") from None


def _recordings(
    net: FloatNet, data: Path, train: Sequence[int], test: Sequence[int]
) -> tuple[Dataset, Dataset]:
    """Training and test recordings, prepared as the network's were."""
    steps = parse_spec(PreparationSpec, net.meta.get("preparation"), "preparation of the network")
    return split(prepare(load_hugadb(data, "v2", {*train, *test}), steps), train, test)


def _rows(
    one: Trained, train: Dataset, test: Dataset, asked: Sequence[Widths], unsigned_relu: bool
) -> Iterator[Row]:
    """The float network, then every method at every width."""
    wanted = predict(rebuild(one.net), test)
    yield _row(one, test, FLOAT, FLOAT, wanted, wanted, 0.0)
    clips = spread(train.clips, CALIBRATION_CLIPS)
    observed_on(one.net, clips[:1])  # kernels are compiled once, which is no method's time
    for widths in asked:
        for method in METHODS:
            by = by_brevitas if method.tool == "brevitas" else by_toolkit
            labels, seconds = by(one.net, method, widths.spec(unsigned_relu), clips, test)
            yield _row(one, test, str(widths), method.name, labels, wanted, seconds)


def _row(
    one: Trained,
    test: Dataset,
    widths: str,
    method: str,
    labels: list[LabelArray],
    wanted: list[LabelArray],
    seconds: float,
) -> Row:
    scores = score_steps(test, labels)
    agreement = argmax_agreement(labels, wanted)
    found = float(scores.frame_accuracy), float(scores.f1_50), agreement
    return Row(one.name, one.seed, widths, method, *found, seconds)


def observed_on(net: FloatNet, clips: Sequence[Clip]) -> FloatNet:
    """`net` with the ranges of these clips alone: an export observes all training recordings."""
    words = [clip.x.astype(np.int64) for clip in clips]
    return replace(net, observations=observe(net, reference(net, QuantSpec().input_bits), words))


def by_toolkit(
    net: FloatNet, method: Method, quant: QuantSpec, clips: Sequence[Clip], test: Dataset
) -> tuple[list[LabelArray], float]:
    """Labels of this toolkit's integer network, and the seconds that quantising took."""
    how = {
        "calibrator": "max" if method.ranges == "stats" else "mse",
        "repair": Repair(rounding="gptq", bias=True) if method.repair else Repair(),
    }
    words = [clip.x.astype(np.int64) for clip in clips]
    start = time.perf_counter()
    graph = quantise(observed_on(net, clips), quant.model_copy(update=how), words)
    seconds = time.perf_counter() - start
    return predict_integers(graph, test), seconds


def by_brevitas(
    net: FloatNet, method: Method, quant: QuantSpec, clips: Sequence[Clip], test: Dataset
) -> tuple[list[LabelArray], float]:
    """Labels of the network as Brevitas quantises it, and the seconds that quantising took."""
    from benchmarks.brevitas_ptq import quantised

    start = time.perf_counter()
    model = quantised(net, quant, [clip.x for clip in clips], method.ranges, method.repair)
    seconds = time.perf_counter() - start
    return predict(model, test), seconds  # type: ignore[arg-type]  # it has what a Net is asked


if __name__ == "__main__":
    run(app)
