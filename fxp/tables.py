"""Tables of the commands: drawn by rich on a terminal, plain aligned columns anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their column names; columns of numbers (or nothing) are right-aligned.

    Away from a terminal each row is one line, never wrapped or cut, so that text tools can read it.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) or row[i] == "" for row in rows)
        for i in range(len(columns))
    ]
    if sys.stdout.isatty():
        _draw(columns, cells, numeric)
        return
    for line in plain_lines(columns, cells, numeric):
        sys.stdout.write(line + "\n")


def plain_lines(
    columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> list[str]:
    """The table as lines: columns two spaces apart, no trailing spaces."""
    table = [columns, *cells]
    widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
    aligned = (
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        for row in table
    )
    return [line.rstrip() for line in aligned]


def _draw(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    from rich.console import Console  # only where there is a terminal to draw on
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column, right in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))  # never read as markup
    Console().print(table)
