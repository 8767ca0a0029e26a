"""A graph to count the cost of, from an architecture and widths alone: no training, no data."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from fxp.accumulators import scale_shift
from fxp.calibrate import nominal_formats
from fxp.floatnet import zero_floatnet
from fxp.ir import Affine, Graph, GraphProduct, Node, Weights
from fxp.lower import lower
from fxp.spec import ArchSpec, QuantSpec

FILLED_BIAS_BITS = 16


def blueprint(arch: ArchSpec, quant: QuantSpec, name: str = "") -> Graph:
    """The integer network of `arch` with zero weights, every edge of the skeleton one lsb.

    It has the nodes, shapes, widths and edges of the trained network, so it costs the same (unless
    training or rounding brings an edge to zero).

    Raises:
        InputError: an entry of `quant.layers` matches no layer of the network.
    """
    net = zero_floatnet(arch, quant.fold)
    edges = {
        key: (value != 0).astype(np.float64)
        for key, value in net.params.items()
        if key.endswith(".adjacency")
    }
    marked = replace(net, params={**net.params, **edges})
    return lower(marked, nominal_formats(arch, quant), name)


def filled(graph: Graph) -> Graph:
    """The same network with the largest weights that its widths allow, signs by chance.

    So its accumulators are as wide as those of any network of these formats. A bias has 16 bits. A
    scale that is one power of two stays one: it is a shift, not a multiplication.
    """
    rng = np.random.default_rng(0)
    return replace(graph, nodes=tuple(_filled(node, rng) for node in graph.nodes))


def _filled(node: Node, rng: np.random.Generator) -> Node:
    changes: dict[str, Any] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Weights):
            if isinstance(node, Affine) and scale_shift(node) is not None:
                continue
            largest = (1 << (value.word_bits - 1)) - 1
            raw = rng.choice(np.array([-largest - 1, largest]), size=value.raw.shape)
            kept = value.raw != 0 if isinstance(node, GraphProduct) else True
            changes[field.name] = replace(value, raw=np.where(kept, raw, 0))
        elif field.name == "bias" and value is not None:
            most = 1 << (FILLED_BIAS_BITS - 1)
            changes[field.name] = rng.integers(-most, most, value.shape)
    return replace(node, **changes) if changes else node
