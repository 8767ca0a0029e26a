"""Commands on float networks and recordings: `python -m stgcn_ref --help`."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fxp.calibrate import calibrate
from fxp.console import run as run_app
from fxp.errors import InputError
from fxp.files import replacing
from fxp.ir import Graph
from fxp.lower import lower
from fxp.ranges import certify
from fxp.spec import ArchSpec, QuantSpec, load_spec
from fxp.store import save_graph
from stgcn_ref.data_check import as_json, as_text
from stgcn_ref.data_check import check as check_folder
from stgcn_ref.datasets.clips import Dataset, select, split
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.networks import Family, Ids, Opened, open_network, standard_widths
from stgcn_ref.preparation import PreparationSpec, prepare
from stgcn_ref.profile_command import profile_command
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.scoring import check_fit, score_steps

if TYPE_CHECKING:  # torch takes seconds to load: commands that need none do not wait for it
    from stgcn_ref.checkpoints import Watch
    from stgcn_ref.train import Epoch

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Recordings.")
app.add_typer(data_app, name="data")
app.command("profile")(profile_command)

Checkpoint = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A trained network.")]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="HuGaDB recordings; without it, synthetic ones are generated."),
]
FamilyOption = Annotated[
    Family | None, typer.Option("--family", help="The file is a published checkpoint of this.")
]
SkeletonOption = Annotated[
    str | None, typer.Option("--skeleton", help="Joints of a published checkpoint.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def train(
    arch: Annotated[Path, typer.Argument(metavar="ARCH.yaml", help="The network.")],
    out: Annotated[Path, typer.Option(help="File of the checkpoint.")],
    subjects: Annotated[
        str, typer.Option("--train", help="Participants to train on, as `1,5,6`.")
    ] = "1,2,3,4,5,6",
    valid: Annotated[
        str, typer.Option("--valid", help="Participants that choose the best epoch, as `8,10`.")
    ] = "7,8",
    recipe: Annotated[Path | None, typer.Option(help="YAML of a training recipe.")] = None,
    preparation: Annotated[Path | None, typer.Option(help="YAML of a preparation.")] = None,
    data: DataFolder = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Of weights, sampling and dropout.")
    ] = 0,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of trained checkpoints (default: `cache` beside OUT)."),
    ] = None,
) -> None:
    """Train a network, or take it from the cache; an interrupted training is resumed."""
    spec = load_spec(ArchSpec, arch)
    if spec.family != "rtstgcn":
        raise InputError(f"{arch}: key `family`: only rtstgcn can be trained, got {spec.family!r}")
    how = load_spec(TrainRecipe, recipe) if recipe else TrainRecipe()
    steps = load_spec(PreparationSpec, preparation) if preparation else PreparationSpec()
    sides = _numbers("--train", subjects), _numbers("--valid", valid)
    train_set, valid_set = split(_prepared(data, steps, {*sides[0], *sides[1]}), *sides)

    from stgcn_ref.checkpoints import read_header, train_cached

    check_fit(spec, train_set)
    room = cache or out.parent / "cache"
    _make_rooms(out, room)
    with _watching(how.epochs) as watch:
        path = train_cached(spec, train_set, valid_set, how, seed, room, watch)
    with replacing(out) as temporary:
        shutil.copyfile(path, temporary)
    about = read_header(out)[1]
    kind = " (synthetic)" if train_set.synthetic else ""
    typer.echo(f"data {train_set.name}{kind}, valid on participants {valid}")
    typer.echo(f"epoch {about['epoch'] + 1} of {len(about['history'])}")
    _print_scores(about["scores"])
    typer.echo(f"checkpoint {out}")


@app.command()
def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Model file of the integer network.")],
    family: FamilyOption = None,
    skeleton: SkeletonOption = None,
    bits: Annotated[
        int | None, typer.Option(help="Width of weights and operands (default: 8).")
    ] = None,
    stream_bits: Annotated[
        int | None,
        typer.Option(
            help="Width of the residual streams, and of operands in refinements "
            "(default: --bits; MS-GCN: at least 12)."
        ),
    ] = None,
    quant: Annotated[
        Path | None, typer.Option(help="YAML of widths and calibration, in place of --bits.")
    ] = None,
    subjects: Annotated[
        str | None, typer.Option(help="Participants to calibrate on, as `1,5`; default: all.")
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Recordings to calibrate on, spread evenly over those.")
    ] = 16,
    data: DataFolder = None,
) -> None:
    """Fold the norms, calibrate on recordings, and write the integer network."""
    opened = open_network(checkpoint, family, skeleton)
    if isinstance(opened.net, Graph):
        raise InputError(f"{checkpoint}: an integer network already")
    spec = _quant(opened, bits, stream_bits, quant)
    ds = _data_of(opened, data, subjects)
    chosen = [ds.clips[i * len(ds.clips) // clips] for i in range(clips)]

    from stgcn_ref.export import export as export_floats

    about = {
        "checkpoint": checkpoint.name,
        "data": ds.name,
        "synthetic": ds.synthetic,
        "classes": list(ds.classes),
        "ids": opened.ids,
        "preparation": opened.preparation.model_dump(mode="json"),
    }
    calibration = tuple({clip.name: clip for clip in chosen}.values())
    net = export_floats(opened.net, opened.arch, calibration, about, spec.fold)
    graph = lower(net, calibrate(net, spec), checkpoint.stem)
    widths = certify(graph)
    save_graph(graph, out)
    kind = " (synthetic)" if ds.synthetic else ""
    typer.echo(f"calibrated on {len(calibration)} recordings of {ds.name}{kind}")
    typer.echo(f"weights {spec.weight_bits} bits, operands {spec.activation_bits} bits")
    typer.echo(f"streams {spec.stream_bits or spec.activation_bits} bits")
    for layers, over in spec.layers.items():
        typer.echo(f"layers {layers} {json.dumps(over.model_dump(exclude_none=True))}")
    typer.echo(f"accumulators {max(widths.values())} bits")
    typer.echo(f"network {out}")


@app.command()
def evaluate(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="A trained or an integer network.")
    ],
    family: FamilyOption = None,
    skeleton: SkeletonOption = None,
    subjects: Annotated[
        str | None, typer.Option(help="Participants, as `8,10`; default: all.")
    ] = None,
    data: DataFolder = None,
    labels: Annotated[Literal["v1", "v2"], typer.Option(help="Version of the labels.")] = "v2",
    drop_last: Annotated[
        bool, typer.Option("--drop-last", help="Leave out each recording's last frame.")
    ] = False,
    as_json_object: AsJson = False,
) -> None:
    """Score a float or integer network on recordings, prepared as those it was trained on."""
    opened = open_network(network, family, skeleton)
    ds = _data_of(opened, data, subjects, labels)
    scores = asdict(score_steps(ds, opened.predict(ds), drop_last))
    frames = sum(len(clip.frame_labels) - drop_last for clip in ds.clips)
    if as_json_object:
        where = {
            "data": ds.name,
            "synthetic": ds.synthetic,
            "recordings": len(ds.clips),
            "frames": frames,
        }
        typer.echo(json.dumps({**where, **scores}, indent=2))
        return
    kind = " (synthetic)" if ds.synthetic else ""
    typer.echo(f"data {ds.name}{kind}, {len(ds.clips)} recordings, {frames} frames")
    _print_scores(scores)


@app.command()
def info(checkpoint: Checkpoint, as_json_object: AsJson = False) -> None:
    """Show what a checkpoint is: network, data, recipe, scores."""
    from stgcn_ref.checkpoints import load_checkpoint, read_header

    arch, about = read_header(checkpoint)
    net = load_checkpoint(checkpoint)
    facts = {
        "arch": arch.model_dump(mode="json"),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "receptive_field_steps": net.receptive_field,
        **{key: value for key, value in about.items() if key != "history"},
    }
    if as_json_object:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        typer.echo(f"{key} {value if isinstance(value, int | str) else json.dumps(value)}")


@data_app.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="A folder of recordings, or one file.")],
    labels: Annotated[Literal["v1", "v2"], typer.Option(help="Version of the labels.")] = "v2",
    as_json_object: AsJson = False,
) -> None:
    """Read every recording under PATH; count classes, participants, gaps and faults."""
    report = check_folder(path, labels)
    typer.echo(as_json(report) if as_json_object else as_text(report))


def _make_rooms(out: Path, cache: Path) -> None:
    """Make the folders of a training, so that it does not fail at its end."""
    if out.is_dir():
        raise InputError(f"{out}: cannot be written (is a folder; the name of a file is needed)")
    for folder in (cache, out.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made ({error.strerror})") from None


def _prepared(
    root: Path | None,
    steps: PreparationSpec,
    subjects: set[int] | None,
    labels: Literal["v1", "v2"] = "v2",
    ids: Ids = "dense",
) -> Dataset:
    """HuGaDB under `root`, or the synthetic set, as the network reads it."""
    if root is not None:
        return prepare(load_hugadb(root, labels, subjects, ids), steps)
    ds = generate_synthetic()
    return prepare(select(ds, subjects) if subjects else ds, steps)


def _data_of(
    opened: Opened,
    root: Path | None,
    subjects: str | None,
    labels: Literal["v1", "v2"] = "v2",
) -> Dataset:
    """The recordings as this network reads and names them."""
    wanted = None if subjects is None else _numbers("--subjects", subjects)
    return opened.fitted(_prepared(root, opened.preparation, wanted, labels, opened.ids))


def _quant(
    opened: Opened, bits: int | None, stream_bits: int | None, quant: Path | None
) -> QuantSpec:
    if quant is not None:
        if bits is not None or stream_bits is not None:
            raise InputError("give --quant, or --bits and --stream-bits, not both")
        return load_spec(QuantSpec, quant)
    return standard_widths(opened, 8 if bits is None else bits, stream_bits)


def _numbers(option: str, text: str) -> set[int]:
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        raise InputError(f"{option}: participants as `1,5,6` are needed, got {text!r}")
    return {int(part) for part in text.split(",")}


def _print_scores(scores: dict[str, float]) -> None:
    for name, value in scores.items():
        typer.echo(f"{name} {value:.2f}")


@contextmanager
def _watching(epochs: int) -> Iterator[Watch]:
    """A progress bar on stderr; nothing at all where that is no terminal."""
    from stgcn_ref.checkpoints import Watch

    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=epochs)
        done = 0

        def on_step(step: int, steps: int) -> None:
            bar.update(task, completed=done + step / steps)

        def on_epoch(epoch: Epoch) -> None:
            nonlocal done
            done = epoch.number + 1
            found = epoch.scores
            scored = f" acc {found.frame_accuracy:.1f} F1@50 {found.f1_50:.1f}" if found else ""
            bar.update(
                task, completed=done, description=f"epoch {done} loss {epoch.loss:.3f}{scored}"
            )

        yield Watch(on_step=on_step, on_epoch=on_epoch)


if __name__ == "__main__":
    run_app(app)
