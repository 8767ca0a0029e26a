"""The seconds of a new process until its first results, as JSON: for `performance_startup`.

    python -m benchmarks.performance_first_call

Nothing is imported before the clock runs but what the clock needs.
"""

from __future__ import annotations

import itertools
import json
import time

from benchmarks.performance_names import FIRST, PLANNED

STEPS = ("imports", PLANNED, FIRST, "second run", "first Stream.push")


def main() -> None:
    """Take the times of this process; the making of a network and a clip does not count."""
    marks = [time.perf_counter()]
    from fxp.simulate import compile_graph, run
    from fxp.stream import Stream

    marks.append(time.perf_counter())
    from benchmarks.performance_work import FRAMES, lowered, noise, published

    graph = lowered(published(), 8)
    clip = noise(graph, FRAMES)
    skipped = time.perf_counter() - marks[-1]
    plan = compile_graph(graph)
    marks.append(time.perf_counter() - skipped)
    for _ in range(2):
        run(plan, clip)
        marks.append(time.perf_counter() - skipped)
    Stream(plan).push(clip[0])
    marks.append(time.perf_counter() - skipped)
    spans = (after - before for before, after in itertools.pairwise(marks))
    print(json.dumps({step: round(s, 6) for step, s in zip(STEPS, spans, strict=True)}))


if __name__ == "__main__":
    main()
