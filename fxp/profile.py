"""Where an integer network loses its precision: every tensor against its format and a reference.

The reference is the network over the real numbers (`fxp.real`), with the parameters of a `FloatNet`
or with the graph's own constants, on the same clips. A profile is plain data; `reports` draws it.
Text for readers: docs/profiling.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fxp.cast import FloatArray
from fxp.engine import walk
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import (
    Add,
    Argmax,
    Graph,
    Input,
    IntArray,
    Node,
    Requantise,
    Softmax,
    layer_of,
    operands,
)
from fxp.memories import Ground, ground_of, settings_for
from fxp.outline import constant_key
from fxp.real import real_constant, real_values
from fxp.sensitivity import Words, constant_of
from fxp.simulate import Plan, compile_graph, initial_state
from fxp.store import graph_hash
from fxp.tensor_stats import INT64, TensorStats, cast_limits, percentile_log2, stats_update
from fxp.validate import check_clip, check_length

PERCENTILES = (1, 25, 50, 75, 99)


@dataclass(frozen=True)
class TensorProfile:
    """One tensor: its format, its words, and how far they are from the reference.

    Attributes:
        name: node, or for a constant its key (`block0.conv.weight`).
        layer: layer of the node.
        role: `input`, `operand` (multipliers read it), `stream` (only sums do), `scores`, `sum` (an
            accumulator) or `constant`.
        word_bits, signed, frac_bits: the format; the certified width for a sum, one entry of
            `frac_bits` or one per channel.
        lowest, highest: extremes of the words, in real units.
        wanted_lowest, wanted_highest: extremes of the reference.
        magnitudes_log2: `log2` of the `PERCENTILES` of the reference's magnitudes, zeros left out.
        zero_share: share of words that are zero.
        clip_share: share of words that left the range of their cast, before it brought them back.
        sqnr_db: power of the reference over that of the error; None where either is zero.
        relative_error: root mean square of the error over that of the reference.
        codes_used: words between the lowest and the highest seen, over all that the format has.
        idle_bits: low bits that no word ever sets.
        dead_channels: channels that are zero in every frame and joint.
    """

    name: str
    layer: str
    role: str
    word_bits: int
    signed: bool
    frac_bits: tuple[int, ...]
    lowest: float
    highest: float
    wanted_lowest: float
    wanted_highest: float
    magnitudes_log2: tuple[float, ...]
    zero_share: float
    clip_share: float
    sqnr_db: float | None
    relative_error: float | None
    codes_used: float
    idle_bits: int
    channels: int
    dead_channels: tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """A network on some clips. `label_agreement` is the share of labels that the reference has too.

    It is None for a graph without labels. `reference` says in words what the reference was.
    """

    graph: str
    graph_hash: str
    reference: str
    data: str
    synthetic: bool | None
    clips: int
    frames: int
    label_agreement: float | None
    tensors: tuple[TensorProfile, ...]
    constants: tuple[TensorProfile, ...]


def profile(
    graph: Graph,
    clips: Iterable[Words],
    net: FloatNet | None = None,
    data: str = "",
    synthetic: bool | None = None,
) -> Profile:
    """Run a network on clips and compare every value with the reference.

    Args:
        graph: the integer network.
        clips: input words, integers `(T, C, V)` each; taken one by one, each from empty FIFOs.
        net: the float network that `graph` was made of; None measures the casts alone.
        data: what the clips are, kept in the profile.
        synthetic: whether they were made up; None if that is not known.

    Raises:
        GraphError: the graph breaks a rule of the IR, or could exceed its accumulators.
        InputError: there is no clip, one cannot be the graph's input, or `net` is another network.
    """
    plan, ground = compile_graph(graph), ground_of(graph, settings_for(graph, frames=1))
    stats = {name: TensorStats(signal.channels) for name, signal in ground.signals.items()}
    labels = [node.name for node in graph.nodes if isinstance(node, Argmax)]
    agreeing = frames = count = 0
    for clip in clips:
        count, frames = count + 1, frames + len(clip)
        for node, words, clipped, wanted in _compared(plan, ground, clip, net):
            fracs = ground.signals[node.name].frac_bits
            stats_update(stats[node.name], words, fracs, wanted, clipped)
            if isinstance(node, Argmax):
                agreeing += int(np.count_nonzero(words == wanted))
    if not count:
        raise InputError("profile: at least one clip is needed")
    roles = roles_of(graph)
    named = sum(stats[name].words for name in labels)
    return Profile(
        graph=graph.name,
        graph_hash=graph_hash(graph),
        reference="the float network" if net else "the same constants, without casts",
        data=data,
        synthetic=synthetic,
        clips=count,
        frames=frames,
        label_agreement=agreeing / named if labels else None,
        tensors=tuple(
            _summary(name, roles[name], *ground.formats[name], ground.signals[name].frac_bits, seen)
            for name, seen in stats.items()
            if name not in labels
        ),
        constants=tuple(_constants(graph, net)),
    )


def roles_of(graph: Graph) -> dict[str, str]:
    """The role of every value, see `TensorProfile`."""
    readers: dict[str, list[Node]] = {node.name: [] for node in graph.nodes}
    for node in graph.nodes:
        for name in operands(node):
            readers[name].append(node)
    roles = {}
    for node in graph.nodes:
        reading = readers[node.name]
        if isinstance(node, Input):
            role = "input"
        elif not isinstance(node, Requantise):
            role = "sum"
        elif any(isinstance(reader, Argmax | Softmax) for reader in reading) or not reading:
            role = "scores"
        else:
            role = "stream" if all(isinstance(reader, Add) for reader in reading) else "operand"
        roles[node.name] = role
    return roles


def _compared(
    plan: Plan, ground: Ground, clip: Words, net: FloatNet | None
) -> Iterator[tuple[Node, IntArray, int, FloatArray]]:
    """Every node of a clip: its words (T, C, V), how many of them clipped, the reference."""
    state, words = initial_state(plan), check_clip(plan.graph, clip)
    check_length(plan.graph, len(words), plan.longest_clip)
    reference = real_values(plan.graph, clip, net)
    casts = {node.x for node in plan.graph.nodes if isinstance(node, Requantise)}
    sources: dict[str, IntArray] = {}
    for node, (_, value), (_, wanted) in zip(
        plan.graph.nodes, walk(plan, state, words, flush=True), reference, strict=True
    ):
        found = value.transpose(0, 2, 1)  # (T, V, C) -> (T, C, V)
        if node.name in casts:
            sources[node.name] = found
        clipped = 0
        if isinstance(node, Requantise):
            clipped = _clipped(node, sources[node.x], ground)
        yield node, found, clipped, wanted
        for name in plan.stages[node.name].done:
            sources.pop(name, None)


def _clipped(node: Requantise, accumulator: IntArray, ground: Ground) -> int:
    """How many words of an accumulator (T, C, V) a cast clips."""
    fracs = ground.signals[node.x].frac_bits
    limits = [cast_limits(node.cast, frac, node.relu) for frac in fracs]
    # an accumulator fits 63 bits: limits beyond are never reached
    within = np.array([[min(max(x, INT64.min), INT64.max) for x in pair] for pair in limits])
    low, high = within[:, :1], within[:, 1:]
    return int(np.count_nonzero((accumulator < low) | (accumulator > high)))


def _constants(graph: Graph, net: FloatNet | None) -> Iterator[TensorProfile]:
    for node in graph.nodes:
        key = constant_key(node)
        if key is None:
            continue
        weights = constant_of(node)
        raw = weights.raw
        words = raw.reshape(1, len(raw), -1)  # first axis as channels
        given = real_constant(raw, weights.frac_bits)
        wanted = given if net is None else net.params[key]
        stats = TensorStats(len(raw))
        high = (1 << (weights.word_bits - 1)) - 1
        scaled = wanted / real_constant(np.ones_like(raw), weights.frac_bits)
        clipped = int(np.count_nonzero((scaled >= high + 0.5) | (scaled < -high - 1.5)))
        stats_update(stats, words, weights.frac_bits, wanted.reshape(words.shape), clipped)
        yield _summary(key, "constant", weights.word_bits, True, weights.frac_bits, stats)


def _summary(
    name: str, role: str, word_bits: int, signed: bool, frac_bits: Sequence[int], seen: TensorStats
) -> TensorProfile:
    marks = (percentile_log2(seen, percent) for percent in PERCENTILES)
    error = seen.error_power / seen.signal_power if seen.signal_power else None
    span = int(seen.channel_high.max()) - int(seen.channel_low.min()) + 1
    used = seen.used_bits
    dead = np.flatnonzero((seen.channel_low == 0) & (seen.channel_high == 0))
    return TensorProfile(
        name=name,
        layer=layer_of(name),
        role=role,
        word_bits=word_bits,
        signed=signed,
        frac_bits=tuple(frac_bits),
        lowest=seen.lowest,
        highest=seen.highest,
        wanted_lowest=seen.wanted_lowest,
        wanted_highest=seen.wanted_highest,
        magnitudes_log2=tuple(mark for mark in marks if mark is not None),
        zero_share=seen.zeros / seen.words,
        clip_share=seen.clipped / seen.words,
        sqnr_db=-10 * math.log10(error) if error else None,
        relative_error=None if error is None else math.sqrt(error),
        codes_used=span / (1 << word_bits),
        idle_bits=(used & -used).bit_length() - 1 if used else word_bits,
        channels=seen.channels,
        dead_channels=tuple(dead.tolist()),
    )
