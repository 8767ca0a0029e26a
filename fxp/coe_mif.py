"""Memories of a golden bundle as the initialisation files of FPGA tools.

`.coe` is read by AMD's memory generators (UG896, "COE File Syntax"), `.mif` by Intel's Quartus
(Quartus help, "Memory Initialization File"). Both hold the words of the `.hex` file as they stand
there, digit by digit.
"""

from __future__ import annotations

from collections.abc import Sequence


def coe(words: Sequence[str], comment: str) -> str:
    """The text of a `.coe` file of at least one hex word."""
    return (
        f"; {comment}\n"
        "memory_initialization_radix=16;\n"
        "memory_initialization_vector=\n" + ",\n".join(words) + ";\n"
    )


def mif(words: Sequence[str], line_bits: int, comment: str) -> str:
    """The text of a `.mif` file of at least one hex word of so many bits, addresses in hex."""
    digits = len(f"{len(words) - 1:x}")
    lines = [f"{address:0{digits}x} : {word};\n" for address, word in enumerate(words)]
    return (
        f"-- {comment}\n"
        f"DEPTH = {len(words)};\n"
        f"WIDTH = {line_bits};\n"
        "ADDRESS_RADIX = HEX;\n"
        "DATA_RADIX = HEX;\n"
        "CONTENT\n"
        "BEGIN\n" + "".join(lines) + "END;\n"
    )
