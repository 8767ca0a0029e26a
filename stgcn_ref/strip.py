"""The strip of a recording: what was found over what is true, on one axis of seconds.

`strip_of` computes the runs, `draw_strip` draws them; matplotlib is loaded by the latter alone.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fxp.errors import InputError
from stgcn_ref.metrics import segments

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = ("truth", "prediction", "errors")
HEIGHTS = (1.0, 1.0, 0.35)
GAP = 0.12
ERROR_COLOUR = "black"
_GOLDEN = 0.6180339887  # turn between hues: any few neighbours are far apart


@dataclass(frozen=True)
class Run:
    """`label` from `start_s` on, for `duration_s`."""

    label: int
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class Strip:
    """The runs of a recording: true and found classes, and the stretches where they differ."""

    truth: tuple[Run, ...]
    found: tuple[Run, ...]
    errors: tuple[Run, ...]
    duration_s: float

    @property
    def labels(self) -> tuple[int, ...]:
        """The classes that occur, sorted."""
        return tuple(sorted({run.label for run in (*self.truth, *self.found)}))


def strip_of(found: npt.ArrayLike, truth: npt.ArrayLike, rate_hz: float) -> Strip:
    """The strip of a recording, labels int (T,) of frames at `rate_hz`.

    Raises:
        InputError: found and true labels differ in number, or there are none.
    """
    ours, theirs = np.asarray(found), np.asarray(truth)
    if ours.shape != theirs.shape or not ours.size:
        raise InputError(f"a strip needs as many labels as truths, got {ours.shape} {theirs.shape}")
    wrong = (ours != theirs).astype(np.int64)
    return Strip(
        _runs(theirs, rate_hz),
        _runs(ours, rate_hz),
        tuple(run for run in _runs(wrong, rate_hz) if run.label),
        len(ours) / rate_hz,
    )


def _runs(labels: npt.NDArray[np.int64], rate_hz: float) -> tuple[Run, ...]:
    return tuple(
        Run(label, start / rate_hz, (stop - start) / rate_hz)
        for label, start, stop in segments(labels)
    )


def class_colours(count: int) -> tuple[tuple[float, float, float], ...]:
    """A colour per class, RGB in 0..1: the same class has the same colour in every picture."""
    if count <= 10:
        from matplotlib import colormaps

        return tuple(colormaps["tab10"](index)[:3] for index in range(count))
    shades = ((0.75, 0.9), (0.45, 0.95), (0.9, 0.6))  # saturation, brightness
    return tuple(
        colorsys.hsv_to_rgb(index * _GOLDEN % 1.0, *shades[index % 3]) for index in range(count)
    )


def draw_strip(strip: Strip, classes: tuple[str, ...], title: str, path: Path) -> None:
    """Draw a strip as PNG: a row of truth, one of predictions, a thin one of errors, a legend."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colours = class_colours(len(classes))
    columns = min(6, len(strip.labels))
    lines = -(-len(strip.labels) // columns)
    figure = Figure(figsize=(12, 2.3 + 0.24 * lines), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    rows = (strip.truth, strip.found, strip.errors)
    _draw_rows(axes, rows, colours)
    axes.set_xlim(0, strip.duration_s)
    axes.set_xlabel("time (s)")
    axes.set_title(title, fontsize=10)
    figure.legend(
        handles=[Patch(color=colours[label], label=classes[label]) for label in strip.labels],
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        frameon=False,
    )
    figure.savefig(path, format="png")


def _draw_rows(
    axes: Axes, rows: tuple[tuple[Run, ...], ...], colours: tuple[tuple[float, float, float], ...]
) -> None:
    """The rows from the top down, each named at its left."""
    middles, top = [], 0.0
    for name, runs, height in zip(ROWS, rows, HEIGHTS, strict=True):
        spans = [(run.start_s, run.duration_s) for run in runs]
        errors = name == "errors"
        paint = ERROR_COLOUR if errors else [colours[run.label] for run in runs]
        axes.broken_barh(spans, (top - height, height), facecolors=paint, linewidth=0)
        middles.append(top - height / 2)
        top -= height + GAP
    axes.set_yticks(middles, ROWS)
    axes.set_ylim(top + GAP, 0.0)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
