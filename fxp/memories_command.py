"""`python -m fxp export-memories`: a golden bundle's memories in the formats of other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fxp.axis import Extent
from fxp.errors import InputError
from fxp.memory_files import BYTES, TIGHT, Form, Stream, export_memories


class Slot(StrEnum):
    """What a word takes of TDATA."""

    BYTES = "bytes"
    TIGHT = "tight"
    W8 = "8"
    W16 = "16"
    W32 = "32"


_SLOT_BITS = {Slot.BYTES: BYTES, Slot.TIGHT: TIGHT}


def export_memories_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a golden bundle.")],
    out: Annotated[Path, typer.Option(help="Folder; new, empty, or of an older export.")],
    forms: Annotated[
        str, typer.Option("--as", metavar="FORMS", help="Of coe, mif, c, axis; commas between.")
    ],
    tdata_bytes: Annotated[int | None, typer.Option(help="Of axis: width of TDATA; 4.")] = None,
    slot: Annotated[
        Slot | None,
        typer.Option(help="Of axis: bits per word, or whole bytes that hold it (bytes), or tight."),
    ] = None,
    row: Annotated[
        Extent | None, typer.Option(help="Of axis: joint or frame begins a beat; frame.")
    ] = None,
    packet: Annotated[
        Extent | None, typer.Option(help="Of axis: frame or clip ends with TLAST; frame.")
    ] = None,
) -> None:
    """Write a bundle's memories as .coe, .mif, C headers or AXI4-Stream beats.

    coe, mif, c: every memory of the bundle. axis: the stimulus, and the outputs it holds.
    """
    wanted = _forms(forms)
    given = {
        "--tdata-bytes": tdata_bytes,
        "--slot": slot,
        "--row": row,
        "--packet": packet,
    }
    for option, value in given.items():
        if value is not None and Form.AXIS not in wanted:
            raise InputError(f"`{option}` has no meaning without `axis` in `--as`")
    slot = slot or Slot.BYTES
    slot_bits = _SLOT_BITS[slot] if slot in _SLOT_BITS else int(slot)
    stream = Stream(
        4 if tdata_bytes is None else tdata_bytes,
        slot_bits,
        row or Extent.FRAME,
        packet or Extent.FRAME,
    )
    listed = export_memories(bundle, out, wanted, stream)
    counts = ", ".join(
        f"{sum(entry['form'] == form for entry in listed['files'])} {form}" for form in wanted
    )
    typer.echo(f"{out}: {counts}, graph {listed['graph_hash'][:12]}")


def _forms(text: str) -> list[Form]:
    found = []
    for name in dict.fromkeys(text.split(",")):
        if name not in list(Form):
            raise InputError(f"`--as`: forms are {', '.join(Form)}, got {name!r:.40}")
        found.append(Form(name))
    return found
