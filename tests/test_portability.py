"""What the report claims, against the tools that can be run and by-hand forms of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fxp.cast import requantise
from fxp.interop.portability import Finding, Verdict, survey
from fxp.interop.portability_measure import Share, measure
from fxp.interop.qdq import export_qdq
from fxp.interop.qonnx import export_qonnx
from fxp.interop.runners import run_float
from fxp.interop.tool_rules import TOOLS, Tool
from fxp.ir import Affine, Conv, Graph, Input, Node, Requantise, Weights
from fxp.node_fields import NODE_KINDS
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from tests.foreign import Case, differing, golden_cases, lowered, random_cases
from tests.networks import small_arch, small_msgcn

RAWS = range(-128, 128)  # of an 8-bit operand with 3 fractional bits


def one_cast(cast: Cast, relu: bool = False) -> Graph:
    nodes = (Input("x", 1, 1, QFormat(8, 3)), Requantise("y", "x", cast, relu))
    return Graph("one", nodes, ("y",))


def finding(graph: Graph, node: str, tool: Tool) -> Finding:
    return next(report for report in survey(graph) if report.node == node).findings[tool]


def half_even(raw: int, places: int) -> int:
    """What a float's nearest-even rounding gives."""
    return round(raw / 2**places)


def doubled(raw: int, places: int) -> int:
    """TFLite's two roundings for the scale 2**-places: a high product, then a rounding shift.

    The multiplier is 2**30 (that is 1/2), the shift one place less. The product rounds ties up, the
    shift ties away from zero.
    """
    high = (raw + 1) >> 1
    shift = places - 1
    if shift == 0:
        return high
    mask = (1 << shift) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> shift) + ((high & mask) > threshold)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("frac_bits", [0, 1, 3, 5])
def test_casts_of_every_word(rounding: Rounding, frac_bits: int) -> None:
    """An `equal` holds for all words; the rounding that a `may differ` names does differ."""
    cast = Cast(QFormat(16, frac_bits), rounding)
    graph = one_cast(cast)
    ours = [requantise(raw, 3, cast) for raw in RAWS]
    tools: dict[Tool, Callable[[int, int], int]] = {
        Tool.QDQ: half_even,
        Tool.TORCH: half_even,
        Tool.TFLITE: doubled,
    }
    for tool, theirs in tools.items():
        places = 3 - frac_bits
        other = [theirs(raw, places) if places > 0 else raw << -places for raw in RAWS]
        if finding(graph, "y", tool).verdict == Verdict.EQUAL:
            assert other == ours
        elif places > 1:  # over one place TFLite's two roundings are one, half up
            assert other != ours


@pytest.mark.parametrize("rounding", Rounding)
def test_torch_itself(rounding: Rounding) -> None:
    """torch's fake quantisation of all words, where the report says equal and where it does not."""
    cast = Cast(QFormat(4, 0), rounding)
    x = torch.tensor([raw / 8 for raw in RAWS])
    fake = torch.fake_quantize_per_tensor_affine(x, 1.0, 0, -8, 7).to(torch.int64).tolist()
    same = fake == [requantise(raw, 3, cast) for raw in RAWS]
    assert same == (finding(one_cast(cast), "y", Tool.TORCH).verdict == Verdict.EQUAL)


def test_equal_everywhere_is_equal_in_the_plain_pattern(tmp_path: Path) -> None:
    """Networks of which every node is `equal` for QuantizeLinear need nothing but its pattern."""
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")
    path, found = tmp_path / "net.onnx", 0
    for case in [*_evened(), *random_cases(15, seed=41)]:
        if all(r.findings[Tool.QDQ].verdict == Verdict.EQUAL for r in survey(case.graph)):
            export_qdq(case.graph, path, approximate=True)
            assert differing(case, run_float(path, case.graph, case.clip, optimised=False)) == {}, (
                case.name
            )
            found += 1
    assert found >= 2


def _evened() -> list[Case]:
    """Small networks that round half to even, of few enough bits for float32."""
    cases = []
    for seed in range(3):
        graph = lowered(small_arch(), seed, weight_bits=4, norm_bits=8, input_bits=8)
        nodes: list[Node] = [
            replace(node, cast=replace(node.cast, rounding=Rounding.RND_CONV))
            if isinstance(node, Requantise)
            else node
            for node in graph.nodes
        ]
        even = replace(graph, nodes=tuple(nodes))
        rng = np.random.default_rng(seed)
        source = graph.nodes[0]
        assert isinstance(source, Input)
        low, high = source.fmt.raw_min, source.fmt.raw_max
        clip = rng.integers(low, high, (20, source.channels, source.joints), endpoint=True)
        cases.append(Case(f"even {seed}", even, clip))
    return cases


def test_what_is_exact_can_be_exported(tmp_path: Path) -> None:
    """No node `absent` or `may differ`: the exporter takes the network."""
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    taken = 0
    for case in [*golden_cases(), *random_cases(25, seed=42)]:
        reports = survey(case.graph)
        ready = {Verdict.EQUAL, Verdict.EXACT}
        if all(report.findings[Tool.QDQ].verdict in ready for report in reports):
            if any(abs(f) > 100 for n in case.graph.nodes for f in _fracs(n)):
                continue  # exponents are no matter of verdicts
            export_qdq(case.graph, tmp_path / "net.onnx")
            export_qonnx(case.graph, tmp_path / "net.qonnx", len(case.clip))
            taken += 1
    assert taken >= 6


def _fracs(node: Node) -> tuple[int, ...]:
    match node:
        case Input(fmt=fmt):
            return (fmt.frac_bits,)
        case Requantise(cast=cast):
            return (cast.to.frac_bits,)
        case Conv(weight=weight):
            return weight.frac_bits
        case _:
            return ()


def test_families() -> None:
    reports = {report.node: report for report in survey(lowered(small_msgcn(), 1))}
    share = reports["stage1.softmax"].findings
    assert share[Tool.QDQ] == Finding(Verdict.DIFFERS, ("divides and takes roots in floats",))
    assert share[Tool.TFLITE] == Finding(Verdict.DIFFERS, ("a table of its own",))
    assert share[Tool.QONNX] == Finding(Verdict.ABSENT, ("no Softmax",))
    assert share[Tool.INTEGER].verdict == Verdict.EXACT
    norm = reports["input_norm"].findings
    assert norm[Tool.DPU] == Finding(Verdict.ABSENT, ("no scale per joint",))
    assert reports["block0.graph"].findings[Tool.DPU].verdict == Verdict.ABSENT
    for report in reports.values():
        assert report.findings[Tool.AP_FIXED].verdict in (Verdict.EQUAL, Verdict.EXACT)


def test_reasons_by_hand() -> None:
    wide = Conv("y", "x", Weights(np.array([[1 << 18], [1]]), 20, (0, 1)), np.array([0, 0]))
    graph = Graph("one", (Input("x", 1, 1, QFormat(12, 0)), wide), ("y",))
    assert finding(graph, "x", Tool.QDQ) == Finding(Verdict.EXACT, ("no words of s12",))
    bits = f"{(2048 << 18).bit_length()} bits in a float of 24"
    assert finding(graph, "y", Tool.TORCH).reasons[0] == bits
    assert finding(graph, "y", Tool.DPU).reasons == (
        "weights of 20 bits, it has 8",
        "one scale for all channels",
    )
    many = Affine("y", "x", Weights(np.array([[1], [2]]), 4, (0,)), np.array([[0], [0]]))
    two = Graph("two", (Input("x", 2, 1, QFormat(8, 0)), many), ("y",))
    assert finding(two, "y", Tool.TFLITE).verdict == Verdict.EQUAL
    narrow = Cast(QFormat(3, 0, signed=False), Rounding.TRN, Overflow.SAT_SYM)
    assert finding(one_cast(narrow), "y", Tool.QONNX) == Finding(
        Verdict.EXACT, ("a narrow range loses the largest unsigned word",)
    )


def test_overflows_count_only_where_they_happen() -> None:
    for bits, verdict in ((16, Verdict.EQUAL), (8, Verdict.EQUAL), (4, Verdict.EXACT)):
        cast = Cast(QFormat(bits, 3), Rounding.TRN, Overflow.WRAP)
        found = finding(one_cast(cast), "y", Tool.QONNX)
        assert found.verdict == verdict
        assert found.reasons == (() if verdict == Verdict.EQUAL else ("no WRAP overflow",))


def test_every_tool_is_judged_on_every_kind_of_node() -> None:
    kinds = set()
    for case in golden_cases():
        for report in survey(case.graph):
            kinds.add(report.kind)
            assert set(report.findings) == set(TOOLS) == set(Tool)
            for found in report.findings.values():
                assert bool(found.reasons) == (found.verdict != Verdict.EQUAL)
    assert kinds == set(NODE_KINDS)


def test_counts_of_half_to_even() -> None:
    nodes = (
        Input("x", 1, 1, QFormat(8, 3)),
        Requantise("a", "x", Cast(QFormat(8, 2))),
        Requantise("b", "a", Cast(QFormat(8, 1))),
        Requantise("c", "a", Cast(QFormat(8, 2))),
    )
    clip = np.array(RAWS).reshape(-1, 1, 1)
    found = measure(Graph("two", nodes, ("b",)), clip)
    # every second word is a tie, of which every second one goes to an odd word
    assert found.alone == {"a": Share(64, 256), "b": Share(64, 256)}
    even = [half_even(half_even(raw, 1), 1) for raw in RAWS]
    up = [
        requantise(requantise(raw, 1, Cast(QFormat(8, 0))), 1, Cast(QFormat(8, 0))) for raw in RAWS
    ]
    assert found.together == {"b": Share(sum(a != b for a, b in zip(even, up, strict=True)), 256)}
    assert found.frames == 256
