"""`python -m fxp certify`: the width of every accumulator, proven for all inputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from fxp.accumulators import Accumulator, accumulators, by_layer, check_bits
from fxp.errors import InputError
from fxp.ir import Graph
from fxp.ranges import certify
from fxp.store import load_graph
from fxp.tables import print_table


def certify_command(
    net: Annotated[Path, typer.Argument(metavar="NET", help="Model file of an integer network.")],
    bits: Annotated[
        int | None,
        typer.Option(min=1, max=63, help="Width to certify; default: the network's own."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Prove the width of every accumulator: worst case over all inputs, from the actual weights.

    Per accumulator and per layer: the extremes of the sum, `bits` that hold them, `needed_bits`
    that stored words depend on (fewer where a wrapped sum does no harm), and `format_bits` that
    would be needed for any weights of the same formats.

    Exit code 2 if the width is too narrow; the line names the layer, its extremes and the width it
    needs.
    """
    graph = load_graph(net)
    found = accumulators(graph)
    width = graph.accumulator_bits if bits is None else bits
    try:
        check_bits(found, width)
        certify(replace(graph, accumulator_bits=width))
    except InputError as error:
        raise InputError(f"{net}: {error}") from None
    if as_json:
        typer.echo(json.dumps(_data(graph, found, width), indent=1))
    else:
        _print(found, width)


def _data(graph: Graph, found: Sequence[Accumulator], width: int) -> dict[str, object]:
    return {
        "network": graph.name,
        "certified_bits": width,
        "minimal_bits": _most(found, "needed_bits"),
        "format_bits": _most(found, "format_bits"),
        "wrapping": _wrapping(found, width),
        "layers": [asdict(layer) for layer in by_layer(found)],
        "accumulators": [asdict(each) | {"saved_bits": each.saved_bits} for each in found],
    }


def _print(found: Sequence[Accumulator], width: int) -> None:
    columns = ("node", "kind", "lowest", "highest", "bits", "needed_bits", "format_bits", "saved")
    rows = [
        (e.node, e.kind, e.lo, e.hi, e.bits, e.needed_bits, e.format_bits, e.saved_bits)
        for e in found
    ]
    print_table(columns, rows)
    typer.echo()
    layers = [
        (e.layer, e.bits, e.needed_bits, e.format_bits, e.format_bits - e.bits)
        for e in by_layer(found)
    ]
    print_table(("layer", "bits", "needed_bits", "format_bits", "saved"), layers)
    typer.echo(f"\nminimal accumulator_bits {_most(found, 'needed_bits')}")
    typer.echo(f"from formats alone {_most(found, 'format_bits')}")
    typer.echo(f"certified at {width} bits")
    for name in _wrapping(found, width):
        typer.echo(f"{name} may wrap: no stored word depends on what {width} bits lose")


def _most(found: Sequence[Accumulator], key: str) -> int:
    return max((getattr(each, key) for each in found), default=1)


def _wrapping(found: Sequence[Accumulator], width: int) -> list[str]:
    """Accumulators whose sums exceed the width, harmlessly."""
    return [each.node for each in found if each.bits > width]
