"""The stored baseline: reading it, comparing with it, and writing a new one."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.gates.measure import Measured

BASELINE = Path(__file__).with_name("baseline.json")
LIBRARIES = ("numpy", "numba", "torch")

# How far a figure may fall behind the baseline, in its own unit, by the end of its name. Figures
# are percent; those of trained networks move with the libraries and the machine. A figure that no
# entry matches must be equal.
TOLERANCES = {
    "/frame_accuracy": 2.0,
    "/f1_50": 8.0,
    "/edit": 8.0,
    "/argmax_agreement": 2.0,
}


@dataclass(frozen=True)
class Difference:
    """One figure that is not as the baseline says; `regression` if a gate must fail for it."""

    metric: str
    was: float | int | str | None
    now: float | int | str | None
    regression: bool
    rule: str

    def __str__(self) -> str:
        word = "REGRESSION" if self.regression else "changed"
        return f"{word}: {self.metric}: baseline {self.was}, now {self.now} ({self.rule})"


def load() -> dict[str, Any]:
    """The baseline as stored."""
    stored: dict[str, Any] = json.loads(BASELINE.read_text(encoding="utf-8"))
    return stored


def compare(part: str, stored: dict[str, Any], measured: Measured) -> list[Difference]:
    """Everything in which a part's figures differ from the baseline.

    A tolerant figure regresses when it falls below its baseline by more than its tolerance; an
    exact one when it differs at all. Other data than the baseline's is a regression by itself,
    because then no figure can be compared.
    """
    baseline = stored["parts"].get(part, {"data_hash": None, "gates": {}})
    if baseline["data_hash"] != measured.data_hash:
        rule = "the data must be the baseline's"
        was, now = baseline["data_hash"], measured.data_hash
        return [Difference(f"{part}: data hash", was, now, True, rule)]
    differences = []
    for metric in sorted(baseline["gates"].keys() | measured.figures.keys()):
        gate = baseline["gates"].get(metric)
        now = measured.figures.get(metric)
        was = None if gate is None else gate["value"]
        if was == now:
            continue
        name = f"{part}/{metric}"
        tolerance = None if gate is None else gate["tolerance"]
        if tolerance is None or was is None or now is None:
            differences.append(Difference(name, was, now, True, "must be equal"))
        else:
            rule = f"may fall by {tolerance}"
            differences.append(Difference(name, was, now, now < was - tolerance, rule))
    return differences


def tolerance_of(metric: str) -> float | None:
    """How far a figure may fall; None if it must be equal."""
    return next((t for end, t in TOLERANCES.items() if metric.endswith(end)), None)


def rebaselined(stored: dict[str, Any], parts: dict[str, Measured]) -> dict[str, Any]:
    """The baseline with some parts measured anew; the others stay as they are."""
    new = dict(stored.get("parts", {}))
    for part, measured in parts.items():
        gates = {
            metric: {"value": value, "tolerance": tolerance_of(metric)}
            for metric, value in sorted(measured.figures.items())
        }
        provenance = {
            "command": "python -m tests.gates --rebaseline",
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{name: version(name) for name in LIBRARIES},
        }
        new[part] = {
            "data_hash": measured.data_hash,
            "provenance": provenance,
            "gates": gates,
        }
    return {"format": "gates-1", "parts": dict(sorted(new.items()))}


def save(baseline: dict[str, Any]) -> None:
    """Write the baseline to a temporary name, then rename."""
    partial = BASELINE.with_suffix(".part")
    partial.write_text(json.dumps(baseline, indent=1) + "\n", encoding="utf-8")
    partial.replace(BASELINE)
