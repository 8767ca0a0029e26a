"""What a network costs on an accelerator: one call, every number per frame.

`estimate` puts together the loop nest (work), the schedule (cycles, accesses), the memory (sizes,
placement) and the energy. Per layer, cycles are the largest of three: the engine's own, those the
on-chip ports need for the layer's accesses, and those with DRAM: the time of its traffic, or where
weights stream in, the engine's own cycles and its waits. A layer
starts when the one before has finished, a frame when the last layer of the one before has.
docs/cost-model.md has every formula.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fxp.errors import InputError
from fxp.ir import Graph, lookaheads
from hw_model.accelerator import Accelerator, Adjacency, Array, Lanes
from hw_model.area.estimate import Area, area_of, resource_reasons
from hw_model.digits import Digits, digits_of, is_cut
from hw_model.energy import NO_ENERGY, Energy, energy_of, prices
from hw_model.flow import Flow, flow_of, is_matrix
from hw_model.loops import Loop, loop_nest
from hw_model.memory import Memory, Placement, memory_of, place
from hw_model.schedule import LATENCY_CYCLES, Accesses, Step, is_paired, schedule
from hw_model.streaming import dram_source, waiting_cycles

Bound = Literal["compute", "ports", "dram"]
Basis = Literal["rtl", "derived"]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer: work, cycles by term, what bounds it, accesses and energy.

    `cycles` is its interval, `compute_cycles` the sum of `terms`. `basis` says whether the RTL
    engine takes exactly these cycles or they are derived in its manner.
    """

    layer: str
    macs: int
    multiplications: int
    additions: int
    terms: dict[str, int]
    basis: Basis
    compute_cycles: int
    port_cycles: int
    dram_cycles: int
    cycles: int
    bound: Bound
    accesses: Accesses
    dram_bytes: float
    energy: Energy


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one frame; `dataclasses.asdict` gives JSON data.

    Behind strides it is a frame at which every node has work; `macs_mean` is the average over all
    frames of the input of a long clip.

    `macs` are those of the chosen `adjacency`; `multiplications` and `additions` count the ones
    inside multiply-accumulates too. `interval_cycles` is what the next frame waits,
    `latency_cycles` what one frame takes; `utilisation` is the share of multiplier cycles in which
    one is at work. `lookahead_frames` is how many frames of the future the network needs before it
    can answer for one; it becomes seconds where a frame rate is given. `on_chip_bits` is what stays
    on the chip, `dram_bytes` the DRAM traffic of a frame. `area` is None where the accelerator has
    no target, or its RTL engine cannot run the network.
    """

    network: str
    accelerator: str
    adjacency: Adjacency
    clock_hz: float
    macs: int
    macs_dense: int
    macs_sparse: int
    macs_mean: float
    multiplications: int
    additions: int
    memory: Memory
    memory_words: int
    memory_bits: int
    on_chip_bits: int
    capacity_bits: int
    dram_bytes: float
    interval_cycles: int
    latency_cycles: int
    latency_s: float
    throughput_hz: float
    utilisation: float
    lookahead_frames: int
    lookahead_s: float | None
    energy: Energy
    energy_uj: float
    area: Area | None
    fits: bool
    reasons: tuple[str, ...]
    layers: tuple[LayerCost, ...]


def estimate(
    graph: Graph,
    accelerator: Accelerator,
    adjacency: Adjacency | None = None,
    frame_rate_hz: float | None = None,
    loops: Sequence[Loop] | None = None,
) -> Estimate:
    """The cost of `graph` on `accelerator`, for one frame.

    Args:
        graph: any valid graph, with trained weights or zero ones.
        accelerator: engine, memories, energy table.
        adjacency: dense or sparse graph products; the accelerator's own choice if not given.
        frame_rate_hz: frames that come in per second; a slower engine then does not fit.
        loops: the graph's `loop_nest`, where that is at hand (another accelerator's estimate).

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: a sparse adjacency on an array, or a frame rate that is not positive.
    """
    accelerator = _with_adjacency(accelerator, adjacency)
    if frame_rate_hz is not None and not 0 < frame_rate_hz < math.inf:
        raise InputError(f"frame rate must be positive, got {frame_rate_hz}")
    loops = loop_nest(graph) if loops is None else loops
    flow = flow_of(loops)
    steps = schedule(loops, flow, accelerator)
    memory = memory_of(loops, flow, accelerator.adjacency)
    placement = place(loops, memory, accelerator)
    digits = digits_of(loops, is_paired(loops, accelerator))
    layers = _layers(steps, flow, memory, placement, accelerator, digits)
    pipeline = LATENCY_CYCLES if isinstance(accelerator.engine, Lanes) else 0
    interval = max(sum(layer.cycles for layer in layers), 1)
    latency = interval + pipeline
    ahead = lookaheads(graph)
    lookahead = max(ahead[name] for name in graph.outputs)
    area = area_of(graph, loops, accelerator, placement)
    reasons = (
        *placement.reasons,
        *([] if area is None else resource_reasons(area, accelerator.resources)),
        *_width_reasons(loops, accelerator, digits),
        *_time_reasons(accelerator, interval, latency, frame_rate_hz),
    )
    macs = sum(layer.macs for layer in layers)
    energy = sum((layer.energy for layer in layers), NO_ENERGY)
    return Estimate(
        network=graph.name,
        accelerator=accelerator.name,
        adjacency=accelerator.adjacency,
        clock_hz=accelerator.clock_hz,
        macs=macs,
        macs_dense=sum(loop.macs_dense for loop in loops),
        macs_sparse=sum(loop.macs_sparse for loop in loops),
        macs_mean=sum(step.macs / step.loop.period for step in steps if step.loop.period),
        multiplications=sum(layer.multiplications for layer in layers),
        additions=sum(layer.additions for layer in layers),
        memory=memory,
        memory_words=memory.total.words,
        memory_bits=memory.total.bits,
        on_chip_bits=placement.on_chip_bits,
        capacity_bits=accelerator.memory.capacity_bits,
        dram_bytes=sum(placement.traffic_bits.values()) / 8,
        interval_cycles=interval,
        latency_cycles=latency,
        latency_s=latency / accelerator.clock_hz,
        throughput_hz=accelerator.clock_hz / interval,
        utilisation=_busy_cycles(steps) / (interval * _multipliers(accelerator)),
        lookahead_frames=lookahead,
        lookahead_s=None if frame_rate_hz is None else lookahead / frame_rate_hz,
        energy=energy,
        energy_uj=energy.total_pj * 1e-6,
        area=area,
        fits=not reasons,
        reasons=reasons,
        layers=layers,
    )


def _with_adjacency(accelerator: Accelerator, adjacency: Adjacency | None) -> Accelerator:
    if adjacency is None or adjacency == accelerator.adjacency:
        return accelerator
    if adjacency == "sparse" and isinstance(accelerator.engine, Array):
        raise InputError(
            f"{accelerator.name}: adjacency must be dense on an array engine, got 'sparse'"
        )
    return accelerator.model_copy(update={"adjacency": adjacency})


def _layers(
    steps: Sequence[Step],
    flow: Flow,
    memory: Memory,
    placement: Placement,
    accelerator: Accelerator,
    digits: Digits,
) -> tuple[LayerCost, ...]:
    """Nodes that work in the pass of another layer's node count there."""
    price = prices(accelerator, memory)
    grouped: dict[str, list[Step]] = {}
    for step in steps:
        layer = steps[flow.pass_of[step.loop.name]].loop.layer
        grouped.setdefault(layer, []).append(step)
    layers = []
    for name, members in grouped.items():
        traffic = [placement.traffic_bits.get(step.loop.name, 0) for step in members]
        energies = (
            energy_of(*pair, price, accelerator.energy)
            for pair in zip(members, traffic, strict=True)
        )
        energy = sum(energies, NO_ENERGY)
        layers.append(_layer(name, members, placement, energy, accelerator, digits))
    return tuple(layers)


def _layer(
    name: str,
    steps: Sequence[Step],
    placement: Placement,
    energy: Energy,
    accelerator: Accelerator,
    digits: Digits,
) -> LayerCost:
    terms: dict[str, int] = {}
    accesses = Accesses()
    waits = 0
    for step in steps:
        accesses += step.accesses
        for term, cycles in step.terms:
            terms[term] = terms.get(term, 0) + cycles
        if step.loop.name in placement.streamed and isinstance(accelerator.engine, Lanes):
            lanes = accelerator.engine.lanes * step.products
            source = dram_source(accelerator, lanes, digits.weight_bits)
            waits += waiting_cycles(step.loop, lanes, source)
    macs = sum(step.macs for step in steps)
    chip = accelerator.memory
    dram_bits = sum(placement.traffic_bits.get(step.loop.name, 0) for step in steps)
    dram_rate = accelerator.dram.bytes_per_s if accelerator.dram else math.inf
    own = sum(terms.values())
    needed: dict[Bound, int] = {
        "compute": own,
        "ports": -(-accesses.bits // (chip.ports * chip.port_bits)) if terms else 0,
        "dram": max(
            math.ceil(dram_bits / 8 / dram_rate * accelerator.clock_hz), own + waits if waits else 0
        ),
    }
    bound = max(needed, key=lambda kind: needed[kind])
    return LayerCost(
        layer=name,
        macs=macs,
        multiplications=macs + sum(step.loop.multiplies for step in steps),
        additions=macs + sum(step.loop.adds for step in steps),
        terms=terms,
        basis=_basis(steps, placement, bound, accelerator, digits.paired),
        compute_cycles=needed["compute"],
        port_cycles=needed["ports"],
        dram_cycles=needed["dram"],
        cycles=needed[bound],
        bound=bound,
        accesses=accesses,
        dram_bytes=dram_bits / 8,
        energy=energy,
    )


def _basis(
    steps: Sequence[Step],
    placement: Placement,
    bound: Bound,
    accelerator: Accelerator,
    paired: bool,
) -> Basis:
    """The RTL engine makes one product in each lane, or two in each pair; FIFOs are on the chip.

    Each of its memories has the ports it needs.
    """
    away = placement.traffic_bits.keys() - placement.streamed
    if bound == "ports" or any(step.loop.name in away for step in steps):
        return "derived"
    packed = not paired and any(step.products > 1 for step in steps)
    return "rtl" if isinstance(accelerator.engine, Lanes) and not packed else "derived"


def _busy_cycles(steps: Sequence[Step]) -> float:
    """Cycles of single multipliers spent on multiply-accumulates."""
    return sum(step.macs / step.products for step in steps)


def _multipliers(accelerator: Accelerator) -> int:
    engine = accelerator.engine
    return engine.lanes if isinstance(engine, Lanes) else engine.rows * engine.cols


def _width_reasons(loops: Sequence[Loop], accelerator: Accelerator, digits: Digits) -> list[str]:
    """Nodes whose operands are wider than a multiplier takes; lanes cut wide words into digits.

    A layer norm and a softmax have multipliers of their own, as wide as they need.
    """
    allowed = accelerator.multiplier
    most = (allowed.max_weight_bits, allowed.max_activation_bits)
    lanes = isinstance(accelerator.engine, Lanes)
    reasons = []
    for loop in loops:
        bits = loop.weight_bits, loop.operand_bits
        if is_cut(loop.kind) and loop.multiplies and lanes:
            bits = min(bits[0], digits.weight_bits), min(bits[1], digits.operand_bits)
        elif not is_matrix(loop.kind) and not (is_cut(loop.kind) and loop.multiplies):
            continue
        if bits[0] > most[0] or bits[1] > most[1]:
            reasons.append(
                f"{loop.name}: operands of {bits[0]} x {bits[1]} bits, "
                f"the multiplier takes {most[0]} x {most[1]}"
            )
    return reasons


def _time_reasons(
    accelerator: Accelerator, interval: int, latency: int, frame_rate_hz: float | None
) -> list[str]:
    reasons = []
    latency_s, deadline_s = latency / accelerator.clock_hz, accelerator.deadline_s
    if deadline_s is not None and latency_s > deadline_s:
        reasons.append(f"latency {latency_s:.6g} s is beyond the deadline of {deadline_s:.6g} s")
    throughput_hz = accelerator.clock_hz / interval
    if frame_rate_hz is not None and throughput_hz < frame_rate_hz:
        reasons.append(f"{throughput_hz:.6g} frames/s are computed, {frame_rate_hz:.6g} come in")
    return reasons
