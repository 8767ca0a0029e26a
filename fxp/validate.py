"""What a graph must be, and what each of its values is before any number is known.

`describe` walks the nodes once, refuses every graph that breaks a rule of `fxp.ir`, and gives each
value's shape, binary point and stored width. The binary-point rules of the arithmetic stand here
once; the oracle, the range analysis and everything compiled from a graph read them from here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import numpy.typing as npt

from fxp.checks import at_least, between, check_bias, check_table, check_type, check_weights
from fxp.elementary import (
    LEAST_MANTISSA,
    MANTISSA_BITS,
    MAX_EXP_BITS,
    MAX_NEWTON_STEPS,
    MAX_SHARE_BITS,
    MOST_ROOT,
    ROOT_BITS,
    heaviest_root,
)
from fxp.errors import GraphError, InputError
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
    operands,
    period_after,
    timings,
)
from fxp.qformat import MAX_WORD_BITS, Cast, QFormat

_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
_MAX_ACCUMULATOR_BITS = 63
_MAX_MULTIPLIER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Value:
    """What a value is, whatever its numbers: `(channels, joints)` words per frame.

    `frac_bits` has one entry, or one per channel. `stored_bits` is the width of the words of a
    stored value (in its own signedness) and None for an accumulator; a label is neither and has
    `is_label` set. The value has one frame for every `period` frames of the input, or with a period
    of 0 one for the whole clip.
    """

    channels: int
    joints: int
    frac_bits: tuple[int, ...]
    stored_bits: int | None = None
    is_label: bool = False
    period: int = 1

    def frac(self, channel: int) -> int:
        """Fractional bits of one channel."""
        return self.frac_bits[channel if len(self.frac_bits) > 1 else 0]


def describe(graph: Graph) -> dict[str, Value]:
    """Every value of a valid graph, by name.

    Raises:
        GraphError: the graph breaks a rule; the message names the node, the value and the rule.
    """
    _check_frame(graph)
    values: dict[str, Value] = {}
    for node in graph.nodes:
        if node.name in values:
            raise GraphError(f"node `{node.name}`: the name is used twice")
        for name in operands(node):
            if name not in values:
                raise GraphError(f"node `{node.name}`: operand `{name}` is no earlier node")
            if values[name].is_label:
                raise GraphError(f"node `{node.name}`: operand `{name}` is a label, not a number")
        values[node.name] = describe_node(node, [values[name] for name in operands(node)])
    for name in graph.outputs:
        if name not in values:
            raise GraphError(f"output `{name}` is no node of graph `{graph.name}`")
    return values


def check_clip(graph: Graph, clip: npt.ArrayLike) -> IntArray:
    """The clip as int64 `(T, C, V)`, if it can be the input of the graph.

    Raises:
        InputError: wrong shape, no frame, no integers, or a word outside the input format.
    """
    node = graph.nodes[0]
    assert isinstance(node, Input)
    words = np.asarray(clip)
    where = f"clip for input `{node.name}` of graph `{graph.name}`"
    if words.dtype.kind not in "iu":
        raise InputError(f"{where}: integers are needed, got {words.dtype}")
    if words.ndim != 3 or words.shape[1:] != (node.channels, node.joints) or not len(words):
        raise InputError(
            f"{where}: shape must be (frames, {node.channels}, {node.joints}), got {words.shape}"
        )
    low, high = node.fmt.raw_min, node.fmt.raw_max
    for extreme in (int(words.min()), int(words.max())):
        if not low <= extreme <= high:
            raise InputError(f"{where}: word {extreme} is outside {low}..{high} of {node.fmt}")
    return np.ascontiguousarray(words, np.int64)


def longest_clip(graph: Graph) -> int | None:
    """The most frames that a clip may have, None without a limit: each `ClipMean` has one."""
    found = timings(graph)
    limits = (
        node.max_frames * found[node.x].period for node in graph.nodes if isinstance(node, ClipMean)
    )
    return min(limits, default=None)


def check_length(graph: Graph, frames: int, longest: int | None) -> None:
    """Refuse a clip of more frames than `longest_clip`.

    Raises:
        InputError: it has more.
    """
    if longest is not None and frames > longest:
        raise InputError(
            f"graph `{graph.name}`: a clip has at most {longest} frames (`max_frames` of a mean), "
            f"got {frames}"
        )


def _check_frame(graph: Graph) -> None:
    if not graph.nodes or not isinstance(graph.nodes[0], Input):
        raise GraphError(f"graph `{graph.name}`: the first node must be the Input")
    for node in graph.nodes:
        if not (isinstance(node.name, str) and _NAME.fullmatch(node.name)):
            raise GraphError(
                f"node {node.name!r}: a name is letters, digits, underscores and dots, "
                "and starts with a letter"
            )
    for node in graph.nodes[1:]:
        if isinstance(node, Input):
            raise GraphError(f"node `{node.name}`: only the first node may be an Input")
    if not graph.outputs:
        raise GraphError(f"graph `{graph.name}`: `outputs` names no value")
    if len(set(graph.outputs)) < len(graph.outputs):
        raise GraphError(f"graph `{graph.name}`: `outputs` names a value twice")
    bits = graph.accumulator_bits
    if type(bits) is not int or not 1 <= bits <= _MAX_ACCUMULATOR_BITS:
        raise GraphError(
            f"graph `{graph.name}`: `accumulator_bits` must be 1..{_MAX_ACCUMULATOR_BITS}, "
            f"got {bits!r}"
        )


def describe_node(node: Node, x: Sequence[Value]) -> Value:
    """The value a node makes of the values it reads (`describe` checks names and order).

    Raises:
        GraphError: a constant, a parameter or an operand breaks a rule of the node.
    """
    value = _describe_frame(node, x)
    return replace(value, period=period_after(node, x[0].period if x else 1))


def _describe_frame(node: Node, x: Sequence[Value]) -> Value:
    """The value, but for its period."""
    match node:
        case Input():
            return _input(node)
        case Conv():
            return _conv(node, x[0])
        case GraphProduct():
            return _graph_product(node, x[0])
        case TemporalSum():
            return _temporal_sum(node, x[0])
        case TemporalConv():
            return _temporal_conv(node, x[0])
        case Affine():
            return _affine(node, x[0])
        case Add():
            return _add(node, x[0], x[1])
        case Flatten():
            return _flatten(node, x[0])
        case JointMean():
            return _joint_mean(node, x[0])
        case ClipMean():
            return _clip_mean(node, x[0])
        case LayerNorm():
            return _layer_norm(node, x[0])
        case Softmax():
            return _softmax(node, x[0])
        case Requantise():
            return _requantise(node, x[0])
        case Argmax():
            return Value(1, x[0].joints, (0,), is_label=True)
        case _:
            assert_never(node)


def _input(node: Input) -> Value:
    at_least(node, "channels", node.channels, 1)
    at_least(node, "joints", node.joints, 1)
    check_type(node, "fmt", node.fmt, QFormat)
    return Value(node.channels, node.joints, (node.fmt.frac_bits,), node.fmt.word_bits)


def _conv(node: Conv, x: Value) -> Value:
    frac = _stored(node, x)
    channels = check_weights(node, "weight", node.weight, lambda s: (s[0], x.channels))[0]
    check_bias(node, node.bias, [(channels,)])
    return Value(channels, x.joints, tuple(frac + f for f in node.weight.frac_bits))


def _graph_product(node: GraphProduct, x: Value) -> Value:
    frac = _stored(node, x)
    adjacency = node.adjacency
    shape = check_weights(node, "adjacency", adjacency, lambda s: (s[0], x.joints, x.joints))
    if x.channels % shape[0]:
        raise GraphError(
            f"node `{node.name}`: {x.channels} channels of `{node.x}` cannot be "
            f"{shape[0]} partitions"
        )
    return Value(x.channels // shape[0], x.joints, (frac + max(adjacency.frac_bits),))


def _temporal_sum(node: TemporalSum, x: Value) -> Value:
    _streams(node, x)
    at_least(node, "window", node.window, 1)
    at_least(node, "dilation", node.dilation, 1)
    guard_bits = (node.window - 1).bit_length()  # ceil(log2 window)
    stored = None if x.stored_bits is None else x.stored_bits + guard_bits
    return Value(x.channels, x.joints, x.frac_bits, stored)


def _temporal_conv(node: TemporalConv, x: Value) -> Value:
    frac = _stored(node, x)
    _streams(node, x)
    shape = check_weights(node, "weight", node.weight, lambda s: (s[0], x.channels, s[2]))
    check_bias(node, node.bias, [(shape[0],)])
    at_least(node, "dilation", node.dilation, 1)
    reach = (shape[2] - 1) * node.dilation
    if type(node.lookahead) is not int or not 0 <= node.lookahead <= reach:
        raise GraphError(
            f"node `{node.name}`: `lookahead` must be 0..{reach} "
            f"((taps - 1) * dilation), got {node.lookahead!r}"
        )
    at_least(node, "stride", node.stride, 1)
    return Value(shape[0], x.joints, tuple(frac + f for f in node.weight.frac_bits))


def _affine(node: Affine, x: Value) -> Value:
    frac = _stored(node, x)
    allowed = [(x.channels, 1), (x.channels, x.joints)]
    width = x.joints if node.scale.raw.shape == allowed[1] else 1
    check_weights(node, "scale", node.scale, lambda _: (x.channels, width))
    check_bias(node, node.bias, allowed)
    return Value(x.channels, x.joints, tuple(frac + f for f in node.scale.frac_bits))


def _add(node: Add, a: Value, b: Value) -> Value:
    if (a.channels, a.joints) != (b.channels, b.joints):
        raise GraphError(
            f"node `{node.name}`: operands must have one shape, got "
            f"({a.channels}, {a.joints}) of `{node.a}` and ({b.channels}, {b.joints}) of `{node.b}`"
        )
    if a.period != b.period:
        raise GraphError(
            f"node `{node.name}`: operands must have one frame rate, got a frame for every "
            f"{a.period} of the input of `{node.a}` and for every {b.period} of `{node.b}`"
        )
    entries = max(len(a.frac_bits), len(b.frac_bits))
    return Value(a.channels, a.joints, tuple(max(a.frac(c), b.frac(c)) for c in range(entries)))


def _flatten(node: Flatten, x: Value) -> Value:
    if x.stored_bits is None:
        raise GraphError(
            f"node `{node.name}`: operand `{node.x}` is an accumulator; only stored values are "
            "flattened (add a Requantise)"
        )
    return Value(x.channels * x.joints, 1, x.frac_bits, x.stored_bits)


def _joint_mean(node: JointMean, x: Value) -> Value:
    frac = _stored(node, x)
    at_least(node, "shift", node.shift, 0)
    if type(node.multiplier) is not int or not 1 <= node.multiplier <= _MAX_MULTIPLIER:
        raise GraphError(
            f"node `{node.name}`: `multiplier` must be 1..{_MAX_MULTIPLIER}, "
            f"got {node.multiplier!r}"
        )
    return Value(x.channels, 1, (frac + node.shift,))


def _clip_mean(node: ClipMean, x: Value) -> Value:
    frac = _stored(node, x)
    _streams(node, x)
    at_least(node, "shift", node.shift, 0)
    at_least(node, "max_frames", node.max_frames, 1)
    return Value(x.channels, x.joints, (frac + node.shift,))


def _layer_norm(node: LayerNorm, x: Value) -> Value:
    _stored(node, x)
    check_table(node, "epsilon", node.epsilon, 0, (1 << 62) - 1)
    if node.epsilon.shape != (1,):
        raise GraphError(f"node `{node.name}`: `epsilon` must have one entry")
    check_table(node, "seeds", node.seeds, 1, MOST_ROOT)
    intervals, rest = divmod(len(node.seeds), 3)
    if rest or intervals & (intervals - 1) or intervals > LEAST_MANTISSA:
        raise GraphError(
            f"node `{node.name}`: `seeds` must have 3 * 2**j entries, j up to "
            f"{MANTISSA_BITS - 2}, got {len(node.seeds)}"
        )
    between(node, "newton_steps", node.newton_steps, 0, MAX_NEWTON_STEPS)
    between(node, "frac_bits", node.frac_bits, 0, ROOT_BITS)
    try:
        heaviest_root(node.seeds, node.newton_steps)
    except ValueError as error:
        raise GraphError(f"node `{node.name}`: `seeds`: {error}") from None
    return Value(x.channels, x.joints, (node.frac_bits,))


def _softmax(node: Softmax, x: Value) -> Value:
    _stored(node, x)
    between(node, "exp_bits", node.exp_bits, 1, MAX_EXP_BITS)
    between(node, "frac_bits", node.frac_bits, 0, MAX_SHARE_BITS)
    one = 1 << node.exp_bits
    for key, table in (("coarse", node.coarse), ("fine", node.fine)):
        check_table(node, key, table, 0, one)
        if table[0] != one:
            raise GraphError(
                f"node `{node.name}`: `{key}` must begin with 2**exp_bits = {one}, got {table[0]}"
            )
    if len(node.fine) & (len(node.fine) - 1):
        raise GraphError(f"node `{node.name}`: `fine` must have 2**j entries, got {len(node.fine)}")
    return Value(x.channels, x.joints, (node.frac_bits,))


def _requantise(node: Requantise, x: Value) -> Value:
    check_type(node, "cast", node.cast, Cast)
    return Value(x.channels, x.joints, (node.cast.to.frac_bits,), node.cast.to.word_bits)


def _streams(node: Node, x: Value) -> None:
    """Refuse a value of one frame per clip where a node works over time."""
    if x.period == 0:
        raise GraphError(
            f"node `{node.name}`: operand `{operands(node)[0]}` has one frame per clip; nodes over "
            "time read streams"
        )


def _stored(node: Node, x: Value) -> int:
    """The one `frac_bits` of a multiplier's operand."""
    name = operands(node)[0]
    if x.stored_bits is None:
        raise GraphError(
            f"node `{node.name}`: operand `{name}` is an accumulator; a multiplier reads stored "
            "values only (add a Requantise)"
        )
    if x.stored_bits > MAX_WORD_BITS:
        raise GraphError(
            f"node `{node.name}`: operand `{name}` has {x.stored_bits} bits; a multiplier reads at "
            f"most {MAX_WORD_BITS}"
        )
    return x.frac_bits[0]
