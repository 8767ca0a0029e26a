"""`python -m fxp stress`: golden bundles that reach the extremes of every accumulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxp.store import load_graph
from fxp.stress_bundles import write_stress
from fxp.tables import print_table


def stress_command(
    net: Annotated[Path, typer.Argument(metavar="NET", help="Model file of an integer network.")],
    out: Annotated[Path, typer.Option(help="Folder; new, empty, or of older stress bundles.")],
    node: Annotated[
        list[str] | None,
        typer.Option(help="Accumulator or argmax to stress (repeat; default: all)."),
    ] = None,
    lanes: Annotated[int, typer.Option(help="Channels packed into one memory word.")] = 1,
) -> None:
    """Write a golden bundle per accumulator and argmax: that node alone, driven to its extremes.

    Besides both extremes, clips hold frames at the edges of the operands' ranges and sums halfway
    between two words of each cast. stress.json says which frame is for what.
    """
    listed = write_stress(load_graph(net), out, node, lanes)
    columns = ("bundle", "kind", "lowest", "highest", "frames", "ties")
    rows = [
        (
            case["bundle"],
            case["kind"],
            case["lowest"] if "lowest" in case["purposes"] else "",
            case["highest"] if "highest" in case["purposes"] else "",
            case["frames"],
            sum(purpose.startswith("ties") for purpose in case["purposes"]),
        )
        for case in listed["cases"]
    ]
    print_table(columns, rows)
    for name, reason in listed["without"].items():
        typer.echo(f"{name}: no case: {reason}")
    typer.echo(f"{out}: {len(rows)} bundles, graph {listed['graph_hash'][:12]}")
