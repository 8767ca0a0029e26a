"""Pictures of a choice of widths: uniform and mixed designs, and the width of every part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator

from reports.figures import STYLE, save

RESULTS = "mixed.json"
UNIFORM, MIXED, TRIED = "#d55e00", "#0072b2", "#c8c8c8"
KINDS = ("weights", "operands", "stream")
THOUSANDS = 2000


def write_mixed(folder: Path) -> list[Path]:
    """Draw what `python -m dse mix` found; returns the files (PNG and SVG).

    Raises:
        InputError: a file cannot be written.
    """
    found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    paths = save(draw_front(found), folder / "front")
    if found["best"] is not None:
        paths += save(draw_widths(found), folder / "widths")
    return paths


def draw_front(found: Mapping[str, Any]) -> Figure:
    """Divergence over cost of everything within the horizon, both fronts as steps."""
    trials = {trial["key"]: trial for trial in found["trials"] if "divergence" in trial}
    shown = [*found["uniform_front"], *found["mixed_front"]]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        every = [_place(found, trial) for trial in trials.values()]
        axes.plot(*zip(*every, strict=True), ".", color=TRIED, ms=3, zorder=1, label="tried")
        for name, colour, marker in (("uniform", UNIFORM, "s"), ("mixed", MIXED, "o")):
            points = [_place(found, trials[key]) for key in found[f"{name}_front"]]
            if points:
                label = f"{name} widths"
                x, y = zip(*points, strict=True)
                axes.step(x, y, where="post", color=colour, lw=1, zorder=2)
                axes.plot(x, y, marker, color=colour, ms=4.5, zorder=3, label=label)
        if (limit := found["budget"].get("divergence")) is not None:
            axes.axhline(limit, color="#444444", lw=0.8, ls="--", label="budget")
        if shown:
            places = [_place(found, trials[key]) for key in shown]
            _frame(axes, places)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.tick_params(axis="y", which="minor", labelsize=7)
        unit = found["cost_unit"]
        axes.set_xlabel(found["cost_label"] + (f" ({unit})" if unit else " (widest design = 1)"))
        if max(x for x, _ in every) >= THOUSANDS:
            axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.set_ylabel("divergence from float (nats a step)")
        kind = "synthetic data" if found["synthetic"] else found["data"]
        axes.set_title(f"Uniform and mixed widths ({kind}, selection recordings)")
        axes.legend()
        return figure


def draw_widths(found: Mapping[str, Any]) -> Figure:
    """Bits of the best mixed design, a row a layer and a column a kind of words."""
    widths = next(t["widths"] for t in found["trials"] if t["key"] == found["best"])
    layers = list(dict.fromkeys(layer for layer, _ in found["parts"]))
    kinds = [kind for kind in KINDS if any(part[1] == kind for part in found["parts"])]
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(1.6 + 1.1 * len(kinds), 1.0 + 0.3 * len(layers)))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        bits = np.array([[widths[row].get(k, np.nan) for k in kinds] for row in layers])
        axes.imshow(bits, cmap="YlGnBu", vmin=0, vmax=16, aspect="auto")
        for (row, column), width in np.ndenumerate(bits):
            text = "–" if np.isnan(width) else f"{width:.0f}"
            colour = "white" if width > 9 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set_xticks(range(len(kinds)), kinds)
        axes.set_yticks(range(len(layers)), layers)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.tight_layout()
        return figure


def _place(found: Mapping[str, Any], trial: Mapping[str, Any]) -> tuple[float, float]:
    """Cost (in its unit, if it is one cost) and divergence."""
    names = list(found["cost"])
    cost = trial[names[0]] if len(names) == 1 else trial["cost"]
    return float(cost), float(trial["divergence"])


def _frame(axes: Any, places: Sequence[tuple[float, float]]) -> None:
    """Limits around both fronts, with some room."""
    x, y = zip(*places, strict=True)
    room = 0.05 * (max(x) - min(x) or 1.0)
    axes.set_xlim(min(x) - room, max(x) + room)
    axes.set_ylim(min(y) / 1.5, max(y) * 1.5)
