"""`python -m stgcn_ref export`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import typer
from pydantic import Field

from fxp.errors import InputError
from fxp.files import check_target
from fxp.floatnet import FloatNet
from fxp.ir import Graph
from fxp.ptq.choose import Judge, nearest_to_float
from fxp.ptq.quantise import quantise
from fxp.ranges import certify
from fxp.spec import QuantSpec, Repair, parse_spec
from fxp.store import save_graph
from stgcn_ref.commands.options import DataSettings, NetworkSettings, kind_of
from stgcn_ref.commands.settings import Count, Integer, Names
from stgcn_ref.datasets.clips import Clip, Dataset, spread
from stgcn_ref.judge import label_judge, others
from stgcn_ref.networks import Opened, standard_widths
from stgcn_ref.recordings import AnySet
from stgcn_ref.scoring import AnyClip, integer_input

WIDTHS = ("bits", "stream_bits", "fold", "calibrator", "repair")
REPAIRS: dict[str, dict[str, Any]] = {
    "equalise": {"equalise": True},
    "search": {"search": 1},
    "gptq": {"rounding": "gptq"},
    "adaround": {"rounding": "adaround"},
    "bias": {"bias": True},
    "best": {"choose": True},
}


class ExportSettings(NetworkSettings):
    """Options of `export`."""

    displaces: ClassVar = {
        "quant": WIDTHS,
        **dict.fromkeys(WIDTHS, ("quant",)),
        **DataSettings.displaces,
    }
    out: Path = Field(description="Model file of the integer network.")
    bits: Integer | None = Field(None, description="Width of weights and operands. Default: 8.")
    stream_bits: Integer | None = Field(
        None,
        description="Width of the residual streams, and of operands in refinements. "
        "Default: --bits; MS-GCN: at least 12.",
    )
    fold: Literal["weights", "affine"] | None = Field(
        None, description="Where the scales of the blocks' norms go. Default: weights."
    )
    calibrator: Literal["max", "percentile", "mse", "kl", "best"] | None = Field(
        None, description="How `frac_bits` are chosen. Default: mse."
    )
    repair: Names | None = Field(
        None,
        description="What is mended on the recordings: of equalise, search, gptq or adaround, "
        "bias; `best` chooses the last three and the calibrator. Default: nothing.",
    )
    quant: QuantSpec | None = Field(
        None, description="Widths and calibration, in place of --bits and the like."
    )
    clips: Count = Field(16, description="Recordings to calibrate on, spread evenly.")


def export(given: ExportSettings) -> None:
    """Fold the norms, calibrate on recordings, and write the integer network."""
    check_target(given.out)
    opened = given.opened()
    if isinstance(opened.net, Graph):
        raise InputError(f"{given.network}: an integer network already")
    spec = _widths(given, opened)
    ds = given.recordings(opened, "train")
    clips: Sequence[AnyClip] = ds.clips
    calibration = spread(clips, given.clips)

    from stgcn_ref.export import export as export_floats

    about = origin(given.network, opened, ds)
    net = export_floats(opened.net, opened.arch, calibration, about, spec.fold)
    words = [integer_input(clip).astype(np.int64) for clip in calibration]
    judge = _judge(net, spec, ds, calibration) if spec.repair.choose else None
    graph = quantise(net, spec, words, given.network.stem, judge)
    widths = certify(graph)
    save_graph(graph, given.out)
    typer.echo(f"calibrated on {len(calibration)} recordings of {kind_of(ds)}")
    typer.echo(f"weights {spec.weight_bits} bits, operands {spec.activation_bits} bits")
    typer.echo(f"streams {spec.stream_bits or spec.activation_bits} bits")
    for layers, over in spec.layers.items():
        typer.echo(f"layers {layers} {json.dumps(over.model_dump(exclude_none=True))}")
    if spec.repair != Repair():
        typer.echo(f"repair {json.dumps(spec.repair.model_dump())}")
    if "choice" in graph.meta:
        losses = sorted(graph.meta["choice"]["losses"].items(), key=lambda item: item[1])
        best, *rest = [f"{name} (loses {loss:.4g})" for name, loss in losses]
        typer.echo(f"chosen {best}; {', '.join(rest)}")
    typer.echo(f"accumulators {max(widths.values())} bits")
    typer.echo(f"network {given.out}")


def _judge(net: FloatNet, spec: QuantSpec, ds: AnySet, calibration: Sequence[AnyClip]) -> Judge:
    """By the labels of the recordings that are not calibrated on; by classes of single actions."""
    if isinstance(ds, Dataset):
        seen = [clip for clip in calibration if isinstance(clip, Clip)]
        return label_judge(net, spec.input_bits, others(ds.clips, seen))
    names = {clip.name for clip in calibration}
    rest = [clip for clip in ds.clips if clip.name not in names] or list(ds.clips)
    return nearest_to_float(net, spec.input_bits, [integer_input(clip) for clip in rest])


def origin(network: Path, opened: Opened, ds: AnySet) -> dict[str, Any]:
    """What the integer network's file says of its origin, and how it reads recordings."""
    return {
        "checkpoint": network.name,
        "data": ds.name,
        "synthetic": ds.synthetic,
        "classes": list(ds.classes),
        "ids": opened.ids,
        "rate_hz": ds.rate_hz,
        "preparation": opened.preparation.model_dump(mode="json"),
        "features": ds.meta.get("features"),
        "reader": ds.meta.get("reader"),
    }


def _widths(given: ExportSettings, opened: Opened) -> QuantSpec:
    if given.quant is not None:
        return given.quant
    spec = standard_widths(opened, 8 if given.bits is None else given.bits, given.stream_bits)
    repair = _repair(given.repair) if given.repair else None
    more = {"fold": given.fold, "calibrator": given.calibrator, "repair": repair}
    return spec.model_copy(update={key: value for key, value in more.items() if value})


def _repair(names: tuple[str, ...]) -> Repair:
    """`gptq,bias` and the like as what is meant."""
    chosen: dict[str, Any] = {}
    for name in names:
        if name not in REPAIRS:
            raise InputError(f"--repair: must be of {', '.join(REPAIRS)}, got {name!r}")
        if REPAIRS[name].keys() & chosen.keys():
            raise InputError(f"--repair: {name!r} does not go with what stands before it")
        chosen |= REPAIRS[name]
    return parse_spec(Repair, chosen, "--repair")
