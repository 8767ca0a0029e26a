"""Which nodes run together in one pass of a sequential engine, and which values wait in a buffer.

`hw_model.passes` says what a pass is. A value is buffered when another pass reads it, unless the
reader keeps it in its own FIFO or delay line anyway. A flattened value is the value
itself under another name: it is made in its pass, and it is the operand that waits, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hw_model.loops import NO_WORDS, Kind, Loop, Words
from hw_model.passes import Pass, passes_of


@dataclass(frozen=True, slots=True)
class Flow:
    """`pass_of[name]` is the position of the node in whose pass a value is made.

    `buffered` maps each value that waits in an activation buffer to the last pass that needs it,
    flattened or not.
    """

    passes: tuple[Pass, ...]
    pass_of: dict[str, int]
    buffered: dict[str, int]

    def fused(self, loop: Loop, position: int) -> bool:
        """Whether a node works in the pass of an earlier one."""
        return self.pass_of[loop.name] != position

    def streams(self, loop: Loop, operand: str) -> bool:
        """Whether an operand comes to a node straight from the pass that makes both."""
        return self.pass_of[operand] == self.pass_of[loop.name]


def is_matrix(kind: Kind) -> bool:
    """Whether a node's work is multiply-accumulates."""
    return kind in ("conv", "graph_product", "temporal_conv")


def flow_of(loops: Sequence[Loop]) -> Flow:
    """Passes and buffers of a loop nest."""
    passes = passes_of(loops)
    position = {loop.name: at for at, loop in enumerate(loops)}
    pass_of = {name: position[made.owner] for made in passes for name in made.nodes}
    buffered: dict[str, int] = {}
    held_as: dict[str, str] = {}  # the name under which each value waits
    for at, loop in enumerate(loops):
        if loop.kind == "flatten":
            pass_of[loop.name], held_as[loop.name] = pass_of[loop.reads[0]], held_as[loop.reads[0]]
            continue
        held_as[loop.name] = loop.name
        if loop.kind == "input":
            pass_of[loop.name] = buffered[loop.name] = at
        kept = {state.value for state in loop.state}
        for name in loop.reads:
            if pass_of[name] != pass_of[loop.name] and name not in kept:
                held = held_as[name]
                buffered[held] = max(buffered.get(held, 0), pass_of[loop.name])
    buffered |= {held_as[loop.name]: len(loops) for loop in loops if loop.is_output}
    return Flow(passes, pass_of, buffered)


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
