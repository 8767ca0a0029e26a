"""The drawing of blocks side by side: boxes, their state, and the path around them."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.network_layout import DELAY, Box, Memory, Network, Networks, block_of, leaves_rectified
from reports.sheets import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, Point, arrow, box, sheet, write

COLUMN, TOP, ROW, BOTTOM = 4.15, 1.0, 0.82, 0.6
MAIN, AROUND = 2.02, 0.52  # of the two paths, from the left of a column
STATE = 3.55
BOX = (1.62, 0.5)
SMALL = (0.7, 0.27)
STATE_BOX = (0.98, 0.42)


@dataclass(frozen=True)
class _Step:
    """One row of a column: a box, or a ReLU where there is none."""

    box: Box | None

    @property
    def height(self) -> float:
        return SMALL[1] if self.box is None or self.box.kind == "sum" else BOX[1]


def draw_blocks(data: Networks, layers: tuple[str, ...]) -> Figure:
    """One column a network, of its block named in `layers`."""
    columns = [
        (block_of(whole, layer), _steps(whole, layer))
        for whole, layer in zip(data.networks, layers, strict=True)
    ]
    rows = max(len(steps) for _, steps in columns)
    height = TOP + ROW * (rows + 0.35) + BOTTOM
    title = "One block, frame by frame: shapes are (C, V) of a frame, dashed boxes are kept"
    figure, axes = sheet(COLUMN * len(columns) + 0.1, height, title)
    for index, (block, steps) in enumerate(columns):
        left = 0.05 + COLUMN * index
        _column(axes, block, steps, left, height - TOP)
        if index:
            axes.plot([left, left], [0.2, height - 0.5], color=GREY, lw=0.6)
    return figure


def _steps(whole: Network, layer: str) -> list[_Step]:
    """The rows of the main path: its boxes, and the ReLUs between them."""
    steps: list[_Step] = []
    inside: set[str] = set()
    for part in block_of(whole, layer).boxes:
        if part.reads[0] in inside and part.rectified[0]:
            steps.append(_Step(None))
        steps.append(_Step(part))
        inside.add(part.name)
    if leaves_rectified(whole, layer):
        steps.append(_Step(None))
    return steps


def _column(axes: Axes, block: Network, steps: list[_Step], left: float, top: float) -> None:
    x = left + MAIN
    first = block.boxes[0]
    channels = first.weights[1]
    write(axes, (x, top + 0.42), block.title, 10.5, weight="bold")
    write(axes, (x, top + 0.17), f"x  ({channels}, {first.joints})", 9)
    above = top + 0.06
    shape = ""
    for row, step in enumerate(steps):
        y = top - ROW * (row + 0.62)
        arrow(axes, [(x, above), (x, y + step.height / 2)])
        if shape:
            write(axes, (x + 0.08, (above + y + step.height / 2) / 2), shape, 8, ha="left")
        _step(axes, step, (x, y), left)
        if step.box is not None:
            shape = f"({step.box.channels}, {step.box.joints})"
            if step.box.kind == "sum":
                _around(axes, step.box, left, top, y)
        above = y - step.height / 2
    y = top - ROW * (len(steps) + 0.35)
    arrow(axes, [(x, above), (x, y + 0.12)])
    write(axes, (x, y), f"out  {shape}", 9)
    _sums(axes, block, left, y - 0.36)


def _step(axes: Axes, step: _Step, at: Point, left: float) -> None:
    part = step.box
    if part is None:
        box(axes, at, SMALL, GREY, "ReLU", 8.5)
        return
    if part.kind == "sum":
        box(axes, at, SMALL, GREEN, "+", 11)
        return
    box(axes, at, BOX, ORANGE if part.taps else BLUE, f"{part.kind}\n{_detail(part)}", 8.5)
    memories = part.memories
    for index, memory in enumerate(memories):
        y = at[1] + 0.26 * (len(memories) - 1) - 0.52 * index
        _state(axes, memory, (left + STATE, y))
        arrow(
            axes,
            [(at[0] + BOX[0] / 2, at[1] + (y - at[1]) / 2.5), (left + STATE - STATE_BOX[0] / 2, y)],
            PURPLE,
            dashed=True,
            lw=0.9,
        )


def _state(axes: Axes, memory: Memory, at: Point) -> None:
    text = f"{memory.kind}\n{memory.slots} × ({memory.channels}, {memory.joints})"
    box(axes, at, STATE_BOX, PURPLE, text, 7.5, dashed=True)


def _detail(part: Box) -> str:
    """The second line of a box: its weights, and its window over time."""
    names = {"graph product": "Â", "norm": "w, b"}
    weights = f"{names.get(part.kind, 'W')} {part.weights}" if part.weights else "no weights"
    if part.taps:
        return f"{weights}, Γ {part.taps}, δ {part.dilation}"
    return weights


def _around(axes: Axes, total: Box, left: float, top: float, y: float) -> None:
    """The residual path, from the block's input to its sum, and the delay line on it."""
    x, corner = left + MAIN, left + AROUND
    start, end = top - 0.03, x - SMALL[0] / 2
    delays = [memory for memory in total.memories if memory.kind == DELAY]
    middle = (start + y) / 2
    axes.plot([x, corner], [start, start], color=GREEN, lw=1.2)
    if delays:
        arrow(axes, [(corner, start), (corner, middle + STATE_BOX[1] / 2)], GREEN)
        arrow(axes, [(corner, middle - STATE_BOX[1] / 2), (corner, y), (end, y)], GREEN)
        _state(axes, delays[0], (corner + 0.07, middle))
    else:
        arrow(axes, [(corner, start), (corner, y), (end, y)], GREEN)
    write(axes, (corner + 0.07, y + 0.14), "residual", 8.5, ha="left", colour=GREEN)


def _sums(axes: Axes, block: Network, left: float, y: float) -> None:
    """What the block costs in waiting and in state."""
    lookahead = block.boxes[-1].lookahead - block.boxes[0].lookahead
    memories = [memory for part in block.boxes for memory in part.memories]
    slots = sum(memory.slots for memory in memories)
    words = sum(memory.slots * memory.channels * memory.joints for memory in memories)
    text = f"looks {lookahead} frames ahead; keeps {slots} frames, {words:,} words"
    write(axes, (left + MAIN, y), text, 8.5, colour=INK)
