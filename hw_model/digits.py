"""Wide words on narrow multipliers: a product as a sum of products of digits.

The multipliers of an engine are as wide as convolutions and graph products need them. An input norm
and the reciprocal of a joint mean have wider words, but few of them: those are cut into digits,

    w = sum of w_j * 2**(K * j),    x = sum of x_i * 2**(M * K * i),

all but the topmost ones without a sign, and multiplied digit by digit, the products of the highest
level `M * i + j` first. Before the products of each further level the accumulator moves up by K
bits (Horner's rule), and K bits of the bias come in at its bottom. Sums are exact modulo a power of
two at every step, so no accumulator has to be wider than for the whole products.

K and M are those with which a network's frame takes the fewest products.

Where two lanes share a multiplier (`paired`), it makes two products that share an operand. In a
norm each lane has a weight and an operand of its own: there the two lanes take turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fxp.ir import IntArray
from hw_model.flow import is_matrix
from hw_model.loop import Kind, Loop

_LEAST_BITS = 2  # of a multiplier: a digit of one bit without a sign


@dataclass(frozen=True, slots=True)
class Split:
    """Words of `word_bits` bits, sign included, as `count` digits of `step` bits, lowest first.

    The topmost has the bits that are left, and the sign.
    """

    word_bits: int
    count: int
    step: int

    @property
    def digit_bits(self) -> int:
        """Bits of the widest digit as a signed word."""
        top = self.word_bits - (self.count - 1) * self.step
        return top if self.count == 1 else max(top, self.step + 1)

    def digit(self, words: IntArray, at: int) -> IntArray:
        """Digit `at` of words of any shape."""
        moved = words >> (at * self.step)
        return moved if at == self.count - 1 else moved & ((1 << self.step) - 1)


@dataclass(frozen=True, slots=True)
class Turn:
    """One product: digits of weight and operand, and whether the accumulator moves up after it.

    On a level without products there is one with a weight of zero (None). `side` is the lane of a
    pair whose turn it is (the other one has a weight of zero), None where both multiply.
    """

    weight: int | None
    operand: int
    ends_level: bool
    side: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How a product is made, turn by turn."""

    weight: Split
    operand: Split
    turns: tuple[Turn, ...]

    @property
    def levels(self) -> int:
        """How many digits the bias has."""
        return 1 + sum(turn.ends_level for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Digits:
    """Bits that a multiplier takes, signed, and the digits that wider words are cut into.

    `weight_step` is K, `operand_step` is M * K; both 0 where nothing is cut. `paired` where two
    lanes share a multiplier.
    """

    weight_bits: int
    operand_bits: int
    weight_step: int = 0
    operand_step: int = 0
    paired: bool = False

    def plan(self, weight_bits: int, operand_bits: int, own: bool = False) -> Plan:
        """The products of a word of `weight_bits` and one of `operand_bits`, signed.

        `own` where each lane has a weight and an operand of its own.
        """
        weight = _split(weight_bits, self.weight_bits, self.weight_step)
        operand = _split(operand_bits, self.operand_bits, self.operand_step)
        stride = self.operand_step // max(1, self.weight_step)
        turns = tuple(_turns(weight.count, operand.count, stride))
        if own and self.paired:
            turns = tuple(half for turn in turns for half in _halves(turn))
        return Plan(weight, operand, turns)

    def turns(self, loop: Loop) -> int:
        """Products of digits for each product of a loop; 1 where it does not multiply."""
        if not is_cut(loop.kind):
            return 1
        own = loop.kind == "affine"
        return len(self.plan(max(1, loop.weight_bits), loop.signed_bits, own).turns)


def is_cut(kind: Kind) -> bool:
    """Whether the words of such a loop may be cut into digits."""
    return kind in ("affine", "joint_mean")


def digits_of(loops: Sequence[Loop], paired: bool = False) -> Digits:
    """The multipliers of a network's engine, and how its wide words are cut."""
    wide = [loop for loop in loops if is_cut(loop.kind)]
    weight_bits = _widest_weight(loops) or max((loop.weight_bits for loop in wide), default=1)
    operand_bits = max(
        (loop.signed_bits for loop in loops if is_matrix(loop.kind)),
        default=max((loop.signed_bits for loop in wide), default=1),
    )
    bits = max(_LEAST_BITS, weight_bits), max(_LEAST_BITS, operand_bits)
    least = Digits(*bits, paired=paired)
    cut_weights = any(loop.weight_bits > least.weight_bits for loop in wide)
    cut_operands = any(loop.signed_bits > least.operand_bits for loop in wide)
    if not (cut_weights or cut_operands):
        return least
    choices = list(_choices(least, cut_weights, cut_operands))
    return min(choices, key=lambda d: (_products(d, wide), -d.weight_step, d.operand_step))


def _widest_weight(loops: Sequence[Loop]) -> int:
    """Of the convolutions, whose weights fill a memory; else of the graph products; else 0."""
    for kinds in (("conv", "temporal_conv"), ("graph_product",)):
        found = [loop.weight_bits for loop in loops if loop.kind in kinds]
        if found:
            return max(found)
    return 0


def _choices(least: Digits, cut_weights: bool, cut_operands: bool) -> Iterator[Digits]:
    """Every K and M whose digits the multiplier takes."""
    most_weight, most_operand = least.weight_bits - 1, least.operand_bits - 1
    if not cut_operands:
        for step in range(1, most_weight + 1):
            yield replace(least, weight_step=step)
        return
    for step in range(1, (min(most_weight, most_operand) if cut_weights else most_operand) + 1):
        for operand_step in range(step, most_operand + 1, step):
            yield replace(least, weight_step=step, operand_step=operand_step)


def _products(digits: Digits, wide: Sequence[Loop]) -> int:
    return sum(digits.turns(loop) * loop.outputs * loop.joints for loop in wide)


def _split(word_bits: int, limit: int, step: int) -> Split:
    more = -(-max(0, word_bits - limit) // step) if step else 0
    return Split(word_bits, 1 + more, step)


def _turns(weights: int, operands: int, stride: int) -> Iterator[Turn]:
    """Level by level, the highest first."""
    for level in range(stride * (operands - 1) + weights - 1, -1, -1):
        there = [at for at in range(operands) if 0 <= level - stride * at < weights]
        pairs: list[tuple[int | None, int]] = [(level - stride * at, at) for at in there]
        pairs = pairs or [(None, 0)]
        for number, (weight, operand) in enumerate(pairs):
            yield Turn(weight, operand, level > 0 and number == len(pairs) - 1)


def _halves(turn: Turn) -> tuple[Turn, Turn]:
    return replace(turn, ends_level=False, side=0), replace(turn, side=1)
