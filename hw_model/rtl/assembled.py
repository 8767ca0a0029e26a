"""What is filled while a network is assembled: constants, state, widths; and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fxp.ir import Node
from hw_model.digits import Digits
from hw_model.rtl.constants import Memory
from hw_model.rtl.datapath import Datapath
from hw_model.rtl.values import Ground

Fields = dict[str, Any]


@dataclass(slots=True)
class Constants:
    """Constant memories while they fill; `edges` holds (last, source, coefficient)."""

    weights: Memory = field(default_factory=Memory)
    outside: Memory = field(default_factory=Memory)  # weights that stream in
    bias: Memory = field(default_factory=Memory)
    norm: Memory = field(default_factory=Memory)
    delta: Memory = field(default_factory=Memory)
    seeds: Memory = field(default_factory=Memory)
    coarse: Memory = field(default_factory=Memory)
    fine: Memory = field(default_factory=Memory)
    edges: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """What temporal sums keep: lines of their two memories, rings of both and of the values.

    And the lines of the sums of means over a clip.
    """

    fifo_lines: int = 0
    total_lines: int = 0
    mean_lines: int = 0
    rings: int = 0


@dataclass(slots=True)
class Draft:
    """A network on its way to a program; what passes need of constants and widths comes in here."""

    ground: Ground
    nodes: Mapping[str, Node]
    constants: Constants
    state: State
    datapath: Datapath


@dataclass(frozen=True, eq=False)
class Assembled:
    """A planned network: its passes as fields, its constants, and what hardware it needs."""

    ground: Ground
    passes: tuple[Fields, ...]
    constants: Constants
    state: State
    datapath: Datapath
    digits: Digits


def draft_of(ground: Ground) -> Draft:
    """Nothing but the network yet, and the rings of its values."""
    rings = max((place.ring for place in ground.places.values()), default=0)
    nodes = {node.name: node for node in ground.graph.nodes}
    return Draft(ground, nodes, Constants(), State(rings=rings), Datapath())
