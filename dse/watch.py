"""Progress bars of the commands that go through the points of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dse.work import Progress as Step


@contextmanager
def watching() -> Iterator[tuple[Console, Callable[[Step], None]]]:
    """Progress bars on stderr from the first step on: a mistake before it is one line alone."""
    console = Console(stderr=True)
    progress = _progress(console)
    with ExitStack() as shown:
        training = progress.add_task("trainings", total=None, visible=False)
        points = progress.add_task("points", total=None)

        def watch(step: Step) -> None:
            if not progress.live.is_started:
                shown.enter_context(progress)
            trains = step.to_train > 0
            progress.update(training, total=step.to_train, completed=step.trained, visible=trains)
            progress.update(points, total=step.points_total, completed=step.points)
            if step.note:
                console.print(step.note, style="red", markup=False, highlight=False)

        yield console, watch


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
