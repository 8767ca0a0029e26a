"""The page of a sweep's losses, and its figure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fxp.files import replacing
from reports.figures import save
from reports.losses import Losses, budget_table, load_losses, loss_table
from reports.losses_figure import draw_losses

STEM = "losses"


def write_losses_page(directory: Path, page: Path, figures: Path) -> list[Path]:
    """Write the page and its figure (PNG, SVG).

    Raises:
        InputError: no losses in `directory`, or a file cannot be written.
    """
    losses = load_losses(directory)
    written = save(draw_losses(losses), figures / STEM)
    link = Path(os.path.relpath(figures / f"{STEM}.png", page.parent)).as_posix()
    with replacing(page) as temporary:
        temporary.write_text("\n".join(page_lines(losses, link)) + "\n", encoding="utf-8")
    return [page, *written]


def page_lines(losses: Losses, figure: str) -> Iterator[str]:
    """The lines of the page; `figure` is the link to the picture."""
    source = losses.sweep["source"]
    yield "# What integers lose"
    yield ""
    yield "Made by two commands; the first goes on where it was interrupted:"
    yield ""
    yield "```sh"
    given = "" if losses.sweep["data"]["synthetic"] else " --data FOLDER"
    yield f"python -m dse sweep {source} --out runs/losses{given}"
    yield "python -m dse losses runs/losses --page docs/losses.md"
    yield "```"
    yield ""
    yield _data(losses.sweep)
    yield ""
    yield (
        "Changes are integer minus float, in points. In square brackets: the middle 95 % of a"
        " bootstrap over recordings, the same recordings drawn for float and integers and for all"
        " seeds. In braces: the least and the most of the seeds. Agreement is the share of steps"
        " labelled as the float network labels them, in percent. `s`: seconds that one integer"
        " network took in one process, its scoring with it, median of the seeds, on a machine that"
        " others share."
    )
    yield ""
    if losses.sweep["budgets"]:
        yield "## Budgets"
        yield ""
        yield "All limits of a budget must hold together, on the mean over seeds."
        yield ""
        yield from budget_table(losses)
        yield ""
    yield f"![Loss of accuracy and of F1@50 over widths, by network and method]({figure})"
    for model in losses.models:
        row = next(row for row in losses.rows if row["model"] == model)
        yield ""
        yield f"## {model}"
        yield ""
        yield (
            f"Float: accuracy {row['float_frame_accuracy']:.2f},"
            f" F1@50 {row['float_f1_50']:.2f} (mean of {int(row['seeds'])} seeds)."
        )
        yield ""
        yield from loss_table(losses, model)


def _data(sweep: Any) -> str:
    data = sweep["data"]
    kind = "**synthetic** recordings" if data["synthetic"] else "recordings"
    people = {
        side: ", ".join(map(str, data[side]["participants"]))
        for side in ("train", "valid", "test")
        if side in data
    }
    scored = "test" if "test" in data else "valid"
    choice = (
        f"epochs are chosen on {people['valid']}, whose recordings are not scored"
        if scored == "test"
        else "epochs are chosen on the scored recordings, so levels are optimistic"
    )
    seeds = ", ".join(map(str, sweep["space"]["seeds"]))
    counts = sweep["counts"]
    open_points = (
        f" Of {counts['points']} points {counts['missing']} are not evaluated yet: see the column"
        " `seeds`."
        if counts["missing"]
        else ""
    )
    return (
        f"Data: {kind} `{data['name']}`, {data['step_rate_hz']:g} network steps a second. Trained"
        f" on participants {people['train']}, scored on {people[scored]}"
        f" ({data[scored]['recordings']} recordings, {data[scored]['frames']:,} frames);"
        f" {choice}. Seeds {seeds}.{open_points}"
    )
