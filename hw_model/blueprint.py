"""A graph to count the cost of, from an architecture and widths alone: no training, no data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fxp.calibrate import nominal_formats
from fxp.floatnet import zero_floatnet
from fxp.ir import Graph
from fxp.lower import lower
from fxp.spec import ArchSpec, QuantSpec


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
