"""The constant memories of an engine: lines of lanes, in the order in which passes read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fxp.ir import Conv, GraphProduct, IntArray, TemporalConv
from hw_model.digits import Plan, Split
from hw_model.rtl.values import Frame


@dataclass(slots=True)
class Memory:
    """Lines of `lanes` words of `word_bits` bits, lane 0 in the least significant ones.

    They are kept as they came, `(n, lanes)` each.
    """

    word_bits: int = 1
    parts: list[IntArray] = field(default_factory=list)
    depth: int = 0

    def append(self, lines: IntArray) -> int:
        """Add lines `(n, lanes)`; returns the address of the first."""
        at = self.depth
        self.parts.append(lines)
        self.depth += len(lines)
        return at

    @property
    def lines(self) -> list[list[int]]:
        """All lines, in order."""
        return [line for part in self.parts for line in part.tolist()]

    @property
    def needed_bits(self) -> int:
        """Bits of the widest word, its sign included."""
        ends = [int(end) for part in self.parts if part.size for end in (part.min(), part.max())]
        return 1 + max((max(end, ~end).bit_length() for end in ends), default=0)

    def words(self) -> Iterator[int]:
        """Each line as one number."""
        mask = (1 << self.word_bits) - 1
        for line in self.lines:
            word = 0
            for lane, value in enumerate(line):
                word |= (value & mask) << (lane * self.word_bits)
            yield word


def blocks_of(per_channel: IntArray, frame: Frame) -> IntArray:
    """(C, ...) to (blocks, lanes, ...): group by group, partition by partition, pad lanes zero."""
    parts, lanes = frame.partitions, frame.lanes
    rest = per_channel.shape[1:]
    split = per_channel.reshape(parts, -1, *rest)
    pad = [(0, 0), (0, -split.shape[1] % lanes), *((0, 0) for _ in rest)]
    padded = np.pad(split, pad).reshape(parts, -1, lanes, *rest)  # (P, G, lanes, ...)
    return np.ascontiguousarray(np.moveaxis(padded, 0, 1)).reshape(-1, lanes, *rest)


def joint_lines(per_word: IntArray, frame: Frame) -> IntArray:
    """(C, V) to the lines of a frame, in their order in memory: (lines, lanes)."""
    lines = blocks_of(per_word, frame)  # (G * P, lanes, V)
    lines = lines.reshape(-1, frame.partitions, frame.lanes, per_word.shape[1])
    return np.moveaxis(lines, 3, 1).reshape(-1, frame.lanes)  # (G, V, P, lanes)


def weight_lines(node: Conv | TemporalConv, frame: Frame, joints: int) -> IntArray:
    """Weights in the order of the products: block, tap, joint of a flattened operand, channel.

    `joints` are those that a flattened operand had, or 1.
    """
    raw = node.weight.raw
    raw = raw[:, :, None] if isinstance(node, Conv) else raw  # (Cout, Cin, taps)
    blocks = blocks_of(raw, frame)  # (blocks, lanes, Cin, taps)
    ordered = blocks.transpose(0, 3, 2, 1)  # (blocks, taps, Cin, lanes)
    assert ordered.shape[2] % joints == 0
    return ordered.reshape(-1, frame.lanes)


def affine_lines(constant: IntArray, frame: Frame, per_joint: bool) -> IntArray:
    """A scale or bias `(C, 1)` or `(C, V)` as lines, one for each block or for each line."""
    if not per_joint:
        return blocks_of(constant[:, 0], frame)
    return joint_lines(np.broadcast_to(constant, (len(constant), frame.joints)), frame)


def weight_digits(lines: IntArray, plan: Plan) -> IntArray:
    """Lines `(n, lanes)` as digits in the order of the products: (n * turns, lanes)."""
    side = np.arange(lines.shape[1]) % 2
    parts = []
    for turn in plan.turns:
        words = np.zeros_like(lines)
        if turn.weight is not None:
            words = plan.weight.digit(lines, turn.weight)
        parts.append(words if turn.side is None else np.where(side == turn.side, words, 0))
    return np.stack(parts, axis=1).reshape(-1, lines.shape[1])


def bias_digits(lines: IntArray, plan: Plan, step: int) -> IntArray:
    """Lines `(n, lanes)` as digits, the topmost first: (n * levels, lanes).

    Every level of the products but the first brings `step` bits in at the bottom of the sum.
    """
    split = Split(64, plan.levels, step)
    parts = [split.digit(lines, at) for at in reversed(range(plan.levels))]
    return np.stack(parts, axis=1).reshape(-1, lines.shape[1])


def needs_joints(constant: IntArray, frame: Frame, vector: bool) -> bool:
    """Whether a constant needs a line of its own for each line of the frame.

    Passes that go line by line know no partitions, hence theirs do as soon as there are some.
    """
    return constant.shape[1] > 1 or (vector and frame.partitions > 1)


def edge_words(node: GraphProduct, dense: bool) -> tuple[list[tuple[int, int, int]], int]:
    """(last, source, coefficient) of each edge, joint by joint, and the bits of a coefficient.

    The source is `joint * P + partition`; coefficients are aligned to the finest partition.
    """
    raw, fracs = node.adjacency.raw, node.adjacency.frac_bits
    fracs = fracs if len(fracs) > 1 else fracs * len(raw)
    left = [max(fracs) - frac for frac in fracs]
    parts, joints, _ = raw.shape
    edges: list[tuple[int, int, int]] = []
    for w in range(joints):
        found = [
            (v * parts + p, int(raw[p, v, w]) << left[p])
            for v in range(joints)
            for p in range(parts)
            if dense or raw[p, v, w]
        ] or [(0, 0)]
        edges += [(int(i == len(found) - 1), at, coef) for i, (at, coef) in enumerate(found)]
    return edges, node.adjacency.word_bits + max(left)
