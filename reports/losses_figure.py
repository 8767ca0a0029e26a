"""The picture of losses: what each width costs in accuracy and in segments, by method."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.comparison_figure import COLOURS, MARKERS
from reports.figures import STYLE
from reports.losses import SHOWN, Losses

FLOOR = {"frame_accuracy": -4.0, "f1_50": -16.0}  # what is worse stands at the lower edge
STEP = 0.24  # between the methods of a width


def draw_losses(losses: Losses) -> Figure:
    """A column a network, a row a score; bars are the bootstrap's 95 % intervals."""
    with mpl.rc_context(STYLE):
        width = 2.2 + 2.5 * len(losses.models)
        figure = Figure(figsize=(width, 6.0), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(2, len(losses.models), squeeze=False, sharex=True, sharey="row")
        for column, model in enumerate(losses.models):
            for line, name in enumerate(SHOWN):
                axes = grid[line][column]
                _draw(axes, losses, model, name)
                if line == 0:
                    axes.set_title(model)
                if column == 0:
                    axes.set_ylabel(f"{SHOWN[name]}: integer minus float (points)")
        handles, names = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
        data = losses.sweep["data"]
        kind = "synthetic data" if data["synthetic"] else data["name"]
        recordings = int(losses.rows[0]["recordings"])
        figure.supxlabel(
            f"width (w: weights, a: operands, s: streams); {kind}, {recordings} recordings,"
            f" seeds: {losses.seeds}, bars: 95 % over recordings; triangles: off the scale",
            fontsize=8,
        )
        return figure


def _draw(axes: Axes, losses: Losses, model: str, name: str) -> None:
    floor = FLOOR[name]
    axes.axhline(0, color="#888888", lw=0.8)
    for place, method in enumerate(losses.methods):
        colour = COLOURS[place % len(COLOURS)]
        label = method
        for x, width in enumerate(losses.widths):
            row = losses.row(model, width, method)
            if row is None:
                continue
            mean, low, high = (row[f"{name}_change_{end}"] for end in ("mean", "low", "high"))
            at = x + STEP * (place - (len(losses.methods) - 1) / 2)
            if mean < floor:
                axes.plot(at, floor, "v", color=colour, ms=5, label=label)
            else:
                axes.plot([at, at], [max(low, floor), high], color=colour, lw=1.2)
                marker = MARKERS[place % len(MARKERS)]
                axes.plot(at, mean, marker, color=colour, ms=4, label=label)
            label = "_"
    axes.set_ylim(floor * 1.06, -floor * 0.25)
    axes.set_xticks(range(len(losses.widths)), losses.widths, rotation=60, ha="right")
