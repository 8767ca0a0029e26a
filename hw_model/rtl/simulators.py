"""Simulators for the engine and its bench: build once, run as often as wanted.

Icarus Verilog interprets and knows x: it finds words that were never set. Verilator and CXXRTL
compile to C++ and know two states; Verilator starts every register at random instead. What is built
is kept by the hash of everything that it was built from.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fxp.files import replacing_folder
from hw_model.rtl.bench_log import Run, judged
from hw_model.rtl.toolchains import (
    BENCH_FILES,
    CXX_FLAGS,
    ENGINE_FILES,
    VERILATOR_FLAGS,
    Simulator,
    compile_bench,
    find_tools,
)

BUILD_SECONDS, RUN_SECONDS = 900.0, 3600.0


@dataclass(frozen=True, slots=True)
class Built:
    """A bench that one simulator has built, and how it is started."""

    simulator: Simulator
    command: tuple[str, ...]


def sources(folder: Path | None = None) -> tuple[Path, ...]:
    """The sources of engine and bench, from the package or from another folder that has them."""
    where = folder or Path(__file__).parent
    return tuple(where / name for name in (*ENGINE_FILES, *BENCH_FILES))


def build(
    simulator: Simulator,
    files: Sequence[Path],
    includes: Path,
    *,
    waves: bool = False,
    cache: Path | None = None,
    timeout: float = BUILD_SECONDS,
) -> Built:
    """Build the bench, or take it from the cache.

    Args:
        simulator: which one.
        files: sources of engine and bench, as `sources` gives them.
        includes: folder of the generated includes (`*.svh`), what makes one engine this engine.
        waves: whether it shall be able to write waveforms (Verilator builds are slower with them).
        cache: folder in which builds are kept; None for one of the user's.
        timeout: seconds.

    Raises:
        InputError: a tool is missing, or the sources do not compile (the line has the first error).
    """
    tools = find_tools(simulator)
    traced = waves and simulator == "verilator"
    key = _key(simulator, tools, (*files, *sorted(includes.glob("*.svh"))), traced)
    folder = (cache or cache_folder()) / f"{simulator}-{key}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing_folder(folder) as temporary:
            runtime = folder.with_name(f"runtime-{_key(simulator, tools, (), traced)}")
            compile_bench(simulator, tools, files, includes, temporary, traced, runtime, timeout)
    program = str(folder / "sim")
    return Built(simulator, (*tools["run"], program) if simulator == "icarus" else (program,))


def run(
    built: Built,
    folder: Path,
    *,
    stall: bool = False,
    waves: Path | None = None,
    seed: int = 1,
    timeout: float = RUN_SECONDS,
) -> Run:
    """Run a built bench on the hex memories in `folder`.

    Args:
        built: of `build`.
        folder: the run's hex memories and its `sums.txt`.
        stall: apply the folder's stall patterns.
        waves: write a waveform (VCD) there; Verilator's must be built with `waves`.
        seed: of the registers' first words (Verilator only).
        timeout: seconds, after which the run counts as stopped.
    """
    arguments = [*built.command, f"+folder={folder}"]
    arguments += ["+stall=1"] if stall else []
    arguments += [f"+waves={waves}"] if waves else []
    if built.simulator == "verilator":
        arguments += ["+verilator+rand+reset+2", f"+verilator+seed+{seed}"]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=timeout, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        log = (error.stdout or b"").decode(errors="replace")
        return judged(log, False, f"gave no end within {timeout:g} s", time.perf_counter() - start)
    log = done.stdout + done.stderr
    return judged(log, done.returncode == 0, None, time.perf_counter() - start)


def cache_folder() -> Path:
    """Where builds are kept: `STGCN_RTL_CACHE`, or a folder in the user's cache."""
    given = os.environ.get("STGCN_RTL_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "stgcn-codesign" / "rtl"


def _key(
    simulator: str, tools: Mapping[str, Sequence[str]], files: Sequence[Path], traced: bool
) -> str:
    flags = (VERILATOR_FLAGS, CXX_FLAGS, traced)
    found = hashlib.sha256(repr((simulator, dict(tools), flags)).encode())
    for file in files:
        found.update(f"{file.name}\n".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:24]
