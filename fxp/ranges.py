"""Worst-case ranges of every value over all inputs, and the widths that follow from them.

Interval arithmetic with the actual constants: per node, the smallest and the largest result that
any operands within their ranges can give (operands of one node count as independent). That is sound
and, node by node, tight: no accumulator of a certified graph overflows, whatever the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from fxp.cast import overflow, round_shift
from fxp.elementary import MOST_ROOT, ROOT_BITS, layer_norm_bound
from fxp.errors import GraphError
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
    operands,
)
from fxp.qformat import Cast, Overflow
from fxp.validate import Value, describe
from fxp.wrapping import needed_bits

MAX_INNER_BITS = 63  # of the registers that a node's own value does not show

Interval: TypeAlias = tuple[int, int]
# int64 where every possible sum fits, else Python integers (dtype object)
Exact: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Signal:
    """A value and the raw words it can take: per channel from `lo[c]` to `hi[c]`, both included.

    `frac_bits` has one entry, or one per channel. `stored` values come from `Input`, `Requantise`
    or a `TemporalSum` or `Flatten` of a stored value; the others are accumulators (or a label).
    """

    channels: int
    joints: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]
    frac_bits: tuple[int, ...]
    stored: bool

    @property
    def width_bits(self) -> int:
        """The narrowest two's complement word that holds every value."""
        return signed_bits(min(self.lo), max(self.hi))


def signed_bits(lo: int, hi: int) -> int:
    """The narrowest two's complement word that holds `lo..hi`."""
    return 1 + max((value if value >= 0 else ~value).bit_length() for value in (lo, hi))


def analyse(graph: Graph) -> dict[str, Signal]:
    """The exact worst-case range of every value, by name.

    Raises:
        GraphError: the graph breaks a rule of the IR.
    """
    about = describe(graph)
    signals: dict[str, Signal] = {}
    for node in graph.nodes:
        x = [signals[name] for name in operands(node)]
        signals[node.name] = signal_of(node, x, about[node.name])
    return signals


def certify(graph: Graph, signals: Mapping[str, Signal] | None = None) -> dict[str, int]:
    """The width in bits, sign included, of the register that each value gets, by name.

    It holds every word the value can take, or where that is more than `graph.accumulator_bits` it
    is that, if no stored word and no output depends on what is lost (`fxp.wrapping`).

    Args:
        graph: any graph.
        signals: what `analyse` gave for it, where that is at hand.

    Raises:
        GraphError: the graph breaks a rule of the IR, an accumulator could exceed
            `graph.accumulator_bits` for some input and not harmlessly, or a sum inside a node
            `MAX_INNER_BITS`.
    """
    widths: dict[str, int] = {}
    signals = analyse(graph) if signals is None else signals
    needed = needed_bits(graph, {name: signal.width_bits for name, signal in signals.items()})
    for node in graph.nodes:
        inside = inner_bits(node, [signals[name] for name in operands(node)])
        if inside > MAX_INNER_BITS:
            raise GraphError(
                f"node `{node.name}`: a sum inside it needs {inside} bits in the worst case, "
                f"the most is {MAX_INNER_BITS}"
            )
        widths[node.name] = whole = signals[node.name].width_bits
        if not is_sum(node) or whole <= graph.accumulator_bits:
            continue
        if needed[node.name] > graph.accumulator_bits:
            raise GraphError(
                f"node `{node.name}`: the accumulator needs {needed[node.name]} bits in the worst "
                f"case, `accumulator_bits` is {graph.accumulator_bits}"
            )
        if whole > MAX_INNER_BITS:  # whoever runs a graph holds its sums whole, in 64 bits
            raise GraphError(
                f"node `{node.name}`: the accumulator needs {whole} bits in the worst case; it "
                f"would wrap harmlessly, but simulators hold at most {MAX_INNER_BITS}"
            )
        widths[node.name] = graph.accumulator_bits
    return widths


def is_sum(node: Node) -> bool:
    """Whether a value is an accumulator of its own, not words of a format nor a label."""
    return not isinstance(node, Input | Flatten | Requantise | Argmax)


def inner_bits(node: Node, x: Sequence[Signal]) -> int:
    """The widest register, sign included, between a node's operands and its value.

    0 for the nodes whose value is the widest itself.
    """
    match node:
        case ClipMean():  # twice the shifted sum, and half the divisor
            furthest = max(map(abs, (*x[0].lo, *x[0].hi)))
            return 1 + (node.max_frames * ((furthest << (node.shift + 1)) + 1)).bit_length()
        case LayerNorm():
            return _layer_norm_bits(node, x[0])
        case Softmax():  # a shifted numerator, the sum, a product of two entries with its half
            total = x[0].channels << node.exp_bits
            product = (1 << 2 * node.exp_bits) + (1 << (node.exp_bits - 1))
            return 1 + max(1 << (node.exp_bits + node.frac_bits), total, product).bit_length()
        case _:
            return 0


def clip_sum_bits(node: ClipMean, x: Signal) -> int:
    """Width of the sum of a whole clip, that of the longest one there may be."""
    ends = (min(x.lo), max(x.hi))
    return signed_bits(*(end * node.max_frames for end in ends))


def signal_of(node: Node, x: Sequence[Signal], about: Value) -> Signal:
    """The signal a node makes of the signals it reads; `about` is the static description of it."""
    lo, hi = (tuple(map(int, ends)) for ends in zip(*_intervals(node, x, about), strict=True))
    stored = about.stored_bits is not None
    return Signal(about.channels, about.joints, lo, hi, about.frac_bits, stored)


def cast_range(lo: int, hi: int, frac_bits: int, cast: Cast, relu: bool = False) -> Interval:
    """The smallest and the largest word that casting any of `lo..hi` can give.

    Every rounding is monotone, and so are both saturations. `SAT_ZERO` and `WRAP` are monotone
    on the part that fits; beyond it the one adds a zero, the other starts a new period. A left
    shift leaves only the words on its grid.
    """
    fmt, shift = cast.to, frac_bits - cast.to.frac_bits
    low, high = (round_shift(bound, shift, cast.rounding) for bound in (lo, hi))
    grid = max(-shift, 0)
    least, most = -(-fmt.raw_min >> grid << grid), fmt.raw_max >> grid << grid
    if low < fmt.raw_min or high > fmt.raw_max:
        match cast.overflow:
            case Overflow.SAT | Overflow.SAT_SYM:
                pass
            case Overflow.SAT_ZERO:
                low, high = max(low, least), min(high, most)
                low, high = (min(low, 0), max(high, 0)) if low <= high else (0, 0)
            case Overflow.WRAP:
                period = [(bound - fmt.raw_min) >> fmt.word_bits for bound in (low, high)]
                if period[0] != period[1]:
                    low, high = least, most
            case _:
                assert_never(cast.overflow)
    low, high = (overflow(bound, fmt, cast.overflow) for bound in (low, high))
    return (max(low, 0), max(high, 0)) if relu else (low, high)


def _intervals(node: Node, x: Sequence[Signal], about: Value) -> list[Interval]:
    """Range of each output channel."""
    match node:
        case Input():
            return [(node.fmt.raw_min, node.fmt.raw_max)] * node.channels
        case Conv():
            low, high = _weighted(*_signs(node.weight.raw), *_bounds(x[0]))
            return _pairs(low[:, 0], high[:, 0], node.bias)
        case GraphProduct():
            return _graph_product(node, x[0])
        case TemporalSum():  # 1 to `window` frames lie inside the clip
            return [
                (min(lo, node.window * lo), max(hi, node.window * hi))
                for lo, hi in zip(x[0].lo, x[0].hi, strict=True)
            ]
        case TemporalConv():
            return _temporal_conv(node, x[0])
        case Affine():
            return _affine(node, x[0])
        case Add():
            return list(_add(x[0], x[1], about))
        case Flatten():  # channel v * C + c has the range of channel c
            return list(zip(x[0].lo, x[0].hi, strict=True)) * x[0].joints
        case JointMean():
            factor = node.multiplier * x[0].joints
            return [(factor * lo, factor * hi) for lo, hi in zip(x[0].lo, x[0].hi, strict=True)]
        case ClipMean():
            return [
                (lo << node.shift, hi << node.shift)
                for lo, hi in zip(x[0].lo, x[0].hi, strict=True)
            ]
        case LayerNorm():
            words = x[0].channels * x[0].joints
            most = layer_norm_bound(words, node.seeds, node.newton_steps, node.frac_bits)
            return [(-most, most)] * x[0].channels
        case Softmax():
            return [(0, 1 << node.frac_bits)] * x[0].channels
        case Requantise():
            return _requantised(node, x[0])
        case Argmax():
            return [(0, x[0].channels - 1)]
        case _:
            assert_never(node)


def _requantised(node: Requantise, x: Signal) -> list[Interval]:
    """Channels that reach beyond both ends of a format that saturates have one range."""
    cast, fmt = node.cast, node.cast.to
    saturates = cast.overflow in (Overflow.SAT, Overflow.SAT_SYM)
    least, most = fmt.raw_min, fmt.raw_max
    known: dict[tuple[int, int, int], Interval] = {}
    found = []
    for lo, hi, frac in zip(x.lo, x.hi, _per_channel(x), strict=True):
        shift = frac - fmt.frac_bits
        if saturates and shift >= 0:  # all bounds beyond these give the same words
            low, high = least << shift, most << shift
            lo, hi = (
                low if lo < low else high if lo > high else lo,
                high if hi > high else low if hi < low else hi,
            )
        key = lo, hi, frac
        interval = known.get(key)
        if interval is None:
            interval = known[key] = cast_range(lo, hi, frac, cast, node.relu)
        found.append(interval)
    return found


def _graph_product(node: GraphProduct, x: Signal) -> list[Interval]:
    """The range over all joints: the worst column of the adjacency decides."""
    raw, frac_bits = node.adjacency.raw, node.adjacency.frac_bits
    fracs = frac_bits if len(frac_bits) > 1 else frac_bits * len(raw)
    scale = [[1 << (max(fracs) - f)] for f in fracs]
    # column sums of the positive and the negative entries, (P, W) -> (W, P)
    positive, negative = (
        (part.astype(object).sum(axis=1) * np.array(scale, dtype=object)).T for part in _signs(raw)
    )
    low, high = _bounds(x)
    shape = (len(raw), -1)  # (P * C, 1) -> (P, C)
    low, high = _weighted(positive, negative, low.reshape(shape), high.reshape(shape))
    return _pairs(low.min(axis=0), high.max(axis=0), np.zeros(low.shape[1], np.int64))


def _temporal_conv(node: TemporalConv, x: Signal) -> list[Interval]:
    """The range over all places in a clip: taps beyond either end of it read zeros.

    The taps inside the clip are those from some frame of the past to some frame of the future,
    the two ends independent, so the best prefixes towards both sides add up.
    """
    taps = node.weight.raw.shape[2]
    lows, highs = [], []  # of each tap's own sum, (taps, Cout)
    for k in range(taps):
        low, high = _weighted(*_signs(node.weight.raw[:, :, k]), *_bounds(x))
        lows.append(low[:, 0].tolist())
        highs.append(high[:, 0].tolist())
    age = [(taps - 1 - k) * node.dilation - node.lookahead for k in range(taps)]
    past = sorted((k for k in range(taps) if age[k] > 0), key=lambda k: age[k])
    now = [k for k in range(taps) if age[k] == 0]
    future = sorted((k for k in range(taps) if age[k] < 0), key=lambda k: -age[k])
    intervals = []
    for o, bias in enumerate(node.bias.tolist()):
        low = high = bias
        for side in (past, future):
            low += min(accumulate((lows[k][o] for k in side), initial=0))
            high += max(accumulate((highs[k][o] for k in side), initial=0))
        for k in now:  # the frame itself is always inside
            low, high = low + lows[k][o], high + highs[k][o]
        intervals.append((low, high))
    return intervals


def _affine(node: Affine, x: Signal) -> list[Interval]:
    scale, bias = node.scale.raw.astype(object), node.bias.astype(object)  # (C, 1 or V)
    ends = [scale * bound + bias for bound in _bounds(x)]  # (C, 1 or V), either may be the larger
    low, high = np.minimum(*ends).min(axis=1), np.maximum(*ends).max(axis=1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _layer_norm_bits(node: LayerNorm, x: Signal) -> int:
    """Of `N * S1 + epsilon`, and of a numerator times its root with the half that rounds it."""
    words = x.channels * x.joints
    squares = x.joints * sum(max(lo * lo, hi * hi) for lo, hi in zip(x.lo, x.hi, strict=True))
    variance = words * squares + int(node.epsilon[0])
    low, high = x.joints * sum(x.lo), x.joints * sum(x.hi)  # of S0
    # the word itself is one of those summed
    furthest = max(
        max((words - 1) * hi - (low - lo), (high - hi) - (words - 1) * lo)
        for lo, hi in zip(x.lo, x.hi, strict=True)
    )
    half = 1 << (ROOT_BITS + (variance.bit_length() + 1) // 2 - node.frac_bits)
    return 1 + max(variance, furthest * MOST_ROOT + half).bit_length()


def _add(a: Signal, b: Signal, about: Value) -> Iterator[Interval]:
    for c, (frac_a, frac_b) in enumerate(zip(_per_channel(a), _per_channel(b), strict=True)):
        left_a, left_b = about.frac(c) - frac_a, about.frac(c) - frac_b
        yield (a.lo[c] << left_a) + (b.lo[c] << left_b), (a.hi[c] << left_a) + (b.hi[c] << left_b)


def _per_channel(x: Signal) -> tuple[int, ...]:
    return x.frac_bits if len(x.frac_bits) > 1 else x.frac_bits * x.channels


def _bounds(x: Signal) -> tuple[Exact, Exact]:
    """`lo` and `hi` as columns of Python integers, (C, 1)."""
    return np.array([x.lo], dtype=object).T, np.array([x.hi], dtype=object).T


def _signs(raw: Exact) -> tuple[Exact, Exact]:
    """The positive and the negative part."""
    return np.maximum(raw, 0), np.minimum(raw, 0)


def _weighted(positive: Exact, negative: Exact, lo: Exact, hi: Exact) -> tuple[Exact, Exact]:
    """Smallest and largest `(positive + negative) @ x` over `lo <= x <= hi`, column by column."""
    heaviest = max(int(np.abs(part).max()) for part in (positive, negative))
    furthest = max(int(np.abs(bound).max()) for bound in (lo, hi))
    fits = 2 * len(lo) * heaviest * furthest < 2**63
    kind = np.int64 if fits else object
    p, n, low, high = (part.astype(kind) for part in (positive, negative, lo, hi))
    return p @ low + n @ high, p @ high + n @ low


def _pairs(lo: Exact, hi: Exact, bias: Exact) -> list[Interval]:
    offsets = bias.tolist()
    return [
        (low + offset, high + offset)
        for low, high, offset in zip(lo.tolist(), hi.tolist(), offsets, strict=True)
    ]
