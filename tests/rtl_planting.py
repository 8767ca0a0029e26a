"""What a planted bug of the engine is: exact replacements, and which run finds it.

A run is one of a bundle's: its clip gap-free (`words` where a word or its place is wrong, `cycles`
where a frame ends too late or too early), its clip with stalls, two clips in a row, stress clips.
The first of them, in that order, that finds a bug is named with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Finder = Literal["words", "cycles", "words cycles", "stalls", "clips", "stress"]


@dataclass(frozen=True, slots=True)
class Edit:
    """`old`, which `file` has exactly once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, the special network that shows it (`tests.rtl_networks`), and the first finder."""

    network: str
    found_by: Finder
    edits: tuple[Edit, ...]


def bug(network: str, found_by: Finder, file: str, old: str, new: str, *more: Edit) -> Bug:
    """A bug of one edit in `file`.sv, or more."""
    return Bug(network, found_by, (Edit(f"{file}.sv", old, new), *more))


@dataclass(frozen=True, slots=True)
class UnitBug:
    """A bug of a unit, the case of its own bench (`tests.rtl_unit_cases`) that finds it.

    Where `network` names a special network, all that network's runs pass in spite of the bug.
    """

    case: str
    edits: tuple[Edit, ...]
    network: str | None = None


def unit_bug(case: str, file: str, old: str, new: str, network: str | None = None) -> UnitBug:
    """A bug of one edit in `file`.sv."""
    return UnitBug(case, (Edit(f"{file}.sv", old, new),), network)


# memories that are zero when power comes, as those of an FPGA: what was never written looks right
ZEROED = Edit(
    "ram.sv",
    "  always_ff @(posedge clk) begin\n",
    "  initial for (int i = 0; i < DEPTH; i++) words[i] = '0;\n  always_ff @(posedge clk) begin\n",
)
