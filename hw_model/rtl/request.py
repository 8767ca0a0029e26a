"""From what a command asks of an engine to its settings: pairs of lanes, weights off the chip.

`--off-chip` names convolutions, or is `all`, or `auto`: those whose weights the placement on an
accelerator streams in block by block (`hw_model.memory`). What else that placement has in DRAM,
such as past frames, stays on the chip: the engine cannot do otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from fxp.errors import InputError
from fxp.ir import Conv, Graph, TemporalConv
from hw_model.accelerator import Accelerator, Lanes
from hw_model.digits import digits_of
from hw_model.flow import flow_of
from hw_model.loops import loop_nest
from hw_model.memory import memory_of, place
from hw_model.rtl.runs import Settings
from hw_model.schedule import is_paired
from hw_model.streaming import NEAR, LineSource, dram_source

ALL, AUTO = "all", "auto"


@dataclass(frozen=True, slots=True)
class Request:
    """Options of a command; `latency` and `interval` are those of a `LineSource`, in cycles.

    Where they are None, they are those of the accelerator's DRAM, if it has one, else 1. `paired`
    lanes share multipliers; an accelerator says by its packing whether its lanes do.
    """

    stress: bool = True
    paired: bool = False
    seed: int = 0
    off_chip: str | None = None
    latency: int | None = None
    interval: int | None = None


def lanes_of(board: Accelerator) -> Lanes:
    """The lanes of an accelerator that the engine can be.

    Raises:
        InputError: it is an array.
    """
    if not isinstance(board.engine, Lanes):
        raise InputError(f"accelerator {board.name}: `engine` must be lanes, got an array")
    return board.engine


def settings_for(
    graph: Graph, request: Request, lanes: int, dense: bool, board: Accelerator | None = None
) -> Settings:
    """The settings of an engine of so many lanes, with the memories of `board`, if there is one.

    Where the products of the network pack in pairs on that board, it has twice as many.

    Raises:
        InputError: `paired` beside a board or an odd number of lanes; `off_chip` names what is no
            convolution or is `auto` without a board; times of a memory that nothing needs.
    """
    given = {"--fetch-latency": request.latency, "--fetch-interval": request.interval}
    for option, cycles in given.items():
        if cycles is not None and request.off_chip is None:
            raise InputError(f"`{option}` is for weights off the chip: give `--off-chip` too")
    paired = _paired(graph, request, lanes, board)
    lanes *= 2 if paired and board is not None else 1
    names = _off_chip(graph, request.off_chip, board)
    source = _source(graph, lanes, request, board) if names else NEAR
    return Settings(
        lanes,
        dense,
        paired,
        request.seed,
        stress=request.stress,
        off_chip=names,
        source=source,
    )


def _paired(graph: Graph, request: Request, lanes: int, board: Accelerator | None) -> bool:
    """Whether two lanes share a multiplier; a board decides that for itself."""
    if board is not None:
        if request.paired:
            raise InputError(
                f"`--paired` is for an engine of `--lanes`: accelerator {board.name} says by its "
                "`multiplier.packing` whether lanes are paired"
            )
        return is_paired(loop_nest(graph), board)
    if request.paired and lanes % 2:
        raise InputError(f"`--lanes` must be even with `--paired`, got {lanes}")
    return request.paired


def _off_chip(graph: Graph, wanted: str | None, board: Accelerator | None) -> tuple[str, ...]:
    """Convolutions whose weights are off the chip, in the order of the graph."""
    convolutions = [node.name for node in graph.nodes if isinstance(node, Conv | TemporalConv)]
    if wanted is None:
        return ()
    if wanted == ALL:
        return tuple(convolutions)
    if wanted == AUTO:
        if board is None:
            raise InputError("`--off-chip auto` needs an accelerator: give `--accelerator` too")
        loops = loop_nest(graph)
        memory = memory_of(loops, flow_of(loops), board.adjacency)
        streamed = place(loops, memory, board).streamed
        return tuple(name for name in convolutions if name in streamed)
    kinds = {node.name: type(node).__name__ for node in graph.nodes}
    for name in wanted.split(","):
        if name not in convolutions:
            what = f"{name!r} ({kinds.get(name, 'no node')})"
            raise InputError(
                f"`--off-chip` must be {ALL}, {AUTO} or convolutions of graph `{graph.name}`, "
                f"got {what}"
            )
    chosen = wanted.split(",")
    return tuple(name for name in convolutions if name in chosen)


def _source(graph: Graph, lanes: int, request: Request, board: Accelerator | None) -> LineSource:
    """The memory outside as the estimate has it, but for the times that were asked for."""
    found = NEAR
    if board is not None:
        found = dram_source(board, lanes, digits_of(loop_nest(graph)).weight_bits)
    return LineSource(request.latency or found.latency, request.interval or found.interval)
