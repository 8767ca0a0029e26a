"""A SystemVerilog package of a network's numbers: shapes, widths, shifts, depths, memory files.

Names of memory files, their words and lanes are those of a golden bundle (`fxp.memories`), so an
engine reads its constants from the bundle that its bench compares with. A list per channel is one
vector of 32-bit words, channel 0 at the right: `$signed(NAME[32 * c +: 32])`. Modes are integers
with names, not an enumeration: Icarus Verilog 11 has no parameters of such types, nor of two packed
dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import assert_never

from fxp.files import replacing
from fxp.interop.c_text import comment_text, identifier
from fxp.interop.magnitude import fracs
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
    JointMean,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    TemporalSum,
    delay_frames,
    operands,
)
from fxp.memories import Ground, Memory, ground_of, memories_of, settings_for
from fxp.node_fields import kind_of
from fxp.qformat import Overflow, Rounding
from fxp.store import graph_hash

Numbers = Mapping[str, int | Sequence[int] | str]


def export_sv(graph: Graph, path: Path, lanes: int = 1) -> None:
    """Write the package `network_pkg`.

    Args:
        graph: the network.
        path: the file.
        lanes: values packed into one memory word along the channels, as for the bundle.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: lanes that cannot be, or the file cannot be written.
    """
    text = sv_package(graph, lanes)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def sv_package(graph: Graph, lanes: int = 1) -> str:
    """The text of the package."""
    ground = ground_of(graph, settings_for(graph, frames=1, lanes=lanes, taps=[]))
    constants = [memory for memory in memories_of(ground) if memory.role == "constant"]
    names = {node.name: identifier(i, node.name).upper() for i, node in enumerate(graph.nodes)}
    lines = [
        f"// Integer network `{comment_text(graph.name)}`, generated.",
        "package network_pkg;",
        *_modes("ROUND", Rounding),
        *_modes("OVER", Overflow),
        f"  localparam logic [255:0] GRAPH_HASH = 256'h{graph_hash(graph)};",
        f"  localparam int NODES = {len(graph.nodes)};",
        f"  localparam int LANES = {lanes};",
        f"  localparam int LATENCY_FRAMES = {max(t.lookahead for t in ground.timing.values())};",
    ]
    for node in graph.nodes:
        reads = ", ".join(operands(node))
        lines += ["", f"  // {node.name}: {kind_of(node)}{' of ' if reads else ''}{reads}"]
        numbers = {**_value(node, ground), **_facts(node, ground)}
        lines += [_parameter(f"{names[node.name]}_{key}", value) for key, value in numbers.items()]
        for memory in constants:
            if memory.node == node.name:
                lines += _memory(f"{names[node.name]}_{memory.value.upper()}", memory)
    return "\n".join([*lines, "endpackage", ""])


def _value(node: Node, ground: Ground) -> Numbers:
    signal, (word_bits, signed) = ground.signals[node.name], ground.formats[node.name]
    timing = ground.timing[node.name]
    return {
        "CHANNELS": signal.channels,
        "JOINTS": signal.joints,
        "WORD_BITS": word_bits,
        "SIGNED": int(signed),
        "FRAC_BITS": fracs(signal) if len(set(signal.frac_bits)) > 1 else signal.frac_bits[0],
        "PERIOD_FRAMES": timing.period,
        "LOOKAHEAD_FRAMES": timing.lookahead,
    }


def _facts(node: Node, ground: Ground) -> Numbers:
    """What a node of its kind needs besides its value and its constants."""
    match node:
        case Input() | Conv() | Affine() | Flatten() | Argmax():
            return {}
        case GraphProduct(adjacency=adjacency):
            most = max(adjacency.frac_bits)
            left = [most - frac for frac in adjacency.frac_bits]
            per_part = left * (len(adjacency.raw) if len(left) == 1 else 1)
            return {"PARTITIONS": len(adjacency.raw), "LEFT": per_part}
        case TemporalSum(window=window, dilation=dilation):
            return {"WINDOW": window, "DILATION": dilation, "FIFO_DEPTH": window * dilation}
        case TemporalConv(dilation=dilation):
            taps = node.weight.raw.shape[2]
            depth = (taps - 1) * dilation + 1
            numbers = {"TAPS": taps, "DILATION": dilation, "HISTORY_DEPTH": depth}
            return {**numbers, "LOOKAHEAD": node.lookahead, "STRIDE": node.stride}
        case Add():
            to = fracs(ground.signals[node.name])
            a, b = (
                [most - frac for most, frac in zip(to, fracs(ground.signals[x]), strict=True)]
                for x in (node.a, node.b)
            )
            delays = delay_frames(node, ground.timing)
            return {"LEFT_A": a, "LEFT_B": b, "DELAY_A": delays[0], "DELAY_B": delays[1]}
        case JointMean(multiplier=multiplier, shift=shift):
            return {"MULTIPLIER": multiplier, "SHIFT": shift}
        case ClipMean(shift=shift, max_frames=frames):
            return {"SHIFT": shift, "MAX_FRAMES": frames}
        case LayerNorm():
            return {"NEWTON_STEPS": node.newton_steps, "ROOT_FRAC_BITS": node.frac_bits}
        case Softmax():
            return {"EXP_BITS": node.exp_bits, "FINE_ENTRIES": len(node.fine)}
        case Requantise(cast=cast):
            signal = ground.signals[node.x]
            shifts = [frac - cast.to.frac_bits for frac in fracs(signal)]
            return {
                "SHIFT": shifts if len(set(shifts)) > 1 else shifts[0],
                "ROUNDING": f"ROUND_{cast.rounding}",
                "OVERFLOW": f"OVER_{cast.overflow}",
                "RELU": int(node.relu),
            }
        case _:
            assert_never(node)


def _memory(name: str, memory: Memory) -> list[str]:
    layout = memory.layout
    return [
        f'  localparam {name}_FILE = "{memory.file}";',
        _parameter(f"{name}_WORDS", layout.word_count),
        _parameter(f"{name}_LINE_BITS", layout.line_bits),
        _parameter(f"{name}_WORD_BITS", layout.word_bits),
    ]


def _parameter(name: str, value: int | Sequence[int] | str) -> str:
    if isinstance(value, int | str):  # a number, or the name of a mode
        return f"  localparam int {name} = {value};"
    words = ", ".join(f"{'-' if word < 0 else ''}32'sd{abs(word)}" for word in reversed(value))
    return f"  localparam logic [{32 * len(value) - 1}:0] {name} = {{{words}}};"


def _modes(prefix: str, modes: type[Rounding] | type[Overflow]) -> list[str]:
    return [f"  localparam int {prefix}_{mode} = {i};" for i, mode in enumerate(modes)]
