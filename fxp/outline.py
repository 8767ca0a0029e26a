"""The network before any number: every node, name and shape of an architecture, all constants zero.

`outline` is the one place that knows how a family is put together; parameter shapes, calibration
and lowering all walk the graph it returns. Its constants are zeros without memory of their own and
its casts and tables are placeholders, so an outline says nothing about values or widths.

Node names:

- `input`, `input_norm`, `embedding`, `block{i}.<part>`, `pool`, `classifier`, `logits`, `label`;
- after `classifier`, in MS-GCN: `stage{s}.softmax`, `.embedding`, `.layer{i}.tconv`,
  `.layer{i}.add`, `.classifier` of each refinement, s from 1;
- `X.q` is the cast of accumulator `X` that multipliers read, `X.stream` the one that the identity
  residual of the next block or layer reads; `logits` is the cast of the last classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from fxp.cast import reciprocal
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
    Weights,
)
from fxp.node_tables import EXP_BITS, SHARE_BITS
from fxp.qformat import Cast, QFormat
from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec

INPUT_NORM = "input_norm"
RECIPROCAL_SHIFT = 16  # fractional bits of the joint mean's reciprocal
_BLANK_CAST = Cast(QFormat(8, 0))


@dataclass(frozen=True)
class _Draft:
    """Nodes so far; each helper appends one node and returns its name."""

    joints: int
    partitions: int
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: Node) -> str:
        self.nodes.append(node)
        return node.name

    def cast(self, x: str, part: str = "q", relu: bool = False) -> str:
        return self.add(Requantise(f"{x}.{part}", x, _BLANK_CAST, relu))

    def conv(self, name: str, x: str, outputs: int, inputs: int) -> str:
        return self.add(Conv(name, x, _blank(outputs, inputs), _zeros(outputs)))

    def tconv(self, name: str, x: str, channels: int, taps: int, dilation: int) -> str:
        """Symmetric temporal convolution, channels staying as they are."""
        weight, bias = _blank(channels, channels, taps), _zeros(channels)
        lookahead = (taps - 1) * dilation // 2
        return self.add(TemporalConv(name, x, weight, bias, dilation, lookahead))

    def graph_conv(self, block: str, x: str, outputs: int, inputs: int) -> str:
        """1x1 convolution into all partitions, then the product with the adjacency."""
        conv = self.conv(f"{block}.conv", x, self.partitions * outputs, inputs)
        adjacency = _blank(self.partitions, self.joints, self.joints)
        return self.cast(self.add(GraphProduct(f"{block}.graph", self.cast(conv), adjacency)))

    def norm(self, name: str, x: str, channels: int, joints: int = 1) -> str:
        return self.add(Affine(name, x, _blank(channels, joints), _zeros(channels, joints)))


@dataclass(frozen=True)
class _Block:
    """One layer of a family: where it stands, what it reads and how it looks over time."""

    name: str
    x: str
    stream: str
    inputs: int
    outputs: int
    window: int
    dilation: int


def outline(arch: ArchSpec) -> Graph:
    """Graph of `arch` with zero constants and placeholder casts; outputs `logits` and `label`."""
    skeleton = load_skeleton(arch.skeleton)
    adjacency = partitions(skeleton, arch.partition, arch.normalisation)
    draft = _Draft(joints=adjacency.shape[1], partitions=adjacency.shape[0])
    x = _blocks(draft, arch, _front(draft, arch))
    classifier = _classifier(draft, x, arch.channels[-1], arch.classes)
    for s in range(1, arch.refinements + 1):
        classifier = _refinement(draft, arch, f"stage{s}", classifier)
    logits = draft.add(Requantise("logits", classifier, _BLANK_CAST))
    draft.add(Argmax("label", logits))
    return Graph(arch.family, tuple(draft.nodes), ("logits", "label"))


def parameter_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of a graph, keyed `<node>.<field>`, in graph order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for node in graph.nodes:
        match node:
            case Conv() | TemporalConv():
                shapes[f"{node.name}.weight"] = node.weight.raw.shape
                shapes[f"{node.name}.bias"] = node.bias.shape
            case GraphProduct():
                shapes[f"{node.name}.adjacency"] = node.adjacency.raw.shape
            case Affine():
                shapes[f"{node.name}.scale"] = node.scale.raw.shape
                shapes[f"{node.name}.bias"] = node.bias.shape
            case (
                Input()
                | TemporalSum()
                | Add()
                | Flatten()
                | JointMean()
                | ClipMean()
                | LayerNorm()
                | Softmax()
                | Requantise()
                | Argmax()
            ):
                pass
            case _:
                assert_never(node)
    return shapes


def constant_key(node: Node) -> str | None:
    """Parameter key of a node's constant operand; None for a node that has none."""
    match node:
        case Conv() | TemporalConv():
            return f"{node.name}.weight"
        case GraphProduct():
            return f"{node.name}.adjacency"
        case Affine():
            return f"{node.name}.scale"
        case (
            Input()
            | TemporalSum()
            | Add()
            | Flatten()
            | JointMean()
            | ClipMean()
            | LayerNorm()
            | Softmax()
            | Requantise()
            | Argmax()
        ):
            return None
        case _:
            assert_never(node)


def _front(draft: _Draft, arch: ArchSpec) -> str:
    """Input, its norm (one scale per channel and joint) and the 1x1 embedding."""
    x = draft.add(Input("input", arch.in_channels, draft.joints, QFormat(16, 0)))
    norm = draft.norm(INPUT_NORM, x, arch.in_channels, draft.joints)
    return draft.cast(draft.conv("embedding", draft.cast(norm), arch.embedding, arch.in_channels))


def _blocks(draft: _Draft, arch: ArchSpec, x: str) -> str:
    """The graph layers, each with its residual; MS-GCN's sums go on unclipped."""
    stream, inputs = x, arch.embedding
    clipped = arch.family != "msgcn"
    for i, outputs in enumerate(arch.channels):
        if inputs == outputs:  # an identity residual reads this accumulator in the stream's width
            stream = draft.cast(x.removesuffix(".q"), "stream", relu=clipped and i > 0)
        block = _Block(f"block{i}", x, stream, inputs, outputs, arch.window[i], arch.dilation[i])
        match arch.family:
            case "rtstgcn":
                main = _rtstgcn_path(draft, block)
            case "costgcn":
                main = _tconv_path(draft, block)
            case "msgcn":
                main = _tconv_path(draft, block, relu=True)
            case _:
                assert_never(arch.family)
        total = draft.add(Add(f"{block.name}.add", main, _residual(draft, block)))
        x = draft.cast(total, relu=clipped)
        inputs = outputs
    return x


def _rtstgcn_path(draft: _Draft, block: _Block) -> str:
    """Graph convolution, running sum over the window, norm, ReLU."""
    graph = draft.graph_conv(block.name, block.x, block.outputs, block.inputs)
    total = draft.add(TemporalSum(f"{block.name}.sum", graph, block.window, block.dilation))
    return draft.cast(draft.norm(f"{block.name}.norm", total, block.outputs), relu=True)


def _tconv_path(draft: _Draft, block: _Block, relu: bool = False) -> str:
    """Graph convolution, norm, ReLU, symmetric temporal convolution of `window` taps."""
    graph = draft.graph_conv(block.name, block.x, block.outputs, block.inputs)
    active = draft.cast(draft.norm(f"{block.name}.norm", graph, block.outputs), relu=True)
    name = f"{block.name}.tconv"
    tconv = draft.tconv(name, active, block.outputs, block.window, block.dilation)
    return draft.cast(tconv, relu=relu)


def _residual(draft: _Draft, block: _Block) -> str:
    """The block's input stream, through a 1x1 convolution where the channels change."""
    if block.inputs == block.outputs:
        return block.stream
    return draft.cast(draft.conv(f"{block.name}.residual", block.x, block.outputs, block.inputs))


def _classifier(draft: _Draft, x: str, channels: int, classes: int) -> str:
    """Mean over joints and linear classifier."""
    pool = draft.cast(draft.add(JointMean("pool", x, *reciprocal(draft.joints, RECIPROCAL_SHIFT))))
    return draft.conv("classifier", pool, classes, channels)


def _refinement(draft: _Draft, arch: ArchSpec, stage: str, classifier: str) -> str:
    """Softmax, 1x1 convolution, dilated convolutions with residuals, classifier."""
    blank = np.full(1, 1 << EXP_BITS)
    scores = draft.cast(classifier)
    shares = draft.add(Softmax(f"{stage}.softmax", scores, blank, blank, EXP_BITS, SHARE_BITS))
    channels = arch.embedding
    x = draft.cast(draft.conv(f"{stage}.embedding", draft.cast(shares), channels, arch.classes))
    for i, (taps, dilation) in enumerate(zip(arch.window, arch.dilation, strict=True)):
        stream = draft.cast(x.removesuffix(".q"), "stream")
        tconv = draft.tconv(f"{stage}.layer{i}.tconv", x, channels, taps, dilation)
        active = draft.cast(tconv, relu=True)
        x = draft.cast(draft.add(Add(f"{stage}.layer{i}.add", active, stream)))
    return draft.conv(f"{stage}.classifier", x, arch.classes, channels)


def _zeros(*shape: int) -> IntArray:
    return np.broadcast_to(np.int64(0), shape)


def _blank(*shape: int) -> Weights:
    return Weights(_zeros(*shape), 8, (0,))
