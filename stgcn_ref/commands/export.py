"""`python -m stgcn_ref export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import typer
from pydantic import Field

from fxp.calibrate import calibrate
from fxp.errors import InputError
from fxp.files import check_target
from fxp.ir import Graph
from fxp.lower import lower
from fxp.ranges import certify
from fxp.spec import QuantSpec
from fxp.store import save_graph
from stgcn_ref.commands.options import DataSettings, NetworkSettings, kind_of
from stgcn_ref.commands.settings import Count, Integer
from stgcn_ref.networks import Opened, standard_widths
from stgcn_ref.recordings import AnySet

WIDTHS = ("bits", "stream_bits", "fold", "calibrator")


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
    calibrator: Literal["max", "percentile", "mse"] | None = Field(
        None, description="How `frac_bits` are chosen. Default: mse."
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
    count = len(ds.clips)
    chosen = [ds.clips[i * count // given.clips] for i in range(given.clips)]
    calibration = tuple({clip.name: clip for clip in chosen}.values())

    from stgcn_ref.export import export as export_floats

    about = origin(given.network, opened, ds)
    net = export_floats(opened.net, opened.arch, calibration, about, spec.fold)
    graph = lower(net, calibrate(net, spec), given.network.stem)
    widths = certify(graph)
    save_graph(graph, given.out)
    typer.echo(f"calibrated on {len(calibration)} recordings of {kind_of(ds)}")
    typer.echo(f"weights {spec.weight_bits} bits, operands {spec.activation_bits} bits")
    typer.echo(f"streams {spec.stream_bits or spec.activation_bits} bits")
    for layers, over in spec.layers.items():
        typer.echo(f"layers {layers} {json.dumps(over.model_dump(exclude_none=True))}")
    typer.echo(f"accumulators {max(widths.values())} bits")
    typer.echo(f"network {given.out}")


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
    more = {"fold": given.fold, "calibrator": given.calibrator}
    return spec.model_copy(update={key: value for key, value in more.items() if value})
