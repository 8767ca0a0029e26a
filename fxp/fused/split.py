"""One clip over several threads: each takes a stretch of it, and a run-up to fill its memories.

All memory of a network but a `ClipMean`'s is finite: what a value depends on reaches back a known
number of frames (`reach`). A thread that begins so many frames before its stretch, with everything
zero, therefore has every FIFO, sum and delay line right, to the word, when its stretch begins:
wrong frames of the run-up have left them, and a running sum gives back exactly what it took.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fxp.ir import (
    Add,
    ClipMean,
    Graph,
    Node,
    TemporalConv,
    TemporalSum,
    Timing,
    operands,
)

LEAST_SHARE = 1  # a stretch is at least so many run-ups long: less is not worth a thread


@dataclass(frozen=True)
class Stretch:
    """Frames `start..stop` of the input, of which the results from `first..last` are wanted.

    `first..last` are frames of the input too; all four are multiples of every period but the ends.
    """

    start: int
    first: int
    last: int
    stop: int


def reach(graph: Graph, timing: Mapping[str, Timing]) -> int | None:
    """How many frames of the input before the newest one any value depends on; None if all."""
    back: dict[str, int] = {}
    for node in graph.nodes:
        if isinstance(node, ClipMean):
            return None
        before = max((back[name] for name in operands(node)), default=0)
        back[node.name] = before + _remembered(node, timing)
    return max(back.values())


def _remembered(node: Node, timing: Mapping[str, Timing]) -> int:
    """Frames of the input that a node keeps."""
    match node:
        case TemporalSum():
            return node.window * node.dilation * timing[node.x].period
        case TemporalConv():
            taps: int = node.weight.raw.shape[2]
            return (taps - 1) * node.dilation * timing[node.x].period
        case Add():
            ahead = [timing[name].lookahead for name in (node.a, node.b)]
            return max(ahead) - min(ahead) + timing[node.name].period
        case _:
            return 0


def stretches(
    graph: Graph, timing: Mapping[str, Timing], seen: int, frames: int, threads: int
) -> Sequence[Stretch]:
    """Shares of the next `frames` frames after `seen`, at most one for each thread.

    One share, and so one thread, where the memory is not finite or shares would get too short.
    """
    period = math.lcm(*(max(1, value.period) for value in timing.values()))
    latency = max(value.lookahead for value in timing.values())
    whole = [Stretch(seen, seen, seen + frames, seen + frames)]
    back = reach(graph, timing)
    if back is None or any(value.period == 0 for value in timing.values()):
        return whole
    run_up = -(-(back + latency) // period) * period
    count = min(threads, max(1, (frames + run_up) // ((1 + LEAST_SHARE) * run_up or 1)))
    share = -(-(frames + (count - 1) * run_up) // count)  # run-ups are work as well
    after = [share + k * (share - run_up) for k in range(count - 1)]  # only the first has none
    inner = {(seen + at) // period * period for at in after}
    cuts = [seen, *sorted(at for at in inner if seen < at < seen + frames)]
    found = []
    for first, last in zip(cuts, [*cuts[1:], seen + frames], strict=True):
        start = first if first == seen else max(first - run_up, 0)
        if first != seen and start < seen:
            return whole
        stop = last if last == seen + frames else min(last + latency, seen + frames)
        found.append(Stretch(start, first, last, stop))
    return found
