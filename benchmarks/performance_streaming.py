"""The time of a single frame: `fxp.stream.Stream` beside a stream in torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.bench_simulate import conv_macs
from benchmarks.performance_names import FRAME, MKL, ONEDNN
from benchmarks.performance_results import Row, Section
from benchmarks.performance_work import (
    Size,
    Timings,
    compare,
    lowered,
    noise,
    published,
    say,
)
from benchmarks.torch_folded import fold
from benchmarks.torch_forms import Streaming, StreamState, mkl, onednn
from fxp.ir import IntArray
from fxp.simulate import compile_graph, run
from fxp.stream import Stream

WIDTHS = (8, 12, 16, 24)
FRAMES, BLOCK, WARM = 3000, 300, 30  # the first frames of a block find others' data in the cache
COMPARED = 100

Push = Callable[[int], object]


def streaming(size: Size) -> Section:
    """Every frame of a clip is timed, block by block in turn."""
    net, checks = published(), []
    frames = BLOCK if size.quick else FRAMES
    pushes: dict[str, Push] = {}
    for bits in WIDTHS:
        graph = lowered(net, bits)
        clip = noise(graph, frames)
        plan = compile_graph(graph)
        stream = Stream(plan)
        expected, _ = run(plan, clip[:COMPARED])
        found = [{k: v.copy() for k, v in stream.push(frame).items()} for frame in clip[:COMPARED]]
        checks.append(compare(f"{bits} bits, stream and whole clip", _stacked(found), expected))
        pushes[f"{bits} bits"] = partial(_push, Stream(plan), list(clip))
    for name, make in ((MKL, mkl), (ONEDNN, onednn)):
        torch.set_num_threads(1)
        form = Streaming(fold(net.arch, net.params), make)
        x = list(torch.randn(frames, net.arch.in_channels, clip.shape[2]))
        pushes[name] = partial(_step, form, form.initial_state(), x)
    timings = Timings()
    _timed(timings, pushes, frames, conv_macs(graph))
    return timings.section(checks)


def _stacked(frames: Sequence[dict[str, IntArray]]) -> dict[str, IntArray]:
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}


def _push(stream: Stream, clip: Sequence[IntArray], i: int) -> None:
    stream.push(clip[i])


def _step(form: Streaming, state: StreamState, clip: Sequence[Tensor], i: int) -> None:
    form.step(clip[i], state)


def _timed(timings: Timings, pushes: dict[str, Push], frames: int, macs: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in pushes}
    for start in range(0, frames, BLOCK):
        say(f"  {FRAME}: from frame {start}")
        for name, push in pushes.items():
            cpu, wall = time.process_time(), time.perf_counter()
            for i in range(start, start + BLOCK):
                before = time.perf_counter()
                push(i)
                times[name].append(time.perf_counter() - before)
            timings.wall_s += time.perf_counter() - wall
            timings.cpu_s += time.process_time() - cpu
            del times[name][len(times[name]) - BLOCK : len(times[name]) - BLOCK + WARM]
    for name, seconds in times.items():
        rounded = tuple(round(s, 8) for s in seconds)
        timings.rows.append(Row(group=FRAME, name=name, times_s=rounded, frames=1, macs=macs))
