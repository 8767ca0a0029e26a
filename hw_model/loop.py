"""One node's work for one frame, as data: loop bounds, widths, constants, state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "input",
    "conv",
    "graph_product",
    "temporal_conv",
    "temporal_sum",
    "affine",
    "shift",
    "add",
    "flatten",
    "joint_mean",
    "clip_mean",
    "layer_norm",
    "softmax",
    "requantise",
    "argmax",
]


@dataclass(frozen=True, slots=True)
class Words:
    """A number of words and the bits they take together."""

    words: int = 0
    bits: int = 0

    def __add__(self, other: Words) -> Words:
        return Words(self.words + other.words, self.bits + other.bits)


NO_WORDS = Words()


@dataclass(frozen=True, slots=True)
class State:
    """What a node keeps from frame to frame: `frames` frames of `frame_words` words of `value`.

    Every new frame makes it read `past_reads` frames that came before and write one.
    """

    kind: Literal["fifo", "accumulator", "delay"]
    value: str
    frames: int
    frame_words: int
    word_bits: int
    past_reads: int = 1

    @property
    def size(self) -> Words:
        """The whole state."""
        words = self.frames * self.frame_words
        return Words(words, words * self.word_bits)


@dataclass(frozen=True, slots=True)
class Loop:
    """One node's work for one frame of its value, which comes every `period` frames of the input.

    With a period of 0 that is once per clip. A `clip_mean` adds every frame that it reads; its
    division, once per clip, is not counted.

    A `conv` sums over `inputs` channels for each of `outputs` channels and `joints` joints, a
    `temporal_conv` over `taps` frames as well; a convolution whose result goes into a graph product
    makes its outputs in `partitions` equal parts. A `graph_product` sums, for `outputs` channels
    and `joints` joints, over the joints of `partitions` parts; `edges` entries of its adjacency are
    not zero, and a list of them has `edge_slots` entries (at least one for each joint). The other
    loops go word by word: `affine` multiplies, `shift` is an affine whose scale is one power of
    two, `joint_mean` reads `joints` words for each one it makes. A `flatten` does nothing: its
    `outputs` are the `inputs` of all its `joints`, one after another.

    `reads` names the operands, `reads_bits` their widths and `operand_bits` the widest of these,
    `signed_bits` the same as words with a sign, which is what a multiplier takes.
    `multiplies` and `adds` are those outside multiply-accumulates: one add per word for an operand
    added, for the rounding of a cast, for a comparison. Accumulations start from the bias.
    `weights` (operands) and `bias` are constants kept in memory; `weights_sparse` is what the
    weights take when an adjacency is kept as a list of edges, each with its source joint and
    partition and a mark on the last one of a joint.
    """

    name: str
    layer: str
    kind: Kind
    reads: tuple[str, ...]
    reads_bits: tuple[int, ...]
    inputs: int
    outputs: int
    joints: int
    operand_bits: int
    signed_bits: int
    accumulator_bits: int
    result: Words
    is_output: bool
    weight_bits: int = 0
    taps: int = 1
    partitions: int = 1
    edges: int = 0
    edge_slots: int = 0
    macs_dense: int = 0
    macs_sparse: int = 0
    multiplies: int = 0
    adds: int = 0
    weights: Words = NO_WORDS
    weights_sparse: Words = NO_WORDS
    bias: Words = NO_WORDS
    state: tuple[State, ...] = ()
    period: int = 1
