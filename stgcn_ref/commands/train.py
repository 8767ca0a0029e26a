"""`python -m stgcn_ref train`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from fxp.errors import InputError
from fxp.files import check_target, replacing
from fxp.spec import ArchSpec
from stgcn_ref.commands.options import DataSettings, kind_of
from stgcn_ref.commands.progress import watching
from stgcn_ref.commands.settings import Integer, Participants, Positional
from stgcn_ref.features import FeatureSpec
from stgcn_ref.preparation import PreparationSpec
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.recordings import TRAIN, VALID, Reading, read_sides
from stgcn_ref.scoring import check_fit


class TrainSettings(DataSettings):
    """Options of `train`."""

    arch: Annotated[ArchSpec, Positional("ARCH.yaml")] = Field(description="The network.")
    out: Path = Field(description="File of the checkpoint.")
    train: Participants | None = Field(
        None,
        description="Participants to train on, as `1,5,6`. "
        f"Default of HuGaDB and the synthetic set: {', '.join(map(str, sorted(TRAIN)))}.",
    )
    valid: Participants | None = Field(
        None,
        description="Participants that choose the best epoch, as `8,10`. "
        f"Default of those: {', '.join(map(str, sorted(VALID)))}.",
    )
    recipe: TrainRecipe = Field(TrainRecipe(), description="How to train.")
    preparation: PreparationSpec = Field(PreparationSpec(), description="Steps before the input.")
    features: FeatureSpec | None = Field(None, description="Differences in place of positions.")
    seed: Annotated[Integer, Field(ge=0, le=2**63 - 1)] = Field(
        0, description="Of weights, sampling and dropout."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train: auto is a CUDA device where there is one."
    )
    cache: Path | None = Field(
        None, description="Folder of trained checkpoints. Default: `cache` beside OUT."
    )


def train(given: TrainSettings) -> None:
    """Train a network, or take it from the cache; an interrupted training is resumed."""
    how = Reading(
        given.preparation,
        given.features,
        given.reader.model_extra or {},
        labels=given.labels,
        actions=given.arch.family == "stgcn",
    )
    sides = read_sides(given.data, how, given.train, given.valid, given.split)
    train_set, valid_set = sides

    from stgcn_ref.checkpoints import read_header, train_cached

    check_fit(given.arch, train_set)
    room = given.cache or given.out.parent / "cache"
    _make_rooms(given.out, room)
    with watching(given.recipe.epochs) as watch:
        path = train_cached(given.arch, train_set, valid_set, given.recipe, given.seed, room, watch)
    with replacing(given.out) as temporary:
        shutil.copyfile(path, temporary)
    about = read_header(given.out)[1]
    typer.echo(f"data {kind_of(train_set)}, valid on {_valid_text(given)}")
    typer.echo(f"epoch {about['epoch'] + 1} of {len(about['history'])}")
    for name, value in about["scores"].items():
        typer.echo(f"{name} {value:.2f}")
    typer.echo(f"checkpoint {given.out}")


def _valid_text(given: TrainSettings) -> str:
    if given.split is not None:
        return f"the other side of {given.split}"
    return f"participants {','.join(map(str, sorted(given.valid or VALID)))}"


def _make_rooms(out: Path, cache: Path) -> None:
    """Make the folders of a training, so that it does not fail at its end."""
    for folder in (cache, out.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    check_target(out)
