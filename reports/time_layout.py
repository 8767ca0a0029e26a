"""What the drawings of time show, as plain data: which frames a label needs, and the running sum.

Reaches are read off the temporal nodes of a network's graph; the running sum is what the simulator
of a graph of that one node holds before and after a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fxp.ir import Graph, Input, IntArray, TemporalConv, TemporalSum, operands, timings
from fxp.outline import outline
from fxp.qformat import QFormat
from fxp.simulate import compile_graph, run, snapshot
from fxp.spec import ArchSpec

INPUT, SUM = "z", "sum"


@dataclass(frozen=True)
class Level:
    """Frames that are needed of what a layer reads, relative to the label's, and by which taps.

    `links` are pairs of a needed frame of the layer's value and a frame that it reads.
    """

    node: str
    taps: int
    dilation: int
    frames: tuple[int, ...]
    links: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Span:
    """How far a network's label looks: frames before its own, and frames that it waits for."""

    title: str
    layers: int
    taps: tuple[int, ...]
    dilations: tuple[int, ...]
    past: int
    future: int


@dataclass(frozen=True)
class Tree:
    """A small network's span, and its levels from the label down to the input."""

    span: Span
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Reaches:
    """Small networks, drawn frame by frame, and large ones in numbers."""

    trees: tuple[Tree, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class SumState:
    """The running sum between two frames: one entry a slot and a phase.

    `frames` names the frame that each slot holds (-1: none yet); `position` is the slot that the
    next frame replaces.
    """

    frames: tuple[int, ...]
    fifo: tuple[int, ...]
    accumulators: tuple[int, ...]
    position: int


@dataclass(frozen=True)
class RunningSum:
    """One step of the running sum: the values of `z` up to `frame`, the sums, state around it."""

    window: int
    dilation: int
    frame: int
    values: tuple[int, ...]
    sums: tuple[int, ...]
    before: SumState
    after: SumState

    @property
    def phase(self) -> int:
        """The accumulator that the step changes."""
        return self.frame % self.dilation

    @property
    def leaving(self) -> int:
        """The frame that falls out of the window."""
        return self.frame - self.window * self.dilation


def tree(title: str, arch: ArchSpec) -> Tree:
    """The reach of a network, layer by layer.

    Raises:
        InputError: no such architecture can be outlined.
    """
    graph = outline(arch)
    levels = []
    needed: tuple[int, ...] = (0,)
    for node, period in reversed(_over_time(graph)):
        reads = [period * offset for offset in offsets(node)]
        links = tuple((frame, frame + offset) for frame in needed for offset in reads)
        needed = tuple(sorted({source for _, source in links}))
        levels.append(Level(node.name, len(reads), node.dilation * period, needed, links))
    return Tree(span(title, arch), tuple(levels))


def span(title: str, arch: ArchSpec) -> Span:
    """Past and future of a network's labels; layers, taps and dilations as in its graph.

    Dilations count frames of the input; a stride before a layer multiplies them.

    Raises:
        InputError: no such architecture can be outlined.
    """
    over_time = _over_time(outline(arch))
    past = -sum(min(offsets(node)) * period for node, period in over_time)
    return Span(
        title,
        len(over_time),
        tuple(len(offsets(node)) for node, _ in over_time),
        tuple(node.dilation * period for node, period in over_time),
        past,
        sum(max(offsets(node)) * period for node, period in over_time),
    )


def offsets(node: TemporalSum | TemporalConv) -> tuple[int, ...]:
    """Frames that a temporal node reads for its frame 0, in frames of what it reads."""
    match node:
        case TemporalSum(window=window, dilation=dilation):
            return tuple(-k * dilation for k in range(window))
        case TemporalConv(weight=weight, dilation=dilation, lookahead=lookahead):
            taps = weight.raw.shape[2]
            return tuple(lookahead - k * dilation for k in range(taps))


def _over_time(graph: Graph) -> list[tuple[TemporalSum | TemporalConv, int]]:
    """Temporal nodes of the main path and how many input frames lie between the frames they read.

    The main path is an Add's first operand; the residual around it looks no farther than it does.
    """
    found = timings(graph)
    nodes = {node.name: node for node in graph.nodes}
    node = graph.nodes[-1]
    path = []
    while not isinstance(node, Input):
        node = nodes[operands(node)[0]]
        if isinstance(node, TemporalSum | TemporalConv):
            path.append((node, found[node.x].period))
    return path[::-1]


def running_sum(values: tuple[int, ...], window: int, dilation: int) -> RunningSum:
    """The simulator's state around the last of `values`, and its sums."""
    source = Input(INPUT, 1, 1, QFormat(16, 0))
    graph = Graph("running_sum", (source, TemporalSum(SUM, INPUT, window, dilation)), (SUM,))
    plan = compile_graph(graph)
    clip = np.array(values)[:, None, None]  # (T, C, V)
    earlier, state = run(plan, clip[:-1], more=True)
    before = _sum_state(snapshot(plan, state), window * dilation)
    last, state = run(plan, clip[-1:], state, more=True)
    sums = (*earlier[SUM].ravel().tolist(), *last[SUM].ravel().tolist())
    after = _sum_state(snapshot(plan, state), window * dilation)
    return RunningSum(window, dilation, len(values) - 1, values, sums, before, after)


def _sum_state(arrays: dict[str, IntArray], depth: int) -> SumState:
    seen = int(arrays["frames"])
    newest = [max(range(slot, seen, depth), default=-1) for slot in range(depth)]
    return SumState(
        tuple(newest),
        tuple(arrays[f"{SUM}.fifo"].ravel().tolist()),
        tuple(arrays[f"{SUM}.accumulator"].ravel().tolist()),
        int(arrays[f"{SUM}.position"]),
    )
