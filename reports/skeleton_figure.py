"""The drawing of skeletons, their partitions and adjacency matrices."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from reports.sheets import BLUE, GREY, INK, ORANGE, VERMILION, sheet, write
from reports.skeleton_layout import (
    CENTRIFUGAL,
    CENTRIPETAL,
    ROOT,
    Matrix,
    SkeletonDrawing,
    Skeletons,
)

WIDTH, BAND, TOP, BOTTOM = 10.4, 4.75, 0.35, 0.75
TREE_WIDTH = 3.6
CELL = 1.86  # side of a matrix
COLOURS = {ROOT: INK, CENTRIPETAL: BLUE, CENTRIFUGAL: ORANGE}
MARKS = {ROOT: "s", CENTRIPETAL: "^", CENTRIFUGAL: "v"}
LIFT = {CENTRIPETAL: -3.5, CENTRIFUGAL: 3.0}  # points: a triangle has room for a number off centre
RANGE = (0.1, 40.0)
READABLE_JOINTS = 9  # up to here a cell has room for its number


def draw_skeletons(data: Skeletons) -> Figure:
    """One band a skeleton: its tree on the left, the six matrices on the right."""
    height = TOP + BAND * len(data.drawings) + BOTTOM
    figure, page = sheet(WIDTH, height, "Spatial partitions and their adjacency matrices")
    for index, drawing in enumerate(data.drawings):
        floor = height - TOP - BAND * (index + 1)
        _tree(figure, drawing, floor / height, height)
        _matrices(figure, page, drawing, floor)
    _colour_bar(figure, height)
    _legend(page)
    return figure


def _tree(figure: Figure, drawing: SkeletonDrawing, floor: float, height: float) -> None:
    frame = (0.5 / WIDTH, floor + 0.35 / height, TREE_WIDTH / WIDTH, (BAND - 0.75) / height)
    axes = figure.add_axes(frame)
    joints = drawing.joints
    for a, b in drawing.edges:
        axes.plot([joints[a].x, joints[b].x], [joints[a].hops, joints[b].hops], color=GREY, lw=1.2)
    for joint in joints:
        colour, mark = COLOURS.get(joint.part, "white"), MARKS.get(joint.part, "o")
        edge = VERMILION if joint.number == drawing.chosen else INK
        size = 24 if joint.part in LIFT else 17
        axes.plot(joint.x, joint.hops, mark, ms=size, mfc=colour, mec=edge, mew=1.2)
        axes.annotate(
            str(joint.number),
            (joint.x, joint.hops),
            xytext=(0, LIFT.get(joint.part, 0.0)),
            textcoords="offset points",
            ha="center",
            va="center",
            color="white" if joint.part in (ROOT, CENTRIPETAL) else INK,
            fontsize=8,
        )
    deepest = max(joint.hops for joint in joints)
    ends = [joint.x for joint in joints]
    axes.set_ylim(deepest + 0.45, -0.45)
    axes.set_xlim(min(ends) - 0.5, max(ends) + 0.5)
    axes.set_yticks(range(deepest + 1))
    axes.tick_params(labelsize=8.5, length=0)
    axes.set_xticks([])
    axes.set_ylabel("hops to the centre", fontsize=9)
    for side in axes.spines.values():
        side.set_visible(False)
    chosen = joints[drawing.chosen]
    title = f"{drawing.name}: {len(joints)} joints, chosen {chosen.number} ({chosen.name})"
    axes.set_title(title, fontsize=9.5, loc="left", parse_math=False)


def _matrices(figure: Figure, page: Axes, drawing: SkeletonDrawing, floor: float) -> None:
    height = figure.get_figheight()
    rows: dict[str, list[Matrix]] = {}
    for matrix in drawing.matrices:
        rows.setdefault(matrix.normalisation, []).append(matrix)
    for row, (normalisation, matrices) in enumerate(rows.items()):
        bottom = floor + BAND - 0.4 - CELL - row * (CELL + 0.47)
        for matrix in matrices:
            left = 4.6 + matrix.p * (CELL + 0.08)
            frame = (left / WIDTH, bottom / height, CELL / WIDTH, CELL / height)
            _heat_map(figure.add_axes(frame), matrix, drawing)
            label = f"A{matrix.p}, {normalisation}: {matrix.sources}"
            write(page, (left + CELL / 2, bottom + CELL + 0.11), label, 8)


def _heat_map(axes: Axes, matrix: Matrix, drawing: SkeletonDrawing) -> None:
    values = np.array(matrix.values)
    axes.imshow(np.ma.masked_equal(values, 0), cmap=_shades(), norm=LogNorm(*RANGE))
    count = len(values)
    if count <= READABLE_JOINTS:
        for v, w in np.argwhere(values > 0):
            value = values[v, w]
            ink = "white" if value > 3 else INK
            axes.text(w, v, f"{value:.3g}", ha="center", va="center", fontsize=7.5, color=ink)
    axes.axvspan(
        drawing.chosen - 0.5, drawing.chosen + 0.5, fill=False, ec=VERMILION, lw=1.1, zorder=3
    )
    step = 1 if count <= READABLE_JOINTS else 5
    ticks = range(0, count, step)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks if matrix.p == 0 else [])
    axes.tick_params(labelsize=7.5, length=2, pad=1.5)
    for side in axes.spines.values():
        side.set_color(GREY)
    if matrix.p == 0:
        axes.set_ylabel("source v", fontsize=8, labelpad=1)


def _shades() -> Colormap:
    return LinearSegmentedColormap.from_list(
        "entries", ["#e3eef7", "#9cc4e0", "#4a90c2", "#0072b2", "#08306b"]
    )


def _colour_bar(figure: Figure, height: float) -> None:
    axes = figure.add_axes((4.6 / WIDTH, 0.45 / height, 3.6 / WIDTH, 0.13 / height))
    shades = np.geomspace(*RANGE, 256)[None]
    axes.pcolormesh(np.geomspace(*RANGE, 257), [0, 1], shades, cmap=_shades(), norm=LogNorm(*RANGE))
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    axes.set_xticks([], minor=True)
    axes.set_yticks([])
    axes.set_xlabel(
        "entry A[p, v, w] of source v (row), receiver w (column)", fontsize=8, labelpad=1
    )


def _legend(page: Axes) -> None:
    texts = {
        ROOT: "root: the joint itself",
        CENTRIPETAL: "centripetal: closer to the centre",
        CENTRIFUGAL: "centrifugal: farther from it",
    }
    for index, (part, text) in enumerate(texts.items()):
        y = 0.67 - 0.2 * index
        page.plot(0.4, y, MARKS[part], ms=8, mfc=COLOURS[part], mec=INK)
        write(page, (0.58, y), text, 8.5, ha="left")
    write(page, (8.4, 0.52), "red: column of the", 8, ha="left", colour=VERMILION)
    write(page, (8.4, 0.36), "chosen joint w", 8, ha="left", colour=VERMILION)
