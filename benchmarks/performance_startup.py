"""How long a new process takes to its first result, with and without compiled code on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.performance_names import COLD, WARM
from benchmarks.performance_results import Row, Section
from benchmarks.performance_work import Size, say


def startup(size: Size) -> Section:
    """One process with an empty cache, then several that find it filled."""
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2 if size.quick else 8):
            group = WARM if turn else COLD
            say(f"  {group}")
            for step, seconds in _process(folder).items():
                times.setdefault((group, step), []).append(seconds)
    rows = (Row(group=g, name=step, times_s=tuple(found)) for (g, step), found in times.items())
    return Section(rows=tuple(rows))


def _process(cache: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.performance_first_call"],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
