"""A sweep killed with SIGKILL goes on where it stopped and ends as an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dse.store import FILE_NAME
from tests.sweeping import TRAINED_SPACE, sweep, write_space

ROOT = Path(__file__).parents[1]
TABLES = ("results.csv", "pareto.csv")
LARGER: dict[str, Any] = {
    **TRAINED_SPACE,
    "network": {**TRAINED_SPACE["network"], "window": [2, 3]},
    "seeds": [0, 1, 2, 3],
    "training": {"epochs": 6, "batch": 2, "segment": 64},
    "quant": {
        "axes": {"weight_bits": [4, 8], "activation_bits": [6, 8], "stream_bits": [None, 12]}
    },
}


def start(space: Path, out: Path, jobs: int) -> subprocess.Popen[bytes]:
    """The command, in a process of its own that an interrupt reaches as it does on a terminal.

    A shell starts what it runs in the background with SIGINT ignored, and children inherit that:
    without a reset the outcome would depend on how the tests were started.
    """
    command = [sys.executable, "-m", "dse", "sweep", str(space), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--jobs", str(jobs)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def points(out: Path) -> int:
    """Rows of points in a store that another process writes."""
    if not (out / FILE_NAME).is_file():
        return 0
    store = sqlite3.connect(f"file:{out / FILE_NAME}?mode=ro", uri=True, timeout=5)
    try:
        found: int = store.execute("SELECT count(*) FROM points").fetchone()[0]
        return found
    except sqlite3.OperationalError:  # its tables are not there yet
        return 0
    finally:
        store.close()


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def kill(process: subprocess.Popen[bytes]) -> bool:
    """SIGKILL; whether the process was still running."""
    os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_a_killed_sweep_ends_with_the_same_front(tmp_path: Path) -> None:
    space = write_space(tmp_path, TRAINED_SPACE)
    process = start(space, tmp_path / "killed", jobs=1)
    wait_for(lambda: points(tmp_path / "killed") or process.poll() is not None)
    assert kill(process)
    done = points(tmp_path / "killed")
    assert done >= 1
    outcome = sweep(space, tmp_path / "killed")
    assert outcome.points == 8
    assert outcome.evaluated == 8 - done
    sweep(space, tmp_path / "whole")
    for name in TABLES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_five_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    space = write_space(tmp_path, LARGER)
    assert start(space, tmp_path / "whole", jobs=2).wait() == 0
    total = points(tmp_path / "whole")
    draw, seen = random.Random(0), [0]
    for left in range(5, 0, -1):
        # a random moment up to a random share of what is left, so that something is left to kill
        goal = seen[-1] + draw.randint(0, (total - seen[-1]) // (left + 1))
        process = start(space, tmp_path / "killed", jobs=2)
        wait_for(lambda: points(tmp_path / "killed") >= goal or process.poll() is not None)  # noqa: B023  # called at once
        time.sleep(draw.uniform(0.0, 4.0 if goal == seen[-1] else 0.1))
        assert kill(process), f"the sweep was over before kill {6 - left}"
        seen.append(points(tmp_path / "killed"))
    assert seen == sorted(seen) and seen[-1] < total  # no row is lost
    assert start(space, tmp_path / "killed", jobs=2).wait() == 0
    for name in TABLES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "killed").glob("**/.*"))


def test_an_interrupt_ends_with_130_and_leaves_whole_rows(tmp_path: Path) -> None:
    space = write_space(tmp_path, LARGER)
    process = start(space, tmp_path / "run", jobs=2)
    wait_for(lambda: points(tmp_path / "run") or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    store = sqlite3.connect(tmp_path / "run" / FILE_NAME)
    reasons = store.execute("SELECT DISTINCT status, reason FROM points").fetchall()
    store.close()
    assert reasons == [("ok", "")]
