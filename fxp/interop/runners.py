"""Exported networks run by others: onnxruntime, the executor of qonnx, a C compiler's program.

Every runner takes what an exporter wrote, the network and a clip of input words (T, C, V), and
gives the raw words (T, C, V) of each output. What it needs is loaded, or looked for, only then.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fxp.errors import InputError
from fxp.interop.onnx_ends import numbers_of, words_of
from fxp.ir import Argmax, Graph, IntArray
from fxp.validate import describe

COMPILERS = ("gcc", "clang", "cc")


def run_integer(
    path: Path, graph: Graph, clip: IntArray, optimised: bool = True
) -> dict[str, IntArray]:
    """An int64 ONNX model in onnxruntime.

    Raises:
        InputError: onnxruntime is not installed.
    """
    session = _session(path, optimised)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {graph.nodes[0].name: clip}), strict=True))


def run_float(
    path: Path, graph: Graph, clip: IntArray, optimised: bool = True
) -> dict[str, IntArray]:
    """An ONNX model of numbers in onnxruntime.

    Raises:
        InputError: onnxruntime is not installed, or a number is no multiple of its lsb.
    """
    session = _session(path, optimised)
    names = [output.name for output in session.get_outputs()]
    numbers = dict(zip(names, session.run(None, numbers_of(graph, clip)), strict=True))
    return _as_words(graph, numbers)


def run_qonnx(path: Path, graph: Graph, clip: IntArray) -> dict[str, IntArray]:
    """A QONNX model in the executor of qonnx; slow: it makes a session of every node.

    Raises:
        InputError: qonnx is not installed, or a number is no multiple of its lsb.
    """
    wrapper = _package("qonnx.core.modelwrapper").ModelWrapper
    execute = _package("qonnx.core.onnx_exec").execute_onnx
    shapes = _package("qonnx.transformation.infer_shapes").InferShapes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the executor's own
        model = wrapper(str(path)).transform(shapes())
        found = execute(model, numbers_of(graph, clip))
    return _as_words(graph, found)


def run_c(
    folder: Path, graph: Graph, clip: IntArray, flags: Sequence[str] = ("-O2",)
) -> dict[str, IntArray]:
    """The C files in `folder`, compiled without a warning; the words of every node.

    Raises:
        InputError: there is no C compiler on PATH.
    """
    compiler = next((name for name in COMPILERS if shutil.which(name)), None)
    if compiler is None:
        raise InputError(f"a C compiler is needed on PATH: {', '.join(COMPILERS)}")
    strict = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror")
    with tempfile.TemporaryDirectory() as build:
        program = Path(build) / "network"
        sources = ("network.c", "main.c")
        command = [compiler, *strict, *flags, *sources, "-o", str(program)]
        subprocess.run(command, cwd=folder, check=True)
        words = np.ascontiguousarray(clip, np.int64).tobytes()
        done = subprocess.run([program, "all"], input=words, capture_output=True, check=True)
    frames: dict[str, list[IntArray]] = {}
    for line in done.stdout.decode().splitlines():
        name, numbers = line.split(" ", 1)
        frames.setdefault(name, []).append(np.fromstring(numbers, np.int64, sep=" "))
    return {
        name: np.array(frames.get(name, []), np.int64).reshape(-1, value.channels, value.joints)
        for name, value in describe(graph).items()
    }


def _session(path: Path, optimised: bool) -> Any:
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _as_words(graph: Graph, numbers: Mapping[str, Any]) -> dict[str, IntArray]:
    """Numbers (1, C, T, V) as words; labels are words already."""
    labels = {node.name for node in graph.nodes if isinstance(node, Argmax)}
    return {
        name: found[0].transpose(1, 0, 2) if name in labels else words_of(graph, name, found)
        for name, found in numbers.items()
    }


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InputError(
            f"this check needs the package `{package}`: pip install {package}"
        ) from None
