"""`python -m fxp diff`: the first word in which two implementations differ, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fxp.diff import Comparison, Difference, compare
from fxp.sides import read_pair
from fxp.tables import print_table

MOST_WORDS = 16  # of one operand in the text; all of them are in the JSON
SIDE_HELP = "Model file, golden bundle, or folder of values (.npy or .hex)."


def diff_command(
    a: Annotated[Path, typer.Argument(metavar="A", help=SIDE_HELP)],
    b: Annotated[Path, typer.Argument(metavar="B", help=SIDE_HELP)],
    data: Annotated[
        Path | None,
        typer.Option(help="Input words (.npy or a bundle); default: those that A or B has."),
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option(help="Values in a word of .hex files (default: as the bundle, else 1)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the first word in which two implementations of a network differ, and the cause.

    Exit code 0 if all words that both have are equal, 1 if one differs, 2 on bad input.
    """
    result = compare(read_pair(a, b, data, lanes))
    if as_json:
        typer.echo(json.dumps(asdict(result), indent=1))
    else:
        _print(result)
    if result.first is not None:
        raise typer.Exit(1)


def _print(result: Comparison) -> None:
    words = sum(count.words for count in result.counts)
    if result.first is None:
        nodes = f"{len(result.counts)} of {result.nodes} nodes"
        typer.echo(f"equal: {words} words of {nodes}")
        return
    for line in _lines(result.first):
        typer.echo(line)
    typer.echo()
    rows = [
        (
            count.node,
            count.words,
            count.differing,
            "" if count.first_frame is None else count.first_frame,
        )
        for count in result.counts
    ]
    print_table(("node", "words", "differing", "first_frame"), rows)


def _lines(first: Difference) -> Iterator[str]:
    place = f"frame {first.frame}, channel {first.channel}, joint {first.joint}"
    yield f"first difference: {first.node} ({first.kind}), {place}"
    for side, word in (("A", first.a), ("B", first.b)):
        digits = -(-first.word_bits // 4)
        yield f"{side} {word} (0x{word & ((1 << first.word_bits) - 1):0{digits}x})"
    for operand in first.operands:
        shown = " ".join(map(str, operand.words[:MOST_WORDS]))
        more = " …" if len(operand.words) > MOST_WORDS else ""
        yield f"operand {operand.name}{operand.place} = {shown}{more}"
    if first.accumulator is not None and first.accumulator_frac_bits is not None:
        frac_bits = first.accumulator_frac_bits
        value = first.accumulator * 2.0**-frac_bits
        yield f"accumulator {first.accumulator} = {value:.9g} at {frac_bits} frac_bits"
    why = first.explanation
    yield f"cause {why.cause}: {first.wrong}: {why.text}"
    if why.differing:
        yield (
            f"this predicts {why.explained} of {why.differing} words that differ, "
            f"and {why.equal - why.moved} of {why.equal} that do not"
        )
