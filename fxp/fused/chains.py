"""Chains of nodes as one pass: which nodes follow each other in it, and their constants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fxp.fused.casts import NO_CAST, VectorCast, extremes, per_channel
from fxp.fused.steps import RowsStep, Words
from fxp.ir import Add, Affine, GraphProduct, IntArray, JointMean, TemporalSum
from fxp.kernels.tables import CastKind, RowsConstant
from fxp.kernels.vector import VECTOR_BYTES
from fxp.ranges import Signal

_LANES_BITS = (16, 32, 64)
_MOST_CONSTANT_BYTES = 1 << 15


@dataclass
class Chain:
    """A chain while it grows. The order of its parts is that of `fxp.kernels.rows`."""

    source: str
    nodes: list[str] = field(default_factory=list)
    edges: GraphProduct | JointMean | None = None
    source_cast: VectorCast = NO_CAST
    fifo: TemporalSum | None = None
    affine: Affine | None = None
    affine_cast: VectorCast = NO_CAST
    add: Add | None = None
    own: str | None = None  # the operand of `add` that the chain brings, the other is read
    other: str | None = None
    out_casts: list[VectorCast] = field(default_factory=list)
    results: list[str] = field(default_factory=list)

    @property
    def place(self) -> int:
        """How far the chain has come: nothing before this may follow."""
        for place, there in (
            (6, self.out_casts),
            (5, self.add),
            (4, self.affine_cast is not NO_CAST),
            (3, self.affine),
            (2, self.fifo),
            (1, self.source_cast is not NO_CAST),
        ):
            if there:
                return place
        return 0

    @property
    def flat(self) -> bool:
        """Whether a frame may be one row: without edges, joints do not matter."""
        return self.edges is None

    def takes(self, node: Affine) -> bool:
        """Whether there may be constants per joint: not where edges lead from joint to joint."""
        return self.flat or _per_channel(node)


def rows_step(
    chain: Chain, signals: Mapping[str, Signal], wide: Collection[str]
) -> RowsStep | None:
    """The pass of a chain, or None where 64 bits do not hold its sums with rounding.

    `wide` names the values that lie in memory in 64 bits, whatever their range.
    """
    y = signals[chain.results[0]]
    kinds, casts = _casts(chain)
    bits = _lanes_bits(chain, casts, signals)
    if bits is None:
        return None
    bits = _LANES_BITS[-1] if chain.source in wide else bits
    positional = chain.affine is not None and not _per_channel(chain.affine)
    flat = chain.flat and (positional or fills_better_flat(y.joints, y.channels, bits))
    joints, repeats = (1, y.joints) if flat else (y.joints, 1)
    constants = _constants(chain, casts, signals, y.channels, repeats, bits)
    fifo = chain.fifo
    return RowsStep(
        tuple(chain.nodes),
        tuple(chain.results),
        chain.source,
        chain.other,
        None if fifo is None else fifo.name,
        1 if fifo is None else fifo.window * fifo.dilation,
        1 if fifo is None else fifo.dilation,
        chain.affine is not None or any(casts[1].offset) or any(casts[1].left),
        kinds,
        bits,
        joints,
        y.channels * repeats,
        None if chain.edges is None else _edges(chain.edges, signals[chain.source], y),
        constants,
    )


def fills_better_flat(joints: int, channels: int, lanes_bits: int) -> bool:
    """Whether all joints as one row fill vectors better, with constants that stay in cache."""
    lanes = 8 * VECTOR_BYTES // lanes_bits
    size = len(RowsConstant) * joints * channels * lanes_bits // 8
    return bool(joints > 1 and channels % lanes > 0 and size <= _MOST_CONSTANT_BYTES)


def _per_channel(node: Affine) -> bool:
    return (node.bias.shape[1], node.scale.raw.shape[1]) == (1, 1)


def _casts(chain: Chain) -> tuple[tuple[int, int, int, int], list[VectorCast]]:
    out = [*chain.out_casts, NO_CAST, NO_CAST][:2]
    casts = [chain.source_cast, chain.affine_cast, *out]
    a, b, c, d = (cast.kind for cast in casts)
    return (a, b, c, d), casts


def _lanes_bits(
    chain: Chain, casts: Sequence[VectorCast], signals: Mapping[str, Signal]
) -> int | None:
    """The narrowest lanes that hold every value on the way, rounding offsets included."""
    names = [chain.source, *chain.nodes, *([chain.other] if chain.other else [])]
    lo = min(min(signals[name].lo) for name in names)
    hi = max(max(signals[name].hi) for name in names)
    for cast, x in zip(casts, _cast_operands(chain, signals), strict=True):
        if cast.kind != CastKind.NONE:
            below, above = extremes(cast, x)
            lo, hi = min(lo, below), max(hi, above)
    shift = max(max(cast.shift) for cast in casts)
    for bits in _LANES_BITS:
        if -(1 << (bits - 1)) <= lo and hi < 1 << (bits - 1) and shift < bits:
            return bits
    return None


def _cast_operands(chain: Chain, signals: Mapping[str, Signal]) -> list[Signal]:
    """The accumulators that the four casts read."""
    first = signals[chain.edges.name if chain.edges else chain.source]
    middle = [node for node in (chain.fifo, chain.affine) if node is not None]
    second = signals[middle[-1].name] if middle else first
    last = signals[chain.add.name] if chain.add else (second if middle else first)
    return [first, second, last, last]


def _constants(
    chain: Chain,
    casts: Sequence[VectorCast],
    signals: Mapping[str, Signal],
    channels: int,
    repeats: int,
    bits: int,
) -> Words:
    """Per channel, repeated for every joint where a frame is one row; modulo the lanes' width."""
    table = np.zeros((len(RowsConstant), channels * repeats), object)
    table[RowsConstant.SCALE] = 1
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    rows = (RowsConstant.SOURCE_OFFSET, RowsConstant.AFFINE_OFFSET, RowsConstant.OUT_OFFSET)
    for first, cast in zip((*rows, RowsConstant.SECOND_OFFSET), casts, strict=True):
        for row, values in enumerate((cast.offset, cast.shift)):
            table[first + row] = per_channel(values, channels) * repeats
        table[first + 2], table[first + 3] = max(cast.low, low), min(cast.high, high)
        table[first + 4] = per_channel(cast.odd, channels) * repeats
    if chain.affine is not None:
        shape = (channels, repeats)
        constants = (
            (RowsConstant.SCALE, chain.affine.scale.raw),
            (RowsConstant.BIAS, chain.affine.bias),
        )
        for which, array in constants:
            table[which] = np.broadcast_to(array, shape).T.reshape(-1)
    powers = np.array(
        [1 << left for left in per_channel(casts[1].left, channels)] * repeats, object
    )
    table[RowsConstant.SCALE] *= powers
    table[RowsConstant.BIAS] = table[RowsConstant.BIAS] * powers + table[RowsConstant.AFFINE_OFFSET]
    if chain.add is not None:
        y = signals[chain.add.name]
        assert chain.own is not None and chain.other is not None
        for row, name in ((RowsConstant.LEFT, chain.own), (RowsConstant.RIGHT, chain.other)):
            moved = zip(_fracs(y), _fracs(signals[name]), strict=True)
            table[row] = [1 << (to - frac) for to, frac in moved] * repeats
    whole = 1 << bits
    wrapped = (table + whole // 2) % whole - whole // 2
    return np.ascontiguousarray(wrapped.astype(np.int64).astype(f"int{bits}"))


def _fracs(signal: Signal) -> tuple[int, ...]:
    return signal.frac_bits * (signal.channels if len(signal.frac_bits) == 1 else 1)


def _edges(node: GraphProduct | JointMean, x: Signal, y: Signal) -> tuple[IntArray, IntArray]:
    """Joints with the first edge into each; edges (words before the source row, factor, more).

    Joints with as many edges come one after the other: the processor then guesses right how often
    the loop over them goes round.
    """
    if isinstance(node, JointMean):
        into = [[(v * x.channels, node.multiplier) for v in range(x.joints)]]
    else:
        adjacency = node.adjacency
        partitions, joints, _ = adjacency.raw.shape
        fracs = adjacency.frac_bits * (partitions if len(adjacency.frac_bits) == 1 else 1)
        powers = [1 << (max(fracs) - frac) for frac in fracs]
        into = [[] for _ in range(joints)]
        for p, v, w in np.argwhere(adjacency.raw).tolist():
            factor = int(adjacency.raw[p, v, w]) * powers[p]
            into[w].append(((v * partitions + p) * y.channels, factor))
    into = [edges or [(0, 0)] for edges in into]
    order = sorted(range(len(into)), key=lambda w: len(into[w]))
    first = np.cumsum([0, *(len(into[w]) for w in order[:-1])])
    table = [
        (at, _modulo(factor), int(k < len(into[w]) - 1))
        for w in order
        for k, (at, factor) in enumerate(into[w])
    ]
    return np.stack([np.array(order), first], axis=1), np.array(table, np.int64)


def _modulo(value: int) -> int:
    """Modulo 2**64, as an int64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
