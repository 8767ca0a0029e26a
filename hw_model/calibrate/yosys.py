"""Yosys in processes of its own: what a script leaves, counted.

The library keeps state between runs and ends its process on an error, so every synthesis gets a new
one. The package `pyosys` brings Yosys along; nothing here imports it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fxp.errors import InputError

_PROGRAM = """
import sys
from pyosys import libyosys
for line in sys.stdin:
    libyosys.run_pass(line.strip())
"""


@dataclass(frozen=True, slots=True)
class Netlist:
    """A module after synthesis: cells by type, and their area where a Liberty file gives it."""

    cells: Mapping[str, int]
    area: float | None = None


def yosys_version() -> str:
    """The version of the installed `pyosys`.

    Raises:
        InputError: it is not installed.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise InputError("synthesis needs Yosys: pip install pyosys")
    return importlib.metadata.version("pyosys")


def netlists(
    sources: Mapping[str, str], commands: Sequence[str], stat: str = "stat"
) -> dict[str, Netlist]:
    """Read `sources` (texts by file name), run `commands`, and count what is in every module.

    Commands run in a folder that holds the sources; `stat` is the command that counts.

    Raises:
        InputError: Yosys is not installed, or it stopped with an error (the line is its own).
    """
    yosys_version()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, text in sources.items():
            folder.joinpath(name).write_text(text, encoding="utf-8")
        script = "\n".join([*commands, f"tee -q -o stat.json {stat} -json"])
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=script,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        counted = folder / "stat.json"
        if done.returncode or not counted.is_file():
            log = (done.stdout + done.stderr).splitlines()
            errors = [line for line in log if line.startswith("ERROR")] or log[-1:]
            raise InputError(f"Yosys stopped: {errors[0] if errors else 'without a word'}")
        found = json.loads(counted.read_text(encoding="utf-8"))["modules"]
    return {
        name.removeprefix("\\"): Netlist(about["num_cells_by_type"], about.get("area"))
        for name, about in found.items()
    }
