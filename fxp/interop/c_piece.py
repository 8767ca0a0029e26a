"""What the C of one node is made from and what it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fxp.interop.c_text import array
from fxp.ir import IntArray
from fxp.ranges import Signal


@dataclass(frozen=True)
class Place:
    """What the C of a node names: identifiers, types and numbers of the node and its operands."""

    name: str
    type: str
    index: int
    y: Signal
    operands: Sequence[str]
    types: Sequence[str]
    reads: Sequence[int]
    x: Sequence[Signal]


@dataclass
class Piece:
    """C of one node: constants, and the statements that make a frame of it."""

    constants: list[str] = field(default_factory=list)
    body: str = ""

    def constant(self, name: str, values: IntArray, axes: str, kind: str = "") -> str:
        """Add a constant array; gives its name."""
        self.constants.append(array(name, values, axes, kind))
        return name
