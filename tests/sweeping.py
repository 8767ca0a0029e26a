"""Tiny spaces for tests of sweeps, and how to run one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dse.axes import load_space
from dse.sweep import Outcome, run_sweep

COST_SPACE: dict[str, Any] = {
    "network": {
        "base": {"skeleton": "hugadb", "in_channels": 6, "embedding": 4, "classes": 8},
        "channels": {"tiny": [4], "small": [4, 8]},
        "window": [2],
    },
    "training": None,
    "quant": {"axes": {"weight_bits": [4, 8], "activation_bits": [8, 20]}},
    "accelerators": ["zu7ev", "array-8x8-16b"],
    "objectives": {"energy_uj": "min", "memory_bits": "min", "latency_s": "min"},
}
TRAINED_SPACE: dict[str, Any] = {
    "data": {
        "kind": "synthetic",
        "generator": {"seed": 3, "subjects": 3, "clips_per_subject": 1, "frames_per_clip": 360},
        "preparation": {"frames_per_step": 3, "shift": 3},
        "train": [1, 2],
        "valid": [3],
    },
    "network": {
        "base": {"skeleton": "hugadb", "in_channels": 6, "embedding": 4, "classes": 8},
        "channels": {"tiny": [4], "small": [4, 8]},
        "window": [3],
    },
    "training": {"epochs": 2, "batch": 2, "segment": 64},
    "seeds": [0],
    "quant": {
        "designs": [
            {"weight_bits": 8, "activation_bits": 8},
            {"weight_bits": 4, "activation_bits": 6, "stream_bits": 10},
        ]
    },
    "accelerators": ["pynq-z2", "zu7ev"],
    "objectives": {"frame_accuracy": "max", "energy_uj": "min"},
}


def write_space(folder: Path, content: dict[str, Any], name: str = "space") -> Path:
    """A space file; the order of the keys is that of the dictionaries."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def sweep(space: Path, out: Path, jobs: int = 1, **options: Any) -> Outcome:
    """Run a sweep that needs no data folder."""
    return run_sweep(load_space(space), out, data_root=None, jobs=jobs, **options)
