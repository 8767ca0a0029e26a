"""`python -m stgcn_ref qat`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field

from fxp.calibrate import calibrate
from fxp.errors import InputError
from fxp.files import check_target
from fxp.ir import Graph
from fxp.lower import lower
from fxp.ranges import certify
from fxp.spec import QuantSpec, Repair
from fxp.store import save_graph
from fxp.tables import print_table
from stgcn_ref.commands.export import origin
from stgcn_ref.commands.options import (
    DataSettings,
    NetworkFile,
    NetworkFileSettings,
    kind_of,
)
from stgcn_ref.commands.progress import watching
from stgcn_ref.commands.settings import Count, Integer, Participants
from stgcn_ref.datasets.clips import Dataset, spread
from stgcn_ref.networks import Opened
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.recordings import read_sides

if TYPE_CHECKING:  # torch takes seconds to load
    from stgcn_ref.qat.session import Outcome


class QatSettings(DataSettings, NetworkFileSettings):
    """Options of `qat`."""

    network: NetworkFile = Field(description="A trained or published float network.")
    out: Path = Field(description="Model file of the integer network.")
    quant: QuantSpec = Field(description="Widths and calibration.")
    train: Participants | None = Field(
        None, description="Participants to calibrate and train on, as `1,5,6`."
    )
    valid: Participants | None = Field(
        None, description="Participants that the networks are scored on, as `8,10`."
    )
    recipe: QatRecipe = Field(QatRecipe(), description="How to search and train.")
    seed: Annotated[Integer, Field(ge=0, le=2**63 - 1)] = Field(
        0, description="Of sampling and augmentation."
    )
    clips: Count = Field(16, description="Recordings to calibrate on, spread evenly.")


def qat(given: QatSettings) -> None:
    """Train the integer network itself; an interrupted training is resumed.

    Calibrated and repaired as by `export`, then its numbers are trained. The table compares it with
    the float network on the recordings of --valid.
    """
    check_target(given.out)
    opened = given.opened()
    if isinstance(opened.net, Graph):
        raise InputError(f"{given.network}: an integer network already")
    train_set, valid_set = _sides(given, opened)
    calibration = spread(train_set.clips, given.clips)

    from stgcn_ref.export import export
    from stgcn_ref.qat.session import compare, quantise

    about = origin(given.network, opened, train_set)
    net = export(opened.net, opened.arch, calibration, about, given.quant.fold)
    partial = given.out.with_name(given.out.name + ".partial")
    with watching(given.recipe.epochs) as watch:
        found = quantise(
            net,
            given.quant,
            train_set,
            valid_set,
            calibration,
            given.recipe,
            given.seed,
            partial,
            given.network.stem,
            watch,
        )
    widths = certify(found.graph)
    save_graph(found.graph, given.out)
    typer.echo(f"trained on {kind_of(train_set)}, scored on {len(valid_set.clips)} recordings")
    plain = given.quant.model_copy(update={"calibrator": "mse", "repair": Repair()})
    stages = {"calibrated": lower(net, calibrate(net, plain))}
    searched = given.recipe.search_sweeps or given.recipe.search_streams
    if given.quant != plain or searched:
        stages["repaired"] = lower(found.beginning.prepared.net, found.beginning.prepared.formats)
    stages["trained"] = found.graph
    rows = [_row(outcome) for outcome in compare(net, stages, valid_set)]
    print_table(("network", "frame_accuracy", "f1_50", "edit", "agreement"), rows)
    typer.echo(f"accumulators {max(widths.values())} bits")
    typer.echo(f"network {given.out}")


def _row(outcome: Outcome) -> tuple[str, ...]:
    scores = outcome.scores
    shown = (scores.frame_accuracy, scores.f1_50, scores.edit, outcome.agreement)
    return (outcome.name, *(f"{value:.2f}" for value in shown))


def _sides(given: QatSettings, opened: Opened) -> tuple[Dataset, Dataset]:
    """Training and validation recordings as the network reads them."""
    how = replace(opened.reading(), reader=given.reader.model_extra or {}, labels=given.labels)
    train_set, valid_set = read_sides(given.data, how, given.train, given.valid, given.split)
    if not isinstance(train_set, Dataset) or not isinstance(valid_set, Dataset):
        raise InputError(
            f"data set {train_set.name}: single actions, and long recordings are needed"
        )
    return opened.fitted(train_set), opened.fitted(valid_set)
