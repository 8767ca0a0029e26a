"""Frames per second of the simulator, by word width, on one thread.

    python benchmarks/bench_simulate.py [ARCH.yaml] [--frames 4096] [--repeats 7]

Without an architecture: a network of the size that suits six body-worn sensors. Weights are random;
the time does not depend on them. Prints the median over the repeats and the spread, for whole clips
(`run`) and for single frames (`step`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fxp.calibrate import calibrate
from fxp.console import run as run_app
from fxp.floatnet import FloatNet, zero_floatnet
from fxp.ir import Conv, Graph, Input, IntArray, Requantise, TemporalConv
from fxp.lower import lower
from fxp.observe import Observation
from fxp.outline import outline
from fxp.simulate import compile_graph, initial_state, run, step
from fxp.spec import ArchSpec, QuantSpec, load_spec
from fxp.validate import describe

WIDTHS = (4, 8, 12, 16, 24)
SIX_SENSORS = ArchSpec(
    skeleton="hugadb",
    in_channels=6,
    embedding=16,
    channels=(16, 16, 32, 32, 64, 64),
    window=(30,),
    classes=12,
)

app = typer.Typer(add_completion=False)


@app.command()
def main(
    arch: Annotated[Path | None, typer.Argument(help="architecture in YAML")] = None,
    frames: Annotated[int, typer.Option(min=1, help="frames of the clip")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="timed repeats")] = 7,
) -> None:
    """Time the simulator on a random network."""
    net = random_net(SIX_SENSORS if arch is None else load_spec(ArchSpec, arch), seed=0)
    typer.echo(f"{'bits':>4} {'whole clip, frames/s':>28} {'GMAC/s':>7} {'one frame, µs':>24}")
    for bits in WIDTHS:
        quant = QuantSpec(
            weight_bits=bits, activation_bits=bits, calibrator="max", accumulator_bits=63
        )
        graph = lower(net, calibrate(net, quant))
        clip = random_clip(graph, frames)
        plan = compile_graph(graph)
        state = initial_state(plan)
        whole = _seconds(lambda: run(plan, clip), repeats)  # noqa: B023  (called at once)
        some = clip[: min(frames, 200)]
        single = _seconds(lambda: [step(plan, f, state) for f in some], repeats)  # noqa: B023
        fps = [frames / s for s in whole]
        micros = [1e6 * s / len(some) for s in single]
        rate = conv_macs(graph) * statistics.median(fps) / 1e9
        typer.echo(f"{bits:>4} {_spread(fps):>28} {rate:>7.2f} {_spread(micros):>24}")


def random_net(arch: ArchSpec, seed: int) -> FloatNet:
    """Random weights of unit gain, and accumulators taken to be normally distributed."""
    rng = np.random.default_rng(seed)
    blank = zero_floatnet(arch)
    params = dict(blank.params)
    for key, value in params.items():
        if key.endswith(".weight"):
            fan_in = value[0].size
            params[key] = rng.normal(size=value.shape) / np.sqrt(fan_in)
    params["input_norm.scale"] += 2.0**-13
    casts = [node for node in outline(arch).nodes if isinstance(node, Requantise)]
    sample = rng.normal(size=1024).astype(np.float32)
    seen = Observation(float(sample.min()), float(sample.max()), sample)
    return FloatNet(arch, params, {node.x: seen for node in casts}, blank.meta)


def random_clip(graph: Graph, frames: int) -> IntArray:
    """Normally distributed words of a 16-bit sensor, (frames, C, V)."""
    node = graph.nodes[0]
    assert isinstance(node, Input)
    words = np.random.default_rng(1).normal(0, 6000, (frames, node.channels, node.joints))
    return np.clip(words, node.fmt.raw_min, node.fmt.raw_max).astype(np.int64)


def conv_macs(graph: Graph) -> int:
    """Multiplications of the convolutions, per frame (the sparse adjacency comes on top)."""
    joints = {name: value.joints for name, value in describe(graph).items()}
    return sum(
        node.weight.raw.size * joints[node.name]
        for node in graph.nodes
        if isinstance(node, Conv | TemporalConv)
    )


def _seconds(work: Callable[[], object], repeats: int) -> list[float]:
    work()  # compiles the kernels and warms the caches
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def _spread(values: list[float]) -> str:
    median = statistics.median(values)
    return f"{median:,.0f} ({min(values):,.0f}..{max(values):,.0f})"


if __name__ == "__main__":
    run_app(app)
