"""What the C network remembers between frames: rings, running sums, delay lines."""

from __future__ import annotations

from collections.abc import Sequence

from fxp.interop.c_piece import Place
from fxp.interop.c_text import fill
from fxp.ir import Add, ClipMean, Node, TemporalConv, TemporalSum, delay_frames
from fxp.memories import Ground


def declared(node: Node, at: Place, ground: Ground) -> list[str]:
    """The fields of the state that a node owns, besides its newest frame."""
    match node:
        case TemporalSum(window=window, dilation=dilation):
            size = at.y.channels * at.y.joints
            return [
                f"{at.types[0]} {at.name}_fifo[{window * dilation}][{size}];",
                f"{at.type} {at.name}_sum[{dilation}][{size}];",
            ]
        case TemporalConv():
            size = at.x[0].channels * at.x[0].joints
            return [f"{at.types[0]} {at.name}_history[{_depth(node)}][{size}];"]
        case ClipMean():
            return [f"int64_t {at.name}_total[{at.y.channels * at.y.joints}];"]
        case Add():
            size = at.y.channels * at.y.joints
            delays = delay_frames(node, ground.timing)
            return [
                f"{kind} {at.name}_delay_{side}[{delay + 1}][{size}];"
                for side, kind, delay in zip("ab", at.types, delays, strict=True)
                if delay
            ]
        case _:
            return []


def ring_writes(ground: Ground, value: Place, places: Sequence[Place]) -> list[str]:
    """Statements behind a new frame of `value`: it goes where later frames of others look for it.

    A temporal sum replaces its oldest frame itself.
    """
    found = []
    for node, at in zip(ground.graph.nodes, places, strict=True):
        if value.index not in at.reads:
            continue
        match node:
            case TemporalConv():
                found.append(_ring_write(value, f"{at.name}_history", _depth(node)))
            case ClipMean():
                found.append(
                    fill(
                        """
                        if (net->fresh[$read])
                            for (int i = 0; i < $size; i++) net->${y}_total[i] += net->$x[i];
                        """,
                        read=value.index,
                        size=at.y.channels * at.y.joints,
                        x=value.name,
                        y=at.name,
                    )
                )
            case Add():
                delays = delay_frames(node, ground.timing)
                for side, read, delay in zip("ab", at.reads, delays, strict=True):
                    if delay and read == value.index:
                        found.append(_ring_write(value, f"{at.name}_delay_{side}", delay + 1))
            case _:
                pass
    return found


def _ring_write(value: Place, ring: str, depth: int) -> str:
    return fill(
        """
        if (net->fresh[$read])
            memcpy(net->$ring[(net->seen[$read] - 1) % $depth], net->$x, sizeof net->$x);
        """,
        read=value.index,
        ring=ring,
        depth=depth,
        x=value.name,
    )


def _depth(node: TemporalConv) -> int:
    """Frames of history: from the oldest tap to the newest."""
    taps: int = node.weight.raw.shape[2]
    return (taps - 1) * node.dilation + 1
