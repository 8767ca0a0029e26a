"""Exported QONNX models run by the executor of qonnx: every number, tolerance 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.interop.qonnx import export_qonnx
from fxp.interop.runners import run_qonnx
from fxp.ir import Graph, Input, IntArray, Requantise
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from tests.foreign import (
    Case,
    behind_input,
    differing,
    family_cases,
    golden_cases,
    random_cases,
)

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")


def executed(path: Path, case: Case) -> dict[str, IntArray]:
    """The outputs by the executor; skipped where it is missing or cannot run."""
    pytest.importorskip("qonnx", reason="the package qonnx is not installed")
    _skip_newer_than_runtime()
    return run_qonnx(path, case.graph, case.clip)


def _skip_newer_than_runtime() -> None:
    """The executor runs node by node, in models of the newest version that onnx writes."""
    helper = onnx.helper
    info = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    body = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "one", [info], [out])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)])
    try:
        runtime.InferenceSession(model.SerializeToString())
    except Exception as error:
        if "IR version" not in str(error):
            raise
        pytest.skip(f"onnx {onnx.__version__} writes a version that onnxruntime cannot read")


@pytest.mark.parametrize(
    "case",
    golden_cases(("dilated", "ragged", "narrow", "strided", "clip")) + family_cases(["costgcn"]),
    ids=lambda case: case.name,
)
def test_every_number(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_qonnx(case.graph, path, len(case.clip), behind_input(case.graph))
    found = executed(path, case)
    assert set(found) == set(behind_input(case.graph))
    assert differing(case, found) == {}


@pytest.mark.slow
def test_every_number_of_random_graphs(tmp_path: Path) -> None:
    path, words = tmp_path / "net.onnx", 0
    for case in random_cases(60, seed=31):
        try:
            export_qonnx(case.graph, path, len(case.clip), behind_input(case.graph))
        except InputError:
            continue
        found = executed(path, case)
        assert differing(case, found) == {}, case.name
        words += sum(value.size for value in found.values())
    assert words > 40_000


@pytest.mark.parametrize("rounding", Rounding)
def test_every_mode_over_all_words(rounding: Rounding, tmp_path: Path) -> None:
    """All 8-bit words into 4 signed and unsigned bits, three bits dropped, every overflow."""
    casts = [
        Cast(QFormat(4, 0, signed), rounding, overflow)
        for signed in (True, False)
        for overflow in Overflow
    ]
    names = tuple(f"q{i}" for i in range(len(casts)))
    nodes = [Requantise(name, "input", cast) for name, cast in zip(names, casts, strict=True)]
    graph = Graph("modes", (Input("input", 1, 1, QFormat(8, 3)), *nodes), names)
    case = Case("modes", graph, np.arange(-128, 128).reshape(-1, 1, 1))
    path = tmp_path / "net.onnx"
    export_qonnx(graph, path, 256)
    assert differing(case, executed(path, case)) == {}


def test_what_is_written(tmp_path: Path) -> None:
    case = golden_cases(["ragged"])[0]
    path = tmp_path / "net.onnx"
    export_qonnx(case.graph, path, 9)
    model = onnx.load(path)
    quants = {n.output[0]: n for n in model.graph.node if n.op_type == "Quant"}
    found = {
        name: {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for name, node in quants.items()
    }
    even = {"signed": 1, "narrow": 1, "rounding_mode": b"ROUND"}
    assert found["block0.conv.q"] == even
    assert found["block0.residual.q"] == {"signed": 1, "narrow": 0, "rounding_mode": b"HALF_DOWN"}
    assert found["block0.add.q"] == {"signed": 0, "narrow": 0, "rounding_mode": b"CEIL"}
    assert found["logits"] == {"signed": 1, "narrow": 0, "rounding_mode": b"FLOOR"}
    shape = model.graph.output[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in shape] == [1, 3, 9, 1]


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    shares = golden_cases(["shares"])[0].graph
    with pytest.raises(InputError, match=r"node `stage0.share`: QONNX has no operator"):
        export_qonnx(shares, path, 4)
    with pytest.raises(InputError, match="`--frames` must be at least 1, got 0"):
        export_qonnx(golden_cases(["clip"])[0].graph, path, 0)
    assert not path.exists()
