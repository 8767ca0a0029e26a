"""Where the arrays of a state lie in its one block of bytes: the same for all states of a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fxp.fused.arena import ALIGNMENT
from fxp.fused.fuse import delay_name
from fxp.ir import Add, ClipMean, TemporalConv, TemporalSum, delay_frames, operands

if TYPE_CHECKING:
    from fxp.plan import Plan

Part: TypeAlias = Literal["rings", "accumulators", "delays"]  # of a state


@dataclass(frozen=True)
class Slots:
    """An array (slots, V, C) that a state keeps, where it lies in the state's block of bytes.

    `part` is the attribute of the state that has it by `name`.
    """

    part: Part
    name: str
    start: int
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def layout_of(plan: Plan) -> tuple[Slots, ...]:
    """One array after the other, each from a cache line on."""
    found: list[Slots] = []
    end = 0
    for part, name, count, value, dtype in _kept(plan):
        start = -(-end // ALIGNMENT) * ALIGNMENT
        kind: np.dtype[Any] = np.dtype(plan.storage(value) if dtype is None else dtype)
        found.append(Slots(part, name, start, (count, *plan.shape(value)), kind))
        end = start + found[-1].size
    return tuple(found)


def _kept(plan: Plan) -> Iterator[tuple[Part, str, int, str, npt.DTypeLike | None]]:
    """Part, name, slots, value and dtype of each array, that of the value where it is None.

    The ring of a `TemporalConv` has room for a chunk's frames besides those that taps reach.
    """
    for node in plan.graph.nodes:
        match node:
            case TemporalSum():
                yield "rings", node.name, node.window * node.dilation, node.x, None
                yield "accumulators", node.name, node.dilation, node.name, None
            case TemporalConv():
                back = (node.weight.raw.shape[2] - 1) * node.dilation
                dtype = plan.ring_dtype(node)
                yield "rings", node.name, back + plan.chunk_frames, node.x, dtype
            case ClipMean():
                yield "accumulators", node.name, 1, node.name, np.int64
            case Add():
                for side, delay in enumerate(delay_frames(node, plan.timing)):
                    if delay:
                        line = delay_name(node.name, side)
                        yield "delays", line, delay, operands(node)[side], None
            case _:
                pass  # stateless
