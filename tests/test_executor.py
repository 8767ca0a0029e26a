"""Workers: order does not matter, one failure stays one failure, nobody outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from dse.executor import Done, Task, execute, report_share
from fxp.errors import InputError


def setup(offset: int) -> int:
    return offset


def add(context: int, value: int) -> int:
    return context + value


def process_id(context: int) -> int:
    return os.getpid() + 0 * context


def refuse(context: int, text: str) -> None:
    raise InputError(f"{text}: {context}")


def crash(context: int) -> None:
    raise KeyError(context)


def die(context: int) -> None:
    os.kill(os.getpid() + 0 * context, signal.SIGKILL)


def run(tasks: list[Task], jobs: int) -> dict[str, Done]:
    return {done.task.key: done for done in execute(deque(tasks), jobs, setup, (10,))}


def task(key: str, function: object, *args: object) -> Task:
    return Task("test", key, function, args)  # type: ignore[arg-type]


@pytest.mark.parametrize("jobs", [1, 2])
def test_values_and_errors_come_back(jobs: int) -> None:
    done = run(
        [task("a", add, 1), task("b", refuse, "too\nsmall"), task("c", crash), task("d", add, 2)],
        jobs,
    )
    assert (done["a"].value, done["d"].value) == (11, 12)
    assert (done["b"].error, done["b"].trace) == ("too small: 10", "")
    assert done["c"].error == "KeyError: 10"
    assert "in crash" in done["c"].trace
    assert all(one.seconds >= 0 for one in done.values())


def test_a_task_that_kills_its_process_fails_alone() -> None:
    done = run([task("x", die)] + [task(str(i), add, i) for i in range(6)], 2)
    assert done["x"].error == "its process died (exit code -9)"
    assert [done[str(i)].value for i in range(6)] == [10, 11, 12, 13, 14, 15]


def test_results_may_bring_new_tasks() -> None:
    queue = deque([task("0", add, 0)])
    seen = []
    for done in execute(queue, 1, setup, (1,)):
        seen.append(done.value)
        if len(seen) < 4:
            queue.append(task(str(len(seen)), add, len(seen)))
    assert seen == [1, 2, 3, 4]


def test_leaving_the_loop_ends_the_workers() -> None:
    queue = deque([task("pid", process_id), task("later", add, 1)])
    running = execute(queue, 2, setup, (0,))
    pids = [done.value for done in running if done.task.key == "pid"]
    running.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def half_way(context: int) -> int:
    report_share(0.5)
    return context


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_report_while_they_run(jobs: int) -> None:
    heard = []
    queue = deque([task("a", half_way), task("b", add, 1)])
    for done in execute(
        queue, jobs, setup, (3,), lambda who, share: heard.append((who.key, share))
    ):
        assert done.value in (3, 4)
    assert heard == [("a", 0.5)]


def test_jobs_must_be_positive() -> None:
    with pytest.raises(InputError, match="`--jobs` must be at least 1, got 0"):
        list(execute(deque(), 0, setup))


ORPHANS = """
import sys, time
from collections import deque
from pathlib import Path
from dse.executor import Task, execute
from tests.test_executor import setup, note_and_sleep
if __name__ == "__main__":
    list(execute(deque([Task("t", "k", note_and_sleep, (sys.argv[1],))]), 2, setup, (0,)))
"""


def note_and_sleep(context: int, path: str) -> None:
    Path(path).with_suffix(".tmp").write_text(str(os.getpid()))
    Path(path).with_suffix(".tmp").rename(path)
    time.sleep(60 + context)


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script, pid_file = tmp_path / "parent.py", tmp_path / "pid"
    script.write_text(ORPHANS)
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    parent = subprocess.Popen([sys.executable, str(script), str(pid_file)], env=environment)
    _wait_until(pid_file.exists)
    parent.kill()
    parent.wait()
    worker = int(pid_file.read_text())
    _wait_until(lambda: not _alive(worker))


def _alive(pid: int) -> bool:
    """Running, neither gone nor a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_until(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
