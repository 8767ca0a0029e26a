"""Everything the bench reads: hex memories with their checksums, and its generated includes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fxp.ir import IntArray
from hw_model.rtl.design import Design, include_files
from hw_model.rtl.expected import Lines, expected_lines, held_lines, input_lines
from hw_model.rtl.timing import FrameTiming, clip_timing
from hw_model.streaming import NEAR, LineSource

STALL_CYCLES = 4096
SUMS = "sums.txt"


@dataclass(frozen=True, eq=False)
class BenchFiles:
    """Text of each file by name, and the lines of each port, to find a difference again.

    Lines are by the stem of their file: `outputs`, `values0`, ..., `fifo`, `totals`, and with
    `.end` what the memory of that name holds when the run has ended. `bits` are those of the words
    of a line, by file; before them stand the eight digits of an address in files of lines.
    """

    files: Mapping[str, bytes]
    ports: Mapping[str, Lines]
    timing: tuple[FrameTiming, ...]
    bits: Mapping[str, int]

    @property
    def cycles(self) -> int:
        """Of the whole run, from the first line taken to the end of the last frame."""
        return self.timing[-1].ends


def bench_files(
    design: Design,
    clip: IntArray,
    values: Mapping[str, IntArray],
    seed: int,
    stall: float = 0.25,
    source: LineSource = NEAR,
) -> BenchFiles:
    """All files for one run, the includes of its hardware among them; see `run_files`."""
    run = run_files(design, clip, values, seed, stall, source)
    return replace(run, files={**run.files, **hardware_files(design)})


def hardware_files(design: Design) -> dict[str, bytes]:
    """The includes: the same for every program on one piece of hardware."""
    files = {name: text.encode() for name, text in include_files(design).items()}
    files["bench_ports.svh"] = _ports(_port_bits(design))
    return files


def run_files(
    design: Design,
    clip: IntArray,
    values: Mapping[str, IntArray],
    seed: int,
    stall: float = 0.25,
    source: LineSource = NEAR,
) -> BenchFiles:
    """The hex memories for a clip `(T, C, V)` of input words, and `sums.txt` about them.

    Args:
        design: the network on the engine.
        clip: the stimulus.
        values: as `hw_model.rtl.expected.expected_lines` wants them.
        seed: of the stall patterns.
        stall: share of cycles in which the source of lines, who takes them, and the memory outside
            stall, each by itself.
        source: how weights that stream in come.
    """
    ports = expected_lines(design, values, len(clip))
    ports |= held_lines(design, clip, ports)
    timing = clip_timing(design, len(clip), source)
    rng = np.random.default_rng(seed)
    stalls = (rng.random((STALL_CYCLES, 2)) < stall) @ np.array([1, 2])
    stalls += 4 * (rng.random(STALL_CYCLES) < stall)
    plain: dict[str, tuple[int, Iterable[int]]] = {
        **{name: (bits, words or (0,)) for name, (bits, words) in design.memories.items()},
        "cycles": (32, [frame.ends for frame in timing]),
        "stalls": (3, stalls.tolist()),
        "source": (32, (source.latency, source.interval)),
    }
    files = {f"{name}.hex": hex_words(words, bits) for name, (bits, words) in plain.items()}
    bits = {f"{name}.hex": width for name, (width, _) in plain.items()}
    files["input.hex"] = input_lines(design, clip).text()
    bits["input.hex"] = design.parameters["LANES"] * design.parameters["IN_BITS"]
    for name, width in _line_bits(design).items():
        files[f"{name}.hex"] = ports[name].text() if name in ports else b""
        bits[f"{name}.hex"] = width
    return BenchFiles({**files, SUMS: sums_text(files)}, ports, timing, bits)


def sums_text(files: Mapping[str, bytes]) -> bytes:
    """A line for each hex memory: name, words, checksum."""
    sums = (f"{name} {text.count(10)} {checksum(text):08x}\n" for name, text in files.items())
    return "".join(sums).encode()


def hex_words(words: Iterable[int], bits: int) -> bytes:
    """One word a line, exactly `ceil(bits / 4)` lower-case digits, LF after each."""
    digits = -(-bits // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words).encode()


def checksum(text: bytes) -> int:
    """The fold of all words that the bench makes again: rotate left, exclusive or, 32 bits."""
    if not text:
        return 0
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


def _port_bits(design: Design) -> dict[str, int]:
    """Bits of a line of each memory that passes write, by the port's name."""
    p = design.parameters
    found = {f"values{at}": p["LANES"] * bits for at, (bits, _) in enumerate(design.values)}
    if p["HAS_SUM"]:
        found |= {"fifo": p["LANES"] * p["FIFO_BITS"], "totals": p["LANES"] * p["TOTAL_BITS"]}
    return found


def _line_bits(design: Design) -> dict[str, int]:
    """Bits of a line of each file of lines but the input's."""
    p, found = design.parameters, _port_bits(design)
    outputs = {"outputs": p["LANES"] * p["OUT_BITS"]}
    return outputs | found | {f"{name}.end": bits for name, bits in found.items()}


def _ports(bits: Mapping[str, int]) -> bytes:
    """Checks of writes into the memories of values and of temporal sums, and of their ends."""
    lines = ["// Generated. Two checks for each memory that is written."]
    for name, width in bits.items():
        strobe, address, data = _signals(name)
        lines += [
            f"port_check #(.WIDTH({width})) check_{name} (",
            f"    .clk, .strobe(!rst && {strobe}),",
            f"    .address(32'({address})), .data({data}));",
            f"end_check #(.WIDTH({width})) end_{name} ();",
        ]
    lines.append("task automatic load_ports();")
    for name in bits:
        lines.append(f'  check_{name}.load(folder, "{name}.hex");')
        lines.append(f'  end_{name}.load(folder, "{name}.end.hex");')
    terms = "".join(f" + check_{name}.failures()" for name in bits)
    lines += [
        "endtask",
        "function automatic int port_failures();",
        f"  port_failures = 0{terms};",
    ]
    for name in bits:
        held = f"{_memory(name)}.words[end_{name}.address(i)]"
        lines.append(f"  for (int i = 0; i < end_{name}.file.count; i++)")
        lines.append(f"    port_failures = port_failures + end_{name}.compare(i, {held});")
    lines.append("endfunction")
    return "".join(f"{line}\n" for line in lines).encode()


def _memory(name: str) -> str:
    """The memory behind a port, as the bench names it."""
    if name.startswith("values"):
        return f"dut.g_values[{name.removeprefix('values')}].u_ram"
    return {"fifo": "dut.g_sum.u_fifo", "totals": "dut.g_sum.u_totals"}[name]


def _signals(name: str) -> tuple[str, str, str]:
    """Strobe, address and data of the writes of passes into a memory."""
    ram = _memory(name)
    if name.startswith("values"):
        at = ram.removesuffix(".u_ram")
        return f"{at}.write && !{at}.loading", f"{ram}.write_addr", f"{at}.written"
    return f"{ram}.write", f"{ram}.write_addr", f"{ram}.write_data"
