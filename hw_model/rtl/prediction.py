"""What the cost model says about an engine: the cycles of a frame, term by term."""

from __future__ import annotations

from typing import Any

from fxp.ir import Graph
from hw_model.accelerator import Accelerator, Lanes, Multiplier, OnChipMemory, load_accelerator
from hw_model.cost import estimate

_UNLIMITED = 2**40


def bare_engine(lanes: int, dense: bool) -> Accelerator:
    """Lanes and nothing that could hold them up: wide multipliers, all memory on the chip."""
    model = load_accelerator("zu7ev")  # its energies are not asked for
    return model.model_copy(
        update={
            "name": f"lanes-{lanes}",
            "engine": Lanes(kind="lanes", lanes=lanes),
            "multiplier": Multiplier(max_weight_bits=64, max_activation_bits=64),
            "adjacency": "dense" if dense else "sparse",
            "memory": OnChipMemory(capacity_bits=_UNLIMITED, ports=_UNLIMITED, port_bits=1),
            "dram": None,
            "deadline_s": None,
        }
    )


def predicted_cycles(graph: Graph, lanes: int, dense: bool) -> dict[str, Any]:
    """JSON data: interval and latency of a frame in which every node has work, terms by layer."""
    cost = estimate(graph, bare_engine(lanes, dense))
    return {
        "interval": cost.interval_cycles,
        "latency": cost.latency_cycles,
        "terms": {layer.layer: dict(layer.terms) for layer in cost.layers},
    }
