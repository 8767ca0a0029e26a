"""The files of a choice of widths: everything tried, and widths that other commands take."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dse.metrics import COSTS
from dse.mixed.bench import Bench, Trial
from dse.mixed.choose import Choice, savings
from dse.mixed.proxy import Guesses
from dse.mixed.widths import Design, as_layers, spec_of
from dse.rows import Row
from fxp.files import replacing

RESULTS, TABLE = "mixed.json", "mixed.csv"
BEST, BEST_UNIFORM = "best.yaml", "best-uniform.yaml"


def results_of(
    bench: Bench,
    choice: Choice,
    guesses: Guesses,
    correlation: Mapping[str, float | None],
    about: Mapping[str, Any],
    scored: Mapping[str, Any] | None,
) -> Row:
    """Everything that was tried and what was found, JSON data."""
    recipe, known = bench.recipe, choice.sensitivity
    single = recipe.cost.keys() if len(recipe.cost) == 1 else ()
    return {
        **about,
        "cost": recipe.cost,
        "cost_label": " + ".join(COSTS[name].label for name in recipe.cost),
        "cost_unit": next((COSTS[name].unit for name in single), ""),
        "cost_unit_of_1": bench.unit,
        "budget": recipe.budget.model_dump(exclude_none=True),
        "beyond": recipe.beyond,
        "parts": [list(part) for part in known.parts],
        "trials": [_trial(trial) for trial in bench.trials.values()],
        "sensitivity": [
            {
                "layer": part.layer,
                "kind": part.kind,
                "bits": width,
                "divergence_added": known.loss(part, width),
                "cost_added": known.cost(part, width),
                "proxy": guesses.get((part, width)),
            }
            for part, width in known.changes()
        ],
        "proxy_correlation": dict(correlation),
        "widest": known.base.key,
        "uniform": [trial.key for trial in choice.uniform],
        "trimmed": [trial.key for trial in choice.trimmed],
        "uniform_front": [trial.key for trial in choice.uniform_front],
        "mixed_front": [trial.key for trial in choice.mixed_front],
        "best": choice.best and choice.best.key,
        "best_uniform": choice.best_uniform and choice.best_uniform.key,
        "savings": [
            {"uniform": s.uniform.key, "mixed": s.mixed.key, "percent": s.percent}
            for s in savings(choice)
        ],
        "scored": scored,
    }


def write_results(folder: Path, found: Row, bench: Bench, choice: Choice) -> None:
    """Write the JSON, the table, and a file of widths for every design of the mixed front.

    Raises:
        InputError: a file cannot be written.
    """
    _write(folder / RESULTS, json.dumps(found, indent=1) + "\n")
    _write(folder / TABLE, _table(found))
    for trial, name in ((choice.best, BEST), (choice.best_uniform, BEST_UNIFORM)):
        if trial is not None:
            _write(folder / name, spec_text(bench, trial.design))
        else:
            (folder / name).unlink(missing_ok=True)
    for old in (folder / "front").glob("*.yaml"):  # of a longer front
        old.unlink()
    for place, trial in enumerate(choice.mixed_front):
        _write(folder / "front" / f"{place:02d}.yaml", spec_text(bench, trial.design))


def spec_text(bench: Bench, design: Design) -> str:
    """The widths of a design as `export --quant` and `qat --quant` read them."""
    spec = spec_of(bench.base, design)
    data = spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return yaml.safe_dump(data, sort_keys=False)


def _trial(trial: Trial) -> Row:
    refused = {"refused": trial.refused} if trial.refused else {}
    measured = {} if trial.refused else {"cost": trial.cost, "divergence": trial.divergence}
    return {
        "key": trial.key,
        "origin": trial.origin,
        **measured,
        **trial.costs,
        **refused,
        "widths": as_layers(trial.design),
    }


def _table(found: Row) -> str:
    """One row a design: origin, cost, losses, every cost of the model, and a column a part."""
    parts = [tuple(part) for part in found["parts"]]
    columns = ["key", "origin", "cost", "divergence", "argmax_agreement", *COSTS, "refused"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*columns, *(f"{layer}.{kind}" for layer, kind in parts)])
    for trial in found["trials"]:
        bits = [trial["widths"][layer][kind] for layer, kind in parts]
        table.writerow([*(trial.get(column, "") for column in columns), *bits])
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
