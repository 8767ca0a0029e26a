"""`python -m reports`: draw the reports of a results directory again, the networks, a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxp.console import run
from reports.networks import write_network_figures
from reports.profile_figures import write_profile_figures
from reports.summary import write_reports

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Figures and tables.")


@app.command()
def sweep(
    directory: Annotated[Path, typer.Argument(help="results directory of a finished sweep")],
) -> None:
    """Write figures (PNG, SVG) and summary.md from results.csv and sweep.json of DIRECTORY."""
    for path in write_reports(directory):
        typer.echo(path)


@app.command()
def networks(
    out: Annotated[Path, typer.Option(help="directory of the figures, made if missing")],
) -> None:
    """Draw the partitions, blocks, shapes and reach of the networks (docs/networks.md) as PNG."""
    for path in write_network_figures(out):
        typer.echo(path)


@app.command()
def profile(
    path: Annotated[
        Path, typer.Argument(metavar="PROFILE.json", help="what `python -m fxp profile` wrote")
    ],
    out: Annotated[Path, typer.Option(help="directory of the figures, made if missing")],
) -> None:
    """Draw a profile: values over their formats, error along the network, sensitivity."""
    for file in write_profile_figures(path, out):
        typer.echo(file)


if __name__ == "__main__":
    run(app)
