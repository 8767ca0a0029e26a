"""The drawings of time: which frames a label depends on, and one step of the running sum."""

from __future__ import annotations

from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.sheets import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    Point,
    arrow,
    box,
    sheet,
    write,
)
from reports.time_layout import Reaches, RunningSum, Span, SumState, Tree

FRAME = 0.32  # inches between frames of a tree
LEVEL = 0.56  # inches between its levels
REACH_WIDTH = 9.6
TABLE_ROW = 0.27
CELL = (0.72, 0.46)
PHASES = (BLUE, ORANGE, GREEN, PURPLE)


def draw_reach(data: Reaches) -> Figure:
    """Trees of small networks below each other, and a table of large ones."""
    tall = sum(_tree_height(tree) for tree in data.trees)
    height = 0.5 + tall + 0.3 + TABLE_ROW * (len(data.spans) + 1)
    title = "Which input frames the label of frame t depends on"
    figure, axes = sheet(REACH_WIDTH, height, title)
    top = height - 0.5
    for tree in data.trees:
        _tree(axes, tree, top)
        top -= _tree_height(tree)
    _table(axes, data.spans, top - 0.3)
    return figure


def _tree_height(tree: Tree) -> float:
    return LEVEL * len(tree.levels) + 1.1


def _tree(axes: Axes, tree: Tree, top: float) -> None:
    """Levels from the label on top to the input, past on the left of frame t."""
    span = tree.span
    present = 5.0

    def at(frame: int, level: int) -> Point:
        return present + FRAME * frame, top - 0.42 - LEVEL * level

    write(axes, (0.15, top - 0.12), span.title, 10.5, ha="left", weight="bold")
    bottom = at(0, len(tree.levels))[1]
    axes.plot([present, present], [bottom - 0.15, top - 0.3], color=GREY, lw=0.8, ls=(0, (4, 3)))
    for index, level in enumerate(tree.levels):
        for value, source in level.links:
            ends = at(value, index), at(source, index + 1)
            axes.plot(*zip(*ends, strict=True), color=_colour(source), lw=0.8, zorder=1)
        text = f"{level.node}: Γ {level.taps}, δ {level.dilation}"
        write(axes, (0.4, at(0, index)[1] - LEVEL / 2), text, 8.5, ha="left")
    for index, frames in enumerate([(0,), *(level.frames for level in tree.levels)]):
        for frame in frames:
            mark = "s" if frame > 0 else "o"
            axes.plot(*at(frame, index), mark, ms=7, mfc=_colour(frame), mec=INK, mew=0.7)
    write(axes, (present + 0.12, top - 0.3), "label t", 8.5, ha="left")
    _frame_numbers(axes, span, bottom - 0.24, present)
    _waiting(axes, span, present, bottom - 0.47)


def _frame_numbers(axes: Axes, span: Span, y: float, present: float) -> None:
    write(axes, (0.4, y), "input frame", 8.5, ha="left")
    for frame in range(-span.past, span.future + 1):
        text = "t" if frame == 0 else f"{frame:+d}"
        write(axes, (present + FRAME * frame, y), text, 7.5)


def _waiting(axes: Axes, span: Span, present: float, y: float) -> None:
    """The latency, as an arrow from the frame to the last one that its label needs."""
    if span.future:
        end = present + FRAME * span.future
        arrow(axes, [(present, y), (end, y)], VERMILION, lw=1.5)
        text = f"latency {span.future} frames"
        write(axes, (end + 0.1, y), text, 8.5, ha="left", colour=VERMILION)
    else:
        write(axes, (present + 0.2, y + 0.23), "latency 0", 8.5, ha="left", colour=VERMILION)


def _colour(frame: int) -> str:
    """Past, present and future of the label."""
    if frame == 0:
        return GREEN
    return BLUE if frame < 0 else ORANGE


def _table(axes: Axes, spans: tuple[Span, ...], top: float) -> None:
    """The large networks in numbers; equal entries along the layers are written once."""
    columns = (0.3, 2.3, 3.25, 4.0, 7.2, 8.15, 9.35)
    heads = ("network", "layers", "Γ", "δ (input frames)", "past", "latency", "frames seen")
    axes.axhline(top - 0.15, 0.02, 0.985, color=INK, lw=0.8)
    rows: list[tuple[str, ...]] = [heads]
    for span in spans:
        seen = span.past + 1 + span.future
        numbers = (f"{number:,}" for number in (span.past, span.future, seen))
        taps, dilations = _runs(span.taps), _runs(span.dilations)
        rows.append((span.title, str(span.layers), taps, dilations, *numbers))
    for index, row in enumerate(rows):
        y = top - TABLE_ROW * index
        for x, cell, head in zip(columns, row, heads, strict=True):
            align = "right" if head in ("layers", "past", "latency", "frames seen") else "left"
            x = x + 0.45 if head == "layers" else x
            write(axes, (x, y), cell, 8.5, ha=align, weight="normal" if index else "bold")


def _runs(values: tuple[int, ...]) -> str:
    """Equal neighbours written once: `1 (5), 2 (3), 4 (2)`; many different ones by their ends."""
    runs = [(value, len(list(group))) for value, group in groupby(values)]
    if len(runs) == 1:
        return str(runs[0][0])
    if len(runs) > 4:
        return f"{values[0]}, {values[1]}, {values[2]}, … {max(values)}"
    return ", ".join(f"{value} ({count} layers)" for value, count in runs)


def draw_running_sum(data: RunningSum) -> Figure:
    """The frames so far on top, then the FIFO and the accumulators before and after the last."""
    width = _accumulator_x(data, data.dilation - 1) + 0.85
    title = f"Running sum, Γ = {data.window}, δ = {data.dilation}: the step of frame {data.frame}"
    figure, axes = sheet(width, 5.95, title)
    _frames(axes, data, 4.55)
    _memory(axes, data, data.before, f"before frame {data.frame}", 2.9)
    _memory(axes, data, data.after, f"after frame {data.frame}", 0.85)
    _step(axes, data)
    _headings(axes, data, 3.62)
    legend = (
        "Colour: phase t mod δ. Bold: frames of the window (above), what the step changes (below)."
    )
    write(axes, (0.15, 0.12), legend, 8.5, ha="left")
    return figure


def _cell(axes: Axes, at: Point, colour: str, text: str, strong: bool = False) -> None:
    box(axes, at, (CELL[0] - 0.08, CELL[1]), colour, text, 10, lw=2.6 if strong else 1.0)


def _frames(axes: Axes, data: RunningSum, y: float) -> None:
    """Every frame's value in the colour of its phase; the window is bold, what leaves it struck."""
    write(axes, (0.15, y + 0.47), "frame", 9, ha="left")
    write(axes, (0.15, y), "z", 9, ha="left")
    write(axes, (0.15, y - 0.47), "sum y", 9, ha="left")
    reads = range(data.frame, data.leaving, -data.dilation)
    for frame, (value, total) in enumerate(zip(data.values, data.sums, strict=True)):
        x = 1.35 + CELL[0] * frame
        write(axes, (x, y + 0.47), str(frame), 9)
        _cell(axes, (x, y), PHASES[frame % data.dilation], str(value), frame in reads)
        write(
            axes, (x, y - 0.47), str(total), 9, weight="bold" if frame == data.frame else "normal"
        )
    for frame, text, colour in (
        (data.frame, "comes", GREEN),
        (data.leaving, "leaves", VERMILION),
    ):
        write(axes, (1.35 + CELL[0] * frame, y + 0.75), text, 9, colour=colour, weight="bold")


def _memory(axes: Axes, data: RunningSum, state: SumState, when: str, y: float) -> None:
    """The slots of the FIFO, then the accumulators; the ones that the step touches are bold."""
    slot = data.before.position
    write(axes, (0.15, y), when, 9, ha="left", weight="bold")
    for index, (value, frame) in enumerate(zip(state.fifo, state.frames, strict=True)):
        x = _slot_x(index)
        write(axes, (x, y + 0.4), f"slot {index}", 8)
        _cell(axes, (x, y), PHASES[index % data.dilation], str(value), index == slot)
        write(axes, (x, y - 0.38), "empty" if frame < 0 else f"z{_low(frame)}", 9)
    for phase, total in enumerate(state.accumulators):
        x = _accumulator_x(data, phase)
        write(axes, (x, y + 0.4), f"phase {phase}", 8)
        _cell(axes, (x, y), PHASES[phase], str(total), phase == data.phase)
        held = sorted(frame for frame in state.frames if frame >= 0)
        kept = [frame for frame in held if frame % data.dilation == phase]
        write(axes, (x, y - 0.38), " + ".join(f"z{_low(frame)}" for frame in kept), 8)


def _headings(axes: Axes, data: RunningSum, y: float) -> None:
    fifo = f"FIFO of Γ · δ = {len(data.before.fifo)} frames"
    write(axes, (_slot_x(0) - 0.3, y), fifo, 9.5, ha="left", weight="bold")
    at = (_accumulator_x(data, 0) - 0.35, y)
    write(axes, at, f"δ = {data.dilation} accumulators", 9.5, ha="left", weight="bold")


def _slot_x(slot: int) -> float:
    return 1.75 + CELL[0] * slot


def _accumulator_x(data: RunningSum, phase: int) -> float:
    return _slot_x(len(data.before.fifo)) + 0.75 + 1.15 * phase


def _step(axes: Axes, data: RunningSum) -> None:
    """What happens between the two states, in words and numbers."""
    depth, slot, frame = data.window * data.dilation, data.before.position, data.frame
    new, old = data.values[frame], data.values[data.leaving]
    before, after = (state.accumulators[data.phase] for state in (data.before, data.after))
    middle = 1.87
    for x in (_slot_x(slot), _accumulator_x(data, data.phase)):
        arrow(axes, [(x, middle + 0.53), (x, middle - 0.46)], GREY)
    write(
        axes,
        (_slot_x(slot) + 0.12, middle + 0.12),
        f"slot {frame} mod {depth} = {slot}:",
        9,
        ha="left",
    )
    text = f"z{_low(data.leaving)} = {old} out, z{_low(frame)} = {new} in"
    write(axes, (_slot_x(slot) + 0.12, middle - 0.14), text, 9, ha="left")
    x = _accumulator_x(data, data.phase) + 0.12
    write(
        axes, (x, middle + 0.12), f"phase {frame} mod {data.dilation} = {data.phase}:", 9, ha="left"
    )
    text = f"{before} + {new} − {old} = {after} = y{_low(frame)}"
    write(axes, (x, middle - 0.14), text, 9, ha="left")


def _low(number: int) -> str:
    """A number as an index."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
