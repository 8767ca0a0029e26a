"""Measure everything under gate; print it beside the baseline, or make it the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxp.console import run
from tests.gates import baseline
from tests.gates.measure import PARTS, Measured, hugadb

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    rebaseline: Annotated[bool, typer.Option(help="Store the figures measured now.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="HuGaDB folder; without it that part stays as it is.")
    ] = None,
) -> None:
    """Compare with the baseline; exit code 1 if a gate fails."""
    measured: dict[str, Measured] = {name: measure() for name, measure in PARTS.items()}
    if data is not None:
        measured["hugadb"] = hugadb(data)
    stored = baseline.load() if baseline.BASELINE.is_file() else {"parts": {}}
    found = [d for name, m in measured.items() for d in baseline.compare(name, stored, m)]
    for name, part in measured.items():
        for metric, value in sorted(part.figures.items()):
            typer.echo(f"{name}/{metric} = {value}")
    for difference in found:
        typer.echo(str(difference))
    if rebaseline:
        baseline.save(baseline.rebaselined(stored, measured))
        typer.echo(f"stored in {baseline.BASELINE.name}; review the difference and commit it")
    elif any(d.regression for d in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    run(app)
