"""`python -m stgcn_ref profile`: `fxp.profile` on recordings, against the trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Graph
from fxp.profile import profile
from fxp.profile_command import Bits, Net, Out, SensitivityClips, measured, report, widths_of
from fxp.spec import QuantSpec, parse_spec
from stgcn_ref.datasets.clips import Dataset, spread
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.networks import Family, Opened, open_network
from stgcn_ref.preparation import prepare


def profile_command(
    net: Net,
    data: Annotated[
        Path | None,
        typer.Option(help="HuGaDB recordings; without it, synthetic ones are generated."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint that NET was exported from; "
            "default: the network's own constants without casts."
        ),
    ] = None,
    family: Annotated[
        Family | None, typer.Option(help="The reference is a published checkpoint of this.")
    ] = None,
    skeleton: Annotated[str | None, typer.Option(help="Joints of a published checkpoint.")] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Recordings to profile on, spread evenly over all.")
    ] = 16,
    out: Out = None,
    sensitivity: Bits = None,
    sensitivity_clips: SensitivityClips = 4,
) -> None:
    """Compare every tensor of an integer network with its format and the trained network.

    The recordings are prepared as those the network was trained on. What it prints and writes is
    what `python -m fxp profile` does.
    """
    opened = open_network(net)
    if not isinstance(opened.net, Graph):
        raise InputError(f"{net}: a float network; profiles are of integer networks")
    widths = widths_of(sensitivity)
    floats = _floats(reference, family, skeleton, opened.net) if reference else None
    ds = _recordings(opened, data)
    chosen = [clip.x for clip in spread(ds.clips, clips)]
    found = profile(opened.net, chosen, floats, ds.name, ds.synthetic)
    report(found, measured(opened.net, chosen[:sensitivity_clips], widths), out)


def _floats(
    checkpoint: Path, family: Family | None, skeleton: str | None, graph: Graph
) -> FloatNet:
    """The trained network with its norms folded as they were for `graph`."""
    opened = open_network(checkpoint, family, skeleton)
    if isinstance(opened.net, Graph):
        raise InputError(f"{checkpoint}: an integer network; the reference is a trained one")

    from stgcn_ref.folding import folded_parameters  # with torch

    fold = parse_spec(QuantSpec, graph.meta.get("quant"), f"graph `{graph.name}`: quant").fold
    return FloatNet(opened.arch, folded_parameters(opened.net, fold), meta={"fold": fold})


def _recordings(opened: Opened, root: Path | None) -> Dataset:
    """HuGaDB under `root`, or the synthetic set, as the network reads it."""
    raw = load_hugadb(root, "v2", None, opened.ids) if root else generate_synthetic()
    return opened.fitted(prepare(raw, opened.preparation))
