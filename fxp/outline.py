"""The network before any number: every node, name and shape of an architecture, all constants zero.

`outline` is the one place that knows how a family is put together; parameter shapes, calibration
and lowering all walk the graph it returns. An outline says nothing about values or widths, see
`fxp.draft`.

Node names:

- `input`, `input_norm`, `embedding`, `block{i}.<part>`, `pool`, `classifier`, `logits`, `label`;
- in ST-GCN: `pool` is the mean over joints and persons of a frame, `clip_pool` that over a clip;
- after `classifier`, in MS-GCN: `stage{s}.softmax`, `.embedding`, `.layer{i}.tconv`,
  `.layer{i}.add`, `.classifier` of each refinement, s from 1;
- in a TCN, see `fxp.outline_tcn`;
- `X.unit` is the LayerNorm in front of the affine map `X`, where norms are LayerNorms;
- `X.q` is the cast of accumulator `X` that multipliers read, `X.stream` the one that the identity
  residual of the next block or layer reads; `logits` is the cast of the last classifier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import assert_never

from fxp.cast import reciprocal
from fxp.draft import Draft
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
)
from fxp.outline_tcn import tcn
from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec, Residual

RECIPROCAL_SHIFT = 16  # fractional bits of the joint mean's reciprocal
CLIP_SHIFT = 8  # a clip's mean keeps this many bits below the lsb of the frames'
# Frames of the input that a clip with one label may have: those of Kinetics and NTU have 300. It
# decides the width of a clip's sum alone, one bit for each doubling.
CLIP_FRAMES = 1024


@dataclass(frozen=True)
class _Block:
    """One layer of a family: where it stands, what it reads and how it looks over time."""

    name: str
    x: str
    inputs: int
    outputs: int
    window: int
    dilation: int
    stride: int
    residual: Residual


def outline(arch: ArchSpec) -> Graph:
    """Graph of `arch` with zero constants and placeholder casts; outputs `logits` and `label`."""
    adjacency = partitions(load_skeleton(arch.skeleton), arch.partition, arch.normalisation)
    joints = adjacency.shape[1] * arch.persons
    draft = Draft(joints, adjacency.shape[0], arch.norm == "layer")
    match arch.family:
        case "rtstgcn" | "costgcn" | "stgcn" | "msgcn":
            classifier = _classifier(draft, arch, _blocks(draft, arch, _front(draft, arch)))
        case "tcn":
            classifier = tcn(draft, arch)
        case _:
            assert_never(arch.family)
    for s in range(1, arch.refinements + 1):
        classifier = _refinement(draft, arch, f"stage{s}", classifier)
    draft.add(Argmax("label", draft.logits(classifier)))
    return Graph(arch.family, tuple(draft.nodes), ("logits", "label"))


def folding_norms(arch: ArchSpec) -> tuple[str, ...]:
    """Norms whose scale may move into the convolution before: only linear nodes are between."""
    if arch.norm == "layer" or arch.family == "tcn":
        return ()
    return tuple(f"block{i}.norm" for i in range(len(arch.channels)))


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


def _front(draft: Draft, arch: ArchSpec) -> str:
    """Input, its norm (one scale per channel and joint) and, if there is one, the 1x1 embedding."""
    x = draft.normalised_input(arch.in_channels)
    if arch.embedding is None:
        return x
    return draft.cast(draft.conv("embedding", x, arch.embedding, arch.in_channels))


def _blocks(draft: Draft, arch: ArchSpec, x: str) -> str:
    """The graph layers, each with its residual; MS-GCN's sums go on unclipped."""
    inputs = arch.in_channels if arch.embedding is None else arch.embedding
    for i, residual in enumerate(arch.residuals):
        block = _Block(
            f"block{i}",
            x,
            inputs,
            arch.channels[i],
            arch.window[i],
            arch.dilation[i],
            arch.stride[i],
            residual,
        )
        x, inputs = _block(draft, arch, block), arch.channels[i]
    return x


def _block(draft: Draft, arch: ArchSpec, block: _Block) -> str:
    """One layer; without a residual its output is that of its main path."""
    clipped = arch.family != "msgcn"
    stream = ""
    if block.residual == "identity":  # it reads this accumulator in the stream's width
        follows_sum = block.name != "block0"
        stream = draft.cast(block.x.removesuffix(".q"), "stream", relu=clipped and follows_sum)
    match arch.family:
        case "rtstgcn":
            main = _rtstgcn_path(draft, block)
        case "costgcn" | "stgcn":
            main = _tconv_path(draft, block, relu=block.residual == "none")
        case "msgcn":
            main = _tconv_path(draft, block, relu=True)
        case "tcn":
            raise AssertionError("a TCN has no graph layers")
        case _:
            assert_never(arch.family)
    match block.residual:
        case "none":
            return main
        case "conv":
            stream = _residual(draft, block)
        case "identity":
            pass
        case _:
            assert_never(block.residual)
    return draft.cast(draft.add(Add(f"{block.name}.add", main, stream)), relu=clipped)


def _rtstgcn_path(draft: Draft, block: _Block) -> str:
    """Graph convolution, running sum over the window, norm, ReLU."""
    graph = draft.graph_conv(block.name, block.x, block.outputs, block.inputs)
    total = draft.add(TemporalSum(f"{block.name}.sum", graph, block.window, block.dilation))
    if draft.layer_norm:  # whose words are squared: the sum's guard bits would count twice
        total = draft.cast(total)
    return draft.cast(draft.norm(f"{block.name}.norm", total, block.outputs), relu=True)


def _tconv_path(draft: Draft, block: _Block, relu: bool) -> str:
    """Graph convolution, norm, ReLU, symmetric temporal convolution of `window` taps."""
    graph = draft.graph_conv(block.name, block.x, block.outputs, block.inputs)
    active = draft.cast(draft.norm(f"{block.name}.norm", graph, block.outputs), relu=True)
    channels = (block.outputs, block.outputs)
    tconv = draft.tconv(
        f"{block.name}.tconv", active, channels, block.window, block.dilation, block.stride
    )
    return draft.cast(tconv, relu=relu)


def _residual(draft: Draft, block: _Block) -> str:
    """The block's input through a 1x1 convolution, of every frame that its main path has."""
    name = f"{block.name}.residual"
    if block.stride == 1:
        conv = draft.conv(name, block.x, block.outputs, block.inputs)
    else:
        channels = (block.inputs, block.outputs)
        conv = draft.tconv(name, block.x, channels, taps=1, stride=block.stride)
    if draft.layer_norm:
        conv = draft.norm(f"{name}_norm", draft.cast(conv), block.outputs)
    return draft.cast(conv)


def _classifier(draft: Draft, arch: ArchSpec, x: str) -> str:
    """Mean over joints, of ST-GCN over the clip too, and linear classifier."""
    x = draft.cast(draft.add(JointMean("pool", x, *reciprocal(draft.joints, RECIPROCAL_SHIFT))))
    if arch.family == "stgcn":
        frames = -(-CLIP_FRAMES // math.prod(arch.stride))
        x = draft.cast(draft.add(ClipMean("clip_pool", x, CLIP_SHIFT, frames)))
    return draft.conv("classifier", x, arch.classes, arch.channels[-1])


def _refinement(draft: Draft, arch: ArchSpec, stage: str, classifier: str) -> str:
    """Softmax, 1x1 convolution, dilated convolutions with residuals, classifier."""
    channels = arch.channels[-1]
    shares = draft.softmax(f"{stage}.softmax", draft.cast(classifier))
    x = draft.cast(draft.conv(f"{stage}.embedding", shares, channels, arch.classes))
    for i, (taps, dilation) in enumerate(zip(arch.window, arch.dilation, strict=True)):
        stream = draft.cast(x.removesuffix(".q"), "stream")
        name = f"{stage}.layer{i}"
        tconv = draft.tconv(f"{name}.tconv", x, (channels, channels), taps, dilation)
        active = draft.cast(tconv, relu=True)
        x = draft.cast(draft.add(Add(f"{name}.add", active, stream)))
    return draft.conv(f"{stage}.classifier", x, arch.classes, channels)
