"""The `rtl` folder of a golden bundle: the engine, its bench, and everything that they run.

It goes with the bundle as an attachment (`fxp.golden`), so it is listed, hashed and written whole
with it. docs/golden.md says what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fxp.ir import Graph, IntArray
from fxp.manifest import Attachment
from hw_model.rtl.bench_files import checksum, hardware_files
from hw_model.rtl.design import Design
from hw_model.rtl.hardware import BOOT_MEMORIES
from hw_model.rtl.prediction import predicted_cycles
from hw_model.rtl.runs import Place, PlannedRun, Runs, Settings, plan_runs
from hw_model.rtl.simulators import sources
from hw_model.rtl.toolchains import AXIS_FILE, BENCH_FILES, ENGINE_FILES, VERILATOR_FLAGS
from hw_model.streaming import LineSource

FOLDER = "rtl"
HDL = "hdl"
KIT = ("Makefile", "README.md", "test_engine.py")
_ADDRESS_DIGITS = 8


def rtl_attachment(graph: Graph, clip: IntArray, settings: Settings) -> Attachment:
    """The folder for a network and a clip `(T, C, V)` of its input words.

    Raises:
        GraphError: the graph breaks a rule of the IR.
        InputError: the network has something that the engine cannot do.
    """
    planned = plan_runs(graph, clip, settings)
    files = {name: _kit(name, planned) for name in KIT}
    files |= {f"{HDL}/{path.name}": path.read_bytes() for path in sources()}
    files[f"{HDL}/{AXIS_FILE}"] = (Path(__file__).parent / AXIS_FILE).read_bytes()
    for place, design in planned.hardware.items():
        files |= {f"{place}/{name}": text for name, text in hardware_files(design).items()}
    entries: dict[str, dict[str, Any]] = {}
    for run in planned.runs:
        for name, text in run.bench.files.items():
            files[f"{run_folder(run.name)}/{name}"] = text
        entries |= _entries(run)
    return Attachment(FOLDER, _about(graph, planned, settings), files, entries)


def _kit(name: str, planned: Runs) -> bytes:
    """A file that is the same in every bundle, but for lists that are filled in."""
    text = (Path(__file__).parent / "kit" / name).read_text()
    lists = {
        "@ENGINE@": ENGINE_FILES,
        "@BENCH@": tuple(name for name in BENCH_FILES if name.endswith(".sv")),
        "@FLAGS@": VERILATOR_FLAGS,
        "@SHARED@": tuple(run.name for run in planned.runs if run.hardware == "shared"),
    }
    between = "`, `" if name.endswith(".md") else " "
    for mark, names in lists.items():
        text = text.replace(mark, between.join(names))
    return text.encode()


def run_folder(name: str) -> str:
    """Where a run's files are, within the attached folder."""
    return f"runs/{name}"


def settings_of(about: Mapping[str, Any]) -> Settings:
    """The settings that a manifest's entry states."""
    given = about["settings"]
    source, off_chip = LineSource(**given["source"]), tuple(given["off_chip"])
    return Settings(**{**given, "source": source, "off_chip": off_chip})


def _about(graph: Graph, planned: Runs, settings: Settings) -> dict[str, Any]:
    hardware = planned.hardware
    own = hardware["own"]
    return {
        "settings": {**asdict(settings), "off_chip": list(settings.off_chip)},
        "engine": {"boot_memories": list(BOOT_MEMORIES), "sources": list(ENGINE_FILES)},
        "hardware": {place: _hardware(place, design, own) for place, design in hardware.items()},
        "program": [" ".join(planned.nodes) for planned in own.ground.passes],
        "outputs": [_output(own, at) for at in range(len(own.outputs))],
        "predicted_cycles": predicted_cycles(graph, settings),
        "runs": [_run(run) for run in planned.runs],
        "without_stress": dict(planned.without),
    }


def _hardware(place: Place, design: Design, own: Design) -> dict[str, Any]:
    """One set of includes; `more` is what it has more of than the network's own, both numbers."""
    found = {
        "folder": place,
        "parameters": dict(design.parameters),
        "value_memories": [{"word_bits": bits, "lines": n} for bits, n in design.values],
    }
    return found if place == "own" else {**found, "more": _more(own, design)}


def _more(own: Design, shared: Design) -> dict[str, list[Any]]:
    pairs: dict[str, list[Any]] = {
        name: [own.parameters[name], value] for name, value in shared.parameters.items()
    }
    for at, name in enumerate(("VALUE_WIDTHS", "VALUE_LINES")):
        pairs[name] = [[memory[at] for memory in design.values] for design in (own, shared)]
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _output(design: Design, at: int) -> dict[str, Any]:
    output = design.outputs[at]
    return {
        "node": output.name,
        "out_id": output.at,
        "channels": output.channels,
        "joints": output.joints,
        "lines_per_frame": output.groups * output.joints,
        "word_bits": output.word_bits,
    }


def _run(run: PlannedRun) -> dict[str, Any]:
    frames = run.bench.timing
    return {
        "name": run.name,
        "folder": run_folder(run.name),
        "hardware": run.hardware,
        "frames": len(frames),
        "cycles": run.bench.cycles,
        "frame_cycles": [frame.ends - frame.begins for frame in frames],
        "outputs": list(run.graph.outputs),
        **({"stress": dict(run.about)} if run.about else {}),
    }


def _entries(run: PlannedRun) -> dict[str, dict[str, Any]]:
    """What the manifest says about each hex memory."""
    found = {}
    for name, bits in run.bench.bits.items():
        text = run.bench.files[name]
        has_address = name == "input.hex" or name.removesuffix(".hex") in _addressed(run)
        address = _ADDRESS_DIGITS if has_address else 0
        found[f"{run_folder(run.name)}/{name}"] = {
            "words": text.count(b"\n"),
            "bits": bits,
            "digits": address + -(-bits // 4),
            "address_digits": address,
            "checksum": f"{checksum(text):08x}",
        }
    return found


def _addressed(run: PlannedRun) -> set[str]:
    stems = {name.removesuffix(".hex") for name in run.bench.bits}
    return {stem for stem in stems if stem.split(".")[0].rstrip("0123456789") in _PORTS}


_PORTS = ("outputs", "values", "fifo", "totals")
