"""What the cost model says about an engine: the cycles of a frame, term by term."""

from __future__ import annotations

from typing import Any

from fxp.ir import Graph
from hw_model.accelerator import (
    Accelerator,
    Lanes,
    Multiplier,
    OnChipMemory,
    Packing,
    load_accelerator,
)
from hw_model.cost import estimate
from hw_model.loops import loop_nest
from hw_model.rtl.runs import Settings
from hw_model.streaming import waiting_cycles

_UNLIMITED = 2**40
_WIDE = Multiplier(max_weight_bits=64, max_activation_bits=64)
_PAIRS = Packing(max_weight_bits=64, max_activation_bits=64, products=2)


def bare_engine(lanes: int, dense: bool, paired: bool = False) -> Accelerator:
    """Lanes and nothing that could hold them up: wide multipliers, all memory on the chip.

    Where lanes are paired there are half as many multipliers.
    """
    model = load_accelerator("zu7ev")  # its energies are not asked for
    return model.model_copy(
        update={
            "name": f"lanes-{lanes}",
            "engine": Lanes(kind="lanes", lanes=lanes // 2 if paired else lanes),
            "multiplier": _WIDE.model_copy(update={"packing": (_PAIRS,)}) if paired else _WIDE,
            "adjacency": "dense" if dense else "sparse",
            "memory": OnChipMemory(capacity_bits=_UNLIMITED, ports=_UNLIMITED, port_bits=1),
            "dram": None,
            "deadline_s": None,
        }
    )


def predicted_cycles(graph: Graph, settings: Settings) -> dict[str, Any]:
    """JSON data: interval and latency of a frame in which every node has work, terms by layer.

    Where weights come from outside, a layer's term `wait` are the cycles that the lanes then wait.
    """
    loops = loop_nest(graph)
    engine = bare_engine(settings.lanes, settings.dense, settings.paired)
    cost = estimate(graph, engine, loops=loops)
    terms = {layer.layer: dict(layer.terms) for layer in cost.layers}
    waits = 0
    for loop in loops:
        if loop.name in settings.off_chip:
            wait = waiting_cycles(loop, settings.lanes, settings.source)
            terms[loop.layer]["wait"] = terms[loop.layer].get("wait", 0) + wait
            waits += wait
    return {
        "interval": cost.interval_cycles + waits,
        "latency": cost.latency_cycles + waits,
        "terms": terms,
    }
