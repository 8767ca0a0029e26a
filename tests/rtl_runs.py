"""What tests of the RTL engine share: is a simulator there, files in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fxp.errors import InputError
from hw_model.rtl.toolchains import Simulator, find_tools


def need(simulator: Simulator) -> None:
    """Skip, saying why, where a simulator is missing."""
    try:
        find_tools(simulator)
    except InputError as error:
        pytest.skip(str(error))


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The folder, with these files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return folder
