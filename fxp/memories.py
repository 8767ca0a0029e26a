"""Every memory of a golden bundle: which tensor, how it is laid out, where its binary point is.

All of it follows from the graph and a few settings, so the writer and the verifier share it. Text
for readers: docs/golden.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from fxp.elementary import ROOT_BITS
from fxp.errors import InputError
from fxp.hexmem import Layout
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    ClipMean,
    Conv,
    Flatten,
    Graph,
    GraphProduct,
    Input,
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Timing,
    Weights,
    complete_frames,
    delay_frames,
    operands,
    timings,
)
from fxp.node_fields import node_arrays
from fxp.ranges import Signal, analyse, certify, clip_sum_bits, is_sum, signed_bits
from fxp.validate import describe

MAX_LANES = 1024

Role = Literal["constant", "value", "fifo", "accumulator", "total", "history", "delay"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user of a bundle chose.

    `taps` are the nodes whose values are written, in graph order; `snapshots` the input frames
    after which the state is written.
    """

    frames: int
    lanes: int
    taps: tuple[str, ...]
    snapshots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """One hex file.

    Attributes:
        file: path below the bundle.
        role: what the words are.
        node: the node that owns them.
        value: the value whose words these are; for a constant its field (`weight`).
        layout: shape, axes and words.
        frac_bits: one entry, or one per index of axis `frac_axis`.
        frac_axis: the axis that `frac_bits` runs along where it has several entries.
        frame: the input frame after which a snapshot was taken; -1 for constants and values.
    """

    file: str
    role: Role
    node: str
    value: str
    layout: Layout
    frac_bits: tuple[int, ...]
    frac_axis: str
    frame: int = -1


@dataclass(frozen=True, eq=False)
class Ground:
    """A graph, the settings, and what follows for its values.

    `formats` are (word_bits, signed) of each value (of one that may wrap, as it is held: see
    `held`); `groups` the partitions that share the channel axis of a value, `timing` when its
    frames come.
    """

    graph: Graph
    settings: Settings
    signals: Mapping[str, Signal]
    widths: Mapping[str, int]
    formats: Mapping[str, tuple[int, bool]]
    groups: Mapping[str, int]
    timing: Mapping[str, Timing]


def settings_for(
    graph: Graph,
    frames: int,
    lanes: int = 1,
    taps: Sequence[str] | None = None,
    snapshots: Sequence[int] | None = None,
) -> Settings:
    """Settings with their defaults: every node, and the state after the first, mid and last frame.

    The input is always among the taps: it is the stimulus.

    Raises:
        InputError: lanes, a tap or a snapshot frame that cannot be.
    """
    if type(lanes) is not int or not 1 <= lanes <= MAX_LANES:
        raise InputError(f"`lanes` must be 1..{MAX_LANES}, got {lanes!r}")
    names = [node.name for node in graph.nodes]
    for name in taps or ():
        if name not in names:
            raise InputError(f"`taps`: {name!r} is no node of graph `{graph.name}`")
    for frame in snapshots or ():
        if type(frame) is not int or not 0 <= frame < frames:
            raise InputError(f"`snapshots`: frames must be 0..{frames - 1}, got {frame!r}")
    wanted = {names[0], *(names if taps is None else taps)}
    after = (0, frames // 2, frames - 1) if snapshots is None else snapshots
    chosen = tuple(name for name in names if name in wanted)
    return Settings(frames, lanes, chosen, tuple(sorted(set(after))))


def ground_of(graph: Graph, settings: Settings) -> Ground:
    """Certify the graph and find the width, signedness and grouping of every value.

    Raises:
        GraphError: the graph breaks a rule of the IR, or could exceed its accumulators.
    """
    widths, signals, about = certify(graph), analyse(graph), describe(graph)
    formats: dict[str, tuple[int, bool]] = {}
    for node in graph.nodes:
        if is_sum(node) and widths[node.name] < signals[node.name].width_bits:
            formats[node.name] = (widths[node.name], True)  # wraps, harmlessly
            continue
        stored_bits = about[node.name].stored_bits
        formats[node.name] = _format(node, formats, signals, stored_bits or widths[node.name])
    return Ground(graph, settings, signals, widths, formats, _groups(graph), timings(graph))


def held(ground: Ground, name: str, words: IntArray) -> IntArray:
    """Words of a value as its register holds them: wrapped where `certify` found that harmless."""
    signal, (word_bits, signed) = ground.signals[name], ground.formats[name]
    low = -(1 << (word_bits - 1)) if signed else 0
    high = low + (1 << word_bits) - 1
    if low <= min(signal.lo) and max(signal.hi) <= high:
        return words
    return ((words - low) & ((1 << word_bits) - 1)) + low


def memories_of(ground: Ground) -> tuple[Memory, ...]:
    """All memories: constants, values of the taps, then snapshots of the state.

    Raises:
        InputError: two files whose names differ in case alone; on some systems they are one.
    """
    graph, settings = ground.graph, ground.settings
    constants = [
        _constant(node, field, raw, ground)
        for node in graph.nodes
        for field, raw in node_arrays(node).items()
    ]
    values = [_value(name, ground) for name in settings.taps]
    states = [
        replace(ring, file=f"{ring.file}.t{frame}.hex", frame=frame)
        for frame in settings.snapshots
        for ring in _rings(ground)
    ]
    memories = (*constants, *values, *states)
    names: dict[str, str] = {}
    for memory in memories:
        other = names.setdefault(memory.file.lower(), memory.node)
        if other != memory.node:
            nodes = f"`{other}` and `{memory.node}`"
            raise InputError(f"graph `{graph.name}`: files of {nodes} would differ in case alone")
    return memories


def value_file(name: str) -> str:
    """The file of a node's values."""
    return f"values/{name}.hex"


def value_layout(ground: Ground, name: str, frames: int, axis: str = "frame") -> Layout:
    """Layout of `frames` frames of a value, (frame, joint, channel), channels in the lanes."""
    signal, (word_bits, signed) = ground.signals[name], ground.formats[name]
    shape = (frames, signal.joints, signal.channels)
    lanes, groups = ground.settings.lanes, ground.groups.get(name, 1)
    return Layout(shape, (axis, "joint", "channel"), 2, word_bits, signed, lanes, groups)


def frame_words(ground: Ground) -> int:
    """Words of one frame of all values of the graph."""
    return sum(signal.channels * signal.joints for signal in ground.signals.values())


def constant_words(node: Node, field: str) -> IntArray:
    """A constant of a node with its axes in the order of its memory."""
    raw = node_arrays(node)[field]
    return raw.T if isinstance(node, Affine) else raw  # (C, V) -> (V, C)


def _format(
    node: Node,
    formats: Mapping[str, tuple[int, bool]],
    signals: Mapping[str, Signal],
    word_bits: int,
) -> tuple[int, bool]:
    """(word_bits, signed) of a node's value; `word_bits` is the stored or else certified width."""
    match node:
        case Input(fmt=fmt):
            return fmt.word_bits, fmt.signed
        case Requantise(cast=cast):
            return cast.to.word_bits, cast.to.signed
        case Flatten(x=x):
            return formats[x]
        case TemporalSum(x=x):
            return word_bits, formats[x][1] if signals[x].stored else True
        case Argmax(x=x):
            return max(1, (signals[x].channels - 1).bit_length()), False
        case (
            Conv()
            | GraphProduct()
            | TemporalConv()
            | Affine()
            | Add()
            | JointMean()
            | ClipMean()
            | LayerNorm()
            | Softmax()
        ):
            return word_bits, True
        case _:
            assert_never(node)


def _groups(graph: Graph) -> dict[str, int]:
    """Partitions on the channel axis of each value that a GraphProduct reads, back to its source.

    Such an axis is partition-major; in memory every partition starts a word of its own.
    """
    by_name = {node.name: node for node in graph.nodes}
    groups: dict[str, int] = {}
    for product in graph.nodes:
        if isinstance(product, GraphProduct):
            partitions = len(product.adjacency.raw)
            node = by_name[product.x]
            groups.setdefault(node.name, partitions)
            while isinstance(node, Requantise | TemporalSum | Affine):
                node = by_name[operands(node)[0]]
                groups.setdefault(node.name, partitions)
    return groups


def _constant(node: Node, field: str, raw: IntArray, ground: Ground) -> Memory:
    axes, lane_axis = _constant_axes(node, raw)
    value = getattr(node, field)
    if isinstance(value, Weights):
        word_bits, frac_bits = value.word_bits, value.frac_bits
    elif isinstance(node, LayerNorm | Softmax):
        word_bits, frac_bits = (
            signed_bits(0, int(raw.max())),
            (_table_frac_bits(field, node, ground),),
        )
    else:  # a bias is the start value of its accumulator
        needed = signed_bits(int(raw.min()), int(raw.max()))
        word_bits = max(ground.widths[node.name], needed)
        frac_bits = ground.signals[node.name].frac_bits
    lanes, groups = ground.settings.lanes, ground.groups.get(node.name, 1)
    if isinstance(node, GraphProduct | LayerNorm | Softmax):  # read entry by entry, not in lanes
        lanes, groups = 1, 1
    shape = constant_words(node, field).shape
    layout = Layout(shape, axes, lane_axis, word_bits, True, lanes, groups)
    file = f"constants/{node.name}.{field}.hex"
    return Memory(file, "constant", node.name, field, layout, frac_bits, axes[lane_axis])


def _constant_axes(node: Node, raw: IntArray) -> tuple[tuple[str, ...], int]:
    """Names of a constant's axes in memory order, and which of them the lanes hold."""
    match node:
        case Conv() | TemporalConv():
            return ("out", "in", "tap")[: raw.ndim], 0
        case Affine():  # as the values it scales
            return ("joint", "channel"), 1
        case GraphProduct():
            return ("partition", "source", "target"), 0
        case LayerNorm() | Softmax():
            return ("entry",), 0
        case Input() | TemporalSum() | Add() | Flatten() | JointMean() | ClipMean():
            raise AssertionError(f"{node.name} has no constants")
        case Requantise() | Argmax():
            raise AssertionError(f"{node.name} has no constants")
        case _:
            assert_never(node)


def _table_frac_bits(field: str, node: LayerNorm | Softmax, ground: Ground) -> int:
    """Epsilon is added to squares; seeds are roots, both tables of a softmax exponentials."""
    if isinstance(node, Softmax):
        return node.exp_bits
    return 2 * ground.signals[node.x].frac_bits[0] if field == "epsilon" else ROOT_BITS


def _value(name: str, ground: Ground) -> Memory:
    frames = complete_frames(ground.timing[name], ground.settings.frames, ended=True)
    layout = value_layout(ground, name, frames)
    frac_bits = ground.signals[name].frac_bits
    return Memory(value_file(name), "value", name, name, layout, frac_bits, "channel")


def _rings(ground: Ground) -> list[Memory]:
    """What the network remembers between frames; names and slots as in `fxp.state.snapshot`."""
    rings = []
    for node in ground.graph.nodes:
        match node:
            case TemporalSum(name=name, x=x, window=window, dilation=dilation):
                rings.append(_ring("fifo", name, x, window * dilation, "slot", ground))
                rings.append(_ring("accumulator", name, name, dilation, "phase", ground))
            case TemporalConv(name=name, x=x, weight=weight, dilation=dilation):
                slots = (weight.raw.shape[2] - 1) * dilation + 1
                rings.append(_ring("history", name, x, slots, "slot", ground))
            case Add(name=name):
                delays = delay_frames(node, ground.timing)
                operand = zip(("delay_a", "delay_b"), (node.a, node.b), delays, strict=True)
                for key, x, slots in operand:
                    if slots:
                        rings.append(_ring("delay", name, x, slots, "slot", ground, key))
            case ClipMean(name=name, x=x):
                ring = _ring("total", name, x, 1, "slot", ground, "accumulator")
                bits = clip_sum_bits(node, ground.signals[x])
                rings.append(
                    replace(ring, layout=replace(ring.layout, word_bits=bits, signed=True))
                )
            case Input() | Conv() | GraphProduct() | Affine() | Flatten() | JointMean():
                pass
            case LayerNorm() | Softmax() | Requantise() | Argmax():
                pass
            case _:
                assert_never(node)
    return rings


def _ring(
    role: Role, node: str, value: str, slots: int, axis: str, ground: Ground, key: str = ""
) -> Memory:
    layout, frac_bits = value_layout(ground, value, slots, axis), ground.signals[value].frac_bits
    file = f"state/{node}.{key or role}"  # the frame is added per snapshot
    return Memory(file, role, node, value, layout, frac_bits, "channel")
