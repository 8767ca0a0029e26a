"""What Yosys maps memories and products to: `python -m tests.golden.mapping` writes mapping.json.

The file holds the blocks of a simple dual-port memory over a grid of depths and widths, in short:
`3b36` three BRAM36, `b18`, `u` UltraRAM, `e` iCE40's EBR, `l` look-up tables as memory, `ff`
registers (of all its bits). And the DSP blocks of a product of signed words: a line for the width
of one, a digit for each width of the other up to that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fxp.files import replacing
from hw_model.calibrate.yosys import Netlist, netlists, yosys_version

FILE = Path(__file__).with_name("mapping.json")
COMMAND = "python -m tests.golden.mapping"
SETTINGS = {
    "xc7": "synth_xilinx -family xc7 -run prepare:map_ffram",
    "xcup": "synth_xilinx -family xcup -run prepare:map_ffram",
    "xcup huge": "synth_xilinx -family xcup -uram -run prepare:map_ffram",
    "ice40": "synth_ice40 -run flatten:map_ffram",
    "ice40 huge": "synth_ice40 -spram -run flatten:map_ffram",
}
DEPTHS = (1, 2, 5, 8, 16, 25, 32, 33, 48, 64, 65, 100, 128, 129, 200, 256, 257, 500, 512, 513)
DEPTHS += (1000, 1024, 1025, 1725, 2048, 2049, 3000, 4096, 4097, 8192, 8193, 10000, 16384, 16385)
DEPTHS += (32768, 65536, 65537)
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 17, 18, 20, 24, 27, 32, 36, 37, 40, 48, 64)
WIDTHS += (72, 73, 96, 108, 128, 144, 192, 256, 512)
PRODUCTS = {
    "xc7": "synth_xilinx -family xc7 -run prepare:coarse",
    "xcup": "synth_xilinx -family xcup -run prepare:coarse",
    "xc7 -nodsp": "synth_xilinx -family xc7 -nodsp -run prepare:coarse",
}
MOST_PRODUCT_BITS = 32
MOST_BITS = 4_000_000  # of a memory: larger ones take Yosys too long

LUTS = {"RAM32M": 4, "RAM64M": 4, "RAM128X1D": 4, "RAM32M16": 8, "RAM64M8": 8}
SHORT = {
    "RAMB36E1": "b36",
    "RAMB36E2": "b36",
    "RAMB18E1": "b18",
    "RAMB18E2": "b18",
    "URAM288": "u",
    "SB_RAM40_4K": "e",
    "$mem_v2": "ff",
    **dict.fromkeys(LUTS, "l"),
}


def points(depth: int) -> list[int]:
    """The widths that go with a depth."""
    return [width for width in WIDTHS if depth * width <= MOST_BITS]


def memory_text(depth: int, width: int) -> str:
    """A simple dual-port memory, `m_<depth>_<width>`; the engine's own (hw_model/rtl/ram.sv)."""
    address = max(1, (depth - 1).bit_length()) - 1
    return f"""module m_{depth}_{width}(input clk, we, re, input [{address}:0] wa, ra,
    input [{width - 1}:0] d, output reg [{width - 1}:0] q);
  reg [{width - 1}:0] words[0:{depth - 1}];
  always @(posedge clk) begin
    if (we) words[wa] <= d;
    if (re) q <= words[ra];
  end
endmodule
"""


def mapped(setting: str, depth: int, widths: list[int]) -> dict[int, str]:
    """What Yosys makes of memories of a depth, by width."""
    text = "".join(memory_text(depth, width) for width in widths)
    commands = ["read_verilog -sv memories.sv", "proc", SETTINGS[setting]]
    found = netlists({"memories.sv": text}, commands)
    return {width: short(found[f"m_{depth}_{width}"]) for width in widths}


def short(netlist: Netlist) -> str:
    """The memory blocks of a netlist."""
    counts: dict[str, int] = {}
    for cell, count in netlist.cells.items():
        if cell in SHORT:
            counts[SHORT[cell]] = counts.get(SHORT[cell], 0) + count * LUTS.get(cell, 1)
        assert cell in SHORT or "RAM" not in cell, cell
    return "+".join("ff" if kind == "ff" else f"{n}{kind}" for kind, n in sorted(counts.items()))


def products(setting: str) -> list[str]:
    """The DSP blocks of the products, line by line."""
    pairs = [(a, b) for a in range(1, MOST_PRODUCT_BITS + 1) for b in range(1, a + 1)]
    text = "".join(
        f"""module p_{a}_{b}(input signed [{a - 1}:0] a, input signed [{b - 1}:0] b,
    output signed [{a + b - 1}:0] y);
  assign y = a * b;
endmodule
"""
        for a, b in pairs
    )
    found = netlists({"products.sv": text}, ["read_verilog -sv products.sv", PRODUCTS[setting]])
    lines = [""] * MOST_PRODUCT_BITS
    for a, b in pairs:
        cells = found[f"p_{a}_{b}"].cells
        lines[a - 1] += str(sum(n for cell, n in cells.items() if cell.startswith("DSP48")))
    return lines


def main() -> None:
    """Write the file."""
    table: dict[str, dict[str, str]] = {}
    for setting in SETTINGS:
        table[setting] = {}
        for depth in DEPTHS:
            row = mapped(setting, depth, points(depth))
            table[setting][str(depth)] = " ".join(row[width] for width in points(depth))
            sys.stdout.write(f"{setting} {depth}\n")
    about = {"generator": COMMAND, "pyosys": yosys_version(), "widths": list(WIDTHS)}
    found = {**about, "memories": table, "products": {name: products(name) for name in PRODUCTS}}
    with replacing(FILE) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
