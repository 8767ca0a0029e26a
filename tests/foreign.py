"""Exported networks run by others: onnxruntime, the qonnx executor, a C compiler's program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.calibrate import calibrate
from fxp.interop.onnx_ends import numbers_of, words_of
from fxp.ir import Argmax, Graph, IntArray
from fxp.lower import lower
from fxp.oracle import evaluate
from fxp.spec import ArchSpec, QuantSpec
from tests.golden.networks import CASES, make
from tests.networks import random_floatnet, small_arch, small_msgcn
from tests.strategies import random_clip, random_graph


@dataclass(frozen=True, eq=False)
class Case:
    """A network and a clip for it, and what the definition makes of it."""

    name: str
    graph: Graph
    clip: IntArray

    @cached_property
    def expected(self) -> Mapping[str, Any]:
        return evaluate(self.graph, self.clip)


FAMILIES: Mapping[str, ArchSpec] = {
    "rtstgcn": small_arch(),
    "costgcn": small_arch(family="costgcn"),
    "msgcn": small_msgcn(),
}


def lowered(arch: ArchSpec, seed: int, **quant: object) -> Graph:
    """A small network with random weights in formats calibrated to random observations."""
    net = random_floatnet(arch, seed)
    spec = QuantSpec.model_validate({"calibrator": "max", "accumulator_bits": 63} | quant)
    return lower(net, calibrate(net, spec))


def golden_cases(names: Sequence[str] = tuple(CASES)) -> list[Case]:
    return [Case(name, *make(CASES[name])) for name in names]


def family_cases(names: Sequence[str] = tuple(FAMILIES), frames: int = 20) -> list[Case]:
    found = []
    for i, name in enumerate(names):
        graph = lowered(FAMILIES[name], i)
        found.append(Case(name, graph, random_clip(np.random.default_rng(i), graph, frames)))
    return found


def random_cases(count: int, seed: int) -> list[Case]:
    found = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        graph = random_graph(rng)
        clip = random_clip(rng, graph, int(rng.integers(1, 30)))
        found.append(Case(f"random {i}", graph, clip))
    return found


def behind_input(graph: Graph) -> list[str]:
    """Every value but the input."""
    return [node.name for node in graph.nodes[1:]]


def differing(case: Case, found: Mapping[str, IntArray]) -> dict[str, int]:
    """How many words of each value found differ from the definition; a wrong shape is all of them.

    Values without a difference are left out.
    """
    expected, counts = case.expected, {}
    for name, words in found.items():
        if words.shape != expected[name].shape:
            counts[name] = expected[name].size
        elif (count := int(np.count_nonzero(words != expected[name]))) > 0:
            counts[name] = count
    return counts


def onnxruntime_session(path: Path, optimised: bool) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_integer(path: Path, case: Case, optimised: bool = True) -> dict[str, IntArray]:
    """Words (T, C, V) of the outputs of an int64 model."""
    session = onnxruntime_session(path, optimised)
    names = [output.name for output in session.get_outputs()]
    feed = {case.graph.nodes[0].name: case.clip}
    return dict(zip(names, session.run(None, feed), strict=True))


def run_float(path: Path, case: Case, optimised: bool = True) -> dict[str, IntArray]:
    """Words (T, C, V) of the outputs of a model of numbers."""
    session = onnxruntime_session(path, optimised)
    names = [output.name for output in session.get_outputs()]
    feed = numbers_of(case.graph, case.clip)
    return as_words(case.graph, dict(zip(names, session.run(None, feed), strict=True)))


def as_words(graph: Graph, numbers: Mapping[str, Any]) -> dict[str, IntArray]:
    """Numbers (1, C, T, V) as words (T, C, V); labels are words already."""
    labels = {node.name for node in graph.nodes if isinstance(node, Argmax)}
    return {
        name: found[0].transpose(1, 0, 2).astype(np.int64)
        if name in labels
        else words_of(graph, name, found)
        for name, found in numbers.items()
    }


def compiler() -> str:
    """A C compiler; the test is skipped where there is none."""
    for name in ("gcc", "clang", "cc"):
        if shutil.which(name):
            return name
    pytest.skip("no C compiler (gcc, clang or cc) on PATH")


def run_c(folder: Path, case: Case, *flags: str) -> dict[str, IntArray]:
    """Compile the C files in `folder` without a warning, run the clip, read every value."""
    program = folder / "network"
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror"]
    command = [compiler(), *strict, *flags, "network.c", "main.c", "-o", program.name]
    subprocess.run(command, cwd=folder, check=True)
    words = np.ascontiguousarray(case.clip, np.int64).tobytes()
    done = subprocess.run([program, "all"], input=words, capture_output=True, check=True)
    frames: dict[str, list[list[int]]] = {}
    for line in done.stdout.decode().splitlines():
        name, *numbers = line.split()
        frames.setdefault(name, []).append([int(number) for number in numbers])
    return {
        name: np.array(frames.get(name, []), np.int64).reshape(-1, *expected.shape[1:])
        for name, expected in case.expected.items()
    }
