"""`python -m stgcn_ref predict`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer
from pydantic import Field

from fxp.errors import InputError
from fxp.files import replacing_folder
from fxp.ir import Graph
from stgcn_ref.commands.options import NetworkSettings, kind_of
from stgcn_ref.commands.progress import counting
from stgcn_ref.commands.settings import Count, Flag, Names
from stgcn_ref.datasets.clips import Clip, Dataset, LabelArray, SetT, held
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.metrics import score
from stgcn_ref.networks import Opened
from stgcn_ref.predictions import write_clips, write_frames
from stgcn_ref.recognition_metrics import score_clips
from stgcn_ref.recordings import AnySet
from stgcn_ref.strip import draw_strip, strip_of

INDEX, CLIPS = "predictions.json", "clips.csv"


class PredictSettings(NetworkSettings):
    """Options of `predict`."""

    out: Path = Field(description="Folder of the predictions; new, empty, or of predictions.")
    recordings_named: Names | None = Field(
        None, alias="recordings", description="Names, as `various_01_00,various_01_01`."
    )
    pictures: Flag = Field(True, description="Draw the strip of each recording.")
    threads: Count = Field(1, description="Recordings simulated at once (integer networks).")


def predict(given: PredictSettings) -> None:
    """Label recordings: a CSV of frames each, and a picture of truth over prediction.

    Of single actions one CSV, a line a clip.
    """
    _check_target(given.out)
    opened = given.opened()
    ds: AnySet
    match given.recordings(opened, "valid"):
        case Dataset() as long:
            ds = _named(long, given.recordings_named)
        case actions:
            ds = _named(actions, given.recordings_named)
    with replacing_folder(given.out) as folder:
        if isinstance(ds, Dataset):
            found = _frames(opened, ds, given, folder)
        else:
            found = _clips(opened, ds, given, folder)
        index = {
            "network": given.network.name,
            "kind": "integer" if isinstance(opened.net, Graph) else "float",
            "data": ds.name,
            "synthetic": ds.synthetic,
            "classes": list(ds.classes),
            **found,
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    typer.echo(f"{given.out}: {len(ds.clips)} recordings of {kind_of(ds)}")


def _frames(opened: Opened, ds: Dataset, given: PredictSettings, folder: Path) -> dict[str, Any]:
    """Write the labels of frames, and the strips; the recordings' scores."""
    with counting("recordings", len(ds.clips)) as tick:
        steps = opened.predict(ds, given.threads, tick)
    scores = {}
    with counting("files", len(ds.clips)) as tick:
        for clip, labels in zip(ds.clips, steps, strict=True):
            found = held(clip, labels)
            scores[clip.name] = _write(ds, clip, found, folder, given.pictures)
            tick()
    for name, row in scores.items():
        shown = f"frame_accuracy {row['frame_accuracy']:.2f} f1_50 {row['f1_50']:.2f}"
        typer.echo(f"{name} {row['frames']} frames {shown}")
    return {"recordings": scores}


def _write(
    ds: Dataset, clip: Clip, found: LabelArray, folder: Path, pictures: bool
) -> dict[str, float]:
    rate_hz = ds.rate_hz * clip.hold
    table = folder / f"{clip.name}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)  # some sets name recordings by folder
    write_frames(table, found, clip.frame_labels, ds.classes, rate_hz)
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


def _clips(
    opened: Opened, ds: RecognitionSet, given: PredictSettings, folder: Path
) -> dict[str, Any]:
    """Write the labels of clips; their scores."""
    with counting("clips", len(ds.clips)) as tick:
        table = opened.class_scores(ds, given.threads, tick)
    write_clips(folder / CLIPS, ds.clips, table, ds.classes)
    scores = score_clips(table, [clip.label for clip in ds.clips])
    typer.echo(f"{len(ds.clips)} clips top_1 {scores.top_1:.2f} top_5 {scores.top_5:.2f}")
    return asdict(scores)


def _named(ds: SetT, names: tuple[str, ...] | None) -> SetT:
    if names is None:
        return ds
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
