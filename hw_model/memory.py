"""How much memory a network needs, whether it fits on the chip, and what goes to DRAM if not.

Everything that fits stays on the chip. What does not fit is spilled in the order of the traffic it
costs per bit it frees, cheapest first:

- of a FIFO or delay line all but two frames (one coming in, one going out) can be spilled, and
  every new frame moves `past_reads` frames in and one out: `(past_reads + 1) / (frames - 2)` bits
  of traffic for each bit freed. A temporal convolution reads each past frame only once if the
  engine goes input channel by input channel, holding its taps for all joints (twice: one set comes
  in) and, on lanes, the partial sums of all outputs;
- the weights of a convolution are read once per frame: 1 bit of traffic for each bit freed. For
  that the engine lets all joints pass while it holds a set of weights, twice. On lanes these are
  the weights of one block of outputs (`hw_model.streaming`), or where they do not fit the stream
  buffer one weight a lane, with the partial sums of all joints (which the RTL engine does not do).
  What has to be held must fit the stream buffer.

The last one spilled goes only as far as needed, but weights that stream block by block as a whole:
a pass reads them from one place. Biases, norms, adjacencies, running sums and activation buffers
always stay, and `stream_buffer_bits` are set aside as soon as anything is
spilled. Orders and ratios do not depend on widths, so narrower words never cost more traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from hw_model.accelerator import Accelerator, Adjacency, Lanes
from hw_model.digits import digits_of
from hw_model.flow import Flow, activation_buffers
from hw_model.loops import NO_WORDS, Loop, State, Words

FRAMES_KEPT = 2  # of a spilled FIFO: one coming in, one going out


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a network by kind, in words and bits.

    `weights` counts all constants (biases and adjacencies too), `activations` the largest set of
    values that wait at one time.
    """

    weights: Words
    fifo: Words
    accumulators: Words
    delays: Words
    activations: Words
    total: Words


@dataclass(frozen=True, slots=True)
class Placement:
    """Where memory goes: bits on the chip, and per node the DRAM traffic of one frame in bits.

    `streamed` are the convolutions whose weights come from outside block by block.
    """

    on_chip_bits: int
    spilled_bits: int
    traffic_bits: dict[str, int]
    reasons: tuple[str, ...]
    streamed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Spill:
    """One thing that may leave the chip, and what the stream buffer has to hold then."""

    node: str
    what: Literal["weights", "state"]
    bits: int
    traffic_per_bit: Fraction
    held_bits: int
    whole: bool = False


def weights_of(loop: Loop, adjacency: Adjacency) -> Words:
    """A node's operand constants as they are stored."""
    return loop.weights_sparse if adjacency == "sparse" else loop.weights


def memory_of(loops: Sequence[Loop], flow: Flow, adjacency: Adjacency) -> Memory:
    """The memory of a loop nest."""
    kinds = dict.fromkeys(("fifo", "accumulator", "delay"), NO_WORDS)
    weights = NO_WORDS
    for loop in loops:
        weights += weights_of(loop, adjacency) + loop.bias
        for state in loop.state:
            kinds[state.kind] += state.size
    activations = activation_buffers(loops, flow)
    total = sum(kinds.values(), weights + activations)
    return Memory(weights, kinds["fifo"], kinds["accumulator"], kinds["delay"], activations, total)


def place(loops: Sequence[Loop], memory: Memory, accelerator: Accelerator) -> Placement:
    """Decide what stays on the chip (the rule is in the module's text)."""
    capacity, needed = accelerator.memory.capacity_bits, memory.total.bits
    if needed <= capacity:
        return Placement(needed, 0, {}, ())
    if accelerator.dram is None:
        reason = f"needs {needed} bits on chip, has {capacity} and no DRAM"
        return Placement(needed, 0, {}, (reason,))
    room = accelerator.memory.stream_buffer_bits
    excess = needed + room - capacity
    traffic: dict[str, int] = {}
    reasons = []
    streamed: set[str] = set()
    left = excess
    for spill in _spills(loops, accelerator):
        if left <= 0:
            break
        moved = min(spill.bits, left)
        if spill.whole:
            streamed.add(spill.node)
            moved = spill.bits
        cost = -(-moved * spill.traffic_per_bit.numerator // spill.traffic_per_bit.denominator)
        traffic[spill.node] = traffic.get(spill.node, 0) + cost
        left -= moved
        if spill.held_bits > room:
            reasons.append(
                f"{spill.node}: {spill.what} from DRAM: {spill.held_bits} bits of stream buffer "
                f"are needed, `stream_buffer_bits` is {room}"
            )
    if left > 0:
        reasons.insert(0, f"needs {capacity + left} bits on chip even with DRAM, has {capacity}")
    return Placement(capacity + left, excess - left, traffic, tuple(reasons), frozenset(streamed))


def _spills(loops: Sequence[Loop], accelerator: Accelerator) -> list[_Spill]:
    spills = []
    word_bits = digits_of(loops).weight_bits
    for loop in loops:
        for state in loop.state:
            if (frames := _spillable_frames(state)) > 0:
                bits = frames * state.frame_words * state.word_bits
                per_bit = Fraction(state.past_reads + 1, frames)
                held = _held_taps_bits(loop, accelerator) if loop.kind == "temporal_conv" else 0
                spills.append(_Spill(loop.name, "state", bits, per_bit, held))
        if loop.kind in ("conv", "temporal_conv"):
            held, whole = _held_weights_bits(loop, accelerator, word_bits)
            spills.append(_Spill(loop.name, "weights", loop.weights.bits, Fraction(1), held, whole))
    return sorted(spills, key=lambda spill: spill.traffic_per_bit)


def _spillable_frames(state: State) -> int:
    return 0 if state.kind == "accumulator" else state.frames - FRAMES_KEPT


def _held_taps_bits(loop: Loop, accelerator: Accelerator) -> int:
    """The taps of an input channel for all joints, twice; on lanes the sums of all outputs."""
    taps = 2 * loop.taps * loop.joints * loop.operand_bits
    sums = loop.outputs * loop.joints * loop.accumulator_bits
    return taps + (sums if isinstance(accelerator.engine, Lanes) else 0)


def _held_weights_bits(loop: Loop, accelerator: Accelerator, word_bits: int) -> tuple[int, bool]:
    """A set of weights, twice, and whether it is that of a block of outputs.

    Lines of a tile have words as wide as the network's widest weights, `word_bits`.
    """
    engine = accelerator.engine
    if not isinstance(engine, Lanes):
        return 2 * engine.rows * engine.cols * loop.weight_bits, False
    lanes = engine.lanes * accelerator.multiplier.products(loop.weight_bits, loop.operand_bits)
    tiles = 2 * loop.inputs * loop.taps * lanes * word_bits
    if tiles <= accelerator.memory.stream_buffer_bits:
        return tiles, True
    busy = min(lanes, loop.outputs)
    return busy * (2 * loop.weight_bits + loop.joints * loop.accumulator_bits), False
