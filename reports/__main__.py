"""`python -m reports DIR`: draw the reports of a results directory again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxp.console import run
from reports.summary import write_reports

app = typer.Typer(add_completion=False)


@app.command()
def main(
    directory: Annotated[Path, typer.Argument(help="results directory of a finished sweep")],
) -> None:
    """Write figures (PNG, SVG) and summary.md from results.csv and sweep.json of DIRECTORY."""
    for path in write_reports(directory):
        typer.echo(path)


if __name__ == "__main__":
    run(app)
