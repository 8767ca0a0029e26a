"""Synthesising engines and units, each result kept at once: a run that is stopped goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from hw_model.accelerator import Target
from hw_model.calibrate.points import Point
from hw_model.calibrate.targets import commands, counted, nand2_area, script
from hw_model.calibrate.yosys import netlists, yosys_version
from hw_model.rtl.design import include_files

BENCH = ("bench", "checked_file", "end_check", "engine_axis", "port_check")  # not the engine
MODULES: Mapping[str, tuple[str, ...]] = {  # of units
    "layer_norm": ("layer_norm", "ram", "reciprocal_root"),
    "softmax": ("divider", "gather", "ram", "softmax"),
    "clip_mean": ("clip_mean", "divider", "gather", "ram"),
}
INCLUDES = ("engine_params.svh", "pass_fields.svh")  # of the units


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine or unit takes on one target; `parameters` are the engine's."""

    key: str
    target: Target
    label: str
    held_out: bool
    parameters: Mapping[str, int]
    measured: Mapping[str, float]
    seconds: float
    top: str = "engine"


def rtl_sources() -> dict[str, str]:
    """The engine's modules by file name."""
    files = (resources.files("hw_model") / "rtl").iterdir()
    names = sorted(file.name for file in files if file.name.endswith(".sv"))
    folder = resources.files("hw_model") / "rtl"
    bench = {f"{name}.sv" for name in BENCH}
    return {name: (folder / name).read_text("utf-8") for name in names if name not in bench}


def rtl_hash() -> str:
    """sha256 of the modules."""
    return _hash(rtl_sources())


def module_hash(top: str) -> str:
    """sha256 of the modules of a unit."""
    names = {f"{name}.sv" for name in MODULES[top]}
    return _hash({name: text for name, text in rtl_sources().items() if name in names})


def _hash(sources: Mapping[str, str]) -> str:
    texts = "\n".join(text for _, text in sorted(sources.items()))
    return hashlib.sha256(texts.encode()).hexdigest()


def sources(point: Point) -> dict[str, str]:
    """An engine without its memories: those of lines are black boxes, the program has one word.

    A unit comes with the modules that it needs, so that its result outlives changes of others.
    """
    design = replace(point.design, parameters={**point.design.parameters, "PASSES": 1})
    texts = {**rtl_sources(), **include_files(design)}
    if point.top in MODULES:
        names = {*(f"{name}.sv" for name in MODULES[point.top]), *INCLUDES}
        texts = {name: text for name, text in texts.items() if name in names}
    head = "module ram"
    assert texts["ram.sv"].count(head) == 1
    texts["ram.sv"] = texts["ram.sv"].replace(head, f"(* blackbox *)\n{head}")
    return texts


def synthesise(
    targets: Iterable[Target], points: Iterable[Point], kept: Path, liberty: Path
) -> Iterator[tuple[Result, bool]]:
    """Each point on each target: its result, and whether it was there already.

    Raises:
        InputError: Yosys or the Liberty file is missing, or Yosys stopped.
    """
    results = load_results(kept)
    _end_line(kept)
    listed = [(target, point, sources(point)) for target in targets for point in points]
    for target, point, texts in listed:
        key = _key(target, point.top, texts)
        if key in results:
            yield results[key], True
            continue
        result = _result(key, target, point, texts, liberty)
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_row(result)) + "\n")
        yield result, False


def load_results(kept: Path) -> dict[str, Result]:
    """Results by key; a line that was cut off when a run was stopped is left out."""
    found = {}
    if kept.is_file():
        for line in kept.read_text(encoding="utf-8").splitlines():
            try:
                result = Result(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                continue
            found[result.key] = result
    return found


def _end_line(kept: Path) -> None:
    """A line that was cut off must not swallow the next one."""
    if kept.is_file() and (text := kept.read_bytes()) and not text.endswith(b"\n"):
        kept.write_bytes(text + b"\n")


def _row(result: Result) -> dict[str, object]:
    return {name: getattr(result, name) for name in Result.__slots__}


def _key(target: Target, top: str, texts: Mapping[str, str]) -> str:
    """What the result follows from: version, commands, sources."""
    about = (yosys_version(), target, commands(target, top), sorted(texts.items()))
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


def _result(
    key: str, target: Target, point: Point, texts: Mapping[str, str], liberty: Path
) -> Result:
    steps = script(target, liberty, point.top)
    names = " ".join(name for name in texts if name.endswith(".sv"))
    begun = time.monotonic()
    found = netlists(texts, [f"read_verilog -sv -defer {names}", *steps.commands], steps.stat)
    seconds = round(time.monotonic() - begun, 1)
    area = nand2_area(liberty) if target == "osu018" else None
    measured = counted(found[point.top], area)
    parameters = dict(point.design.parameters)
    return Result(
        key, target, point.label, point.held_out, parameters, measured, seconds, point.top
    )
