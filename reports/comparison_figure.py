"""The picture of a comparison: what a network is worth over what it computes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator

from reports.comparison import FLOAT, Compared
from reports.figures import STYLE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
MARKERS = "osD^vP"
METRIC = "f1_50"


@dataclass(frozen=True)
class Mark:
    """One network in one number format: mean over the seeds, and the range."""

    model: str
    setting: str
    macs: float
    value: float
    least: float
    most: float


def marks(compared: Compared) -> list[Mark]:
    """What is drawn, network by network, the float ones first."""
    found = []
    for model in compared.models:
        for setting in (FLOAT, *compared.settings):
            values = compared.values(model, setting, METRIC)
            macs = float(compared.of(model, setting)[0]["macs"])
            found.append(Mark(model, setting, macs, mean(values), min(values), max(values)))
    return found


def draw_comparison(compared: Compared) -> Figure:
    """F1@50 over multiply-accumulates per step, a colour a network, a marker a number format."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        settings = (FLOAT, *compared.settings)
        shift = 1.035  # marks of one network beside each other
        for mark in marks(compared):
            place = settings.index(mark.setting)
            colour = COLOURS[compared.models.index(mark.model) % len(COLOURS)]
            at = mark.macs * shift ** (place - (len(settings) - 1) / 2)
            axes.plot([at, at], [mark.least, mark.most], color=colour, lw=1)
            filled = colour if mark.setting == FLOAT else "white"
            axes.plot(at, mark.value, MARKERS[place % len(MARKERS)], color=colour, mfc=filled)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
        axes.xaxis.set_minor_formatter(EngFormatter(sep=" "))
        axes.tick_params(axis="x", which="minor", labelsize=7)
        axes.set_xlabel("multiply-accumulates per step")
        axes.set_ylabel("F1@50 (%)")
        synthetic = compared.results.sweep["data"]["synthetic"]
        kind = "synthetic data" if synthetic else f"{compared.results.sweep['data']['name']}"
        axes.set_title(f"Networks in float and in integers ({kind}; lines: range over seeds)")
        axes.legend(handles=_key(compared, settings), loc="center left", bbox_to_anchor=(1, 0.5))
        return figure


def _key(compared: Compared, settings: tuple[str, ...]) -> list[Line2D]:
    networks = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], lw=4, label=model)
        for i, model in enumerate(compared.models)
    ]
    formats = [
        Line2D(
            [],
            [],
            color="#444444",
            lw=0,
            marker=MARKERS[i % len(MARKERS)],
            mfc="#444444" if setting == FLOAT else "white",
            label=setting,
        )
        for i, setting in enumerate(settings)
    ]
    return [*networks, *formats]
