"""`python -m dse`: explore a design space, show its front, write golden vectors of a point."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from dse.axes import load_space
from dse.compare import run_comparison
from dse.comparison import load_comparison
from dse.golden import write_golden
from dse.mixed.command import mix
from dse.recost_command import recost
from dse.results import Collected, collect
from dse.store import Store
from dse.sweep import Outcome, make_folder, run_sweep
from dse.watch import watching
from fxp.console import run
from fxp.errors import InputError
from fxp.tables import print_table
from hw_model.rtl.request import Request
from hw_model.rtl_commands import (
    Board,
    FetchInterval,
    FetchLatency,
    OffChip,
    Paired,
    lanes_text,
    off_chip_text,
)

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Explore networks and hardware together."
)

Directory = Annotated[Path, typer.Argument(help="results directory of a sweep")]
Data = Annotated[Path | None, typer.Option("--data", help="folder of the real recordings")]

Jobs = Annotated[int | None, typer.Option(help="worker processes (default: one a core)")]
Cache = Annotated[
    Path | None, typer.Option(help="trained checkpoints (default: in the results directory)")
]


@app.command()
def sweep(
    space: Annotated[Path, typer.Argument(help="the space, a YAML file")],
    out: Annotated[Path, typer.Option(help="results directory (an interrupted sweep goes on)")],
    data: Data = None,
    jobs: Jobs = None,
    cache: Cache = None,
    retry: Annotated[bool, typer.Option("--retry", help="evaluate failed points again")] = False,
) -> None:
    """Evaluate every point of SPACE that OUT has no result of; write tables, figures, summary.

    Ends with exit code 1 if a point failed, 130 if interrupted (the same command goes on).
    """
    axes = load_space(space)
    with watching() as (_, watch):
        outcome = run_sweep(
            axes, out, data_root=data, jobs=_workers(jobs), cache=cache, retry=retry, watch=watch
        )
    from reports.summary import write_reports  # matplotlib: not before the results are written

    write_reports(out)
    _tell(outcome, out)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def compare(
    comparison: Annotated[Path, typer.Argument(help="what to compare, a YAML file")],
    out: Annotated[Path, typer.Option(help="results directory (an interrupted run goes on)")],
    data: Data = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="folder of the released checkpoints the file lists")
    ] = None,
    jobs: Jobs = None,
    cache: Cache = None,
    page: Annotated[
        Path | None, typer.Option(help="markdown page (default: comparison.md in OUT)")
    ] = None,
) -> None:
    """Train, quantise, score, price and time the networks of COMPARISON; write a page of tables.

    The page's figure goes beside it, in the folder `figures`.
    """
    checked = load_comparison(comparison, checkpoints)
    with watching() as (console, watch):
        run_comparison(
            checked,
            out,
            data_root=data,
            jobs=_workers(jobs),
            cache=cache,
            watch=watch,
            note=lambda line: console.print(line, markup=False, highlight=False),
        )
    from reports.comparison_page import write_comparison  # matplotlib: not before there are results

    page = page or out / "comparison.md"
    figures = page.parent / "figures"
    make_folder(figures)
    for path in write_comparison(out, page, figures):
        typer.echo(path)


def _workers(jobs: int | None) -> int:
    return (os.cpu_count() or 1) if jobs is None else jobs


def _tell(outcome: Outcome, out: Path) -> None:
    known = outcome.points - outcome.evaluated
    typer.echo(
        f"{outcome.evaluated} of {outcome.points} points evaluated"
        + (f", {known} were there already" if known else "")
        + f": {outcome.ok} feasible, {outcome.infeasible} infeasible, {outcome.failed} failed"
    )
    typer.echo(f"{outcome.front} points on the front: {out / 'summary.md'}, {out / 'pareto.png'}")


@app.command()
def show(
    directory: Directory,
    as_json: Annotated[bool, typer.Option("--json", help="print the front as JSON")] = False,
) -> None:
    """Print the Pareto front of what a sweep has evaluated so far."""
    with Store(directory) as store:
        collected = collect(store)
    if as_json:
        typer.echo(json.dumps(_as_json(collected), indent=1, ensure_ascii=False))
        return
    metrics = _shown_metrics(collected)
    about = collected.about["metrics"]
    columns = [f"{about[m]['label']} {about[m]['unit']}".strip() for m in metrics]
    rows = [
        [r["front"], r["design"], *(_digits(r[m]) for m in metrics), r["point"][:12]]
        for r in collected.front
    ]
    print_table(["#", "design", *columns, "point"], rows)
    typer.echo(_state(collected))


def _as_json(collected: Collected) -> dict[str, Any]:
    about = collected.about
    return {
        "name": about["name"],
        "data": about["data"],
        "objectives": about["objectives"],
        "constraints": about["constraints"],
        "missing": collected.missing,
        "front": list(collected.front),
    }


def _shown_metrics(collected: Collected) -> list[str]:
    objectives = list(collected.about["objectives"])
    more = ("frame_accuracy", "f1_50", "argmax_agreement", "energy_uj", "memory_bits")
    known = collected.about["metrics"]
    return objectives + [name for name in more if name in known and name not in objectives]


def _digits(value: Any) -> str:
    return "-" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _state(collected: Collected) -> str:
    data = collected.about["data"]
    status = [record["status"] for record in collected.records]
    words = [f"{len(collected.front)} of {len(status)} evaluated points are on the front"]
    for name in ("infeasible", "failed"):
        if count := status.count(name):
            words.append(f"{count} {name}")
    if collected.missing:
        words.append(f"{collected.missing} not evaluated yet")
    if data is not None and data["synthetic"]:
        words.append(f"synthetic data ({data['name']})")
    return "; ".join(words)


@app.command()
def losses(
    directory: Directory,
    page: Annotated[Path | None, typer.Option(help="Markdown page, figure beside it")] = None,
    gate: Annotated[
        str | None, typer.Option(help="method whose networks must keep every budget; else exit 1")
    ] = None,
) -> None:
    """Write losses.csv: what integer networks lose against float, with intervals; a page of it."""
    from dse.losses import HEADER, LOSSES, broken, line, losses_of, write_losses

    rows = losses_of(directory)
    failures = [] if gate is None else broken(rows, gate)
    write_losses(rows, directory / LOSSES)
    print_table(HEADER, [line(row) for row in rows])
    typer.echo(directory / LOSSES)
    if page is not None:
        from reports.losses_page import write_losses_page

        figures = page.parent / "figures"
        make_folder(figures)
        for path in write_losses_page(directory, page, figures):
            typer.echo(path)
    for failure in failures:
        typer.echo(f"budget broken: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


@app.command()
def golden(
    directory: Directory,
    point: Annotated[
        str, typer.Argument(help="prefix of a point's hash, best:METRIC or front:PLACE")
    ],
    clip: Annotated[str, typer.Option(help="name of a clip, or index of a scored clip")],
    out: Annotated[Path, typer.Option(help="folder of the bundle")],
    frames: Annotated[int | None, typer.Option(help="only the first so many frames")] = None,
    data: Data = None,
    lanes: Annotated[
        int, typer.Option(help="words in a line; the engine's lanes without accelerator")
    ] = 1,
    rtl: Annotated[bool, typer.Option(help="with the RTL engine, where it can do the net")] = True,
    accelerator: Board = None,
    paired: Paired = False,
    off_chip: OffChip = None,
    fetch_latency: FetchLatency = None,
    fetch_interval: FetchInterval = None,
    stress: Annotated[bool, typer.Option(help="with stress clips for the RTL engine")] = True,
) -> None:
    """Write golden vectors of a design point: weights, input, every value, state, RTL engine.

    The engine is that of --accelerator, else of the point's accelerator if that
    is a preset with lanes; else it has --lanes lanes, in pairs with --paired.
    """
    asked = {accelerator, off_chip, fetch_latency, fetch_interval, paired or None}
    if not rtl and asked != {None}:
        raise InputError(
            "`--accelerator`, `--paired`, `--off-chip` and `--fetch-...` are for the RTL engine"
        )
    request = Request(
        stress, paired, off_chip=off_chip, latency=fetch_latency, interval=fetch_interval
    )
    manifest = write_golden(
        directory,
        point,
        clip,
        out,
        frames=frames,
        data_root=data,
        lanes=lanes,
        rtl=request if rtl else None,
        accelerator=accelerator,
    )
    source = manifest["provenance"]
    typer.echo(f"{out}: {source['design']} on {source['clip']}, point {source['point'][:12]}")
    if "no_rtl" in source:
        typer.echo(f"without RTL: {source['no_rtl']}")
    elif rtl:
        engine = manifest["attachments"]["rtl"]
        cycles = engine["predicted_cycles"]["interval"]
        typer.echo(f"RTL: {lanes_text(engine['settings'])}, {cycles} cycles per frame")
        if off_chip is not None:
            typer.echo(off_chip_text(engine["settings"]))


app.command()(mix)
app.command()(recost)

if __name__ == "__main__":
    run(app)
