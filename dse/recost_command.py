"""`python -m dse recost`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from dse.recost import (
    ALL,
    Change,
    Recosted,
    changes,
    check_columns,
    moved,
    recost_sweep,
    write_recosted,
)
from dse.watch import watching
from fxp.tables import print_table


def recost(
    directory: Annotated[Path, typer.Argument(help="results directory of a sweep")],
    accelerator: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET_OR_YAML", help="price all points on this one (default: their own)"
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="column to group the changes by, may be repeated (weight_bits)"),
    ] = None,
) -> None:
    """Price the kept networks of a sweep by today's cost model; write recosted.csv and its front.

    Prints how much each cost changed. The store and the sweep's own tables stay as they are.
    """
    columns = by or ["weight_bits"]
    check_columns(columns)
    with watching() as (_, watch):
        recosted = recost_sweep(directory, accelerator, watch)
    found = list(changes(recosted, columns))
    paths = write_recosted(recosted, directory)
    _print_changes(found, columns)
    for line in (*_left_out(recosted), *_front(recosted), *map(str, paths)):
        typer.echo(line)


def _print_changes(found: Sequence[Change], columns: Sequence[str]) -> None:
    """The costs that changed as a table, the others in a line."""
    changed = {change.metric for change in found if change.least or change.largest}
    rows = [
        (c.metric, c.group, c.points, *map(_signed, (c.least, c.median, c.largest)))
        for c in found
        if c.metric in changed
    ]
    if rows:
        header = ("cost", ", ".join(columns), "points", "least %", "median %", "largest %")
        print_table(header, rows)
    same = [c.metric for c in found if c.group == ALL and c.metric not in changed]
    if same:
        typer.echo(f"unchanged: {', '.join(same)}")


def _signed(percent: float) -> str:
    return f"{percent:+.2f}" if percent else "0"


def _left_out(recosted: Recosted) -> Iterator[str]:
    if recosted.left_out:
        yield f"points without a kept network: {len(recosted.left_out)}"
        for record, reason in recosted.left_out:
            yield f"  {record['design']}: {reason}"
    if recosted.missing:
        yield f"points not evaluated yet: {recosted.missing}"


def _front(recosted: Recosted) -> Iterator[str]:
    """How the front and the feasible points changed."""
    before = sum(record["front"] is not None for record in recosted.then)
    entered, left = moved(recosted)
    yield (
        f"front of {len(recosted.now)} points: {before} then, {len(recosted.front)} now;"
        f" {len(entered)} entered, {len(left)} left"
    )
    for word, records in (("entered", entered), ("left", left)):
        for record in records:
            reason = f" ({record['reason']})" if record["reason"] else ""
            yield f"  {word}: {record['design']}{reason}"
    then, now = (
        sum(record["status"] != "ok" for record in records)
        for records in (recosted.then, recosted.now)
    )
    if then or now:
        yield f"infeasible points: {then} then, {now} now"
