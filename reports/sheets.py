"""Sheets of paper for drawings of networks: boxes, arrows and text in inches, one palette.

A sheet has one pair of axes over all of it, so that text and boxes keep their sizes. The colours
are those of Okabe and Ito, which readers with any colour vision can tell apart.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fxp.files import replacing

DPI = 110
COLOURS = 256  # flat colours and the edges of letters need no more
DASHES = (0, (3, 2))
DATA_KEY = "Data"  # text field of a PNG: the hash of what it shows
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, INK, GREY = "#cc79a7", "#222222", "#8a8a8a"
PALE = {
    BLUE: "#dcebf5",
    ORANGE: "#fbeccb",
    GREEN: "#d8efe7",
    PURPLE: "#f6e6ee",
    GREY: "#f0f0f0",
}
Point = tuple[float, float]


def sheet(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """An empty figure of that many inches, and axes over all of it whose unit is the inch."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    write(axes, (0.15, height - 0.25), title, size=12, ha="left", weight="bold")
    return figure, axes


def write(
    axes: Axes,
    at: Point,
    text: str,
    size: float = 9,
    ha: str = "center",
    colour: str = INK,
    weight: str = "normal",
) -> None:
    """Text with its middle line at a height of `at`; no character of it is taken as a formula."""
    axes.text(
        *at,
        text,
        fontsize=size,
        ha=ha,
        va="center",
        color=colour,
        fontweight=weight,
        family="DejaVu Sans",  # comes with matplotlib
        parse_math=False,
    )


def box(
    axes: Axes,
    centre: Point,
    size: Point,
    colour: str,
    text: str,
    fontsize: float = 9,
    lw: float = 1.2,
    dashed: bool = False,
) -> None:
    """A rounded box, `size` wide and high, in a pale shade of its edge's colour."""
    width, height = size
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=PALE[colour],
            edgecolor=colour,
            linewidth=lw,
            linestyle=DASHES if dashed else "-",
        )
    )
    write(axes, centre, text, fontsize)


def arrow(
    axes: Axes, points: Sequence[Point], colour: str = INK, dashed: bool = False, lw: float = 1.2
) -> None:
    """A line through the points, with a head at the last one."""
    style: Any = {"color": colour, "lw": lw, "ls": DASHES if dashed else "-"}
    *way, end = points
    axes.plot([x for x, _ in way], [y for _, y in way], solid_capstyle="butt", **style)
    head = FancyArrowPatch(
        way[-1], end, arrowstyle="-|>", mutation_scale=9, shrinkA=0, shrinkB=0, **style
    )
    axes.add_patch(head)


def as_json(data: object) -> str:
    """What a figure shows, as JSON; equal data give equal text."""
    assert is_dataclass(data) and not isinstance(data, type)
    return json.dumps(asdict(data), ensure_ascii=False, separators=(",", ":"))


def fingerprint(data: object) -> str:
    """sha256 of `as_json`, which `save_png` writes into the picture."""
    return hashlib.sha256(as_json(data).encode()).hexdigest()


def save_png(figure: Figure, path: Path, data: object) -> None:
    """Write a PNG of `COLOURS` colours that carries the fingerprint of the data it shows.

    It has no date and no version of any tool.

    Raises:
        InputError: the file cannot be written.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    with Image.open(drawn) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    about = PngInfo()
    about.add_text(DATA_KEY, fingerprint(data))
    with replacing(path) as temporary:
        small.save(temporary, format="png", pnginfo=about)
