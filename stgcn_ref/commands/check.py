"""`python -m stgcn_ref data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from stgcn_ref.commands.options import JsonSettings, ReaderSettings
from stgcn_ref.commands.settings import Positional
from stgcn_ref.data_check import as_json, as_text
from stgcn_ref.data_check import check as check_folder
from stgcn_ref.datasets.hugadb_files import Labels


class CheckSettings(JsonSettings):
    """Options of `data check`."""

    path: Annotated[Path, Positional("PATH")] = Field(
        description="A folder of recordings, or one file."
    )
    labels: Labels = Field("v2", description="Version of the labels (HuGaDB).")
    reader: ReaderSettings = Field(ReaderSettings(), description="Settings of the set's reader.")


def check(given: CheckSettings) -> None:
    """Read every recording under PATH; count classes, participants, gaps and faults."""
    report = check_folder(given.path, given.labels, given.reader.model_extra)
    typer.echo(as_json(report) if given.as_json else as_text(report))
