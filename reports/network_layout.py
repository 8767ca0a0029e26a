"""What the drawings of networks show, as plain data read off their graphs.

Boxes are the nodes of `fxp.outline`, shapes those of `fxp.validate.describe`, states the arrays
that the simulator of the same graph keeps between frames (`fxp.state`). Casts are number formats
and no part of the float network: they are left out, but for the ReLU that some of them end in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

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
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    complete_frames,
    layer_of,
    operands,
)
from fxp.outline import outline, parameter_shapes
from fxp.plan import Plan, compile_graph
from fxp.spec import ArchSpec
from fxp.state import initial_state, snapshot

FIFO, ACCUMULATOR, DELAY = "FIFO", "accumulator", "delay line"
# of what a snapshot calls them
_KINDS = {
    "fifo": FIFO,
    "history": FIFO,
    "accumulator": ACCUMULATOR,
    "delay_a": DELAY,
    "delay_b": DELAY,
}


@dataclass(frozen=True)
class Memory:
    """What a node keeps between frames: `slots` frames of `(channels, joints)`."""

    kind: str
    slots: int
    channels: int
    joints: int


@dataclass(frozen=True)
class Box:
    """A node: what it makes of one frame, and what it keeps.

    Attributes:
        name: the node's name.
        kind: what it does, in words.
        reads: nodes it reads, casts passed over; their ReLU is counted to the operand read, see
            `rectified`.
        rectified: for each of `reads`, whether a ReLU stands between.
        weights: shape of its weights, empty without.
        channels, joints: of one frame.
        period: input frames for each of its frames; 0 is one for the whole clip.
        frames: of a whole clip of `clip_frames` input frames.
        lookahead: input frames it needs beyond its own.
        dilation, taps: over time; 0 for a node that sees one frame.
        memories: one entry for every array of state.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    rectified: tuple[bool, ...]
    weights: tuple[int, ...]
    channels: int
    joints: int
    period: int
    frames: int
    lookahead: int
    dilation: int
    taps: int
    memories: tuple[Memory, ...]


@dataclass(frozen=True)
class Network:
    """A network's name and boxes, in the order of its graph."""

    title: str
    clip_frames: int
    latency: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Networks:
    """The networks, or parts of networks, that one figure shows side by side."""

    networks: tuple[Network, ...]


def network(title: str, arch: ArchSpec, clip_frames: int) -> Network:
    """Every box of an architecture, for clips of that many frames.

    Raises:
        InputError: no such architecture can be outlined.
    """
    graph = outline(arch)
    plan = compile_graph(graph)
    nodes = {node.name: node for node in graph.nodes}
    memories = _memories(plan)
    weights = _weight_shapes(graph)
    boxes = []
    for node in graph.nodes:
        if isinstance(node, Requantise | Argmax):
            continue
        stage, timing = plan.stages[node.name], plan.timing[node.name]
        sources = [_beyond_casts(nodes, name) for name in operands(node)]
        taps, dilation = _over_time(node)
        boxes.append(
            Box(
                node.name,
                _kind(node),
                tuple(name for name, _ in sources),
                tuple(rectified for _, rectified in sources),
                weights.get(node.name, ()),
                stage.channels,
                stage.joints,
                timing.period,
                complete_frames(timing, clip_frames, ended=True),
                timing.lookahead,
                dilation,
                taps,
                memories.get(node.name, ()),
            )
        )
    return Network(title, clip_frames, plan.latency, tuple(boxes))


def block_of(whole: Network, layer: str) -> Network:
    """The boxes of one layer alone; what they read from before it stays named."""
    boxes = tuple(box for box in whole.boxes if layer_of(box.name) == layer)
    return Network(whole.title, whole.clip_frames, whole.latency, boxes)


def leaves_rectified(whole: Network, layer: str) -> bool:
    """Whether a ReLU stands behind the last box of a layer, on the way to the next layer."""
    last = [box.name for box in whole.boxes if layer_of(box.name) == layer][-1]
    return any(
        rectified
        for box in whole.boxes
        for name, rectified in zip(box.reads, box.rectified, strict=True)
        if name == last
    )


def _beyond_casts(nodes: dict[str, Node], name: str) -> tuple[str, bool]:
    """The value behind the casts of an operand, and whether one of them is a ReLU."""
    rectified = False
    node = nodes[name]
    while isinstance(node, Requantise):
        rectified |= node.relu
        node = nodes[node.x]
    return node.name, rectified


def _kind(node: Node) -> str:
    match node:
        case Input():
            return "input"
        case Affine():
            return "norm"
        case LayerNorm():
            return "layer norm"
        case Conv():
            return "1×1 convolution"
        case GraphProduct():
            return "graph product"
        case TemporalSum():
            return "running sum"
        case TemporalConv():
            return "temporal convolution"
        case Add():
            return "sum"
        case Flatten():
            return "joints to channels"
        case JointMean():
            return "mean over joints"
        case ClipMean():
            return "mean over frames"
        case Softmax():
            return "softmax"
        case Requantise():
            return "cast"
        case Argmax():
            return "argmax"
        case _:
            assert_never(node)


def _weight_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shape of the weights, adjacency or scale of each node that has some."""
    shapes: dict[str, tuple[int, ...]] = {}
    for key, shape in parameter_shapes(graph).items():
        node, field = key.rsplit(".", 1)
        if field != "bias":
            shapes[node] = shape
    return shapes


def _over_time(node: Node) -> tuple[int, int]:
    """(frames, dilation) of a node's window over time; (0, 0) for a node that sees one frame."""
    match node:
        case TemporalSum(window=window, dilation=dilation):
            return window, dilation
        case TemporalConv(weight=weight, dilation=dilation):
            return weight.raw.shape[2], dilation
        case _:
            return 0, 0


def _memories(plan: Plan) -> dict[str, tuple[Memory, ...]]:
    """The memories of the simulator's state, by the node that owns them."""
    found: dict[str, tuple[Memory, ...]] = {}
    for key, array in snapshot(plan, initial_state(plan)).items():
        name, _, part = key.rpartition(".")
        if part in _KINDS:
            slots, channels, joints = array.shape
            found[name] = (*found.get(name, ()), Memory(_KINDS[part], slots, channels, joints))
    return found
