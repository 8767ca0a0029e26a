"""What is synthesised for: the commands of each target, and how its cells are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from fxp.errors import InputError
from hw_model.accelerator import Target
from hw_model.calibrate.yosys import Netlist

TARGETS: tuple[Target, ...] = get_args(Target)
LIBERTY = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")  # of Debian's qflow-tech-osu018
NAND2 = "NAND2X1"

_XILINX = "synth_xilinx -noiopad -noclkbuf -flatten -top {top} -family"
_COMMANDS: Mapping[Target, tuple[str, ...]] = {
    "xc7": (_XILINX + " xc7",),
    "xc7-nodsp": (_XILINX + " xc7 -nodsp",),
    "xcup": (_XILINX + " xcup",),
    "ice40": ("synth_ice40 -top {top}",),
    "osu018": (
        "synth -flatten -top {top}",
        "dfflibmap -liberty {liberty}",
        "abc -liberty {liberty}",
        "opt_clean",
    ),
}
_LUTS = ("LUT", "SRL", "SB_LUT4")  # a shift register of an SRL takes a look-up table
_REGISTERS = ("FD", "SB_DFF", "DFF")


@dataclass(frozen=True, slots=True)
class Script:
    """Commands that synthesise, and the one that counts."""

    commands: tuple[str, ...]
    stat: str


def commands(target: Target, top: str = "engine") -> tuple[str, ...]:
    """The commands of a target for a module, the place of a Liberty file left open."""
    return tuple(command.replace("{top}", top) for command in _COMMANDS[target])


def script(target: Target, liberty: Path, top: str = "engine") -> Script:
    """How a module is synthesised.

    Raises:
        InputError: standard cells are wanted and their Liberty file is not there.
    """
    if target != "osu018":
        return Script(commands(target, top), "stat")
    if not liberty.is_file():
        raise InputError(
            f"{liberty}: no such Liberty file (Debian: apt-get install qflow-tech-osu018; "
            "or name one by --liberty)"
        )
    steps = tuple(command.format(liberty=liberty) for command in commands(target, top))
    return Script(steps, f"stat -liberty {liberty}")


def counted(netlist: Netlist, nand2_area: float | None) -> dict[str, float]:
    """Look-up tables, registers and DSP blocks; of standard cells area in NAND2 equivalents."""
    cells = netlist.cells
    registers = _sum(cells, _REGISTERS)
    if netlist.area is not None:
        assert nand2_area is not None
        return {"nand2": netlist.area / nand2_area, "ffs": registers}
    return {"luts": _sum(cells, _LUTS), "ffs": registers, "dsps": _sum(cells, ("DSP48",))}


def nand2_area(liberty: Path) -> float:
    """Area of a NAND gate in a Liberty file.

    Raises:
        InputError: it has no cell of that name.
    """
    text = liberty.read_text(encoding="utf-8", errors="replace")
    at = text.find(f"cell ({NAND2})")
    area = text.find("area", at)
    if at < 0 or area < 0:
        raise InputError(f"{liberty}: has no cell {NAND2} with an area")
    return float(text[area:].split(":", 1)[1].split(";", 1)[0])


def _sum(cells: Mapping[str, int], kinds: tuple[str, ...]) -> int:
    return sum(count for cell, count in cells.items() if cell.startswith(kinds))
