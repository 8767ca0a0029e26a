"""Drawings of a profile: values over their formats, error along the network, sensitivity.

What is drawn comes from `reports.profile_rows`; this file decides only how it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fxp.errors import InputError
from fxp.profile_files import load_profile
from reports.figures import STYLE, page, save
from reports.profile_rows import (
    MOST_ROWS,
    ErrorPoint,
    FormatRow,
    HeatMap,
    error_points,
    format_rows,
    heat_maps,
    sensitivity_title,
    title_of,
)

COLOURS = {
    "input": "#7f7f7f",
    "operand": "#3b6fb6",
    "stream": "#e0913a",
    "scores": "#6aa56a",
    "constant": "#8c6bb1",
    "sum": "#bdbdbd",
}
ROLE_NAMES = {
    "input": "input",
    "operand": "operand (multipliers read it)",
    "stream": "stream (only sums read it)",
    "scores": "scores",
    "constant": "constant",
    "sum": "accumulator",
}
FORMAT_COLOUR = "#d3dde9"
MOST_PLACES = 90  # of the error in one line
PLACE_INCHES = 0.135
LEAST_HEAT = 0.1  # percent: what is below has the palest colour


def write_profile_figures(path: Path, out: Path) -> list[Path]:
    """Draw what a profile holds as PNG and SVG in folder `out`, made if it is missing.

    Returns:
        The files: formats, constants, error and, if it was measured, sensitivity.

    Raises:
        InputError: `path` is no profile, or a file or the folder cannot be written.
    """
    profile, changes = load_profile(path)
    title = title_of(profile)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror})") from None
    written = save(draw_formats(format_rows(profile.tensors), title), out / "formats")
    if profile.constants:
        written += save(draw_formats(format_rows(profile.constants), title), out / "constants")
    if points := error_points(profile):
        written += save(draw_error(points, title), out / "error")
    if maps := heat_maps(changes):
        alone = sensitivity_title(profile, changes)
        written += save(draw_sensitivity(maps, alone), out / "sensitivity")
    return written


def draw_formats(rows: Sequence[FormatRow], title: str) -> Figure:
    """Box plots of magnitudes over the span that each format holds, lsb to largest word."""
    with mpl.rc_context(STYLE):
        panels = [rows[part] for part in _parts(len(rows), MOST_ROWS)]
        figure = page(8.0 * len(panels), 1.7 + 0.21 * len(panels[0]), title)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            _format_panel(axes, panel)
        roles = [role for role in ROLE_NAMES if any(row.role == role for row in rows)]
        handles: list[Line2D | Patch] = [
            Patch(color=FORMAT_COLOUR, label="format: lsb to largest"),
            *(Patch(color=COLOURS[role], label=ROLE_NAMES[role]) for role in roles),
            Line2D([], [], marker="|", color="black", ls="", ms=8, label="largest of reference"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
        return figure


def _format_panel(axes: Axes, rows: Sequence[FormatRow]) -> None:
    for y, row in enumerate(rows):
        axes.barh(y, row.limit - row.lsb, 0.86, left=row.lsb, color=FORMAT_COLOUR, zorder=1)
        if row.top is not None and row.marks:
            p1, p25, p50, p75, p99 = row.marks
            colour = COLOURS[row.role]
            axes.plot([p1, p99], [y, y], color=colour, lw=1.1, zorder=2)
            axes.barh(y, p75 - p25, 0.5, left=p25, color=colour, zorder=3)
            axes.plot([p50, p50], [y - 0.25, y + 0.25], color="white", lw=1.4, zorder=4)
            axes.plot(row.top, y, "|", color="black", ms=8, mew=1.4, zorder=5)
        beside = axes.get_yaxis_transform()  # x along the axes, y in rows
        axes.text(1.01, y, row.note, fontsize=7, va="center", transform=beside)
    axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.02)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("magnitude of the reference (log2); 1st to 99th percentile, zeros left out")


def draw_error(points: Sequence[ErrorPoint], title: str) -> Figure:
    """Error relative to the signal, tensor by tensor along the network, in lines like a text."""
    with mpl.rc_context(STYLE):
        first, last = points[0].place, points[-1].place
        parts = [
            range(first + p.start, first + p.stop) for p in _parts(last - first + 1, MOST_PLACES)
        ]
        width = max(7.2, 1.6 + PLACE_INCHES * len(parts[0]))
        figure = page(width, 1.1 + 3.6 * len(parts), title)
        grid = figure.subplots(len(parts), 1, squeeze=False, sharey=True)[:, 0]
        for axes, part in zip(grid, parts, strict=True):
            _error_panel(axes, [point for point in points if point.place in part])
            axes.set_xlim(part.start - 1, part.start + len(parts[0]))
        roles = [role for role in ROLE_NAMES if any(point.role == role for point in points)]
        handles = [
            Line2D([], [], marker="o", ls="", ms=4.5, color=COLOURS[role], label=ROLE_NAMES[role])
            for role in roles
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
        return figure


def _error_panel(axes: Axes, points: Sequence[ErrorPoint]) -> None:
    named = [point for point in points if point.role != "sum"]
    for lines, colour in (
        ([point for point in named if point.role != "stream"], "#9db7d9"),
        ([point for point in named if point.role == "stream"], "#f0c99b"),
    ):
        axes.plot([p.place for p in lines], [p.percent for p in lines], color=colour, lw=1.0)
    for point in points:
        size = 2.5 if point.role == "sum" else 4.5
        axes.plot(point.place, point.percent, "o", color=COLOURS[point.role], ms=size)
    names = [point.label for point in named]
    axes.set_xticks([point.place for point in named], names, rotation=90, fontsize=7)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("rms error (% of reference rms)")


def draw_sensitivity(maps: Sequence[HeatMap], title: str) -> Figure:
    """Heat maps side by side: what each tensor costs alone at fewer bits."""
    with mpl.rc_context(STYLE):
        rows, columns = len(maps[0].rows), len(maps[0].columns)
        parts = _parts(rows, MOST_ROWS)
        width = 2.6 + 0.62 * columns
        figure = page(
            width * len(maps) * len(parts), 1.4 + 0.2 * (parts[0].stop - parts[0].start), title
        )
        grid = figure.subplots(1, len(maps) * len(parts), squeeze=False)[0]
        shown = [(heat, part) for heat in maps for part in parts]
        for axes, (heat, part) in zip(grid, shown, strict=True):
            _heat_panel(axes, heat, part)
        return figure


def _heat_panel(axes: Axes, heat: HeatMap, part: slice) -> None:
    """One measure of some rows; colours are logarithmic and the same in all of its panels."""
    values = np.array([[np.nan if v is None else v for v in line] for line in heat.values])
    most = max(float(np.nanmax(values)), 2 * LEAST_HEAT)
    shown = values[part]
    axes.imshow(
        np.where(np.isnan(shown), np.nan, np.maximum(shown, LEAST_HEAT)),
        cmap="YlOrRd",
        norm=LogNorm(LEAST_HEAT, most),
        aspect="auto",
    )
    for y, line in enumerate(shown):
        for x, value in enumerate(line):
            if not np.isnan(value):
                dark = value > LEAST_HEAT and np.log(value / LEAST_HEAT) > 0.7 * np.log(
                    most / LEAST_HEAT
                )
                colour = "white" if dark else "black"
                text = f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(heat.columns)), [f"{bits} bits" for bits in heat.columns], fontsize=8)
    names = heat.rows[part]
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.grid(visible=False)
    axes.set_title(heat.title, fontsize=9)


def _parts(count: int, most: int) -> list[slice]:
    """Consecutive parts of at most so many each, as even as they can be."""
    size = -(-count // -(-count // most))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
