"""The drawing of all tensor shapes of networks: batch form, realtime form and state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fxp.ir import layer_of
from reports.network_layout import Box, Network, Networks
from reports.sheets import BLUE, GREY, INK, ORANGE, PURPLE, sheet, write

ROW, GAP, HEAD, TOP = 0.2, 0.1, 0.6, 0.4  # whole pixels, so that equal rows pack well
PANEL = 6.3
# of the columns layer, node, batch, realtime, state, from the left of a panel
COLUMNS = (0.16, 1.1, 1.92, 3.2, 4.02)
HEADS = ("layer", "node", "batch (N, C, T, V)", "one frame", "kept between frames")
Layer = tuple[Box, ...]


@dataclass(frozen=True)
class Group:
    """Neighbouring layers whose boxes agree in all but their names."""

    names: tuple[str, ...]
    boxes: Layer


def draw_shapes(data: Networks) -> Figure:
    """One table a network; layers of equal shapes share their rows."""
    tables = [list(groups(network)) for network in data.networks]
    height = TOP + HEAD + max(_height(table) for table in tables) + 0.4
    title = "Shapes through all layers: a batch of clips, one frame in realtime, state in between"
    figure, axes = sheet(PANEL * len(tables), height, title)
    for index, (network, table) in enumerate(zip(data.networks, tables, strict=True)):
        _table(axes, network, table, PANEL * index, height - TOP)
    return figure


def groups(network: Network) -> Iterable[Group]:
    """The layers of a network, neighbours of equal shapes together."""
    layers = [tuple(boxes) for _, boxes in groupby(network.boxes, lambda b: layer_of(b.name))]
    for _, equal in groupby(layers, lambda layer: [_row(box) for box in layer]):
        members = list(equal)
        yield Group(tuple(layer_of(layer[0].name) for layer in members), members[0])


def _row(part: Box) -> tuple[object, ...]:
    """What a row of the table says of a box, without its layer."""
    inner = part.name.partition(".")[2]
    if not inner:  # a layer of one box has a row of its own
        inner = part.name
    return inner, batch_shape(part), part.memories, part.period


def batch_shape(part: Box) -> str:
    """`(N, C, T, V)` of a box over a whole clip."""
    return f"(N, {part.channels}, {part.frames}, {part.joints})"


def _height(table: list[Group]) -> float:
    return sum(ROW * len(group.boxes) + GAP for group in table)


def _table(axes: Axes, network: Network, table: list[Group], left: float, top: float) -> None:
    write(axes, (left + COLUMNS[0], top - 0.12), network.title, 10.5, ha="left", weight="bold")
    y = top - 0.38
    for x, head in zip(COLUMNS, HEADS, strict=True):
        write(axes, (left + x, y), head, 8.5, ha="left", weight="bold")
    y = top - HEAD
    for group in table:
        tall = ROW * len(group.boxes)
        axes.add_patch(
            Rectangle((left + 0.12, y - tall), PANEL - 0.24, tall, fc="white", ec=GREY, lw=0.6)
        )
        rate = _rate(group.boxes[-1].period)
        middle = y - tall / 2
        if rate and len(group.boxes) > 1:  # a single row has its frames beside it
            write(axes, (left + COLUMNS[0], middle - 0.16), rate, 8.5, ha="left")
        write(axes, (left + COLUMNS[0], middle), _names(group), 8.5, ha="left", weight="bold")
        for part in group.boxes:
            _cells(axes, part, left, y)
            y -= ROW
        y -= GAP
    _total(axes, network, left, y - 0.08)


def _cells(axes: Axes, part: Box, left: float, y: float) -> None:
    """One row: over time orange, state purple, all else blue."""
    _mark(axes, left + COLUMNS[1], y, ORANGE if part.taps else BLUE)
    middle = y - ROW / 2
    inner = part.name.partition(".")[2] or part.name
    frame = f"({part.channels}, {part.joints})"
    for x, text in zip(COLUMNS[1:4], (inner, batch_shape(part), frame), strict=True):
        write(axes, (left + x, middle), text, 8.5, ha="left")
    if part.memories:
        _mark(axes, left + COLUMNS[4], y, PURPLE)
        text = ", ".join(f"{memory.kind} {memory.slots}" for memory in part.memories)
        kept = part.memories[0]  # of one shape, if there are several
        text += f" × ({kept.channels}, {kept.joints})"
        write(axes, (left + COLUMNS[4], middle), text, 8.5, ha="left")


def _mark(axes: Axes, x: float, y: float, colour: str) -> None:
    """A strip of colour in front of a cell."""
    axes.add_patch(Rectangle((x - 0.1, y - ROW), 0.05, ROW, fc=colour, ec="white", lw=0.5))


def _rate(period: int) -> str:
    """How often a frame comes, where that is not with every frame of the input."""
    match period:
        case 0:
            return "once a clip"
        case 1:
            return ""
        case _:
            return f"1 frame in {period}"


def _names(group: Group) -> str:
    """`block4` or, of several layers, `block1…3`."""
    first, last = group.names[0], group.names[-1]
    return first if first == last else f"{first}–{last.removeprefix('block')}"


def _total(axes: Axes, network: Network, left: float, y: float) -> None:
    memories = [memory for part in network.boxes for memory in part.memories]
    words = sum(memory.slots * memory.channels * memory.joints for memory in memories)
    latency = f"latency {network.latency} frames"
    if network.boxes[-1].period == 0:
        latency = "the label comes with the end of the clip"
    text = f"state {words:,} words; {latency}"
    write(axes, (left + COLUMNS[0], y), text, 9, ha="left", colour=INK, weight="bold")
