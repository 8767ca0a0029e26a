"""Drawings of a sweep: the Pareto front, accuracy against bits, memory by kind; PNG and SVG.

What is drawn comes from `reports.tables`; this file decides only how it looks. Files are written
without dates and with fixed ids, so that equal results give equal pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

from fxp.files import replacing
from reports.labels import Box, place
from reports.tables import MEMORY_KINDS, Bar, BitsPanel, Panel

STYLE: Any = {  # matplotlib types the keys as one long Literal
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "svg.hashsalt": "stgcn-codesign",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with dollar signs is a name
}
GREY = "#bdbdbd"
MARKERS = "osD^vP*X<>"
MEMORY_COLOURS = ("#3b6fb6", "#e0913a", "#6aa56a")
KEY_LINES = 28
LOG_RATIO = 20.0
DPI = 150
DASHES = (0, (5, 4))
NUMBER_SIZE = 7.5
LEADER = {"arrowstyle": "-", "lw": 0.4, "color": "#777777", "shrinkA": 0, "shrinkB": 3}


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.png and `stem`.svg; returns both paths.

    Raises:
        InputError: a file cannot be written.
    """
    paths = []
    with mpl.rc_context(STYLE):
        for kind in ("png", "svg"):
            path = stem.with_suffix(f".{kind}")
            with replacing(path) as temporary:
                metadata = {"Date": None} if kind == "svg" else None
                figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
            paths.append(path)
    return paths


def page(width: float, height: float, title: str) -> Figure:
    """An empty figure at the resolution it is saved at: text is laid out in whole pixels."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def draw_pareto(panels: Sequence[Panel], key: Sequence[str], title: str) -> Figure:
    """Scatter plots side by side: dominated points grey, the front coloured by bit widths.

    Front points carry their number; `key` says what design each number is. A number that finds no
    free place is left out rather than drawn over another.
    """
    with mpl.rc_context(STYLE):
        height = max(4.8, 1.4 + 0.17 * min(len(key), KEY_LINES + 1))
        figure = page(4.7 * len(panels) + 2.9, height, title)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        colours, markers = _codes(panels)
        for axes, panel in zip(grid, panels, strict=True):
            _scatter(axes, panel, colours, markers)
        _legends(figure, panels, colours, markers, key)
        figure.draw_without_rendering()  # settles the layout, so that labels know their room
        figure.set_layout_engine("none")
        for axes, panel in zip(grid, panels, strict=True):
            _place_numbers(axes, panel)
        return figure


def _codes(panels: Sequence[Panel]) -> tuple[dict[str, Any], dict[str, str]]:
    """Colour by quantisation setting of the front, marker by accelerator."""
    dots = [dot for panel in panels for dot in panel.dots]
    on_front = {dot.bits for dot in dots if dot.number}
    settings = [name for name in panels[0].settings if name in on_front]
    accelerators = sorted({dot.accelerator for dot in dots})
    shades = mpl.colormaps["turbo"]
    span = max(len(settings) - 1, 1)
    colours = {name: shades(0.92 - 0.84 * i / span) for i, name in enumerate(settings)}
    return colours, {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(accelerators)}


def _scatter(axes: Axes, panel: Panel, colours: dict[str, Any], markers: dict[str, str]) -> None:
    front = sorted((dot for dot in panel.dots if dot.number), key=lambda dot: dot.x)
    for dot in panel.dots:
        if not dot.number:
            marker = markers[dot.accelerator]
            axes.plot(dot.x, dot.y, marker, color=GREY, ms=3.5, alpha=0.7, mew=0, zorder=2)
    if panel.connected:
        axes.plot(
            [dot.x for dot in front],
            [dot.y for dot in front],
            color="#555555",
            lw=0.8,
            drawstyle="steps-post",
        )
    edge: Any = {"ms": 7, "mec": "black", "mew": 0.6, "zorder": 4}
    for dot in front:
        axes.plot(dot.x, dot.y, markers[dot.accelerator], color=colours[dot.bits], **edge)
    if panel.baseline is not None:
        axes.axhline(panel.baseline, color="black", lw=0.9, ls=DASHES, zorder=1)
    _scale(axes, [dot.x for dot in panel.dots], panel.x_label)
    axes.margins(x=0.08, y=0.1)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)


def _scale(axes: Axes, values: Sequence[float], label: str) -> None:
    """A logarithmic axis where values spread wide; ticks as 1, 2, 5.

    They carry a prefix (k, M, µ) only where the label's unit has none of its own.
    """
    bare = label.endswith(("(s)", "(bit)", "(bytes)", "(words)"))
    ticks = EngFormatter(sep="") if bare else FuncFormatter(lambda value, _: f"{value:g}")
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low > 0 and high > LOG_RATIO * low:
        axes.set_xscale("log")
        subs = (1.0,) if high > 1e3 * low else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(ticks)
    elif high >= 1e4 or 0 < high < 1e-2:
        axes.xaxis.set_major_formatter(ticks)


def _legends(
    figure: Figure,
    panels: Sequence[Panel],
    colours: dict[str, Any],
    markers: dict[str, str],
    key: Sequence[str],
) -> None:
    """Colours and markers below the panels, the designs by number on the right."""

    def entry(marker: str, colour: Any, label: str, edge: str = "black") -> Line2D:
        return Line2D(
            [], [], marker=marker, color=colour, ls="", ms=6, mec=edge, mew=0.6, label=label
        )

    handles = [entry("o", colour, name or "front") for name, colour in colours.items()]
    handles += [entry(marker, "white", name) for name, marker in markers.items()]
    if any(not dot.number for panel in panels for dot in panel.dots):
        handles.append(entry("o", GREY, "dominated", GREY))
    if any(panel.baseline is not None for panel in panels):
        handles.append(Line2D([], [], color="black", lw=0.9, ls=DASHES, label="best float"))
    columns = min(len(handles), 5 * len(panels))
    figure.legend(
        handles=handles, loc="outside lower left", frameon=False, fontsize=8, ncols=columns
    )
    shown = list(key[:KEY_LINES])
    if len(key) > KEY_LINES:
        shown.append("… the rest in pareto.csv")
    if shown:
        figure.legend(
            handles=[Line2D([], [], ls="", label=line) for line in shown],
            loc="outside right upper",
            frameon=False,
            fontsize=7.5,
            handlelength=0,
            handletextpad=0,
        )


def _place_numbers(axes: Axes, panel: Panel) -> None:
    """Write its number beside each front point where there is room for it."""
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]  # Agg, set above
    front = sorted((dot for dot in panel.dots if dot.number), key=lambda dot: dot.number)
    pixel = axes.figure.dpi / 72
    texts = [axes.text(0, 0, str(dot.number), fontsize=NUMBER_SIZE, zorder=5) for dot in front]
    sizes = []
    for text in texts:
        extent = text.get_window_extent(renderer)
        sizes.append((extent.width / 2, extent.height / 2))
        text.remove()
    points = []
    for dot in front:
        x, y = axes.transData.transform((dot.x, dot.y))
        points.append(Box(x, y, 3.8 * pixel, 3.8 * pixel))
    frame = axes.get_window_extent(renderer)
    room = Box(
        (frame.x0 + frame.x1) / 2, (frame.y0 + frame.y1) / 2, frame.width / 2, frame.height / 2
    )
    offsets = place(points, sizes, room, [gap * pixel for gap in (0.5, 5, 10, 16, 23)])
    for dot, offset in zip(front, offsets, strict=True):
        if offset is not None:
            near = max(abs(offset[0]), abs(offset[1])) < 12 * pixel
            axes.annotate(
                str(dot.number),
                (dot.x, dot.y),
                xytext=(offset[0] / pixel, offset[1] / pixel),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=NUMBER_SIZE,
                zorder=5,
                arrowprops=None if near else LEADER,
                path_effects=[withStroke(linewidth=1.6, foreground="white")],
            )


def draw_bits(panels: Sequence[BitsPanel], title: str) -> Figure:
    """Accuracy over bit widths: one thin line a trained network, the mean in black."""
    with mpl.rc_context(STYLE):
        settings = max(len(panel.settings) for panel in panels)
        width = max(3.4, 0.42 * settings + 1.4)
        figure = page(width * len(panels), 4.0, title)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            positions = range(len(panel.settings))
            for line in panel.lines:
                axes.plot(positions, _gaps(line), "o-", color="#7a9cc6", lw=0.8, ms=2.5, alpha=0.7)
            axes.plot(positions, _gaps(panel.mean), "o-", color="black", lw=1.8, ms=4)
            axes.set_xticks(
                positions, panel.settings, rotation=60, ha="right", rotation_mode="anchor"
            )
            axes.set_ylabel(panel.y_label)
        handles = [
            Line2D([], [], color="black", lw=1.8, marker="o", ms=4, label="mean"),
            Line2D(
                [], [], color="#7a9cc6", lw=0.8, marker="o", ms=2.5, label="one trained network"
            ),
        ]
        figure.legend(
            handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=8
        )
        return figure


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def draw_memory(bars: Sequence[Bar], title: str) -> Figure:
    """Stacked horizontal bars of memory by kind, one a network on the front."""
    with mpl.rc_context(STYLE):
        height = 1.5 + 0.24 * max(len(bars), 2)
        figure = page(7.6, height, title)
        axes = figure.subplots()
        left = [0.0] * len(bars)
        rows = range(len(bars))
        for index, (kind, colour) in enumerate(
            zip(MEMORY_KINDS.values(), MEMORY_COLOURS, strict=True)
        ):
            values = [bar.bits[index] / 8192 for bar in bars]
            axes.barh(rows, values, 0.72, left=left, color=colour, label=kind)
            left = [done + value for done, value in zip(left, values, strict=True)]
        axes.set_yticks(rows, [bar.label for bar in bars], fontsize=8)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("memory (KiB)")
        figure.legend(loc="outside lower center", ncols=len(MEMORY_KINDS), frameon=False)
        return figure
