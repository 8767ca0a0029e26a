"""Which float type carries which value of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fxp.errors import InputError
from fxp.interop.magnitude import FLOAT32_BITS, FLOAT64_BITS, cast_bits, needed_bits
from fxp.ir import Graph, Requantise
from fxp.ranges import Signal, analyse, certify

Floating = type[np.float32] | type[np.float64]

# Magnitude of every `frac_bits`: float32 then has neither overflow nor subnormals.
MAX_EXPONENT = 100


@dataclass(frozen=True, eq=False)
class Network:
    """A certified graph and the ranges of its values.

    `carriers` is the float type that holds each value, `within` the one that each cast works in.
    """

    graph: Graph
    signals: Mapping[str, Signal]
    carriers: Mapping[str, Floating]
    within: Mapping[str, Floating]


def network(graph: Graph, approximate: bool) -> Network:
    """The carriers of a graph; with `approximate` all float32, whatever that rounds.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: a node needs more bits than a float64 has, or exponents beyond a float32's.
    """
    certify(graph)
    signals = analyse(graph)
    bits = needed_bits(graph, signals)
    carriers: dict[str, Floating] = {}
    within: dict[str, Floating] = {}
    for node in graph.nodes:
        name = node.name
        if max(map(abs, signals[name].frac_bits)) > MAX_EXPONENT:
            raise InputError(
                f"node `{name}`: floats hold `frac_bits` within {MAX_EXPONENT}, "
                f"got {max(signals[name].frac_bits, key=abs)}"
            )
        carriers[name] = _carrier(name, bits[name], approximate)
        if isinstance(node, Requantise):
            inside = cast_bits(node, signals[node.x])
            within[name] = _carrier(name, max(inside, bits[node.x]), approximate)
    return Network(graph, signals, carriers, within)


def _carrier(name: str, bits: int, approximate: bool) -> Floating:
    if bits <= FLOAT32_BITS or approximate:
        return np.float32
    if bits > FLOAT64_BITS:
        raise InputError(
            f"node `{name}`: exact sums need {bits} bits, a float64 has {FLOAT64_BITS}; "
            "`--form integer` holds them"
        )
    return np.float64
