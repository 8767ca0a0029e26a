"""The same trained networks quantised at the same widths by Brevitas and by this toolkit.

    python -m benchmarks.beside_brevitas DIR --data FOLDER --test 1,6 --out beside.csv

DIR is the results directory of a sweep over HuGaDB: its float networks are quantised, its training
recordings calibrate both tools, and the participants of `--test`, whom the sweep must not have
trained on, are scored. Both tools see `CALIBRATION_CLIPS` recordings, spread evenly, and nothing
else. Writes one CSV row a network, seed, widths and method, and prints means over seeds. Rows that
the file has already are not measured anew, so an interrupted run goes on.

Needs Brevitas: `pip install -e ".[brevitas]"`. What each method is, and how the two tools differ,
is on the page `docs/beside-brevitas.md`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.beside_methods import (
    METHODS,
    Method,
    chosen_methods,
    observed_on,
    quantised_labels,
)
from benchmarks.beside_rows import (
    FLOAT,
    Row,
    Widths,
    parse_widths,
    read_rows,
    tables,
    write_rows,
)
from dse.evaluate import CALIBRATION_CLIPS, float_file
from dse.store import Row as Topology
from dse.store import Store
from fxp.console import run
from fxp.errors import InputError
from fxp.files import check_target
from fxp.floatnet import FloatNet, load_floatnet
from fxp.spec import parse_spec
from fxp.tables import print_table
from stgcn_ref.datasets.clips import Dataset, LabelArray, split, spread
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.evaluate import predict
from stgcn_ref.folding import rebuild
from stgcn_ref.metrics import argmax_agreement
from stgcn_ref.preparation import PreparationSpec, prepare
from stgcn_ref.scoring import score_steps

DEFAULT_WIDTHS = ("8,8", "6,6", "5,5", "4,4", "8,8,12", "4,8,12")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, eq=False)
class Trained:
    """A float network of a sweep."""

    name: str
    seed: int
    key: str
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
    method: Annotated[list[str] | None, typer.Option(help="only this one; repeatable")] = None,
) -> None:
    """Quantise the networks of DIRECTORY by both tools and score them side by side."""
    check_target(out)
    version = brevitas_version()
    asked = [parse_widths(text) for text in widths]
    methods = chosen_methods(method)
    trained, participants = trained_networks(directory, network, seed)
    people = participants_of("--test", test)
    rows = read_rows(out)
    torch.set_num_threads(1)
    for one in trained:
        train, scored = recordings(one.net, data, participants, people)
        own = [row for row in rows if (row.topology, row.test) == (one.key, test)]
        done = {(row.widths, row.method) for row in own}
        for row in measured(one, (train, scored), asked, methods, test, done):
            rows = in_order([*rows, row])
            write_rows(rows, out)
            typer.echo(
                f"{row.network}, seed {row.seed}, {row.widths}, {row.method}: "
                f"{row.frame_accuracy:.2f} {row.f1_50:.2f} {row.agreement:.2f}",
                err=True,
            )
    for columns, lines in tables([row for row in rows if row.test == test]):
        print_table(columns, lines)
        typer.echo("")
    typer.echo(
        f"brevitas {version}, torch {torch.__version__}, one thread; {CALIBRATION_CLIPS} "
        f"calibration recordings of participants {', '.join(map(str, participants))}; scored: "
        f"{len(scored.clips)} recordings of {test}; rows: {out}"
    )


def in_order(rows: Sequence[Row]) -> list[Row]:
    """By network, seed, widths and method, these two as they are listed above."""
    widths = list(dict.fromkeys([FLOAT, *DEFAULT_WIDTHS, *(row.widths for row in rows)]))
    methods = [FLOAT, *(method.name for method in METHODS), *(row.method for row in rows)]

    def place(row: Row) -> tuple[str, int, int, int]:
        return row.network, row.seed, widths.index(row.widths), methods.index(row.method)

    return sorted(rows, key=place)


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
    found = [_named(row) for row in rows]
    there = sorted(one for one in found if float_file(directory, one[2], "weights").is_file())
    for option, wanted, have in (
        ("--network", names or (), {name for name, _, _ in there}),
        ("--seed", map(str, seeds or ()), {str(seed) for _, seed, _ in there}),
    ):
        for missing in sorted({*wanted} - have):
            raise InputError(
                f"{option} {missing}: not among the trained networks of {directory} "
                f"({', '.join(sorted(have))})"
            )
    kept = [
        Trained(name, seed, key, load_floatnet(float_file(directory, key, "weights")))
        for name, seed, key in there
        if name in (names or [name]) and seed in (seeds or [seed])
    ]
    if not kept:
        raise InputError(f"{directory}: holds no such trained network yet")
    return kept, tuple(about["train"]["participants"])


def _named(row: Topology) -> tuple[str, int, str]:
    return str(row.params.get("model", row.params.get("plan"))), int(row.params["seed"]), row.key


def participants_of(option: str, text: str) -> tuple[int, ...]:
    """The numbers of an option as `1,6`.

    Raises:
        InputError: it holds something else.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text!r}: whole numbers with commas are needed") from None


def recordings(
    net: FloatNet, data: Path, train: Sequence[int], test: Sequence[int]
) -> tuple[Dataset, Dataset]:
    """Training and test recordings, prepared as the network's were."""
    steps = parse_spec(PreparationSpec, net.meta.get("preparation"), "preparation of the network")
    return split(prepare(load_hugadb(data, "v2", {*train, *test}), steps), train, test)


def measured(
    one: Trained,
    data: tuple[Dataset, Dataset],
    asked: Sequence[Widths],
    methods: Sequence[Method],
    test: str,
    done: Container[tuple[str, str]],
) -> Iterator[Row]:
    """The float network, then every method at every width, but for what is done."""
    train, scored = data
    wanted = predict(rebuild(one.net), scored)
    clips = spread(train.clips, CALIBRATION_CLIPS)
    observed_on(one.net, clips[:1])  # kernels are compiled once, which is no method's time

    def row(widths: str, method: str, labels: list[LabelArray], seconds: float) -> Row:
        scores = score_steps(scored, labels)
        found = float(scores.frame_accuracy), float(scores.f1_50), argmax_agreement(labels, wanted)
        return Row(one.name, one.seed, one.key, test, widths, method, *found, seconds)

    if (FLOAT, FLOAT) not in done:
        yield row(FLOAT, FLOAT, wanted, 0.0)
    for widths in asked:
        for method in methods:
            if (str(widths), method.name) not in done:
                found = quantised_labels(one.net, method, widths, clips, scored)
                yield row(str(widths), method.name, *found)


if __name__ == "__main__":
    run(app)
