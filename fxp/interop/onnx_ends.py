"""Inputs and outputs of exported ONNX models: their shapes, and words to numbers and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxp.cast import dequantise
from fxp.errors import InputError
from fxp.interop.carriers import Network
from fxp.interop.magnitude import FLOAT32_BITS
from fxp.interop.onnx_builder import OnnxBuilder
from fxp.ir import Argmax, Graph, Input, IntArray, timings
from fxp.validate import describe


def output_names(graph: Graph, taps: Sequence[str]) -> list[str]:
    """The network's outputs, then the taps that are none of them.

    Raises:
        InputError: a tap is no node of the graph.
    """
    names = {node.name for node in graph.nodes[1:]}
    for name in taps:
        if name not in names:
            raise InputError(
                f"`--tap` {name!r} is no node of graph `{graph.name}` behind its input"
            )
    return list(dict.fromkeys((*graph.outputs, *taps)))


def frames_of(graph: Graph, name: str, frames: int | str) -> int | str:
    """How many frames a value has, by number or as the name of an open dimension."""
    period = timings(graph)[name].period
    if period == 0:
        return 1
    if isinstance(frames, int):
        return -(-frames // period)
    return frames if period == 1 else f"{frames}_by_{period}"


def save_float(
    b: OnnxBuilder, net: Network, taps: Sequence[str], frames: int | str, path: Path
) -> None:
    """Write a model whose ends are numbers (1, C, T, V); labels are int64."""
    graph = net.graph
    source = graph.nodes[0].name
    kinds = {node.name: node for node in graph.nodes}
    names = output_names(graph, taps)
    outputs = []
    for name in names:
        signal = net.signals[name]
        shape = (1, signal.channels, frames_of(graph, name, frames), signal.joints)
        dtype = np.int64 if isinstance(kinds[name], Argmax) else net.carriers[name]
        outputs.append(b.info(name, dtype, shape))
    signal = net.signals[source]
    shape = (1, signal.channels, frames, signal.joints)
    inputs = [b.info(f"{source}/numbers", net.carriers[source], shape)]
    b.save(graph, (inputs, outputs), {"frac_bits": _frac_bits(net, [source, *names])}, path)


def _frac_bits(net: Network, names: Sequence[str]) -> str:
    return json.dumps({name: list(net.signals[name].frac_bits) for name in names})


def numbers_of(graph: Graph, clip: IntArray) -> dict[str, npt.NDArray[Any]]:
    """The feed of a float model for a clip of input words (T, C, V)."""
    node = graph.nodes[0]
    assert isinstance(node, Input)
    most = max(-node.fmt.raw_min, node.fmt.raw_max)
    dtype = np.float32 if most.bit_length() <= FLOAT32_BITS else np.float64
    numbers = dequantise(clip, node.fmt.frac_bits).astype(dtype)
    return {f"{node.name}/numbers": numbers.transpose(1, 0, 2)[None]}


def words_of(graph: Graph, name: str, numbers: npt.NDArray[Any]) -> IntArray:
    """The raw words (T, C, V) of an output (1, C, T, V) of a float model.

    Raises:
        InputError: a number is no multiple of the value's lsb.
    """
    value = describe(graph)[name]
    per_channel = np.array([value.frac(c) for c in range(value.channels)])
    scaled = np.ldexp(numbers[0].astype(np.float64), per_channel[:, None, None])
    raw = np.rint(scaled)
    if not np.array_equal(raw, scaled):
        raise InputError(f"output `{name}`: a number is no multiple of its lsb")
    return np.ascontiguousarray(raw.astype(np.int64).transpose(1, 0, 2))
