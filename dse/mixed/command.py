"""`python -m dse mix`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from dse.mixed.bench import Bench, Trial, claim
from dse.mixed.choose import Choice, choose, savings
from dse.mixed.inputs import Inputs, about_inputs, read_inputs, words_of
from dse.mixed.proxy import Guesses, agreement, guess
from dse.mixed.recipe import MixRecipe
from dse.mixed.results import BEST, results_of, write_results
from dse.mixed.scores import savings_on, score_designs
from dse.mixed.widths import parts_of
from dse.sweep import make_folder
from fxp.errors import InputError
from fxp.ptq.reference import real_values, reference
from fxp.ptq.search import LOGITS
from fxp.replay import Replay
from fxp.spec import QuantSpec, load_spec
from fxp.store import save_graph
from fxp.tables import print_table
from hw_model.accelerator import load_accelerator
from stgcn_ref.datasets.clips import select

TRIALS, SCORES = "trials", "scores"
AIM_PERCENT = 25  # what mixed widths should save; how often they do is told


def mix(
    network: Annotated[Path, typer.Argument(help="a trained network, or a file of float weights")],
    quant: Annotated[Path, typer.Option(help="modes, calibrator, repair: a file of widths")],
    recipe: Annotated[Path, typer.Option(help="what to save, what may be lost: a YAML file")],
    out: Annotated[Path, typer.Option(help="results directory (an interrupted run goes on)")],
    data: Annotated[Path | None, typer.Option(help="folder of the real recordings")] = None,
    train: Annotated[
        str | None, typer.Option(help="participants to calibrate on and select by")
    ] = None,
    select_by: Annotated[
        str | None, typer.Option("--select", help="others whose recordings are selected by too")
    ] = None,
    score: Annotated[
        str | None, typer.Option(help="participants that the fronts are scored on at the end")
    ] = None,
) -> None:
    """Choose the width of every layer's weights, operands and stream by loss and cost."""
    base, asked = load_spec(QuantSpec, quant), load_spec(MixRecipe, recipe)
    accelerator = load_accelerator(asked.accelerator)
    held_out = _participants("--score", score) or frozenset()
    others = _participants("--select", select_by) or frozenset()
    chosen = _participants("--train", train)
    given = read_inputs(network, base, asked, data, chosen, others, held_out)
    parts = parts_of(given.net.arch, base, asked)
    if not parts:
        raise InputError(f"{recipe}: no layer's width is left open")
    claim(out, about_inputs(given, network, base, accelerator))
    make_folder(out / TRIALS)
    make_folder(out / "front")
    with _watching() as (progress, watch):
        bench = Bench(
            given.net,
            base,
            asked,
            accelerator,
            given.recordings.rate_hz,
            Replay(words_of(given.calibration)),
            Replay(words_of(given.selection)),
            _logits(given, base),
            out / TRIALS,
            watch,
        )
        choice = choose(bench, parts)
        guesses: Guesses = {}
        if asked.proxy_clips:
            progress.update(progress.task_ids[0], description="Fisher proxy")
            guesses = guess(bench, choice.sensitivity, given.selection)
        correlation = agreement(choice.sensitivity, guesses) if guesses else {}
        scored = _scored(bench, choice, given, held_out, out, progress) if held_out else None
        found = results_of(bench, choice, guesses, correlation, _about(network, given), scored)
        write_results(out, found, bench, choice)
        if choice.best is not None:
            save_graph(bench.graph(choice.best.design, network.stem), out / "best.fxp")
    from reports.mixed_figures import write_mixed  # matplotlib: not before there are results

    write_mixed(out)
    _tell(bench, choice, correlation, out)
    if scored is not None:
        _tell_scored(choice, scored)


def _about(network: Path, given: Inputs) -> dict[str, Any]:
    ds = given.recordings
    return {
        "network": network.name,
        "family": given.net.arch.family,
        "data": ds.name,
        "synthetic": ds.synthetic,
        "calibration": [clip.name for clip in given.calibration],
        "selection": [clip.name for clip in given.selection],
    }


def _logits(given: Inputs, base: QuantSpec) -> list[Any]:
    """Of the float network for the selection recordings, (T, K) each."""
    wide = reference(given.net, base.input_bits)
    words = words_of(given.selection)
    return [values[LOGITS][:, :, 0] for values in real_values(wide, words, [LOGITS])]


def _scored(
    bench: Bench,
    choice: Choice,
    given: Inputs,
    subjects: frozenset[int],
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Scores of both fronts and the best designs on other participants."""
    name = "-".join(map(str, sorted(subjects)))
    folder = out / SCORES / name
    make_folder(folder)
    best = [trial for trial in (choice.best, choice.best_uniform) if trial is not None]
    trials = {t.key: t for t in (*choice.uniform_front, *choice.mixed_front, *best)}
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        text = f"scored {done} of {len(trials)} designs"
        progress.update(progress.task_ids[0], description=text)

    ds = select(given.recordings, subjects)
    own, found = score_designs(bench, list(trials.values()), ds, folder, count)
    return {"participants": sorted(subjects), "float": own, "designs": found}


def _participants(option: str, text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(name.isascii() and name.isdigit() for name in names):
        raise InputError(f"{option}: participants as `1,5,6` are needed, got {text!r}")
    return frozenset(map(int, names))


@contextmanager
def _watching() -> Iterator[tuple[Progress, Any]]:
    """One line on stderr that says what is measured; where that is no terminal, nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("opening")
        counts: dict[str, int] = {}

        def watch(trial: Trial) -> None:
            counts[trial.origin] = counts.get(trial.origin, 0) + 1
            each = ", ".join(f"{name} {count}" for name, count in counts.items())
            loss = "refused" if trial.refused else f"divergence {trial.divergence:.2e}"
            text = f"{each} designs: {loss} at {trial.cost:.3f} of the cost"
            progress.update(task, description=text)

        yield progress, watch


def _tell(bench: Bench, choice: Choice, correlation: dict[str, float | None], out: Path) -> None:
    rows: list[Sequence[object]] = [
        _row(bench, "best", choice.best),
        _row(bench, "best uniform", choice.best_uniform),
        _row(bench, "widest", choice.sensitivity.base),
    ]
    print_table(("design", *bench.unit, "divergence", "agreement"), rows)
    for saving in savings(choice):
        at = saving.uniform.divergence
        typer.echo(f"at divergence {at:.3e}: {saving.percent:.1f} % less cost than uniform widths")
    of_each = [saving.percent for saving in savings(choice)]
    typer.echo(f"at equal divergence on the selection recordings: {_spread(of_each)}")
    if correlation:
        ranks = ", ".join(
            f"{name} {'-' if value is None else f'{value:.2f}'}"
            for name, value in correlation.items()
        )
        typer.echo(f"rank correlation of the proxy: {ranks}")
    refused = sum(bool(trial.refused) for trial in bench.trials.values())
    typer.echo(f"{len(bench.trials)} designs measured, {refused} of them refused: {out}")
    if choice.best is None:
        typer.echo("no design is within the budget: no " + BEST)


def _tell_scored(choice: Choice, scored: dict[str, Any]) -> None:
    people = ", ".join(map(str, scored["participants"]))
    for name, of_each in savings_on(choice, scored["designs"]).items():
        typer.echo(f"at equal {name} on participants {people}: {_spread(of_each)}")


def _spread(percents: Sequence[float]) -> str:
    """How much is saved beside each uniform design, in a line."""
    if not percents:
        return "no uniform design to compare with"
    reached = sum(percent >= AIM_PERCENT for percent in percents)
    return (
        f"{min(percents):.1f} to {max(percents):.1f} % less cost than uniform widths, median "
        f"{median(percents):.1f} %, {reached} of {len(percents)} by {AIM_PERCENT} % or more"
    )


def _row(bench: Bench, name: str, trial: Trial | None) -> Sequence[object]:
    if trial is None:
        return (name, *("" for _ in bench.unit), "", "")
    costs = (f"{trial.costs[key]:.6g}" for key in bench.unit)
    return (name, *costs, f"{trial.divergence:.3e}", f"{trial.agreement:.2f}")
