"""`python -m fxp explain`: what the engine does with a network, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fxp.errors import InputError
from fxp.explain import ALONE, Explanation, Row, explain_plan, label_of, tiers_up_to
from fxp.fused.tiers import Tier
from fxp.plan import compile_graph
from fxp.store import load_graph
from fxp.tables import print_table

_COLUMNS = (
    *("step", "kind", "engine", "bits", "operand_bits", "weight_bits", "period"),
    *("words", "macs", "constant_bytes", "state_bytes", "why"),
)


def explain_command(
    net: Annotated[Path, typer.Argument(metavar="NET", help="Model file of an integer network.")],
    tier: Annotated[
        Tier | None,
        typer.Option(help="Only this tier and the plainer ones; default: all this machine has."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what the engine does with a network: its passes, their tiers or lanes, and why.

    One row per step, in the order of the work. `bits` are what its sums need in the worst case over
    all inputs, bias and rounding included; `why` says why nothing narrower does. Words and
    multiply-accumulates are per frame of the step's value, which has one for every `period` frames
    of the input.

    Exit code 2 if this processor lacks the tier.
    """
    allowed = None if tier is None else tiers_up_to(tier)
    graph = load_graph(net)
    try:
        explained = explain_plan(compile_graph(graph, tiers=allowed))
    except InputError as error:
        raise InputError(f"{net}: {error}") from None
    if as_json:
        data = {"network": graph.name} | asdict(explained)
        typer.echo(json.dumps(data, indent=1))
    else:
        _print(explained)


def _print(explained: Explanation) -> None:
    print_table(_COLUMNS, [_cells(row) for row in explained.rows])
    typer.echo(f"\nmachine_tiers {' '.join(explained.machine)}")
    typer.echo(f"allowed_tiers {' '.join(explained.allowed)}")
    typer.echo(f"chunk_frames {explained.chunk_frames}")
    typer.echo(f"macs_per_frame {explained.macs:.0f}")
    for engine, percent in explained.mac_percent.items():
        typer.echo(f"macs_{engine.replace(' ', '_')} {percent:.1f} %")
    alone = [row for row in explained.rows if row.kind == ALONE]
    typer.echo(f"nodes_alone {len(alone)}")
    for row in alone:
        typer.echo(f"{row.nodes[0]} alone: {row.why}")


def _cells(row: Row) -> tuple[object, ...]:
    return (
        label_of(row),
        row.kind,
        row.engine,
        row.bits,
        "" if row.operand_bits is None else row.operand_bits,
        "" if row.weight_bits is None else row.weight_bits,
        row.period,
        row.words,
        row.macs,
        row.constant_bytes,
        row.state_bytes,
        row.why,
    )
