"""How much memory a network needs, whether it fits on the chip, and what goes to DRAM if not.

Everything that fits stays on the chip. What does not fit is spilled in the order of the traffic it
costs per bit it frees, cheapest first:

- of a FIFO or delay line all but two frames (one coming in, one going out) can be spilled, and
  every new frame moves `past_reads` frames in and one out: `(past_reads + 1) / (frames - 2)` bits
  of traffic for each bit freed;
- the weights of a convolution are read once per frame: 1 bit of traffic for each bit freed. For
  that the engine lets all joints pass while it holds a set of weights, so that it needs room in the
  stream buffer for two sets, and on lanes for the partial sums of all joints.

The last one spilled goes only as far as needed. Biases, norms, adjacencies, running sums and
activation buffers always stay, and `stream_buffer_bits` are set aside as soon as anything is
spilled. Orders and ratios do not depend on widths, so narrower words never cost more traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from hw_model.accelerator import Accelerator, Adjacency, Lanes
from hw_model.flow import Flow, activation_buffers
from hw_model.loops import NO_WORDS, Loop, State, Words

FRAMES_KEPT = 2  # of a spilled FIFO: one coming in, one going out


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a network by kind, in words and bits.

    `weights` counts all constants (biases and adjacencies too), `activations` the largest set of
    values that wait at one time, with the frame an engine loads.
    """

    weights: Words
    fifo: Words
    accumulators: Words
    delays: Words
    activations: Words
    total: Words


@dataclass(frozen=True, slots=True)
class Placement:
    """Where memory goes: bits on the chip, and per node the DRAM traffic of one frame in bits."""

    on_chip_bits: int
    spilled_bits: int
    traffic_bits: dict[str, int]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Spill:
    """One thing that may leave the chip."""

    node: str
    bits: int
    traffic_per_bit: Fraction


def weights_of(loop: Loop, adjacency: Adjacency) -> Words:
    """A node's operand constants as they are stored."""
    return loop.weights_sparse if adjacency == "sparse" else loop.weights


def memory_of(loops: Sequence[Loop], flow: Flow, adjacency: Adjacency, loaded: Words) -> Memory:
    """The memory of a loop nest; `loaded` is the largest frame an engine copies before a pass."""
    kinds = dict.fromkeys(("fifo", "accumulator", "delay"), NO_WORDS)
    weights = NO_WORDS
    for loop in loops:
        weights += weights_of(loop, adjacency) + loop.bias
        for state in loop.state:
            kinds[state.kind] += state.size
    activations = activation_buffers(loops, flow) + loaded
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
    excess = needed + accelerator.memory.stream_buffer_bits - capacity
    traffic: dict[str, int] = {}
    left = excess
    for spill in _spills(loops):
        moved = min(spill.bits, left)
        if moved > 0:
            cost = -(-moved * spill.traffic_per_bit.numerator // spill.traffic_per_bit.denominator)
            traffic[spill.node] = traffic.get(spill.node, 0) + cost
            left -= moved
    reasons = list(_buffer_reasons(loops, accelerator, traffic))
    if left > 0:
        kept = capacity + left
        reasons.insert(0, f"needs {kept} bits on chip even with DRAM, has {capacity}")
    return Placement(capacity + left, excess - left, traffic, tuple(reasons))


def _spills(loops: Sequence[Loop]) -> list[_Spill]:
    spills = []
    for loop in loops:
        for state in loop.state:
            if (frames := _spillable_frames(state)) > 0:
                bits = frames * state.frame_words * state.word_bits
                spills.append(_Spill(loop.name, bits, Fraction(state.past_reads + 1, frames)))
        if loop.kind in ("conv", "temporal_conv"):
            spills.append(_Spill(loop.name, loop.weights.bits, Fraction(1)))
    return sorted(spills, key=lambda spill: spill.traffic_per_bit)


def _spillable_frames(state: State) -> int:
    return 0 if state.kind == "accumulator" else state.frames - FRAMES_KEPT


def _buffer_reasons(
    loops: Sequence[Loop], accelerator: Accelerator, traffic: dict[str, int]
) -> list[str]:
    """What the stream buffer is too small for."""
    room = accelerator.memory.stream_buffer_bits
    engine = accelerator.engine
    reasons = []
    for loop in loops:
        if loop.name not in traffic or loop.kind not in ("conv", "temporal_conv"):
            continue
        if isinstance(engine, Lanes):
            products = accelerator.multiplier.products(loop.weight_bits, loop.operand_bits)
            lanes = min(engine.lanes * products, loop.outputs)
            bits = lanes * (2 * loop.weight_bits + loop.joints * loop.accumulator_bits)
        else:
            bits = 2 * engine.rows * engine.cols * loop.weight_bits
        if bits > room:
            reasons.append(
                f"{loop.name}: weights from DRAM need {bits} bits of stream buffer, "
                f"`stream_buffer_bits` is {room}"
            )
    return reasons
