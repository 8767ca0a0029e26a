"""Exported ONNX models run by onnxruntime: every word, tolerance 0."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fxp.cast import dequantise
from fxp.errors import InputError
from fxp.interop.onnx_ends import numbers_of
from fxp.interop.onnx_integer import export_integer
from fxp.interop.portability_measure import measure
from fxp.interop.qdq import export_qdq
from fxp.interop.runners import run_float, run_integer
from fxp.ir import Conv, Graph, Input, Requantise, Softmax, TemporalConv, Weights
from fxp.qformat import Cast, QFormat, Rounding
from fxp.store import graph_hash
from fxp.validate import describe
from tests.foreign import (
    Case,
    behind_input,
    differing,
    family_cases,
    golden_cases,
    random_cases,
)
from tests.strategies import random_clip

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
FLOATING = ("dilated", "ragged", "narrow", "strided", "clip")  # golden networks without a division


@pytest.mark.parametrize("case", golden_cases() + family_cases(), ids=lambda case: case.name)
def test_every_word_of_the_integer_form(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_integer(case.graph, path, behind_input(case.graph))
    found = run_integer(path, case.graph, case.clip)
    assert set(found) == set(behind_input(case.graph))
    assert differing(case, found) == {}
    export_integer(case.graph, path)
    found = run_integer(path, case.graph, case.clip, optimised=False)
    assert list(found) == list(case.graph.outputs)
    assert differing(case, found) == {}


def test_every_word_of_random_graphs_in_integers(tmp_path: Path) -> None:
    path, words = tmp_path / "net.onnx", 0
    for case in random_cases(25, seed=11):
        try:
            export_integer(case.graph, path, behind_input(case.graph))
        except InputError as error:
            assert "a shift by 63 places is more than" in str(error)
            continue
        found = run_integer(path, case.graph, case.clip)
        assert differing(case, found) == {}, case.name
        words += sum(value.size for value in found.values())
    assert words > 20_000


@pytest.mark.parametrize(
    "case",
    golden_cases(FLOATING) + family_cases(["rtstgcn", "costgcn"]),
    ids=lambda case: case.name,
)
def test_every_word_of_the_quantised_form(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_qdq(case.graph, path, behind_input(case.graph))
    found = run_float(path, case.graph, case.clip, optimised=False)
    assert set(found) == set(behind_input(case.graph))
    assert differing(case, found) == {}
    export_qdq(case.graph, path)  # without taps onnxruntime fuses across nodes
    found = run_float(path, case.graph, case.clip)
    assert list(found) == list(case.graph.outputs)
    assert differing(case, found) == {}


def test_every_word_of_random_graphs_in_floats(tmp_path: Path) -> None:
    path, words, refused = tmp_path / "net.onnx", 0, 0
    for case in random_cases(15, seed=12):
        try:
            export_qdq(case.graph, path, behind_input(case.graph))
        except InputError as error:
            assert any(
                rule in str(error)
                for rule in ("a float64 has 53", "to the last bit", "floats hold `frac_bits`")
            )
            refused += 1
            continue
        found = run_float(path, case.graph, case.clip)
        assert differing(case, found) == {}, case.name
        words += sum(value.size for value in found.values())
    assert words > 4_000
    assert refused < 13


def evened(graph: Graph) -> Graph:
    """The same network, all casts rounding half to even."""
    nodes = (
        replace(n, cast=replace(n.cast, rounding=Rounding.RND_CONV))
        if isinstance(n, Requantise)
        else n
        for n in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def test_the_plain_pattern_rounds_half_to_even(tmp_path: Path) -> None:
    """By the standard, within 24 bits: what `portability --clip` counts is what differs."""
    dilated, path = golden_cases(["dilated"])[0], tmp_path / "net.onnx"
    export_qdq(dilated.graph, path, behind_input(dilated.graph), approximate=True)
    found = run_float(path, dilated.graph, dilated.clip, optimised=False)
    even = Case("even", evened(dilated.graph), dilated.clip)
    assert differing(even, found) == {}
    counted = measure(dilated.graph, dilated.clip).together["logits"].differing
    assert differing(dilated, found)["logits"] == counted == 4
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert not kinds & {"Floor", "Ceil", "Round", "Cast"}


def test_no_kernel_of_eight_bits_saturates_in_the_exact_form(tmp_path: Path) -> None:
    """Half to even and large weights: onnxruntime must not fuse convolution and QuantizeLinear."""
    raw = np.full((8, 32, 3), 127)
    raw[::2] = -128
    nodes = (
        Input("input", 32, 4, QFormat(8, 0, signed=False)),
        TemporalConv("conv", "input", Weights(raw, 8, (0,)), np.zeros(8, np.int64)),
        Requantise("out", "conv", Cast(QFormat(8, -13), Rounding.RND_CONV)),
        Requantise("same", "conv", Cast(QFormat(16, 0), Rounding.RND_CONV)),
    )
    graph = Graph("large", nodes, ("out", "same"))
    case = Case("large", graph, random_clip(np.random.default_rng(0), graph, 50))
    for taps in ([], ["conv"]):
        export_qdq(graph, tmp_path / "net.onnx", taps)
        assert differing(case, run_float(tmp_path / "net.onnx", graph, case.clip)) == {}


def test_the_plain_pattern_differs_where_half_up_does(tmp_path: Path) -> None:
    graph = _one_conv([[1]], [0], Cast(QFormat(8, 0)), input_frac_bits=1)
    case = Case("ties", graph, np.arange(-8, 8).reshape(-1, 1, 1))
    export_qdq(graph, tmp_path / "exact.onnx")
    export_qdq(graph, tmp_path / "plain.onnx", approximate=True)
    assert differing(case, run_float(tmp_path / "exact.onnx", case.graph, case.clip)) == {}
    assert differing(case, run_float(tmp_path / "plain.onnx", case.graph, case.clip)) == {
        "out": 4
    }  # -3.5, -1.5, ..


def test_a_25th_bit_is_carried_in_float64(tmp_path: Path) -> None:
    graph = _one_conv([[1 << 16, 1]], [0], Cast(QFormat(26, 0)), word_bits=18)
    case = Case("bit 25", graph, np.array([[[256], [1]], [[255], [1]]]))
    export_qdq(graph, tmp_path / "exact.onnx", ["conv"])
    export_qdq(graph, tmp_path / "plain.onnx", ["conv"], approximate=True)
    assert differing(case, run_float(tmp_path / "exact.onnx", case.graph, case.clip)) == {}
    assert differing(case, run_float(tmp_path / "plain.onnx", case.graph, case.clip)) == {
        "conv": 1,
        "out": 1,
    }


def test_what_floats_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    wide = _one_conv([[(1 << 31) - 1]], [0], Cast(QFormat(8, 0)), input_bits=30)
    with pytest.raises(InputError, match="node `conv`: exact sums need 60 bits, a float64 has 53"):
        export_qdq(wide, path)
    shares = golden_cases(["shares"])[0].graph
    with pytest.raises(InputError, match=r"node `stage0.share`: no float operator of ONNX divides"):
        export_qdq(shares, path)
    with pytest.raises(InputError, match="`--tap` 'nothing' is no node of graph `shares`"):
        export_integer(shares, path, ["nothing"])
    assert not path.exists()


def test_divisions_by_the_runtime_are_near(tmp_path: Path) -> None:
    """With `approximate`, softmax and layer norm are the standard operators: near, not equal."""
    path = tmp_path / "net.onnx"
    for name, node, tolerance in (
        ("shares", "stage0.share", 2.0**-12),
        ("normed", "input_norm", 2**-8),
    ):
        case = golden_cases([name])[0]
        export_qdq(case.graph, path, [node], approximate=True)
        session_words = _numbers(path, case, node)
        expected = _expected(case, node)
        assert np.abs(session_words - expected).max() < tolerance
        assert isinstance(next(n for n in case.graph.nodes if n.name == node), Softmax) == (
            name == "shares"
        )


def test_the_model_says_what_it_is(tmp_path: Path) -> None:
    case = golden_cases(["dilated"])[0]
    path = tmp_path / "net.onnx"
    export_qdq(case.graph, path, ["block0.sum"])
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert props["graph_hash"] == graph_hash(case.graph)
    assert json.loads(props["frac_bits"]) == {
        "input": [6],
        "logits": [6],
        "label": [0],
        "block0.sum": [4],
    }
    again = tmp_path / "again.onnx"
    export_qdq(case.graph, again, ["block0.sum"])
    assert path.read_bytes() == again.read_bytes()


def _one_conv(
    weight: list[list[int]],
    bias: list[int],
    cast: Cast,
    input_frac_bits: int = 0,
    word_bits: int = 32,
    input_bits: int = 12,
) -> Graph:
    raw = np.array(weight)
    nodes = (
        Input("input", raw.shape[1], 1, QFormat(input_bits, input_frac_bits)),
        Conv("conv", "input", Weights(raw, word_bits, (0,)), np.array(bias)),
        Requantise("out", "conv", cast),
    )
    return Graph("one", nodes, ("out",), accumulator_bits=63)


def _numbers(path: Path, case: Case, node: str) -> Floats:
    (found,) = runtime.InferenceSession(str(path)).run([node], numbers_of(case.graph, case.clip))
    return np.asarray(found[0].transpose(1, 0, 2), np.float64)


def _expected(case: Case, node: str) -> Floats:
    frac_bits = describe(case.graph)[node].frac_bits[0]
    return dequantise(case.expected[node].astype(np.int64), frac_bits)
