"""Two threads: one clip shared by both, and two clips side by side, beside torch on two."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks.bench_simulate import conv_macs
from benchmarks.performance_names import LONG, ONE, PAIR, SHARED, SHORT, on_two
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
from fxp.ir import IntArray
from fxp.simulate import Plan, compile_graph, run

BITS = 8


def threads(size: Size) -> Section:
    """8 bits on one thread and two."""
    timings, net = Timings(), published()
    graph = lowered(net, BITS)
    plan, checks, floats = compile_graph(graph), [], best_forms(net)
    with ThreadPoolExecutor(2) as pool:
        for group, wanted in ((SHORT, FRAMES), (LONG, LONG_FRAMES)):
            frames = size.frames(wanted)
            pair = [noise(graph, frames, seed) for seed in (1, 2)]
            expected, found = run(plan, pair[0])[0], run(plan, pair[0], threads=2)[0]
            checks.append(compare(f"one clip of {frames} frames on two threads", found, expected))
            work: dict[str, Work] = {
                ONE: partial(run, plan, pair[0]),
                SHARED: partial(run, plan, pair[0], threads=2),
                PAIR: partial(_side_by_side, pool, plan, pair),
            }
            for name, call in on_a_clip(net, floats, frames).items():
                work[on_two(name)] = partial(_on_two, call)
            timings.by_turns(
                group,
                work,
                size.repeats if group == SHORT else min(size.repeats, 7),
                frames={name: frames * (2 if name == PAIR else 1) for name in work},
                macs=conv_macs(graph),
            )
    return timings.section(checks)


def _side_by_side(pool: ThreadPoolExecutor, plan: Plan, clips: list[IntArray]) -> None:
    list(pool.map(partial(run, plan), clips))


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
