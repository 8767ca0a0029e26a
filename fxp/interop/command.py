"""The commands `export` and `portability` of `python -m fxp`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, assert_never

import numpy as np
import typer

from fxp.clip_files import read_clip
from fxp.errors import InputError
from fxp.interop.c_source import export_c
from fxp.interop.onnx_integer import export_integer
from fxp.interop.portability import NodeReport, Verdict, survey
from fxp.interop.portability_measure import Measured, measure
from fxp.interop.qdq import export_qdq
from fxp.interop.qonnx import export_qonnx
from fxp.interop.runners import run_c, run_float, run_integer, run_qonnx
from fxp.interop.sv_params import export_sv
from fxp.interop.tool_rules import Tool
from fxp.ir import Graph, IntArray
from fxp.simulate import compile_graph, run
from fxp.store import graph_hash, load_graph
from fxp.tables import print_table

_SIGNS = {
    Verdict.EQUAL: "=",
    Verdict.EXACT: "(=)",
    Verdict.DIFFERS: "/=",
    Verdict.ABSENT: "-",
}


class Target(StrEnum):
    """Formats of `export`."""

    QONNX = "qonnx"
    QDQ = "qdq"
    C = "c"
    SV = "sv"


class Form(StrEnum):
    """How the words stand in an ONNX model."""

    QDQ = "qdq"
    INTEGER = "integer"


Net = Annotated[Path, typer.Argument(metavar="NET", help="Model file of an integer network.")]


def export(
    net: Net,
    to: Annotated[Target, typer.Option(help="Format.")],
    out: Annotated[Path, typer.Option(help="File; for C a folder, new, empty or of C files.")],
    form: Annotated[
        Form, typer.Option(help="Of --to qdq: QuantizeLinear nodes, or int64 operators alone.")
    ] = Form.QDQ,
    approximate: Annotated[
        bool, typer.Option(help="Of --to qdq: the runtime's roundings and functions; words differ.")
    ] = False,
    frames: Annotated[int | None, typer.Option(help="Of --to qonnx: frames of a clip.")] = None,
    lanes: Annotated[int, typer.Option(help="Of --to sv: channels in one memory word.")] = 1,
    tap: Annotated[
        list[str] | None, typer.Option(help="Of ONNX: node to be an output too (repeat).")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="CLIP.npy", help="Run the export on this clip, compare every word."),
    ] = None,
) -> None:
    """Write a network in another tool's format; its words stay the same.

    With --check, onnxruntime, qonnx or a C compiler runs it; exit code 1 if a word differs.
    """
    graph = load_graph(net)
    _check_options(to, form, approximate, frames, lanes, tap or [], check)
    clip = read_clip(check, graph) if check else None
    if clip is not None and frames not in (None, len(clip)):
        raise InputError(f"{check}: has {len(clip)} frames, `--frames` is {frames}")
    match to:
        case Target.QDQ if form == Form.INTEGER:
            export_integer(graph, out, tap or [])
        case Target.QDQ:
            export_qdq(graph, out, tap or [], approximate=approximate)
        case Target.QONNX:
            export_qonnx(graph, out, frames or 0, tap or [])
        case Target.C:
            export_c(graph, out)
        case Target.SV:
            export_sv(graph, out, lanes)
        case _:
            assert_never(to)
    typer.echo(f"{out}: {len(graph.nodes)} nodes, graph {graph_hash(graph)[:12]}")
    if clip is not None:
        _compare(to, form, out, graph, clip)


def portability(
    net: Net,
    clip: Annotated[
        Path | None, typer.Option(metavar="CLIP.npy", help="Count differing words on this clip.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Which tools compute each node to the same words, and where not, why."""
    graph = load_graph(net)
    reports = survey(graph)
    counted = measure(graph, read_clip(clip, graph)) if clip else None
    if as_json:
        typer.echo(json.dumps(_as_data(graph_hash(graph), reports, counted), indent=1))
        return
    columns = ("node", "kind", "bits", *Tool)
    rows = [
        (r.node, r.kind, r.bits, *(_SIGNS[r.findings[tool].verdict] for tool in Tool))
        for r in reports
    ]
    print_table(columns, rows)
    typer.echo("= equal, (=) equal as exported here, /= may differ, - absent")
    print_table(("tool", "reason", "nodes", "first"), _reasons(reports))
    if counted:
        _print_counts(counted)


def _compare(to: Target, form: Form, out: Path, graph: Graph, clip: IntArray) -> None:
    """Print how many words of each output differ from the simulator's.

    Raises:
        typer.Exit: with code 1, if any does.
    """
    match to:
        case Target.QDQ if form == Form.INTEGER:
            found = run_integer(out, graph, clip)
        case Target.QDQ:
            found = run_float(out, graph, clip)
        case Target.QONNX:
            found = run_qonnx(out, graph, clip)
        case Target.C:
            found = run_c(out, graph, clip)
        case Target.SV:
            raise AssertionError("a package computes nothing")
        case _:
            assert_never(to)
    expected, _ = run(compile_graph(graph), clip, taps=list(found))
    rows = []
    for name, words in found.items():
        same_shape = words.shape == expected[name].shape
        differing = np.count_nonzero(words != expected[name]) if same_shape else words.size
        rows.append((name, expected[name].size, int(differing)))
    total = ("all", sum(row[1] for row in rows), sum(row[2] for row in rows))
    print_table(("value", "words", "differing"), [*(row for row in rows if row[2]), total])
    if total[2]:
        raise typer.Exit(1)


def _check_options(
    to: Target,
    form: Form,
    approximate: bool,
    frames: int | None,
    lanes: int,
    taps: Sequence[str],
    check: Path | None,
) -> None:
    """Refuse options of another format: they would be without effect."""
    plain_qdq = to == Target.QDQ and form == Form.QDQ
    given = {
        "--form": (form != Form.QDQ, to == Target.QDQ),
        "--approximate": (approximate, plain_qdq),
        "--frames": (frames is not None, to == Target.QONNX),
        "--lanes": (lanes != 1, to == Target.SV),
        "--tap": (bool(taps), to in (Target.QDQ, Target.QONNX)),
        "--check": (check is not None, to != Target.SV),
    }
    for option, (used, allowed) in given.items():
        if used and not allowed:
            form_too = f" --form {form}" if to == Target.QDQ else ""
            raise InputError(f"`{option}` has no meaning for `--to {to}{form_too}`")
    if to == Target.QONNX and frames is None:
        raise InputError("`--to qonnx` needs `--frames`: its readers want fixed shapes")


def _reasons(reports: Sequence[NodeReport]) -> list[tuple[object, ...]]:
    """One row per tool and reason: how many nodes, and the first of them."""
    nodes: dict[tuple[Tool, str], list[str]] = {}
    for report in reports:
        for tool, finding in report.findings.items():
            for reason in finding.reasons:
                nodes.setdefault((tool, reason), []).append(report.node)
    return [
        (tool, reason, len(names), names[0])
        for tool in Tool
        for (found, reason), names in nodes.items()
        if found == tool
    ]


def _print_counts(counted: Measured) -> None:
    columns = ("half to even", "words", "differing", "percent")
    rows = [
        (
            f"{name}{suffix}",
            share.words,
            share.differing,
            f"{100 * share.differing / share.words:.3f}",
        )
        for suffix, shares in ((", alone", counted.alone), (", all casts", counted.together))
        for name, share in shares.items()
    ]
    print_table(columns, rows)


def _as_data(graph: str, reports: Sequence[NodeReport], counted: Measured | None) -> dict[str, Any]:
    nodes = [
        {
            "node": r.node,
            "kind": r.kind,
            "bits": r.bits,
            "tools": {tool: dataclasses.asdict(f) for tool, f in r.findings.items()},
        }
        for r in reports
    ]
    data: dict[str, Any] = {"graph_hash": graph, "nodes": nodes}
    if counted:
        data["half_to_even"] = dataclasses.asdict(counted)
    return data
