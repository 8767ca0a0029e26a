"""Every accumulator of a network: its exact range, the width it needs, and what formats alone say.

Three widths, sign included. `bits` holds every value that the actual weights allow; `needed_bits`
every bit that a stored word depends on (`fxp.wrapping`); `format_bits` every value that any weights
of the same formats allow, which is what a designer without the weights would have to provide. A
bias has no format of its own and stays out of the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from fxp.errors import InputError
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
    Weights,
    layer_of,
    operands,
)
from fxp.node_fields import kind_of
from fxp.ranges import Interval, Signal, analyse, is_sum, signal_of
from fxp.validate import Value, describe
from fxp.wrapping import needed_bits


@dataclass(frozen=True)
class Accumulator:
    """One accumulator: raw words from `lo` to `hi`, both reached, and its three widths in bits."""

    node: str
    layer: str
    kind: str
    lo: int
    hi: int
    bits: int
    needed_bits: int
    format_bits: int

    @property
    def saved_bits(self) -> int:
        """How much narrower it is than formats alone would have it."""
        return self.format_bits - self.bits


@dataclass(frozen=True)
class Layer:
    """The widest of the accumulators of a layer, each width by itself."""

    layer: str
    bits: int
    needed_bits: int
    format_bits: int


def accumulators(graph: Graph) -> tuple[Accumulator, ...]:
    """The accumulators of a graph, whatever width it declares, in its order.

    Raises:
        GraphError: the graph breaks a rule of the IR.
    """
    exact, formats = analyse(graph), format_signals(graph)
    needed = needed_bits(graph, {name: signal.width_bits for name, signal in exact.items()})
    return tuple(
        Accumulator(
            node.name,
            layer_of(node.name),
            kind_of(node),
            min(exact[node.name].lo),
            max(exact[node.name].hi),
            exact[node.name].width_bits,
            needed[node.name],
            formats[node.name].width_bits,
        )
        for node in graph.nodes
        if is_sum(node)
    )


def by_layer(found: Sequence[Accumulator]) -> tuple[Layer, ...]:
    """The maximum of each layer."""
    layers = {each.layer: [other for other in found if other.layer == each.layer] for each in found}
    return tuple(
        Layer(
            name,
            max(each.bits for each in group),
            max(each.needed_bits for each in group),
            max(each.format_bits for each in group),
        )
        for name, group in layers.items()
    )


def check_bits(found: Sequence[Accumulator], bits: int) -> None:
    """Refuse accumulators of `bits` bits that some input would overflow to its harm.

    Raises:
        InputError: the line names the accumulator that needs most.
    """
    widest = max(found, key=lambda each: each.needed_bits, default=None)
    if widest is not None and widest.needed_bits > bits:
        raise InputError(
            f"layer `{widest.layer}`: accumulator `{widest.node}` reaches {widest.lo}..{widest.hi} "
            f"in the worst case and needs {widest.needed_bits} bits, got {bits}"
        )


def format_signals(graph: Graph) -> dict[str, Signal]:
    """The worst case over all inputs and all weights of the graph's formats, by name.

    An adjacency counts as dense. A scale that is one power of two (a norm folded into the weights
    before it) is a shift and no weight.

    Raises:
        GraphError: the graph breaks a rule of the IR.
    """
    about = describe(graph)
    signals: dict[str, Signal] = {}
    for node in graph.nodes:
        x = [signals[name] for name in operands(node)]
        signals[node.name] = _format_signal(node, x, about)
    return signals


def scale_shift(node: Affine) -> int | None:
    """The k of a scale whose raws are all `2**k`: it only moves the binary point."""
    raw = node.scale.raw
    first = int(raw.flat[0])
    if first <= 0 or first & (first - 1) or not (raw == first).all():
        return None
    return first.bit_length() - 1


def _format_signal(node: Node, x: Sequence[Signal], about: Mapping[str, Value]) -> Signal:
    value = about[node.name]
    match node:
        case Conv(weight=weight):
            return _sums(value, [_total(_products(weight, x[0]))] * value.channels)
        case TemporalConv(weight=weight):  # a tap beyond the clip gives zero, as some weights do
            low, high = _total(_products(weight, x[0]))
            taps = weight.raw.shape[2]
            return _sums(value, [(taps * low, taps * high)] * value.channels)
        case GraphProduct(adjacency=adjacency):
            return _sums(value, _graph_product(adjacency, x[0]))
        case Affine(scale=scale):
            shift = scale_shift(node)
            if shift is None:
                return _sums(value, _products(scale, x[0]))
            ends = zip(x[0].lo, x[0].hi, strict=True)
            return _sums(value, [(lo << shift, hi << shift) for lo, hi in ends])
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
        ):  # no weights
            return signal_of(node, x, value)
        case _:
            assert_never(node)


def _graph_product(adjacency: Weights, x: Signal) -> list[Interval]:
    """Partitions aligned; every source joint has an edge to the target."""
    parts, joints, _ = adjacency.raw.shape
    fracs = adjacency.frac_bits * (parts if len(adjacency.frac_bits) == 1 else 1)
    lifts, channels = [max(fracs) - frac for frac in fracs], x.channels // parts
    products = _products(adjacency, x)  # (P * C), partition-major
    intervals = []
    for c in range(channels):
        terms = [(products[p * channels + c], lifts[p]) for p in range(parts)]
        low, high = _total([(low << lift, high << lift) for (low, high), lift in terms])
        intervals.append((joints * low, joints * high))
    return intervals


def _products(weight: Weights, x: Signal) -> list[Interval]:
    """Of any weight of the width with a word of each channel."""
    least = -(1 << (weight.word_bits - 1))
    ends = (least, -least - 1)
    intervals = []
    for lo, hi in zip(x.lo, x.hi, strict=True):
        corners = [end * word for end in ends for word in (lo, hi)]
        intervals.append((min(corners), max(corners)))
    return intervals


def _total(intervals: Sequence[Interval]) -> Interval:
    return sum(low for low, _ in intervals), sum(high for _, high in intervals)


def _sums(value: Value, intervals: Sequence[Interval]) -> Signal:
    lo, hi = tuple(low for low, _ in intervals), tuple(high for _, high in intervals)
    return Signal(value.channels, value.joints, lo, hi, value.frac_bits, stored=False)
