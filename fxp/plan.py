"""A graph compiled for the simulator: one stage per node, constants in the kernels' layout.

Frames are `(V, C)` inside the simulator, channels innermost, so that constants per position of a
flat frame read `joint * C + channel`. Values take 32 bits where their certified range allows it and
64 bits elsewhere; constants have the dtype of the sums they enter, reduced modulo its width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
import numpy.typing as npt

from fxp.fused.fuse import delay_name, fuse
from fxp.fused.products import multiplied
from fxp.fused.steps import Step, Words
from fxp.fused.tiers import Tier, machine_tiers
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
    IntArray,
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    Timing,
    delay_frames,
    operands,
    timings,
)
from fxp.kernels.casting import prepare_cast
from fxp.operations import (
    Aggregate,
    Average,
    Join,
    Mean,
    Multiply,
    Normalise,
    Operation,
    Pick,
    Read,
    Scale,
    Share,
    Taps,
    Unfold,
    Window,
)
from fxp.ranges import Signal, analyse, certify
from fxp.state_layout import Slots, layout_of
from fxp.validate import longest_clip

if TYPE_CHECKING:
    from fxp.fused.program import Program

CHUNK_BYTES = 1 << 19  # of a chunk's largest value in memory: what is live stays near L2
MAX_CHUNK_FRAMES = 1024
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class Stage:
    """What to compute for one node, from what, and into which shape and dtype.

    `done` names the values that no later stage reads.
    """

    name: str
    reads: tuple[str, ...]
    make: Callable[[], Operation]
    channels: int
    joints: int
    dtype: npt.DTypeLike
    done: tuple[str, ...]

    @cached_property
    def operation(self) -> Operation:
        """Made when it is first needed: the fused engine does without most."""
        return self.make()


@dataclass(frozen=True, eq=False)
class Plan:
    """A certified graph, ready to run. Immutable: any number of states and threads may share it.

    `timing` says when each value's frames come, `lookahead` is the number of later frames of the
    input that each needs, `latency` the largest of them over all values, `longest_clip`
    the most frames a clip may have, `waits_for_end` whether only the end of a clip completes some
    frame, `chunk_frames` how many frames `run` takes at a time.
    """

    graph: Graph
    signals: Mapping[str, Signal]
    stages: Mapping[str, Stage]
    timing: Mapping[str, Timing]
    lookahead: Mapping[str, int]
    latency: int
    longest_clip: int | None
    waits_for_end: bool
    chunk_frames: int
    tiers: frozenset[Tier]

    @property
    def fused(self) -> bool:
        """Whether the fused engine may be used: it needs some tier besides the generic one."""
        return self.tiers != frozenset({Tier.GENERIC})

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What the fused engine does for the graph's outputs."""
        return fuse(self.graph, self.signals, self.timing, self.tiers)

    @cached_property
    def delayed(self) -> Mapping[str, tuple[str, str]]:
        """The value and the `Add` of every delay line."""
        return {
            delay_name(node.name, side): (x, node.name)
            for node in self.graph.nodes
            if isinstance(node, Add)
            for side, x in enumerate(operands(node))
        }

    @cached_property
    def _storages(self) -> Mapping[str, npt.DTypeLike]:
        return {name: np.dtype(narrowest(signal)) for name, signal in self.signals.items()}

    @cached_property
    def shared(self) -> dict[int, Words]:
        """Constants of the steps, by the identity of their arrays, aligned for all programs."""
        return {}

    @cached_property
    def programs(self) -> dict[tuple[str, int], list[Program]]:
        """The steps bound to buffers, waiting for a state that wants them: `fxp.fused.lend`."""
        return {}

    @cached_property
    def state_layout(self) -> tuple[Slots, ...]:
        """The arrays of a state, where they lie in its block of bytes."""
        return layout_of(self)

    def storage(self, name: str) -> npt.DTypeLike:
        """The narrowest type that holds every word of a value or of a delay line."""
        return self._storages[self.delayed.get(name, (name,))[0]]

    def ring_dtype(self, node: TemporalConv) -> npt.DTypeLike:
        """What the ring of a `TemporalConv` holds: what its product multiplies."""
        return multiplied(node, self.signals[node.x], self.tiers) or self.storage(node.x)

    def shape(self, name: str) -> tuple[int, int]:
        """(V, C) of a value or of a delay line."""
        signal = self.signals[self.delayed.get(name, (name,))[0]]
        return signal.joints, signal.channels

    def timing_of(self, name: str) -> Timing:
        """When the frames of a value come, or those that a delay line gives on."""
        return self.timing[self.delayed.get(name, (name, name))[1]]


def compile_graph(
    graph: Graph,
    signals: Mapping[str, Signal] | None = None,
    tiers: frozenset[Tier] | None = None,
) -> Plan:
    """Certify a graph and prepare it for the simulator.

    Args:
        graph: any graph.
        signals: what `fxp.ranges.analyse` gives for it, where that is at hand.
        tiers: those that products may use; None for all that this machine has. All give the same
            words.

    Raises:
        GraphError: the graph breaks a rule of the IR, or an accumulator could exceed
            `graph.accumulator_bits` for some input.
    """
    signals = analyse(graph) if signals is None else signals
    certify(graph, signals)
    timing = timings(graph)
    last_reader = {name: node.name for node in graph.nodes for name in operands(node)}
    stages = {}
    for node in graph.nodes:
        signal = signals[node.name]
        done = (name for name in operands(node) if last_reader[name] == node.name)
        stages[node.name] = Stage(
            node.name,
            operands(node),
            partial(_operation, node, signals, timing),
            signal.channels,
            signal.joints,
            _dtype(signal),
            tuple(dict.fromkeys(done)),  # an Add may read one value twice
        )
    ahead = {name: value.lookahead for name, value in timing.items()}
    latency = max(ahead.values())
    waits = latency > 0 or any(value.period == 0 for value in timing.values())
    return Plan(
        graph,
        signals,
        stages,
        timing,
        ahead,
        latency,
        longest_clip(graph),
        waits,
        _chunk_frames(graph, signals),
        machine_tiers() if tiers is None else tiers,
    )


def _operation(
    node: Node, signals: Mapping[str, Signal], timing: Mapping[str, Timing]
) -> Operation:
    x = [signals[name] for name in operands(node)]
    y = signals[node.name]
    match node:
        case Input():
            return Read()
        case Conv():
            return Multiply(_constant(node.weight.raw.T, y), _constant(node.bias, y))
        case GraphProduct():
            return _aggregate(node, y)
        case TemporalSum():
            return Window(node.window * node.dilation, node.dilation)
        case TemporalConv():
            weight = node.weight.raw.transpose(2, 1, 0)  # (Cout, Cin, taps) -> (taps, Cin, Cout)
            depth = (len(weight) - 1) * node.dilation + 1
            return Taps(
                _constant(weight, y),
                _constant(node.bias, y),
                node.dilation,
                node.lookahead,
                node.stride,
                depth,
            )
        case Affine():
            return Scale(_per_position(node.scale.raw, y), _per_position(node.bias, y))
        case Add():
            a, b = (
                _per_position(np.array([[_power(d)] for d in _differences(y, s)], np.int64), y)
                for s in x
            )
            return Join((a, b), delay_frames(node, timing))
        case Flatten():
            return Unfold()
        case JointMean():
            return Mean(node.multiplier)
        case ClipMean():
            return Average(node.shift)
        case LayerNorm():
            epsilon, seeds = int(node.epsilon[0]), np.ascontiguousarray(node.seeds)
            return Normalise(epsilon, seeds, node.newton_steps, node.frac_bits)
        case Softmax():
            coarse, fine = np.ascontiguousarray(node.coarse), np.ascontiguousarray(node.fine)
            return Share(coarse, fine, node.exp_bits, node.frac_bits)
        case Requantise():
            shifts = [frac - node.cast.to.frac_bits for frac in x[0].frac_bits]
            extremes = (min(x[0].lo), max(x[0].hi))
            return prepare_cast(node.cast, node.relu, shifts, extremes, x[0].joints)
        case Argmax():
            most = max(x[0].frac_bits)
            return Pick(np.array([most - frac for frac in _fracs(x[0])], dtype=np.int64))
        case _:
            assert_never(node)


def _aggregate(node: GraphProduct, y: Signal) -> Aggregate:
    """Edge list of the nonzero entries; coarser partitions are shifted into their factors."""
    adjacency = node.adjacency
    partitions, joints, _ = adjacency.raw.shape
    fracs = adjacency.frac_bits * (partitions if len(adjacency.frac_bits) == 1 else 1)
    powers = np.array([_power(max(fracs) - frac) for frac in fracs], np.int64)
    target, p, v = np.nonzero(adjacency.raw.transpose(2, 0, 1))  # sorted by target joint
    first = np.searchsorted(target, np.arange(joints + 1)).astype(np.int64)
    source = (v * partitions + p) * y.channels
    return Aggregate(first, source, _constant(adjacency.raw[p, v, target] * powers[p], y))


def _fracs(signal: Signal) -> tuple[int, ...]:
    return signal.frac_bits * (signal.channels if len(signal.frac_bits) == 1 else 1)


def _differences(y: Signal, x: Signal) -> list[int]:
    """How many places each channel of x moves left to be added into y."""
    return [to - frac for to, frac in zip(_fracs(y), _fracs(x), strict=True)]


def _power(exponent: int) -> int:
    """`2**exponent`; 0 from 63 on, where nothing but a zero still fits 63 bits when shifted."""
    return 1 << exponent if exponent < 63 else 0


def zeros_after(taps: Taps, frames: int) -> int:
    """How many zero frames a temporal convolution reads after the last, for its own last result."""
    if frames == 0:
        return 0
    newest = (frames - 1) // taps.stride * taps.stride + taps.lookahead
    return max(0, newest - (frames - 1))


def narrowest(signal: Signal) -> npt.DTypeLike:
    """The narrowest type that holds every word of a value."""
    lo, hi = min(signal.lo), max(signal.hi)
    kinds = (np.int8, np.int16, np.int32)
    return next((t for t in kinds if np.iinfo(t).min <= lo and hi <= np.iinfo(t).max), np.int64)


def _dtype(signal: Signal) -> npt.DTypeLike:
    fits = _INT32.min <= min(signal.lo) and max(signal.hi) <= _INT32.max
    return np.int32 if fits else np.int64


def _constant(values: npt.NDArray[Any], y: Signal) -> IntArray:
    """Values modulo the width of y, contiguous."""
    return np.ascontiguousarray(values.astype(_dtype(y)))


def _per_position(values: npt.NDArray[Any], y: Signal) -> IntArray:
    """Constants (C, 1) or (C, V) as (V * C,) in the dtype of y."""
    full = np.broadcast_to(values, (y.channels, y.joints))
    return _constant(full.T, y).reshape(-1)


def _chunk_frames(graph: Graph, signals: Mapping[str, Signal]) -> int:
    kept = [s for name, s in signals.items() if s.stored or name in graph.outputs]
    largest = max(s.channels * s.joints * np.dtype(narrowest(s)).itemsize for s in kept)
    return max(1, min(MAX_CHUNK_FRAMES, CHUNK_BYTES // largest))
