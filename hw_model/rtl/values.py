"""Where the values of a network wait between passes: which memory, which lines, how many frames.

A value of C channels, V joints and P partitions is a frame of `ceil(C / P / lanes) * P * V` lines,
group by group, joint by joint, partition by partition. A value that is read later than it is made
is a ring of several frames. Two values that one pass writes, or reads as operand and as residual,
are in different memories; otherwise words of a width share one, frames of disjoint lives their
lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fxp.errors import InputError
from fxp.ir import Flatten, Graph, Input, Requantise, TemporalConv, Timing, timings
from fxp.ranges import Signal, analyse
from hw_model.loops import Loop, loop_nest
from hw_model.passes import Pass, passes_of


@dataclass(frozen=True, slots=True)
class Read:
    """A pass reads `value`, whose oldest frame wanted is `back` frames older than the newest.

    `later` where the pass runs at other frames of the input than the one that wrote the value.
    """

    value: str
    back: int
    later: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """Shape of one frame of a value; `bits` is the width of a word, sign included."""

    channels: int
    joints: int
    partitions: int
    bits: int
    lanes: int

    @property
    def groups(self) -> int:
        """Groups of lanes per partition, joint and frame."""
        return -(-(self.channels // self.partitions) // self.lanes)

    @property
    def lines(self) -> int:
        """Lines of one frame."""
        return self.groups * self.partitions * self.joints


@dataclass(frozen=True, slots=True)
class Place:
    """`slots` frames from line `base` of a memory on; `ring` is 0 where there is only one."""

    memory: int
    base: int
    lines: int
    slots: int
    ring: int

    @property
    def step(self) -> int:
        """Lines from one frame of the ring to the next."""
        return self.lines if self.ring else 0

    @property
    def limit(self) -> int:
        """Lines of the ring."""
        return self.lines * self.slots if self.ring else 0


@dataclass(frozen=True, eq=False)
class Ground:
    """A network as the engine sees it; everything by name of node or value."""

    graph: Graph
    lanes: int
    loops: Mapping[str, Loop]
    signals: Mapping[str, Signal]
    timing: Mapping[str, Timing]
    passes: tuple[Pass, ...]
    frames: Mapping[str, Frame]
    reads: tuple[tuple[Read, Read | None], ...]  # operand and residual of each pass
    places: Mapping[str, Place]
    widths: tuple[int, ...]  # of the words of each memory
    depths: tuple[int, ...]  # lines of each memory

    def held(self, name: str) -> str:
        """The value whose words these are: the operand of a flattened one."""
        node = next(node for node in self.graph.nodes if node.name == name)
        return self.held(node.x) if isinstance(node, Flatten) else name


def ground_of(graph: Graph, lanes: int) -> Ground:
    """Plan the passes of a network and place its values.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the network has something that the engine cannot do.
    """
    nest = loop_nest(graph)
    loops = {loop.name: loop for loop in nest}
    signals, timing, passes = analyse(graph), timings(graph), passes_of(nest)
    partitions = _partitions(graph, loops, passes)
    frames = {
        name: Frame(s.channels, s.joints, partitions.get(name, 1), word_bits(graph, name, s), lanes)
        for name, s in signals.items()
    }
    reads = tuple(_reads(graph, planned, loops, timing) for planned in passes)
    places, widths, depths = _placed(graph, passes, frames, reads)
    return Ground(
        graph, lanes, loops, signals, timing, passes, frames, reads, places, widths, depths
    )


def word_bits(graph: Graph, name: str, signal: Signal) -> int:
    """Width of a value's words as signed ones: its format's, or the certified one."""
    node = next(node for node in graph.nodes if node.name == name)
    match node:
        case Input(fmt=fmt):
            return fmt.word_bits + (not fmt.signed)
        case Requantise(cast=cast):
            return cast.to.word_bits + (not cast.to.signed)
        case Flatten(x=x):
            return word_bits(graph, x, signal)
        case _:
            return signal.width_bits


def _partitions(graph: Graph, loops: Mapping[str, Loop], passes: Sequence[Pass]) -> dict[str, int]:
    """Partitions along the channels of values, from the graph products back to their sources."""
    found: dict[str, int] = {}
    for planned in reversed(passes):
        if planned.kind == "graph_product":
            found[planned.source] = loops[planned.head].partitions
        wanted = {found.get(name, 1) for name in planned.emits}
        if len(wanted) > 1:
            names = ", ".join(planned.emits)
            raise InputError(f"{names}: read by graph products of different partitions")
        parts = wanted.pop()
        if parts > 1:
            if planned.kind not in ("conv", "temporal_conv", "affine", "copy"):
                raise InputError(f"{planned.head}: its result has partitions, which is not done")
            found |= dict.fromkeys((*planned.nodes, planned.value), parts)
            residual = planned.residual(loops)
            sources = [residual] if residual else []
            sources += [planned.source] if planned.kind in ("affine", "copy") else []
            found |= dict.fromkeys(sources, parts)
    _check_partitions(graph, loops, passes, found)
    return found


def _check_partitions(
    graph: Graph, loops: Mapping[str, Loop], passes: Sequence[Pass], found: Mapping[str, int]
) -> None:
    for name in (graph.nodes[0].name, *(n.name for n in graph.nodes if isinstance(n, Flatten))):
        if found.get(name, 1) > 1:
            raise InputError(f"{name}: a graph product reads it without a convolution before")
    for planned in passes:
        parts = found.get(planned.source, 1)
        if parts > 1 and planned.kind not in ("graph_product", "affine", "copy"):
            raise InputError(f"{planned.head}: reads {planned.source}, which has partitions")
        if planned.kind == "graph_product" and parts != loops[planned.head].partitions:
            raise InputError(f"{planned.head}: reads {planned.source} with other partitions")


def _reads(
    graph: Graph, planned: Pass, loops: Mapping[str, Loop], timing: Mapping[str, Timing]
) -> tuple[Read, Read | None]:
    """How old the frames are that a pass reads."""
    own = timing[planned.value]

    def late(name: str) -> int:
        period = timing[name].period  # 0: it is made once, in the frame in which it is read
        return (own.lookahead - timing[name].lookahead) // period if period else 0

    node = next(node for node in graph.nodes if node.name == planned.head)
    back = late(planned.source)
    if isinstance(node, TemporalConv) and planned.kind == "temporal_conv":
        back = (node.weight.raw.shape[2] - 1) * node.dilation
    residual = planned.residual(loops)

    def read(name: str, back: int) -> Read:
        later = timing[name].period > 0 and timing[name].lookahead != own.lookahead
        return Read(name, back, later)

    return read(planned.source, back), read(residual, late(residual)) if residual else None


def _placed(
    graph: Graph,
    passes: Sequence[Pass],
    frames: Mapping[str, Frame],
    reads: Sequence[tuple[Read, Read | None]],
) -> tuple[dict[str, Place], tuple[int, ...], tuple[int, ...]]:
    flat = {node.name: node.x for node in graph.nodes if isinstance(node, Flatten)}

    def held(name: str) -> str:
        return held(flat[name]) if name in flat else name

    first: dict[str, int] = {graph.nodes[0].name: -1}
    last: dict[str, int] = {}
    slots: dict[str, int] = {}
    conflicts: set[frozenset[str]] = set()
    for at, (planned, pair) in enumerate(zip(passes, reads, strict=True)):
        operands = [
            Read(held(read.value), read.back, read.later) for read in pair if read is not None
        ]
        for read in operands:
            last[read.value] = at
            slots[read.value] = max(slots.get(read.value, 1), read.back + 1, 1 + read.later)
        first |= dict.fromkeys(planned.emits, at)
        conflicts |= {frozenset((a, b)) for a in planned.emits for b in planned.emits if a != b}
        names = {read.value for read in operands}
        if len(operands) == 2 and len(names) == 1:
            raise InputError(f"{planned.head}: adds {operands[0].value} to what is made of it")
        conflicts |= {frozenset((a, b)) for a in names for b in names if a != b}
    # the last pass may still write while the next frame comes in
    conflicts |= {frozenset((graph.nodes[0].name, name)) for name in passes[-1].emits}
    memories = _coloured(list(last), frames, conflicts)
    return _allocated(memories, frames, first, last, slots)


def _coloured(
    names: Sequence[str], frames: Mapping[str, Frame], conflicts: set[frozenset[str]]
) -> list[list[str]]:
    """Values by memory: of the same width where they may, else the narrowest wide enough."""

    def clashes(name: str) -> int:
        return sum(name in pair for pair in conflicts)

    memories: list[list[str]] = []
    for name in sorted(names, key=lambda n: (-clashes(n), -frames[n].bits)):
        free = [
            held
            for held in memories
            if all(frozenset((name, other)) not in conflicts for other in held)
        ]
        bits = frames[name].bits

        def waste(held: list[str], bits: int = bits) -> tuple[bool, int]:
            width = max(frames[other].bits for other in held)
            return width < bits, abs(width - bits)

        if free:
            min(free, key=waste).append(name)
        else:
            memories.append([name])
    return memories or [[]]


def _allocated(
    memories: Sequence[Sequence[str]],
    frames: Mapping[str, Frame],
    first: Mapping[str, int],
    last: Mapping[str, int],
    slots: Mapping[str, int],
) -> tuple[dict[str, Place], tuple[int, ...], tuple[int, ...]]:
    """First fit within each memory: rings live on, frames from their writer to the last reader."""
    places: dict[str, Place] = {}
    depths = []
    rings = 0
    for memory, names in enumerate(memories):
        taken: list[tuple[int, int, str]] = []  # from, to, whose
        for name in sorted(names, key=lambda n: (slots[n] == 1, first[n])):
            lines = frames[name].lines
            wanted = lines * slots[name]
            rivals = sorted(
                (start, end)
                for start, end, other in taken
                if slots[other] > 1
                or slots[name] > 1
                or (first[name] <= last[other] and first[other] <= last[name])
            )
            base = 0
            for start, end in rivals:
                if base + wanted <= start:
                    break
                base = max(base, end)
            ring = 0
            if slots[name] > 1:
                rings += 1
                ring = rings
            places[name] = Place(memory, base, lines, slots[name], ring)
            taken.append((base, base + wanted, name))
        depths.append(max((end for _, end, _ in taken), default=1))
    widths = tuple(max((frames[n].bits for n in names), default=1) for names in memories)
    return places, widths, tuple(depths)
