"""Everything the bench reads: hex memories with their checksums, and its generated includes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from fxp.ir import IntArray
from hw_model.rtl.design import BOOT_MEMORIES, Design, include_files
from hw_model.rtl.expected import Lines, expected_lines, input_lines
from hw_model.rtl.timing import clip_timing

STALL_CYCLES = 4096
_NAMES = {"program": "PROGRAM", "weights": "WEIGHTS", "bias": "BIAS", "norm": "NORM"} | {
    "edges": "EDGES",
    "delta": "DELTA",
}


@dataclass(frozen=True, eq=False)
class BenchFiles:
    """Text of each file by name, and the lines of each port, to find a difference again."""

    files: Mapping[str, bytes]
    ports: Mapping[str, Lines]
    cycles: int


def bench_files(
    design: Design, clip: IntArray, values: Mapping[str, IntArray], seed: int, stall: float = 0.25
) -> BenchFiles:
    """The bench's files for a clip `(T, C, V)` of input words.

    Args:
        design: the network on the engine.
        clip: the stimulus.
        values: as `hw_model.rtl.expected.expected_lines` wants them.
        seed: of the stall patterns.
        stall: share of cycles in which either side stalls.
    """
    files: dict[str, bytes] = {}
    params: list[str] = []
    for name in BOOT_MEMORIES:
        bits, words = design.memories[name]
        text = hex_words(words or (0,), bits)
        files[f"{name}.hex"] = text
        params += _file_params(_NAMES[name], text)
        params.append(f"localparam int {_NAMES[name]}_WORDS = {len(words)};")
    ports = expected_lines(design, values, len(clip))
    timing = clip_timing(design, len(clip))
    rng = np.random.default_rng(seed)
    stalls = (rng.random((STALL_CYCLES, 2)) < stall) @ np.array([1, 2])
    plain = {
        "input": input_lines(design, clip).text(),
        "cycles": hex_words((frame.ends for frame in timing), 32),
        "stalls": hex_words(stalls.tolist(), 2),
        **{name: lines.text() for name, lines in ports.items()},
    }
    for name, text in plain.items():
        files[f"{name}.hex"] = text
        params += _file_params(name.upper(), text)
    params.append(f"localparam int LIMIT = {4 * timing[-1].ends + 10_000};")
    files["bench_params.svh"] = _text("Counts and checksums of the bench's files.", params)
    files["bench_ports.svh"] = _text("One check for each memory that is written.", _ports(ports))
    files |= {name: text.encode() for name, text in include_files(design).items()}
    return BenchFiles(files, ports, timing[-1].ends)


def hex_words(words: Iterable[int], bits: int) -> bytes:
    """One word a line, exactly `ceil(bits / 4)` lower-case digits, LF after each."""
    digits = -(-bits // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words).encode()


def checksum(text: bytes) -> int:
    """The fold of all words that the bench makes again: rotate left, exclusive or, 32 bits."""
    lines = np.frombuffer(text, np.uint8).reshape(-1, text.index(b"\n") + 1)[:, :-1]
    values = np.where(lines >= ord("a"), lines - ord("a") + 10, lines - ord("0")).astype(np.int64)
    folds = -(-values.shape[1] // 8)
    padded = np.pad(values, ((0, 0), (folds * 8 - values.shape[1], 0)))
    place = 16 ** np.arange(7, -1, -1, dtype=np.int64)
    chunks = padded.reshape(len(padded), folds, 8) @ place  # most significant first
    total = 0
    for chunk in chunks[:, ::-1].reshape(-1).tolist():
        total = (((total << 1) | (total >> 31)) & 0xFFFFFFFF) ^ chunk
    return total


def _file_params(name: str, text: bytes) -> list[str]:
    return [
        f"localparam int {name}_COUNT = {text.count(10)};",
        f"localparam logic [31:0] {name}_SUM = 32'h{checksum(text):08x};",
    ]


def _text(about: str, lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in (f"// Generated. {about}", *lines)).encode()


def _ports(ports: Mapping[str, Lines]) -> list[str]:
    """Checks of writes into the memories of values and of temporal sums."""
    found, loads, sums = [], [], []
    for name, lines in ports.items():
        if name == "outputs":
            continue
        bits = lines.words.shape[1] * lines.bits
        found += [
            f"port_check #(.WIDTH({bits}), .COUNT({name.upper()}_COUNT),",
            f"    .CHECKSUM({name.upper()}_SUM)) check_{name} (",
            f"    .clk, {_strobe(name)});",
        ]
        loads.append(f'  check_{name}.load(folder, "{name}.hex");')
        sums.append(f" + check_{name}.failures()")
    return [
        *found,
        "task automatic load_ports();",
        *loads,
        "endtask",
        "function automatic int port_failures();",
        f"  port_failures = 0{''.join(sums)};",
        "endfunction",
    ]


def _strobe(name: str) -> str:
    if name.startswith("values"):
        at = f"dut.g_values[{name.removeprefix('values')}]"
        return (
            f".strobe({at}.write && !{at}.loading), .address(32'({at}.u_ram.write_addr)),\n"
            f"    .data({at}.written)"
        )
    ram = {"fifo": "u_fifo", "totals": "u_totals"}[name]
    at = f"dut.g_sum.{ram}"
    return f".strobe({at}.write), .address(32'({at}.write_addr)), .data({at}.write_data)"
