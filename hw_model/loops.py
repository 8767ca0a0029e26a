"""What every node of a graph has to do for one frame: the one place that counts work.

`loop_nest` turns each node into a `Loop`: its loop bounds, operand widths, multiply-accumulates,
other multiplications and additions, the constants it keeps and the state it carries from frame to
frame. Nothing here knows an accelerator; `hw_model.schedule` decides how an engine walks the loops.

Of the weights only two things are read besides their widths: which adjacency entries are not zero,
and whether a scale is one power of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

import numpy as np

from fxp.accumulators import scale_shift
from fxp.elementary import ROOT_BITS
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
    Timing,
    delay_frames,
    layer_of,
    operands,
    timings,
)
from fxp.validate import Value, describe
from hw_model.loop import NO_WORDS, Kind, Loop, State, Words
from hw_model.widths import Width, sum_bits, widths_of

__all__ = ["NO_WORDS", "Kind", "Loop", "State", "Words", "loop_nest"]


def loop_nest(graph: Graph, values: Mapping[str, Value] | None = None) -> tuple[Loop, ...]:
    """The work of each node for one frame, in the order of the nodes.

    Args:
        graph: any valid graph.
        values: what `fxp.validate.describe` gave for it, where that is at hand.

    Raises:
        GraphError: the graph breaks a rule of the IR.
    """
    about = describe(graph) if values is None else values
    widths = widths_of(graph, about)
    partitions = _partitions_of_convs(graph)
    timing = timings(graph)
    loops = []
    for node in graph.nodes:
        blank = _blank(node, graph, about, widths)
        waiting = _waiting(node, blank, timing, widths)
        loops.append(_loop(node, blank, partitions.get(node.name, 1), waiting))
    return tuple(loops)


def _partitions_of_convs(graph: Graph) -> dict[str, int]:
    """How many partitions a graph product takes a convolution's result for, by convolution."""
    nodes = {node.name: node for node in graph.nodes}
    partitions: dict[str, int] = {}
    for node in graph.nodes:
        if isinstance(node, GraphProduct):
            source = nodes[node.x]
            while isinstance(source, Requantise):
                source = nodes[source.x]
            partitions[source.name] = node.adjacency.raw.shape[0]
    return partitions


def _blank(
    node: Node, graph: Graph, about: Mapping[str, Value], widths: Mapping[str, Width]
) -> Loop:
    """Everything about a loop that follows from shapes and widths of its operands and result."""
    reads = operands(node)
    reads_bits = tuple(widths[name].bits for name in reads)
    signed = (max(widths[name].bits, widths[name].magnitude_bits + 1) for name in reads)
    made, bits = about[node.name], widths[node.name].bits
    x = about[reads[0]] if reads else made
    words = made.channels * made.joints
    return Loop(
        name=node.name,
        layer=layer_of(node.name),
        kind="input",
        reads=reads,
        reads_bits=reads_bits,
        inputs=x.channels,
        outputs=made.channels,
        joints=x.joints,
        operand_bits=max(reads_bits, default=bits),
        signed_bits=max(signed, default=bits),
        accumulator_bits=bits,
        result=Words(words, words * bits),
        is_output=node.name in graph.outputs,
        period=x.period if isinstance(node, ClipMean) else made.period,
    )


def _loop(node: Node, blank: Loop, partitions: int, waiting: tuple[State, ...]) -> Loop:
    words, bits = blank.outputs * blank.joints, blank.accumulator_bits
    match node:
        case Input():
            return blank
        case Conv():
            return _conv(node, blank, partitions)
        case TemporalConv():
            return _temporal_conv(node, blank)
        case GraphProduct():
            return _graph_product(node, blank)
        case TemporalSum(window=window, dilation=dilation):
            fifo = State("fifo", node.x, window * dilation, words, blank.operand_bits)
            sums = State("accumulator", node.name, dilation, words, bits)
            return replace(blank, kind="temporal_sum", adds=2 * words, state=(fifo, sums))
        case Affine():
            return _affine(node, blank)
        case Add():
            return replace(blank, kind="add", adds=words, state=waiting)
        case Flatten():
            return replace(blank, kind="flatten")
        case JointMean():
            return _joint_mean(node, blank)
        case ClipMean(max_frames=max_frames):
            wide = blank.operand_bits + sum_bits(max_frames)
            total = State("accumulator", node.name, 1, words, wide)
            return replace(blank, kind="clip_mean", adds=words, state=(total,))
        case LayerNorm():
            return _layer_norm(node, blank)
        case Softmax():
            return _softmax(node, blank)
        case Requantise():
            summed = blank.operand_bits
            return replace(blank, kind="requantise", adds=words, accumulator_bits=summed)
        case Argmax():
            compared, bits = blank.inputs * blank.joints, blank.operand_bits
            return replace(blank, kind="argmax", adds=compared, accumulator_bits=bits)
        case _:
            assert_never(node)


def _waiting(
    node: Node, blank: Loop, timing: Mapping[str, Timing], widths: Mapping[str, Width]
) -> tuple[State, ...]:
    """Delay lines of an `Add`: the operand that is early waits for the one that looks ahead."""
    if not isinstance(node, Add):
        return ()
    words = blank.outputs * blank.joints
    return tuple(
        State("delay", name, frames, words, widths[name].bits)
        for name, frames in zip(blank.reads, delay_frames(node, timing), strict=True)
        if frames
    )


def _conv(node: Conv, blank: Loop, partitions: int) -> Loop:
    raw, bits = node.weight.raw, node.weight.word_bits
    macs, weights = raw.size * blank.joints, _constant(raw.size, bits)
    return replace(
        blank,
        kind="conv",
        weight_bits=bits,
        partitions=partitions,
        macs_dense=macs,
        macs_sparse=macs,
        weights=weights,
        weights_sparse=weights,
        bias=_constant(node.bias.size, blank.accumulator_bits),
    )


def _constant(words: int, word_bits: int) -> Words:
    return Words(words, words * word_bits)


def _temporal_conv(node: TemporalConv, blank: Loop) -> Loop:
    """The FIFO holds the frames from the oldest tap to the newest, the frame that just came too."""
    raw, bits = node.weight.raw, node.weight.word_bits
    taps, words = raw.shape[2], blank.inputs * blank.joints
    frames = (taps - 1) * node.dilation + 1
    macs, weights = raw.size * blank.joints, _constant(raw.size, bits)
    return replace(
        blank,
        kind="temporal_conv",
        weight_bits=bits,
        taps=taps,
        macs_dense=macs,
        macs_sparse=macs,
        weights=weights,
        weights_sparse=weights,
        bias=_constant(node.bias.size, blank.accumulator_bits),
        state=(State("fifo", node.x, frames, words, blank.operand_bits, past_reads=taps - 1),),
    )


def _graph_product(node: GraphProduct, blank: Loop) -> Loop:
    """Dense: every entry of the adjacency. Sparse: its non-zero ones, joint by joint."""
    raw, bits = node.adjacency.raw, node.adjacency.word_bits
    per_joint = np.count_nonzero(raw, axis=(0, 1))  # (P, V, W) -> (W,)
    edges, slots = int(per_joint.sum()), int(np.maximum(per_joint, 1).sum())
    partitions, joints, _ = raw.shape
    source_bits = sum_bits(partitions * joints) + 1  # and the mark of a joint's last edge
    return replace(
        blank,
        kind="graph_product",
        weight_bits=bits,
        partitions=partitions,
        edges=edges,
        edge_slots=slots,
        macs_dense=blank.outputs * raw.size,
        macs_sparse=blank.outputs * edges,
        weights=_constant(raw.size, bits),
        weights_sparse=_constant(slots, bits + source_bits),
    )


def _affine(node: Affine, blank: Loop) -> Loop:
    words = blank.outputs * blank.joints
    bias = _constant(node.bias.size, blank.accumulator_bits)
    if scale_shift(node) is not None:
        return replace(blank, kind="shift", adds=words, bias=bias)
    scale = _constant(node.scale.raw.size, node.scale.word_bits)
    return replace(
        blank,
        kind="affine",
        weight_bits=node.scale.word_bits,
        multiplies=words,
        adds=words,
        weights=scale,
        weights_sparse=scale,
        bias=bias,
    )


def _joint_mean(node: JointMean, blank: Loop) -> Loop:
    bits = node.multiplier.bit_length() + 1  # a signed multiplier's operand
    words = blank.inputs * blank.joints
    summed = replace(blank, kind="joint_mean", weight_bits=bits, adds=words)
    if node.multiplier & (node.multiplier - 1) == 0:
        return summed
    factor = _constant(1, bits)
    return replace(summed, multiplies=blank.outputs, weights=factor, weights_sparse=factor)


def _layer_norm(node: LayerNorm, blank: Loop) -> Loop:
    """Per word its square, `N * x` and the product with the root; per frame the root itself.

    The scalars of a frame are `N * S1`, `S0**2` and three products per Newton step.
    """
    words, steps = blank.outputs * blank.joints, node.newton_steps
    seed_bits = ROOT_BITS + 1  # seeds have no sign
    constants = _constant(len(node.seeds), seed_bits)
    return replace(
        blank,
        kind="layer_norm",
        weight_bits=seed_bits + 1,  # a root as a signed operand
        multiplies=3 * words + 2 + 3 * steps,
        adds=4 * words + 2 + steps,
        weights=constants,
        weights_sparse=constants,
        bias=_constant(1, int(node.epsilon[0]).bit_length() + 1),
    )


def _softmax(node: Softmax, blank: Loop) -> Loop:
    """Per word: a comparison, a difference, a term of the sum, a subtraction per quotient bit.

    And the product of two table entries with its rounding, none where `fine` has one entry.
    """
    words, entry_bits = blank.outputs * blank.joints, node.exp_bits + 1  # no sign
    products = words if len(node.fine) > 1 else 0
    entries = len(node.coarse) + (len(node.fine) if products else 0)
    tables = _constant(entries, entry_bits)
    return replace(
        blank,
        kind="softmax",
        weight_bits=entry_bits + 1,
        multiplies=products,
        adds=3 * words + products + words * (node.frac_bits + 1),
        weights=tables,
        weights_sparse=tables,
    )
