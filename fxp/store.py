"""The model file of an integer network, and the hash that identifies what a network computes.

A graph is stored as `fxp.archive` stores everything: a JSON header and one array per constant,
each in the smallest integer dtype that holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fxp.archive import Array, canonical_json, json_data, load_arrays, save_arrays
from fxp.errors import GraphError, InputError
from fxp.ir import (
    ClipMean,
    Graph,
    Input,
    IntArray,
    JointMean,
    Node,
    TemporalConv,
    TemporalSum,
    Weights,
)
from fxp.node_fields import build_node, checked, describe_node, node_arrays
from fxp.qformat import Cast, QFormat
from fxp.ranges import Signal, analyse, certify

__all__ = [
    "GRAPH_KIND",
    "graph_hash",
    "load_arrays",
    "load_graph",
    "node_hash",
    "save_arrays",
    "save_graph",
]

GRAPH_KIND = "fxp-graph"

# What a file may declare, far above any real network: past these, a hostile graph could take
# unbounded memory before its analysis refuses it, or in the state of its first frame.
MAX_NODES = 1 << 14
MAX_FRAC_BITS = 256  # magnitude
MAX_FRAME_WORDS = 1 << 24  # channels times joints of the input
MAX_STATE_WORDS = 1 << 28  # all FIFOs together

_KEYS = {"kind", "name", "nodes", "outputs", "accumulator_bits", "graph_hash", "meta"}


def graph_hash(graph: Graph) -> str:
    """sha256 (hex) of what the graph computes: nodes, constants, outputs, accumulator width.

    Neither `name` nor `meta` counts, nor the bytes or dtypes of a file the graph came from.
    """
    nodes = [node_hash(node) for node in graph.nodes]
    whole = {"nodes": nodes, "outputs": graph.outputs, "accumulator_bits": graph.accumulator_bits}
    return hashlib.sha256(canonical_json(whole)).hexdigest()


def node_hash(node: Node) -> str:
    """sha256 (hex) of one node: its kind, every field, every constant."""
    digest = hashlib.sha256(canonical_json(describe_node(node)))
    for name, raw in node_arrays(node).items():
        digest.update(canonical_json([name, raw.shape]))
        digest.update(np.asarray(raw, dtype="<i8", order="C").tobytes())
    return digest.hexdigest()


def save_graph(graph: Graph, path: Path) -> None:
    """Write a graph, `meta` included, atomically; equal graphs give equal bytes.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: `meta` is no JSON data, a node's name cannot name a file, or the file cannot be
            written.
    """
    certify(graph)
    header = {
        "kind": GRAPH_KIND,
        "name": graph.name,
        "nodes": [describe_node(node) for node in graph.nodes],
        "outputs": list(graph.outputs),
        "accumulator_bits": graph.accumulator_bits,
        "graph_hash": graph_hash(graph),
        "meta": json_data(graph.meta, f"{path}: meta"),
    }
    arrays = {
        f"{node.name}.{field}": _narrow(raw)
        for node in graph.nodes
        for field, raw in node_arrays(node).items()
    }
    save_arrays(path, header, arrays)


def load_graph(path: Path) -> Graph:
    """Read a graph, check every field of every node, and certify its accumulators.

    Raises:
        InputError: one line naming the file, the node and the field; where the graph breaks a rule
            of the IR it is a `GraphError`.
    """
    header, arrays = load_arrays(path, GRAPH_KIND)
    try:
        graph = _graph(header, arrays)
        for node in graph.nodes:
            _within_limits(node)
        certify(graph)
        _bounded_state(graph, analyse(graph))
        if graph_hash(graph) != header["graph_hash"]:
            raise InputError("`graph_hash` does not match the nodes")
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return graph


def _graph(header: Mapping[str, Any], arrays: dict[str, Array]) -> Graph:
    if header.keys() != _KEYS:
        raise InputError(f"header: the keys must be {', '.join(sorted(_KEYS))}")
    entries = header["nodes"]
    if not isinstance(entries, list) or len(entries) > MAX_NODES:
        raise InputError(f"header: `nodes` must be a list of at most {MAX_NODES} nodes")
    if not isinstance(header["meta"], dict):
        raise InputError("header: `meta` must be an object")
    nodes = tuple(build_node(entry, arrays) for entry in entries)
    for name in sorted(arrays):
        raise InputError(f"array {name} belongs to no node")
    return Graph(
        name=checked(str, header["name"], "header: `name`"),
        nodes=nodes,
        outputs=checked(tuple[str, ...], header["outputs"], "header: `outputs`"),
        accumulator_bits=checked(int, header["accumulator_bits"], "header: `accumulator_bits`"),
        meta=header["meta"],
    )


def _within_limits(node: Node) -> None:
    """Refuse numbers that would make the analysis itself unbounded."""
    found: list[int] = [node.shift] if isinstance(node, JointMean | ClipMean) else []
    for value in vars(node).values():
        match value:
            case Weights(frac_bits=per_channel):
                found += per_channel
            case QFormat(frac_bits=frac_bits) | Cast(to=QFormat(frac_bits=frac_bits)):
                found.append(frac_bits)
    for bits in found:
        if abs(bits) > MAX_FRAC_BITS:
            rule = f"`frac_bits` and `shift` must be within {MAX_FRAC_BITS}"
            raise GraphError(f"node {node.name!r}: {rule}, got {bits}")
    if isinstance(node, Input) and node.channels * node.joints > MAX_FRAME_WORDS:
        rule = f"a frame must have at most {MAX_FRAME_WORDS} words"
        raise GraphError(f"node {node.name!r}: {rule}, got {node.channels} x {node.joints}")


def _bounded_state(graph: Graph, signals: Mapping[str, Signal]) -> None:
    words = 0
    for node in graph.nodes:
        if isinstance(node, TemporalSum | TemporalConv):
            signal = signals[node.x]
            taps = node.window if isinstance(node, TemporalSum) else node.weight.raw.shape[2]
            frames = taps * node.dilation + getattr(node, "lookahead", 0)
            words += frames * signal.channels * signal.joints
            if words > MAX_STATE_WORDS:
                rule = f"all FIFOs together must have at most {MAX_STATE_WORDS} words"
                raise GraphError(f"node {node.name!r}: {rule}, got {words}")


def _narrow(raw: IntArray) -> Array:
    """The same values in the smallest signed dtype: files stay near the network's own size."""
    low, high = (int(raw.min()), int(raw.max())) if raw.size else (0, 0)
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return raw.astype(dtype)
    return raw
