"""Rows of a comparison of quantisers: what was measured, as a CSV file and as tables of means."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import mean
from typing import Annotated

from pydantic import Field

from fxp.errors import InputError
from fxp.files import replacing
from fxp.spec import QuantSpec, Spec, parse_spec

FLOAT = "float"


class Widths(Spec):
    """Bits of weights, of operands and of residual streams (by default the operands')."""

    weights: Annotated[int, Field(ge=2, le=16)]
    operands: Annotated[int, Field(ge=2, le=16)]
    streams: Annotated[int | None, Field(ge=2, le=16)] = None

    def __str__(self) -> str:
        """As it is given: `8,8` or `8,8,12`."""
        return ",".join(str(w) for w in (self.weights, self.operands, self.streams) if w)

    def spec(self) -> QuantSpec:
        """The widths as this toolkit's quantisation has them."""
        return QuantSpec(
            weight_bits=self.weights, activation_bits=self.operands, stream_bits=self.streams
        )


def parse_widths(text: str) -> Widths:
    """`W,A` or `W,A,S` in bits.

    Raises:
        InputError: not two or three whole numbers from 2 to 16.
    """
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise InputError(f"--widths {text!r}: `weights,operands` or with `,streams` is needed")
    return parse_spec(Widths, dict(zip(Widths.model_fields, parts, strict=False)), "--widths")


@dataclass(frozen=True)
class Row:
    """One network, quantised one way. Scores and agreement in percent, `seconds` of quantising.

    `topology` is the key of the float network in its sweep, `test` the participants scored.
    """

    network: str
    seed: int
    topology: str
    test: str
    widths: str
    method: str
    frame_accuracy: float
    f1_50: float
    agreement: float
    seconds: float


MEASURES: tuple[tuple[str, Callable[[Row], float]], ...] = (
    ("frame accuracy, %", lambda row: row.frame_accuracy),
    ("F1@50, %", lambda row: row.f1_50),
    ("argmax agreement with float, %", lambda row: row.agreement),
    ("seconds to quantise", lambda row: row.seconds),
)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """All rows as CSV, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        for row in rows:
            writer.writerow(f"{x:.2f}" if isinstance(x, float) else x for x in astuple(row))


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that `write_rows` wrote; none where there is no file.

    Raises:
        InputError: the file holds something else.
    """
    if not path.exists():
        return []
    kinds = [{"int": int, "float": float}.get(str(field.type), str) for field in fields(Row)]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        if header != [field.name for field in fields(Row)]:
            raise ValueError
        return [Row(*(k(x) for k, x in zip(kinds, line, strict=True))) for line in lines]
    except ValueError:
        raise InputError(f"{path}: not a file of this command's rows") from None


def tables(rows: Sequence[Row]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """A table a network and measure: methods down, widths across, means over seeds.

    The float network, which has no widths, stands in the title of its table. A cell that lacks a
    seed which others of its table have is left open.

    Yields:
        Column names, the first one the title, and rows.
    """
    for network in dict.fromkeys(row.network for row in rows):
        own = [row for row in rows if row.network == network]
        quantised = [row for row in own if row.method != FLOAT]
        widths = list(dict.fromkeys(row.widths for row in quantised))
        seeds = len({row.seed for row in quantised})
        for title, measure in MEASURES:
            reference = [measure(row) for row in own if row.method == FLOAT]
            shown = title if title.startswith(("argmax", "seconds")) else _with(title, reference)
            lines = []
            for method in dict.fromkeys(row.method for row in quantised):
                of_method = [row for row in quantised if row.method == method]
                found = [[measure(row) for row in of_method if row.widths == w] for w in widths]
                lines.append(
                    [method, *(f"{mean(x):.1f}" if len(x) == seeds else "-" for x in found)]
                )
            yield [f"{network}: {shown}", *widths], lines


def _with(title: str, reference: Sequence[float]) -> str:
    return f"{title} (float {mean(reference):.1f})" if reference else title
