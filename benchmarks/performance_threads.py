"""Two threads on one clip, and on two clips side by side, beside torch in the same ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks.bench_simulate import conv_macs
from benchmarks.performance_names import LONG, ONE, PAIR, SHARED, SHORT, on_two, side_by_side
from benchmarks.performance_results import Section
from benchmarks.performance_widths import best_forms, on_a_clip
from benchmarks.performance_work import (
    FRAMES,
    LONG_FRAMES,
    Size,
    Timings,
    Work,
    compare,
    lowered,
    noise,
    published,
)
from fxp.simulate import compile_graph, run

BITS = 8


def threads(size: Size) -> Section:
    """8 bits on one thread and two."""
    timings, net = Timings(), published()
    graph = lowered(net, BITS)
    plan, checks = compile_graph(graph), []
    twice = [best_forms(net) for _ in range(2)]  # each has buffers of its own
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for group, wanted in ((SHORT, FRAMES), (LONG, LONG_FRAMES)):
            frames = size.frames(wanted)
            pair = [noise(graph, frames, seed) for seed in (1, 2)]
            expected, found = run(plan, pair[0])[0], run(plan, pair[0], threads=2)[0]
            checks.append(compare(f"one clip of {frames} frames on two threads", found, expected))
            work: dict[str, Work] = {
                ONE: partial(run, plan, pair[0]),
                SHARED: partial(run, plan, pair[0], threads=2),
                PAIR: partial(_together, pool, [partial(run, plan, clip) for clip in pair]),
            }
            calls = [on_a_clip(net, found, frames) for found in twice]
            for name, call in calls[0].items():
                work[on_two(name)] = partial(_on_two, call)
                both = [call, calls[1][name]]
                work[side_by_side(name)] = partial(_together, pool, both)
            timings.by_turns(
                group,
                work,
                size.repeats if group == SHORT else min(size.repeats, 7),
                frames={name: frames * (2 if name.endswith(PAIR) else 1) for name in work},
                macs=conv_macs(graph),
            )
    return timings.section(checks)


def _together(pool: ThreadPoolExecutor, calls: Sequence[Work]) -> None:
    for future in [pool.submit(call) for call in calls]:
        future.result()


def _on_two(call: Work) -> None:
    with _torch_threads(2):
        call()


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(1)
