"""`python -m stgcn_ref predict`."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import typer
from pydantic import Field

from fxp.errors import InputError
from fxp.files import replacing_folder
from fxp.ir import Graph
from stgcn_ref.commands.options import NetworkSettings, kind_of
from stgcn_ref.commands.progress import counting
from stgcn_ref.commands.settings import Count, Flag, Names
from stgcn_ref.datasets.clips import Clip, Dataset, LabelArray, held
from stgcn_ref.metrics import score
from stgcn_ref.strip import draw_strip, strip_of

INDEX = "predictions.json"
COLUMNS = ("frame", "time_s", "label", "class", "truth", "truth_class")


class PredictSettings(NetworkSettings):
    """Options of `predict`."""

    out: Path = Field(description="Folder of the predictions; new, empty, or of predictions.")
    recordings_named: Names | None = Field(
        None, alias="recordings", description="Names, as `various_01_00,various_01_01`."
    )
    pictures: Flag = Field(True, description="Draw the strip of each recording.")
    threads: Count = Field(1, description="Recordings simulated at once (integer networks).")


def predict(given: PredictSettings) -> None:
    """Label recordings frame by frame: a CSV each, and a picture of truth over prediction."""
    _check_target(given.out)
    opened = given.opened()
    ds = given.recordings(opened, "valid")
    if given.recordings_named is not None:
        ds = _named(ds, given.recordings_named)
    with replacing_folder(given.out) as folder:
        with counting("recordings", len(ds.clips)) as tick:
            steps = opened.predict(ds, given.threads, tick)
        files = {}
        for clip, labels in zip(ds.clips, steps, strict=True):
            files[clip.name] = _write(ds, clip, held(clip, labels), folder, given.pictures)
        kind = "integer" if isinstance(opened.net, Graph) else "float"
        index = {
            "network": given.network.name,
            "kind": kind,
            "data": ds.name,
            "synthetic": ds.synthetic,
            "classes": list(ds.classes),
            "recordings": files,
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    for name, scores in files.items():
        shown = f"frame_accuracy {scores['frame_accuracy']:.2f} f1_50 {scores['f1_50']:.2f}"
        typer.echo(f"{name} {scores['frames']} frames {shown}")
    typer.echo(f"{given.out}: {len(files)} recordings of {kind_of(ds)}")


def _write(
    ds: Dataset, clip: Clip, found: LabelArray, folder: Path, pictures: bool
) -> dict[str, float]:
    """Write what was found in a recording; its scores."""
    rate_hz = ds.rate_hz * clip.hold
    file = folder / f"{clip.name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)  # some sets name recordings by folder
    write_labels(file, found, clip.frame_labels, ds.classes, rate_hz)
    scores = score([found], [clip.frame_labels])
    if pictures:
        title = (
            f"{clip.name}, {kind_of(ds)}: frame accuracy {scores.frame_accuracy:.1f} %, "
            f"F1@50 {scores.f1_50:.1f} %"
        )
        strip = strip_of(found, clip.frame_labels, rate_hz)
        draw_strip(strip, ds.classes, title, folder / f"{clip.name}.png")
    return {
        "frames": len(found),
        "frame_accuracy": scores.frame_accuracy,
        "f1_50": scores.f1_50,
    }


def write_labels(
    path: Path, found: LabelArray, truth: LabelArray, classes: tuple[str, ...], rate_hz: float
) -> None:
    """One line a frame: number, time in s, found label and class, true label and class."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for frame, (ours, theirs) in enumerate(zip(found.tolist(), truth.tolist(), strict=True)):
            time = f"{frame / rate_hz:.4f}"
            table.writerow([frame, time, ours, classes[ours], theirs, classes[theirs]])


def _named(ds: Dataset, names: tuple[str, ...]) -> Dataset:
    by_name = {clip.name: clip for clip in ds.clips}
    for name in names:
        if name not in by_name:
            some = ", ".join(list(by_name)[:5])
            raise InputError(
                f"--recordings: {name!r} is none of the {len(by_name)} of {ds.name} ({some}, ...)"
            )
    return replace(ds, clips=tuple(by_name[name] for name in dict.fromkeys(names)))


def _check_target(out: Path) -> None:
    """Refuse to replace anything but predictions."""
    if out.is_dir():
        if any(out.iterdir()) and not (out / INDEX).is_file():
            raise InputError(f"{out}: is not empty and holds no predictions")
    elif out.exists():
        raise InputError(f"{out}: is a file; a folder is needed")
