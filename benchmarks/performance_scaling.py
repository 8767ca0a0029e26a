"""How speed follows the length of a clip, joints, channels, windows and widths, at 8 bits."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.bench_simulate import conv_macs, random_net
from benchmarks.performance_results import Section
from benchmarks.performance_work import (
    FRAMES,
    PUBLISHED,
    Size,
    Timings,
    Work,
    lowered,
    noise,
    published,
)
from fxp.cast import reciprocal
from fxp.ir import Affine, Graph, GraphProduct, Input, IntArray, JointMean, Node, Weights
from fxp.outline import RECIPROCAL_SHIFT
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, load_spec

BITS = 8
LENGTHS = (100, 1000, 10_000, 100_000)
JOINTS = (5, 10, 25, 50, 100)
CHANNELS = (8, 16, 32, 64, 128, 256)
WINDOWS = (3, 9, 30, 69)
WIDTHS = (4, 6, 8, 9, 10, 12, 13, 14, 16, 20, 24)
REPEATS = 5


def scaling(size: Size) -> Section:
    """One group a dimension; the members of a group are measured by turns."""
    timings = Timings()
    arch, net = load_spec(ArchSpec, PUBLISHED), published()
    base = lowered(net, BITS)
    _lengths(timings, base, size)
    graphs = {
        "joints": {f"{v} joints": with_joints(base, v) for v in JOINTS},
        "channels": {
            f"{c} channels": lowered(random_net(_wide(arch, c), 0), BITS) for c in CHANNELS
        },
        "window": {
            f"window {k}": lowered(
                random_net(arch.model_copy(update={"window": (k,) * len(arch.channels)}), 0), BITS
            )
            for k in WINDOWS
        },
        "bits": {f"{b} bits": lowered(net, b) for b in WIDTHS},
    }
    for group, members in graphs.items():
        _group(timings, group, members, size)
    return timings.section()


def _wide(arch: ArchSpec, channels: int) -> ArchSpec:
    count = len(arch.channels)
    return arch.model_copy(update={"embedding": channels, "channels": (channels,) * count})


def _group(timings: Timings, group: str, graphs: Mapping[str, Graph], size: Size) -> None:
    frames = size.frames(FRAMES)
    work: dict[str, Work] = {
        name: partial(run, compile_graph(graph), noise(graph, frames))
        for name, graph in graphs.items()
    }
    macs = {name: conv_macs(graph) for name, graph in graphs.items()}
    timings.by_turns(group, work, min(size.repeats, REPEATS), frames=frames, macs=macs)


def _lengths(timings: Timings, graph: Graph, size: Size) -> None:
    plan, macs = compile_graph(graph), conv_macs(graph)
    for length in LENGTHS[:2] if size.quick else LENGTHS:
        clip = noise(graph, length)
        name = f"{length:,} frames"
        repeats = min(size.repeats, 2 if length == LENGTHS[-1] else 9)
        timings.by_turns(
            "frames", {name: partial(run, plan, clip)}, repeats, frames=length, macs=macs
        )
        tracemalloc.start()
        run(plan, clip)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        timings.rows[-1] = timings.rows[-1].model_copy(update={"peak_bytes": peak})


def with_joints(graph: Graph, joints: int) -> Graph:
    """The graph on a chain of so many joints: same channels, three partitions, same factors.

    The joint itself, its neighbour before and its neighbour behind are a partition each.
    """
    return replace(graph, nodes=tuple(_with_joints(node, joints) for node in graph.nodes))


def _with_joints(node: Node, joints: int) -> Node:
    match node:
        case Input():
            return replace(node, joints=joints)
        case Affine() if node.scale.raw.shape[1] > 1:  # the input norm has a constant per joint
            scale = replace(node.scale, raw=_repeated(node.scale.raw, joints))
            return replace(node, scale=scale, bias=_repeated(node.bias, joints))
        case GraphProduct():
            return replace(node, adjacency=_chain(node.adjacency, joints))
        case JointMean():
            multiplier, shift = reciprocal(joints, RECIPROCAL_SHIFT)
            return replace(node, multiplier=multiplier, shift=shift)
        case _:
            return node


def _repeated(values: IntArray, joints: int) -> IntArray:
    """(C, V) -> (C, joints)."""
    return np.resize(values.T, (joints, len(values))).T.copy()


def _chain(adjacency: Weights, joints: int) -> Weights:
    raw = np.zeros((3, joints, joints), np.int64)
    factors = [int(part[part != 0][0]) for part in adjacency.raw]
    for part, shift, factor in zip(raw, (0, 1, -1), factors, strict=True):
        part += factor * np.eye(joints, k=shift, dtype=np.int64)
    return replace(adjacency, raw=raw)
