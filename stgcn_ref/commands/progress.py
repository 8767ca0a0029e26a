"""Progress of long runs, on stderr; nothing at all where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from stgcn_ref.checkpoints import Watch
    from stgcn_ref.train import Epoch


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar of `total` pieces of work; what is yielded is called after each of them."""
    with _bar(MofNCompleteColumn()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def watching(epochs: int) -> Iterator[Watch]:
    """A bar of the epochs of a training, with loss and scores."""
    from stgcn_ref.checkpoints import Watch
    from stgcn_ref.task import brief

    with _bar() as bar:
        task = bar.add_task("training", total=epochs)
        done = 0

        def on_step(step: int, steps: int) -> None:
            bar.update(task, completed=done + step / steps)

        def on_epoch(epoch: Epoch) -> None:
            nonlocal done
            done = epoch.number + 1
            scored = f" {brief(epoch.scores)}" if epoch.scores else ""
            bar.update(
                task, completed=done, description=f"epoch {done} loss {epoch.loss:.3f}{scored}"
            )

        yield Watch(on_step=on_step, on_epoch=on_epoch)


def _bar(*more: MofNCompleteColumn) -> Progress:
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), *more, TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
