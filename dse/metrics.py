"""The metrics of a design point: what they are called, in which unit, and where they come from.

`<merge>_*` are scores with classes counted as one (`elevator`: riding one counts as standing).
Accuracy is measured on the validation recordings with the integer network, each prediction held to
the original frame rate; `float_*` is the same of the float network it came from, and
`argmax_agreement` counts network steps on which the two say the same. Cost is the accelerator
model's, per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hw_model.area.estimate import Area
from hw_model.cost import Estimate

REFUSED = "refused"  # beside the metrics: why a design cannot be built

Source = Literal["integer", "float", "cost"]
Better = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """A column of results: `label` and `unit` are what an axis says, `better` which end is good."""

    label: str
    unit: str
    source: Source
    better: Better = "max"


SCORES = {
    "frame_accuracy": "frame accuracy",
    "f1_10": "F1@10",
    "f1_25": "F1@25",
    "f1_50": "F1@50",
    "edit": "edit score",
}

_COSTS: tuple[tuple[str, str, str, Better], ...] = (
    ("energy_uj", "energy per frame", "µJ", "min"),
    ("latency_s", "latency of a frame", "s", "min"),
    ("throughput_hz", "throughput", "frames/s", "max"),
    ("interval_cycles", "cycles per frame", "cycles", "min"),
    ("latency_cycles", "latency of a frame", "cycles", "min"),
    ("utilisation", "multiplier utilisation", "", "max"),
    ("macs", "multiply-accumulates per frame", "", "min"),
    ("multiplications", "multiplications per frame", "", "min"),
    ("additions", "additions per frame", "", "min"),
    ("memory_bits", "memory", "bit", "min"),
    ("memory_weights_bits", "memory for weights", "bit", "min"),
    ("memory_state_bits", "memory for FIFO state", "bit", "min"),
    ("memory_activations_bits", "memory for activations", "bit", "min"),
    ("memory_words", "memory", "words", "min"),
    ("on_chip_bits", "on-chip memory", "bit", "min"),
    ("dram_bytes", "DRAM traffic per frame", "byte", "min"),
    ("lookahead_frames", "lookahead", "frames", "min"),
    ("luts", "look-up tables", "", "min"),
    ("dsps", "DSP blocks", "", "min"),
    ("bram36", "36 Kb block RAMs", "", "min"),
    ("uram", "UltraRAMs", "", "min"),
    ("nand2", "cell area", "NAND2", "min"),
)
_AREAS = ("luts", "dsps", "bram36", "uram", "nand2")
COSTS = {name: Metric(label, unit, "cost", better) for name, label, unit, better in _COSTS}


def cost_metrics(cost: Estimate) -> dict[str, float | int | str | None]:
    """The `COSTS` of an estimate; the reasons of one that does not fit under `REFUSED`.

    FIFO state counts the running sums and the delay lines of a network too. An area that the
    accelerator's target does not have is None.
    """
    memory = cost.memory
    state_bits = memory.fifo.bits + memory.accumulators.bits + memory.delays.bits
    parts: dict[str, int | None] = _areas(cost.area) | {
        "memory_weights_bits": memory.weights.bits,
        "memory_state_bits": state_bits,
        "memory_activations_bits": memory.activations.bits,
    }
    found = {name: parts[name] if name in parts else getattr(cost, name) for name in COSTS}
    if cost.fits:
        return found
    more = f" (and {len(cost.reasons) - 1} more)" if len(cost.reasons) > 1 else ""
    return {**found, REFUSED: cost.reasons[0] + more}


def _areas(area: Area | None) -> dict[str, int | None]:
    """LUTs with those of memories; two blocks of 18 Kb are one of 36 Kb."""
    if area is None:
        return dict.fromkeys(_AREAS)
    if area.nand2 is not None:
        return dict.fromkeys(_AREAS) | {"nand2": area.nand2.value}
    return {
        "luts": area.luts_all,
        "dsps": area.dsps,
        "bram36": area.blocks.bram36_equivalent,
        "uram": area.blocks.uram,
        "nand2": None,
    }


def metrics_of(*, trained: bool, merges: Sequence[str] = ()) -> dict[str, Metric]:
    """The metrics of points of a space, in the order of their columns."""
    found: dict[str, Metric] = {}
    if trained:
        found |= {name: Metric(label, "%", "integer") for name, label in SCORES.items()}
        found["parameters"] = Metric("parameters of the float network", "", "float", "min")
        found["argmax_agreement"] = Metric("argmax agreement with float", "%", "integer")
        for merge in merges:
            for name, label in SCORES.items():
                found[f"{merge}_{name}"] = Metric(f"{label}, {merge} merged", "%", "integer")
        for name, metric in list(found.items()):
            if name not in ("argmax_agreement", "parameters"):
                found[f"float_{name}"] = Metric(f"float {metric.label}", "%", "float")
    return found | COSTS
