"""Run independent tasks in worker processes, one at a time each, and survive what they do.

A worker is a spawned process with a context that `setup` makes once (the prepared data). A task is
a module-level function called with that context. A task that raises ends as an error text; one that
takes its process down (out of memory, a crash in native code) fails alone, and its worker is
started anew. Workers end with their parent, also when that is killed: they watch for it.

With one job everything runs in the calling process, through the same functions.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from fxp.errors import InputError

Setup = Callable[..., Any]
Listener = Callable[["Task", float], None]

_tell: Callable[[float], None] | None = None  # in this process: to whom a running task reports


@dataclass(frozen=True)
class Task:
    """A call `run(context, *args)`; `key` names it, `kind` says what it is."""

    kind: str
    key: str
    run: Callable[..., Any]
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """How a task ended: its value, or one line of error and (for bugs) the traceback."""

    task: Task
    value: Any = None
    error: str = ""
    trace: str = ""
    seconds: float = 0.0


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    task: Task | None = None
    started: float = 0.0


def report_share(share: float) -> None:
    """Called by a running task: the share of it that is done, 0..1."""
    if _tell is not None:
        _tell(share)


def execute(
    queue: deque[Task],
    jobs: int,
    setup: Setup,
    setup_args: tuple[Any, ...] = (),
    listen: Listener = lambda *_: None,
) -> Iterator[Done]:
    """Run the queue until it is empty and every task has ended; yields in order of completion.

    The caller may append tasks to `queue` between two results. `listen` hears what tasks report
    while they run. Closing the iterator, or an exception in the caller's loop, ends the workers.

    Raises:
        InputError: `jobs` is less than 1.
    """
    if jobs < 1:
        raise InputError(f"`--jobs` must be at least 1, got {jobs}")
    if jobs == 1:
        yield from _inline(queue, setup, setup_args, listen)
        return
    workers: list[_Worker] = []
    try:
        while True:
            _dispatch(queue, workers, jobs, setup, setup_args)
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy])
            for worker in busy:
                if worker.pipe in ready and (done := _collect(worker, workers, listen)):
                    yield done
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def _inline(
    queue: deque[Task], setup: Setup, setup_args: tuple[Any, ...], listen: Listener
) -> Iterator[Done]:
    context: Any = None
    while queue:
        if context is None:
            context = setup(*setup_args)
        task = queue.popleft()
        started = time.perf_counter()
        value, error, trace = _attempt(context, task, partial(listen, task))
        yield Done(task, value, error, trace, time.perf_counter() - started)


def _dispatch(
    queue: deque[Task],
    workers: list[_Worker],
    jobs: int,
    setup: Setup,
    setup_args: tuple[Any, ...],
) -> None:
    """Give every waiting task a free worker, starting workers only as there is work for them."""
    while queue:
        for idle in [one for one in workers if one.task is None]:
            if not idle.process.is_alive():
                idle.pipe.close()
                workers.remove(idle)
        worker = next((one for one in workers if one.task is None), None)
        if worker is None:
            if len(workers) == jobs:
                return
            worker = _start(setup, setup_args)
            workers.append(worker)
        worker.task = queue.popleft()
        worker.started = time.perf_counter()
        worker.pipe.send(worker.task)


def _start(setup: Setup, setup_args: tuple[Any, ...]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, setup, setup_args), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _collect(worker: _Worker, workers: list[_Worker], listen: Listener) -> Done | None:
    """What waits in a worker's pipe: a result, a share done (None), or that its process is gone."""
    task = worker.task
    assert task is not None
    seconds = time.perf_counter() - worker.started
    try:
        message = worker.pipe.recv()
        if isinstance(message, float):
            listen(task, message)
            return None
        worker.task = None
        value, error, trace = message
    except (EOFError, ConnectionResetError):
        worker.process.join()
        worker.pipe.close()
        workers.remove(worker)
        code = worker.process.exitcode
        return Done(task, error=f"its process died (exit code {code})", seconds=seconds)
    return Done(task, value, error, trace, seconds)


def _serve(pipe: Connection, setup: Setup, setup_args: tuple[Any, ...]) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and terminates us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    context: Any = None
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if context is None:
            context = setup(*setup_args)
        pipe.send(_attempt(context, task, lambda share: pipe.send(float(share))))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(context: Any, task: Task, tell: Callable[[float], None]) -> tuple[Any, str, str]:
    """(value, error, traceback); the error of wrong input needs no traceback."""
    global _tell
    _tell = tell
    try:
        return task.run(context, *task.args), "", ""
    except InputError as error:
        return None, " ".join(str(error).split()), ""
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return None, text, traceback.format_exc()
