"""Which nodes run together in one pass of a sequential engine, and which values wait in a buffer.

Convolutions, graph products, multiplying affines, layer norms, softmax, means over joints and the
argmax each take a pass of their own over the frame. A node that only adds, shifts or casts works on
the words that leave the pass which makes them (an add on the later of its operands), and costs no
pass; only where it reads the input itself it needs one. A value is buffered when another pass reads
it, unless the reader keeps it in its own FIFO or delay line anyway. A flattened value is the value
itself under another name: it is made in its pass, and it is the operand that waits, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from hw_model.loops import NO_WORDS, Kind, Loop, Words


@dataclass(frozen=True, slots=True)
class Flow:
    """`pass_of[name]` is the position of the node in whose pass a value is made.

    `buffered` maps each value that waits in an activation buffer to the last pass that needs it,
    flattened or not.
    """

    pass_of: dict[str, int]
    buffered: dict[str, int]

    def fused(self, loop: Loop, position: int) -> bool:
        """Whether a node works in the pass of an earlier one."""
        return self.pass_of[loop.name] != position

    def streams(self, loop: Loop, operand: str) -> bool:
        """Whether an operand comes to a node straight from the pass that makes both."""
        return self.pass_of[operand] == self.pass_of[loop.name]


def needs_pass(kind: Kind) -> bool:
    """Whether a node of this kind always takes a pass of its own."""
    match kind:
        case "conv" | "graph_product" | "temporal_conv" | "affine" | "joint_mean" | "argmax":
            return True
        case "layer_norm" | "softmax":
            return True
        case "input" | "temporal_sum" | "clip_mean" | "shift" | "add" | "requantise" | "flatten":
            return False
        case _:
            assert_never(kind)


def is_matrix(kind: Kind) -> bool:
    """Whether a node's work is multiply-accumulates."""
    return kind in ("conv", "graph_product", "temporal_conv")


def flow_of(loops: Sequence[Loop]) -> Flow:
    """Passes and buffers of a loop nest."""
    pass_of: dict[str, int] = {}
    buffered: dict[str, int] = {}
    held_as: dict[str, str] = {}  # the name under which each value waits
    for position, loop in enumerate(loops):
        source = max((pass_of[name] for name in loop.reads), default=0)
        if loop.kind == "flatten":
            pass_of[loop.name], held_as[loop.name] = source, held_as[loop.reads[0]]
            continue
        pass_of[loop.name] = position if needs_pass(loop.kind) or source == 0 else source
        held_as[loop.name] = loop.name
        kept = {state.value for state in loop.state}
        for name in loop.reads:
            if pass_of[name] != pass_of[loop.name] and name not in kept:
                held = held_as[name]
                buffered[held] = max(buffered.get(held, 0), pass_of[loop.name])
        if loop.kind == "input":
            buffered[loop.name] = position
    buffered |= {held_as[loop.name]: len(loops) for loop in loops if loop.is_output}
    return Flow(pass_of, buffered)


def activation_buffers(loops: Sequence[Loop], flow: Flow) -> Words:
    """The most that waits in buffers at any time, operands and results of a pass both included."""
    events: dict[int, Words] = {}
    live = [
        (flow.pass_of[loop.name], flow.buffered[loop.name], loop.result)
        for loop in loops
        if loop.name in flow.buffered
    ]
    for at in {start for start, _, _ in live}:
        held = [size for start, end, size in live if start <= at <= end]
        events[at] = sum(held, NO_WORDS)
    return max(events.values(), key=lambda size: size.bits)
