"""`python -m stgcn_ref evaluate`."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from pydantic import Field

from fxp.errors import InputError
from fxp.files import check_target, replacing
from stgcn_ref.commands.options import JsonSettings, NetworkSettings, kind_of, length_of
from stgcn_ref.commands.progress import counting
from stgcn_ref.commands.settings import Count, Flag
from stgcn_ref.datasets.clips import Dataset, held
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.metrics import LabelArray, class_recall, confusion_matrix
from stgcn_ref.networks import Opened
from stgcn_ref.recognition_metrics import matthews, ranked, score_clips
from stgcn_ref.scoring import score_steps


class EvaluateSettings(NetworkSettings, JsonSettings):
    """Options of `evaluate`."""

    drop_last: Flag = Field(False, description="Leave out each recording's last frame.")
    confusion: Path | None = Field(
        None,
        description="CSV of frames (clips) by true class (rows) and predicted class, with recall.",
    )
    threads: Count = Field(1, description="Recordings simulated at once (integer networks).")


def evaluate(given: EvaluateSettings) -> None:
    """Score a float or integer network on recordings, read as those it was trained on."""
    if given.confusion is not None:
        check_target(given.confusion)
    opened = given.opened()
    ds = given.recordings(opened, "valid")
    with counting("recordings", len(ds.clips)) as tick:
        if isinstance(ds, Dataset):
            scores, counts = _of_frames(opened, ds, given, tick)
        else:
            scores, counts = _of_clips(opened, ds, given, tick)
    if given.confusion is not None:
        write_confusion(given.confusion, counts, ds.classes)
    where = {
        "data": ds.name,
        "synthetic": ds.synthetic,
        "recordings": len(ds.clips),
        "frames": length_of(ds, given.drop_last),
    }
    if given.as_json:
        more = {} if given.confusion is None else {"recall": _recall(counts, ds.classes)}
        typer.echo(json.dumps({**where, **scores, **more}, indent=2))
        return
    typer.echo(f"data {kind_of(ds)}, {where['recordings']} recordings, {where['frames']} frames")
    for name, value in scores.items():
        typer.echo(f"{name} {value:.{4 if name == 'mcc' else 2}f}")


def _of_frames(
    opened: Opened, ds: Dataset, given: EvaluateSettings, tick: Callable[[], None]
) -> tuple[dict[str, float], LabelArray]:
    """Scores, and the confusion matrix, of labels of frames."""
    steps = opened.predict(ds, given.threads, tick)
    cut = -1 if given.drop_last else None
    found = [held(clip, labels)[:cut] for clip, labels in zip(ds.clips, steps, strict=True)]
    truth = [clip.frame_labels[:cut] for clip in ds.clips]
    counts = confusion_matrix(found, truth, len(ds.classes))
    scores = asdict(score_steps(ds, steps, given.drop_last))
    return {**scores, "mcc": matthews(counts)}, counts


def _of_clips(
    opened: Opened, ds: RecognitionSet, given: EvaluateSettings, tick: Callable[[], None]
) -> tuple[dict[str, float], LabelArray]:
    """Scores, and the confusion matrix, of labels of whole clips."""
    if given.drop_last:
        raise InputError(f"--drop-last: {ds.name} has one label a clip")
    truth = [clip.label for clip in ds.clips]
    scores = opened.class_scores(ds, given.threads, tick)
    counts = confusion_matrix([ranked(scores)[:, 0]], [truth], len(ds.classes))
    return asdict(score_clips(scores, truth)), counts


def write_confusion(path: Path, counts: LabelArray, classes: tuple[str, ...]) -> None:
    """A row per true class: frames or clips by found class, and recall in percent (or empty)."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["truth", *classes, "recall_percent"])
        for name, row, recall in zip(classes, counts, class_recall(counts), strict=True):
            shown = "" if math.isnan(recall) else f"{recall:.2f}"
            table.writerow([name, *row.tolist(), shown])


def _recall(counts: LabelArray, classes: tuple[str, ...]) -> dict[str, Any]:
    recall = class_recall(counts).tolist()
    return {
        name: None if math.isnan(value) else value
        for name, value in zip(classes, recall, strict=True)
    }
