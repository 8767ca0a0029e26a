"""`python -m stgcn_ref info`."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import typer

from fxp.golden import file_sha256
from fxp.ir import (
    Graph,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
    lookaheads,
    operands,
    timings,
)
from fxp.store import graph_hash
from stgcn_ref.commands.options import JsonSettings, NetworkFileSettings
from stgcn_ref.networks import Opened


class InfoSettings(NetworkFileSettings, JsonSettings):
    """Options of `info`."""


def info(given: InfoSettings) -> None:
    """Show what a network is: kind, architecture, sizes, latency, what it was trained on."""
    opened = given.opened()
    facts = {
        **_kind(opened, given),
        "sha256": file_sha256(given.network),
        "arch": opened.arch.model_dump(mode="json"),
        **_sizes(opened),
        **_latency(opened),
        **_origin(opened, given),
    }
    if given.as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        typer.echo(f"{key} {value if isinstance(value, int | float | str) else json.dumps(value)}")


def _kind(opened: Opened, given: InfoSettings) -> dict[str, Any]:
    if isinstance(opened.net, Graph):
        return {"kind": "integer", "name": opened.net.name, "hash": graph_hash(opened.net)}
    if given.family is not None:
        return {"kind": "published", "family": given.family}
    return {"kind": "checkpoint"}


def _sizes(opened: Opened) -> dict[str, Any]:
    """Numbers of constants, and how many input steps a label depends on."""
    if not isinstance(opened.net, Graph):
        return {
            "parameters": sum(parameter.numel() for parameter in opened.net.parameters()),
            "receptive_field_steps": opened.net.receptive_field,
        }
    constants = [
        value
        for node in opened.net.nodes
        for value in (getattr(node, part.name) for part in fields(node))
        if isinstance(value, Weights)
    ]
    stored = [node.cast.to.word_bits for node in opened.net.nodes if isinstance(node, Requantise)]
    return {
        "parameters": sum(constant.raw.size for constant in constants),
        "parameter_bits": sum(constant.raw.size * constant.word_bits for constant in constants),
        "constant_word_bits": sorted({constant.word_bits for constant in constants}),
        "value_word_bits": sorted(set(stored)),
        "accumulator_bits": opened.net.accumulator_bits,
        "receptive_field_steps": _receptive_field(opened.net),
    }


def _receptive_field(graph: Graph) -> int:
    """Input steps, past and future, on the path that sees most of them."""
    timing, seen = timings(graph), dict[str, int]()
    for node in graph.nodes:
        reads = operands(node)
        seen[node.name] = max((seen[name] for name in reads), default=1)
        if isinstance(node, TemporalSum):
            seen[node.name] += (node.window - 1) * node.dilation * timing[node.x].period
        elif isinstance(node, TemporalConv):
            seen[node.name] += (
                (node.weight.raw.shape[2] - 1) * node.dilation * timing[node.x].period
            )
    return max(seen[name] for name in graph.outputs)


def _latency(opened: Opened) -> dict[str, Any]:
    """How far behind the newest step a label is; of a clip's label nothing is said."""
    if opened.arch.family == "stgcn":
        return {"latency": "the whole clip"}
    if isinstance(opened.net, Graph):
        ahead = lookaheads(opened.net)
        steps = max(ahead[name] for name in opened.net.outputs)
    else:
        steps = opened.net.latency_frames
    facts: dict[str, Any] = {
        "latency_steps": steps,
        "latency_frames": steps * opened.preparation.frames_per_step,
    }
    rate_hz = opened.data.get("rate_hz")
    if isinstance(rate_hz, int | float) and rate_hz > 0:
        facts |= {"rate_hz": rate_hz, "latency_ms": 1000 * steps / rate_hz}
    return facts


def _origin(opened: Opened, given: InfoSettings) -> dict[str, Any]:
    """What the file says of data, training and calibration."""
    facts: dict[str, Any] = {
        "preparation": opened.preparation.model_dump(mode="json"),
        "ids": opened.ids,
    }
    if isinstance(opened.net, Graph):
        known = ("arch", "preparation", "ids", "rate_hz")
        return facts | {k: v for k, v in opened.net.meta.items() if k not in known}
    if given.family is not None:
        return facts
    from stgcn_ref.checkpoints import read_header

    about = read_header(given.network)[1]
    facts["classes"] = opened.data.get("classes")
    return facts | {key: value for key, value in about.items() if key != "history"}
