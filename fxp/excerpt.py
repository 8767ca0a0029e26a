"""A node cut out of its network: an input in front of it, and the casts that read it behind.

The node keeps its name, its constants, and the names and exact ranges of its operands, channel by
channel; so its sums have the range and the width that they have in the network. Where an operand
reaches every word of its format, it is the input. Otherwise the input is as wide as the operand's
range, a cast clips it to that, and a bias moves it there. The two operands of an `Add` are channels
of one input, each picked by a convolution of ones and zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fxp.errors import InputError
from fxp.ir import Affine, Conv, Graph, Input, IntArray, Node, Requantise, Weights, operands
from fxp.memories import Ground
from fxp.qformat import MAX_WORD_BITS, Cast, QFormat
from fxp.ranges import Signal, analyse, certify, is_sum, signed_bits
from fxp.wrapping import needed_bits

_MOST_BITS = 63  # of accumulators


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A network of one node of another.

    The input holds the words of each operand by name, one behind the other along the channels, less
    the operand's `offsets` `(C, 1)`.
    """

    graph: Graph
    node: Node
    offsets: Mapping[str, IntArray]

    def clip(self, words: Mapping[str, IntArray]) -> IntArray:
        """The input `(T, C, V)` that makes each operand the given words `(T, C, V)`."""
        parts = [words[name] - offset for name, offset in self.offsets.items()]
        return np.concatenate(parts, axis=1)


def excerpt(ground: Ground, node: Node) -> Excerpt:
    """The excerpt of a node of `ground.graph` that is a sum, or an `Argmax`.

    Its `outputs` are the casts that read the node, or the node itself where there are none. It
    declares the accumulators of the network, or wider ones where a new output or a clipped operand
    needs them.

    Raises:
        InputError: an operand is wider than the words of an input.
    """
    reads = tuple(dict.fromkeys(operands(node)))
    casts = [
        other
        for other in ground.graph.nodes
        if isinstance(other, Requantise) and other.x == node.name
    ]
    taken = {*reads, node.name, *(cast.name for cast in casts)}
    source, offsets = _source(ground, reads, taken, _free(f"{node.name}.words", taken))
    outputs = tuple(cast.name for cast in casts) or (node.name,)
    about = {"network": ground.graph.name, "node": node.name}
    graph = Graph(
        f"{ground.graph.name}.{node.name}",
        (*source, node, *casts),
        outputs,
        ground.graph.accumulator_bits,
        {"excerpt": about},
    )
    return Excerpt(_wide_enough(graph), node, offsets)


def _wide_enough(graph: Graph) -> Graph:
    """The graph with wider accumulators, where it needs them."""
    whole = {name: signal.width_bits for name, signal in analyse(graph).items()}
    needed = needed_bits(graph, whole)
    bits = max((needed[node.name] for node in graph.nodes if is_sum(node)), default=0)
    wide = replace(graph, accumulator_bits=min(max(graph.accumulator_bits, bits), _MOST_BITS))
    certify(wide)
    return wide


def _source(
    ground: Ground, reads: Sequence[str], taken: set[str], entry: str
) -> tuple[tuple[Node, ...], dict[str, IntArray]]:
    """The nodes that make the operands, an Input first, and the operands' offsets."""
    signal, fmt = ground.signals[reads[0]], _stored_format(reads[0], ground)
    full = _full_format(signal)
    if len(reads) > 1 or full is None:
        return _clipped(ground, reads, taken, entry)
    name, zeros = reads[0], np.zeros((signal.channels, 1), np.int64)
    start = Input(name if full == fmt else entry, signal.channels, signal.joints, full)
    behind: tuple[Node, ...] = ()
    if fmt is None:
        behind = _moved(name, entry, fmt, signal, zeros, taken)
    elif full != fmt:
        behind = (Requantise(name, entry, Cast(fmt)),)
    return (start, *behind), {name: zeros}


def _clipped(
    ground: Ground, reads: Sequence[str], taken: set[str], entry: str
) -> tuple[tuple[Node, ...], dict[str, IntArray]]:
    """Operands of any range: unsigned words, the lowest ones clipped, then moved to the range."""
    signals = {name: ground.signals[name] for name in reads}
    spans = {name: _span_bits(name, signal) for name, signal in signals.items()}
    channels, joints = signals[reads[0]].channels, signals[reads[0]].joints
    bits = max(spans.values())
    nodes: list[Node] = [Input(entry, len(reads) * channels, joints, QFormat(bits, 0, False))]
    offsets = {}
    for i, (name, signal) in enumerate(signals.items()):
        low, high = (np.array(end, np.int64)[:, None] for end in (signal.lo, signal.hi))
        below = (1 << bits) - 1 - (high - low)  # so many words are clipped
        offsets[name] = low - below
        shifted, clipped = (_free(f"{name}.{what}", taken) for what in ("shifted", "clipped"))
        if len(reads) == 1:
            nodes.append(Affine(shifted, entry, _ones(channels, (0,)), -below))
        else:
            picked = np.eye(len(reads) * channels, dtype=np.int64)[i * channels :][:channels]
            nodes.append(Conv(shifted, entry, Weights(picked, 2, (0,)), -below[:, 0]))
        nodes.append(Requantise(clipped, shifted, Cast(QFormat(spans[name], 0, signed=False))))
        nodes += _moved(name, clipped, _stored_format(name, ground), signal, low, taken)
    return tuple(nodes), offsets


def _moved(
    name: str, x: str, fmt: QFormat | None, signal: Signal, bias: IntArray, taken: set[str]
) -> tuple[Node, ...]:
    """The operand: words of `x` and a bias `(C, 1)`, stored in `fmt`, or not where that is None."""
    total = name if fmt is None else _free(f"{name}.moved", taken)
    moved = Affine(total, x, _ones(signal.channels, signal.frac_bits), bias)
    return (moved,) if fmt is None else (moved, Requantise(name, total, Cast(fmt)))


def _ones(channels: int, frac_bits: tuple[int, ...]) -> Weights:
    return Weights(np.ones((channels, 1), np.int64), 2, frac_bits)


def _full_format(signal: Signal) -> QFormat | None:
    """The format of which every channel reaches every word, if there is one; a sum's at point 0."""
    lo, hi = min(signal.lo), max(signal.hi)
    bits = signed_bits(lo, hi) if lo < 0 else max(1, hi.bit_length())
    if bits > MAX_WORD_BITS:
        return None
    fmt = QFormat(bits, signal.frac_bits[0] if signal.stored else 0, lo < 0)
    ends = set(zip(signal.lo, signal.hi, strict=True))
    return fmt if ends == {(fmt.raw_min, fmt.raw_max)} else None


def _span_bits(name: str, signal: Signal) -> int:
    """The width of unsigned words as many as an operand has.

    Raises:
        InputError: it is wider than a word.
    """
    widest = max(hi - lo for lo, hi in zip(signal.lo, signal.hi, strict=True))
    bits = max(1, widest.bit_length())
    if bits > MAX_WORD_BITS:
        raise InputError(f"operand `{name}` spans {bits} bits, an input at most {MAX_WORD_BITS}")
    return bits


def _stored_format(name: str, ground: Ground) -> QFormat | None:
    """The format of a stored operand, None for a sum.

    Raises:
        InputError: it is wider than a word.
    """
    if not ground.signals[name].stored:
        return None
    bits, signed = ground.formats[name]
    if bits > MAX_WORD_BITS:
        raise InputError(f"operand `{name}` has {bits} bits, a word at most {MAX_WORD_BITS}")
    return QFormat(bits, ground.signals[name].frac_bits[0], signed)


def _free(name: str, taken: set[str]) -> str:
    """The name, lengthened until nothing else has it."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
