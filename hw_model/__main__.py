"""`python -m hw_model`: the cost of a network on an accelerator, and the RTL engine's check."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fxp.console import run
from fxp.errors import InputError
from fxp.ir import Graph
from fxp.spec import ArchSpec, QuantSpec, load_spec, parse_spec
from hw_model.accelerator import Adjacency, load_accelerator, preset_names
from hw_model.area.calibration import load_calibration
from hw_model.area.page import models_page
from hw_model.blueprint import blueprint
from hw_model.calibrate.command import calibrate
from hw_model.calibrate.synthesis import module_hash, rtl_hash
from hw_model.calibrate.targets import TARGETS
from hw_model.cost import estimate
from hw_model.ledger import CONVENTIONS, published_figures
from hw_model.rtl_commands import bundle_command, rtl_command
from hw_model.tables import print_estimate, print_figures, print_presets

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Work, memory, cycles and energy of a network on an accelerator; its RTL engine.",
)

app.command("calibrate")(calibrate)
app.command("bundle")(bundle_command)
app.command("rtl")(rtl_command)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("estimate")
def estimate_command(
    network: Annotated[
        Path, typer.Argument(metavar="ARCH_OR_NET", help="Architecture (.yaml) or model file.")
    ],
    accelerator: Annotated[
        str, typer.Option(metavar="PRESET_OR_YAML", help="A preset's name or a YAML file.")
    ],
    bits: Annotated[
        int | None, typer.Option(help="Width of weights and operands (architectures only).")
    ] = None,
    quant: Annotated[
        Path | None, typer.Option(help="Widths from a YAML file (architectures only).")
    ] = None,
    adjacency: Annotated[
        Adjacency | None, typer.Option(help="Graph products over all joints or edges only.")
    ] = None,
    frame_rate: Annotated[
        float | None, typer.Option(help="Frames that come in per second.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a network costs on an accelerator, per frame."""
    target = load_accelerator(accelerator)
    graph = _graph(network, bits, quant)
    try:
        cost = estimate(graph, target, adjacency, frame_rate)
    except InputError as error:
        raise InputError(f"{network} on {target.name}: {error}") from None
    if as_json:
        _print_json(dataclasses.asdict(cost))
    else:
        print_estimate(cost, Console())


@app.command()
def presets(as_json: AsJson = False) -> None:
    """List the accelerators that come with the toolkit."""
    accelerators = [load_accelerator(name) for name in preset_names()]
    if as_json:
        _print_json([accelerator.model_dump(mode="json") for accelerator in accelerators])
    else:
        print_presets(accelerators, Console())


@app.command()
def published(as_json: AsJson = False) -> None:
    """Set our counts beside the published ones, with the convention of each.

    Exits with 1 if one of them does not agree.
    """
    figures = published_figures()
    if as_json:
        rows = [dataclasses.asdict(figure) | {"agrees": figure.agrees} for figure in figures]
        _print_json({"figures": rows, "conventions": dict(CONVENTIONS)})
    else:
        print_figures(figures, Console())
    if not all(figure.agrees for figure in figures):
        raise typer.Exit(1)


@app.command()
def models() -> None:
    """Print the area models and their errors, as Markdown; say which are of another engine."""
    sys.stdout.write(models_page())
    for target in TARGETS:
        calibration = load_calibration(target)
        if calibration.rtl_sha256 != rtl_hash():
            sys.stderr.write(f"{target}: the engine has changed since it was calibrated\n")
        for unit, about in calibration.units.items():
            if about.rtl_sha256 != module_hash(unit):
                sys.stderr.write(f"{target}: {unit} has changed since it was calibrated\n")


def _graph(network: Path, bits: int | None, quant: Path | None) -> Graph:
    """The graph of an architecture (zero weights) or of a model file."""
    if network.suffix not in (".yaml", ".yml"):
        if bits is not None or quant is not None:
            raise InputError(f"{network}: a model file has its widths; drop --bits and --quant")
        from fxp.store import load_graph  # the arithmetic's modules: only for model files

        return load_graph(network)
    arch = load_spec(ArchSpec, network)
    if bits is not None and quant is not None:
        raise InputError("give --bits or --quant, not both")
    spec = load_spec(QuantSpec, quant) if quant is not None else QuantSpec()
    if bits is not None:
        widths = {"weight_bits": bits, "activation_bits": bits}
        spec = parse_spec(QuantSpec, widths, f"--bits {bits}")
    return blueprint(arch, spec, network.stem)


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    run(app)
