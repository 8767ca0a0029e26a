"""docs/comparison.md and its figure, from a comparison's directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fxp.files import replacing
from reports.comparison import (
    Compared,
    accuracy_table,
    clips_table,
    cost_table,
    load_compared,
    published_table,
)
from reports.comparison_figure import draw_comparison
from reports.figures import save

STEM = "comparison"
COSTS_OF_THEN = (
    "Costs are of the cost model as it was when the networks were priced;"
    " `python -m dse recost runs/comparison` gives those of the same networks by today's"
    " (docs/exploration.md, Today's costs)."
)


def write_comparison(directory: Path, page: Path, figures: Path) -> list[Path]:
    """Write the page and its figure (PNG, SVG).

    Raises:
        InputError: no finished comparison in `directory`, or a file cannot be written.
    """
    compared = load_compared(directory)
    written = save(draw_comparison(compared), figures / STEM)
    link = Path(os.path.relpath(figures / f"{STEM}.png", page.parent)).as_posix()
    with replacing(page) as temporary:
        lines = page_lines(compared, link)
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [page, *written]


def page_lines(compared: Compared, figure: str) -> Iterator[str]:
    """The lines of the page; `figure` is the link to the picture."""
    yield "# The networks compared"
    yield ""
    yield "Made by one command, which goes on where it was interrupted:"
    yield ""
    yield "```sh"
    released = " --checkpoints FOLDER" if compared.about["published"] else ""
    yield f"python -m dse compare {compared.about['source']} --data FOLDER{released} \\"
    yield "  --out runs/comparison --page docs/comparison.md"
    yield "```"
    yield ""
    yield from _data(compared)
    yield ""
    yield "## Frame by frame: accuracy"
    yield ""
    yield from _accuracy_text(compared)
    yield ""
    yield from accuracy_table(compared)
    yield ""
    yield f"![F1@50 of every network over its multiply-accumulates]({figure})"
    yield ""
    yield "## What they cost"
    yield ""
    yield from _cost_text(compared)
    yield ""
    yield COSTS_OF_THEN
    yield ""
    yield from cost_table(compared)
    for title, rows in compared.about["published"].items():
        yield ""
        yield f"## {title}"
        yield ""
        yield (
            f"As its authors released it, at full rate, on {rows[0]['recordings']} recordings of"
            f" {rows[0]['frames']:,} frames. It was trained on part of them, so these numbers say"
            " what integers lose, not how well it labels strangers. Differences are accuracy and"
            " F1@50."
        )
        yield ""
        yield from published_table(rows)
    if compared.about["clips"]:
        yield ""
        yield "## Whole clips: the original task"
        yield ""
        yield from _clips_text(compared)
        yield ""
        yield from clips_table(compared.about["clips"])


def _data(compared: Compared) -> Iterator[str]:
    sweep = compared.results.sweep
    data = sweep["data"]
    kind = "**synthetic** recordings" if data["synthetic"] else "recordings"
    scored = "test" if "test" in data else "valid"
    sides = {side: data[side] for side in ("train", scored)}
    people = {side: ", ".join(map(str, part["participants"])) for side, part in sides.items()}
    seeds = ", ".join(map(str, sweep["space"]["seeds"]))
    yield (
        f"Data: {kind} `{data['name']}`, {len(data['classes'])} classes,"
        f" {data['step_rate_hz']:g} network steps a second. Trained on participants"
        f" {people['train']} ({sides['train']['recordings']} recordings,"
        f" {sides['train']['frames']:,} frames), scored on {people[scored]}"
        f" ({sides[scored]['recordings']} recordings, {sides[scored]['frames']:,} frames), seeds"
        f" {seeds}. {_choice(data)} Scores are percent, on original frames, a step's label held for"
        " all its frames."
    )


def _choice(data: Mapping[str, Any]) -> str:
    if "test" in data:
        people = ", ".join(map(str, data["valid"]["participants"]))
        return f"Every training keeps its best epoch on others, {people}."
    return (
        "Every training keeps its best epoch on the scored recordings, so levels are optimistic;"
        " what integers lose is not touched by that."
    )


def _accuracy_text(compared: Compared) -> Iterator[str]:
    yield (
        f"The baseline is {compared.about['baseline']} in floating point. `w8a8s12` is 8-bit"
        " weights and operands on residual streams of 12 bits. Agreement is the share of steps on"
        " which the integer network gives its own float network's label. Differences are accuracy"
        " and F1@50, in points."
    )


def _clips_text(compared: Compared) -> Iterator[str]:
    whole = compared.about["clips"][0]
    seconds = whole["steps"] / compared.results.sweep["data"]["step_rate_hz"]
    yield (
        "ST-GCN as it was published names the action of a clip: strides, a mean over the clip, one"
        f" label. Here its clips are single actions of {whole['steps']} steps ({seconds:g} s), cut"
        " out of the same recordings at the true borders, longer actions into several clips:"
        f" {whole['train_clips']:,} to train on, {whole['clips']:,} to score, one seed. Costs are"
        " per step, at a step at which every layer has work."
    )


def _cost_text(compared: Compared) -> Iterator[str]:
    accelerator = compared.results.sweep["accelerators"][0]
    versions = ", ".join(f"{k} {v}" for k, v in compared.results.sweep["versions"].items())
    yield (
        f"Per network step, on the preset `{accelerator}` of the cost model (docs/cost-model.md):"
        " multiply-accumulates, memory for constants, FIFOs, delay lines and activations, the steps"
        " a label waits for the future, cycles between steps, energy. Parameters are the float"
        " network's. By the clock: steps a second of the bit-exact simulator and of the same"
        " network in torch float32 over one clip of"
        f" {compared.about['speed_frames']:,} steps, one thread each, in turn; medians (and ranges)"
        f" of {compared.about['repeats']} repeats on a machine that others share. {versions}."
    )
