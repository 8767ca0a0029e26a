"""`python -m hw_model bundle` and `rtl`: a golden bundle with an engine, and the engine's check."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fxp.errors import InputError
from fxp.files import check_target
from fxp.tables import print_table
from hw_model.rtl.toolchains import Simulator

if TYPE_CHECKING:
    from hw_model.accelerator import Accelerator
    from hw_model.rtl.check import Checked, Report

MAX_LANES = 1024
MAX_CYCLES = 1 << 20

Paired = Annotated[
    bool,
    typer.Option("--paired", help="Two lanes to a multiplier, which makes two products a cycle."),
]
OffChip = Annotated[
    str | None,
    typer.Option(
        metavar="NODE,...|all|auto", help="Convolutions whose weights come from outside the chip."
    ),
]
FetchLatency = Annotated[
    int | None,
    typer.Option(help="Cycles until a tile's first line comes.", min=1, max=MAX_CYCLES),
]
FetchInterval = Annotated[
    int | None,
    typer.Option(help="Cycles from one line to the next.", min=1, max=MAX_CYCLES),
]
Board = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET_OR_YAML", help="Lanes, packing, adjacency and DRAM are this accelerator's."
    ),
]


def bundle_command(
    net: Annotated[Path, typer.Argument(metavar="NET", help="Model file of an integer network.")],
    clip: Annotated[
        Path, typer.Argument(metavar="CLIP.npy", help="Input words, integers (T, C, V).")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the bundle; new, empty, or a bundle.")],
    lanes: Annotated[int | None, typer.Option(help="Lanes side by side.")] = None,
    accelerator: Board = None,
    frames: Annotated[int | None, typer.Option(help="Only the first frames of the clip.")] = None,
    dense: Annotated[bool, typer.Option(help="Walk all pairs of joints, not the edges.")] = False,
    paired: Paired = False,
    off_chip: OffChip = None,
    fetch_latency: FetchLatency = None,
    fetch_interval: FetchInterval = None,
    stress: Annotated[bool, typer.Option(help="Add clips that stress sums and argmaxes.")] = True,
    seed: Annotated[int, typer.Option(help="Of the stall patterns.", min=0)] = 0,
    note: Annotated[str, typer.Option(help="Text kept as the bundle's provenance.")] = "",
) -> None:
    """Write golden vectors and the engine that computes them: RTL, bench, memories, Makefile."""
    from fxp.clip_files import read_clip  # the simulator's modules: not for costs
    from fxp.golden import file_sha256, write_bundle
    from fxp.store import load_graph
    from hw_model.rtl.bundle import rtl_attachment
    from hw_model.rtl.request import Request, settings_for

    request = Request(stress, paired, seed, off_chip, fetch_latency, fetch_interval)
    engine = _engine(lanes, dense, accelerator)
    graph = load_graph(net)
    words = read_clip(clip, graph)
    if frames is not None and not 1 <= frames <= len(words):
        raise InputError(f"{clip}: `--frames` must be 1..{len(words)}, got {frames}")
    provenance = {
        "network": net.name,
        "clip": clip.name,
        "clip_sha256": file_sha256(clip),
        "clip_frames": [0, frames or len(words)],
        "accelerator": engine[2].name if engine[2] else None,
        "note": note,
    }
    words = words[:frames]
    settings = settings_for(graph, request, *engine)
    try:
        attachment = rtl_attachment(graph, words, settings)
    except InputError as error:
        raise InputError(f"{net}: {error}") from None
    manifest = write_bundle(
        graph, words, out, lanes=settings.lanes, provenance=provenance, attachments=[attachment]
    )
    files = len(manifest["files"]) + len(manifest["attached"]) + 2
    cycles, runs = attachment.about["predicted_cycles"]["interval"], attachment.about["runs"]
    typer.echo(
        f"{out}: {files} files, {len(words)} frames, {lanes_text(attachment.about['settings'])}, "
        f"{cycles} cycles per frame, {len(runs)} runs"
    )
    if off_chip is not None:
        typer.echo(off_chip_text(attachment.about["settings"]))


def _engine(
    lanes: int | None, dense: bool, accelerator: str | None
) -> tuple[int, bool, Accelerator | None]:
    """Lanes, whether all pairs of joints are walked, and the accelerator that says so, if given."""
    from hw_model.accelerator import load_accelerator
    from hw_model.rtl.request import lanes_of

    if (lanes is None) == (accelerator is None):
        raise InputError("give either `--lanes` or `--accelerator`")
    if accelerator is not None:
        if dense:
            raise InputError("give `--dense` or `--accelerator`, not both: it has its adjacency")
        board = load_accelerator(accelerator)
        return lanes_of(board).lanes, board.adjacency == "dense", board
    assert lanes is not None
    if not 1 <= lanes <= MAX_LANES:
        raise InputError(f"`--lanes` must be 1..{MAX_LANES}, got {lanes}")
    return lanes, dense, None


def lanes_text(settings: Mapping[str, Any]) -> str:
    """How many lanes `attachments.rtl.settings` of a manifest has, and whether in pairs."""
    return f"{settings['lanes']} lanes{' in pairs' if settings['paired'] else ''}"


def off_chip_text(settings: Mapping[str, Any]) -> str:
    """What `attachments.rtl.settings` of a manifest says of weights off the chip, as a line."""
    names, source = settings["off_chip"], settings["source"]
    if not names:
        return "off the chip: nothing"
    times = f"latency {source['latency']}, {source['interval']} cycles a line"
    return f"off the chip: weights of {', '.join(names)} ({times})"


def rtl_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a golden bundle.")],
    sim: Annotated[Simulator, typer.Option(help="Simulator.")] = "icarus",
    stall: Annotated[bool, typer.Option("--stall", help="Run with random stalls too.")] = False,
    stress: Annotated[bool, typer.Option("--stress", help="Run the stress clips too.")] = False,
    waves: Annotated[Path | None, typer.Option(metavar="FILE", help="Waveform (VCD).")] = None,
    hdl: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Sources there replace the bundle's of that name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate a bundle's engine and compare every word and every cycle.

    Exit code 0: all is equal. 1: something differs. 2: the bundle is damaged,
    has no engine, a tool is missing, or sources do not compile.
    """
    from hw_model.rtl.check import Options, check_bundle

    if waves is not None:
        check_target(waves)
    if hdl is not None and not hdl.is_dir():
        raise InputError(f"{hdl}: no such folder")
    with Console(stderr=True).status(f"{sim}: reading {bundle.name}") as status:
        report = check_bundle(bundle, sim, Options(stall, stress, waves, hdl), status.update)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(report), indent=2) + "\n")
    else:
        columns = ("run", "hardware", "frames", "cycles", "expected", "latency", "seconds", "")
        print_table(columns, [_row(run) for run in report.runs])
        _say_more(report)
        for run in report.runs:
            _explain(run)
    if not report.equal:
        raise typer.Exit(1)


def _row(run: Checked) -> tuple[object, ...]:
    name = f"{run.name} (stalled)" if run.stalled else run.name
    expected = "" if run.stalled else run.expected_cycles
    verdict = "equal" if run.equal else "DIFFERENT"
    numbers = run.frames, run.cycles, expected, run.latency, round(run.seconds, 2)
    return name, run.hardware, *numbers, verdict


def _say_more(report: Report) -> None:
    """What the shared hardware has more of."""
    if not report.shared_more:
        return
    runs = {run.name for run in report.runs if run.hardware == "shared"}
    parts = [f"{name} {_number(a)} -> {_number(b)}" for name, (a, b) in report.shared_more.items()]
    typer.echo(f"shared hardware, for {len(runs)} runs, has more: {', '.join(parts)}")


def _number(value: int | list[int]) -> str:
    return str(value) if isinstance(value, int) else "/".join(map(str, value))


def _explain(run: Checked) -> None:
    if not run.equal:
        only_cycles = all(complaint.startswith("CYCLES") for complaint in run.complaints)
        where = "every word is equal, cycles are not" if only_cycles else "no word to name"
        typer.echo(f"{run.name}: {run.found or where}")
        for complaint in run.complaints:
            typer.echo(f"  {complaint}")
    if run.waves:
        typer.echo(f"{run.name}: waveform {run.waves}")
