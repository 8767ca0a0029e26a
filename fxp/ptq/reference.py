"""The float network as the simulator sees it: the same graph in words so wide that nothing is lost.

Repair compares an integer network with its float original, value by value. Instead of a second
implementation in floats, the reference is the network itself, lowered with `REFERENCE_BITS` bits
everywhere: its relative error, some `2**-REFERENCE_BITS`, is far below any width worth repairing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fxp.calibrate import calibrate
from fxp.cast import FloatArray, dequantise
from fxp.floatnet import FloatNet
from fxp.ir import Graph, IntArray
from fxp.lower import lower
from fxp.observe import Observation, Reservoir, observation, observe_update
from fxp.replay import Replay
from fxp.simulate import compile_graph, run
from fxp.spec import QuantSpec
from fxp.validate import describe

Words = npt.NDArray[np.integer]

REFERENCE_BITS = 22
REFERENCE_LOGIT_BITS = 16  # tables of a softmax grow with them


def reference(net: FloatNet, input_bits: int) -> Graph:
    """`net` in words of `REFERENCE_BITS`, calibrated by its extremes."""
    wide = QuantSpec(
        weight_bits=REFERENCE_BITS,
        activation_bits=REFERENCE_BITS,
        input_bits=input_bits,
        logit_bits=REFERENCE_LOGIT_BITS,
        calibrator="max",
        fold=net.meta["fold"],
        accumulator_bits=63,
    )
    return lower(net, calibrate(net, wide), "reference")


def widened(net: FloatNet, bits: int) -> FloatNet:
    """`net` with all observed ranges `2**bits` times as large, for values not observed yet."""
    factor = 2.0**bits
    seen = {
        name: Observation(o.lo * factor, o.hi * factor, np.float32(factor) * o.sample)
        if name != "input"
        else o
        for name, o in net.observations.items()
    }
    return replace(net, observations=seen)


def up_to(graph: Graph, names: Sequence[str]) -> Graph:
    """The part of a graph that is needed for some of its values, which are its outputs."""
    wanted = set(names)
    last = max(i for i, node in enumerate(graph.nodes) if node.name in wanted)
    return replace(graph, nodes=graph.nodes[: last + 1], outputs=tuple(names))


def real_values(
    graph: Graph, clips: Sequence[Words], names: Sequence[str]
) -> Iterator[dict[str, FloatArray]]:
    """Clip by clip, values of a graph as real numbers, float64 (T, C, V) by name.

    Of a `Replay` only what it does not know yet is computed.
    """
    about = describe(graph)
    needed = up_to(graph, names)
    for values in _words(needed, clips, names):
        yield {
            name: dequantise(values[name], np.array(about[name].frac_bits)[:, None])
            for name in names
        }


def _words(
    graph: Graph, clips: Sequence[Words], names: Sequence[str]
) -> Iterator[dict[str, IntArray]]:
    if isinstance(clips, Replay):
        yield from clips.values(graph, names)
        return
    plan = compile_graph(graph)
    for clip in clips:
        yield run(plan, clip)[0]


def channel_means(
    graph: Graph, clips: Sequence[Words], names: Sequence[str]
) -> dict[str, FloatArray]:
    """The mean of each channel (C,) over all frames and joints of the clips, by value.

    A `Replay` keeps them: those of a value are taken once.
    """
    if isinstance(clips, Replay):
        known = clips.known("mean", graph, names)
        missing = [name for name in names if name not in known]
        taken = _channel_means(graph, clips, missing) if missing else {}
        clips.remember("mean", graph, taken)
        return {name: known[name] if name in known else taken[name] for name in names}
    return _channel_means(graph, clips, names)


def _channel_means(
    graph: Graph, clips: Sequence[Words], names: Sequence[str]
) -> dict[str, FloatArray]:
    totals = dict.fromkeys(names, np.float64(0))
    counts = dict.fromkeys(names, 0)
    for values in real_values(graph, clips, names):
        for name, x in values.items():
            totals[name] = totals[name] + x.sum(axis=(0, 2))
            counts[name] += x.shape[0] * x.shape[2]
    return {name: np.asarray(totals[name] / counts[name]) for name in names}


def observe(net: FloatNet, graph: Graph, clips: Sequence[IntArray]) -> Mapping[str, Observation]:
    """Observations of every accumulator that `net` has one of, from a (wide) graph of it."""
    names = [name for name in net.observations if name != "input"]
    seen = {name: Reservoir(seed) for seed, name in enumerate(names)}
    for values in real_values(graph, clips, names):
        for name, x in values.items():
            observe_update(seen[name], x, name)
    kept = {name: observation(reservoir, name) for name, reservoir in seen.items()}
    return {**net.observations, **kept}
