"""Configurations per minute: many format assignments of one network on the same clips.

    python -m benchmarks.bench_configurations [--frames 60000] [--count 81] [--repeats 3]

The network is that of `bench_simulate`, for six body-worn sensors, with random weights. A
configuration gives each layer's weights one of some widths; making its graph from float weights and
formats counts, and so do the labels handed to a score. Sets of configurations:

    last    only the last layer differs, in width and binary point
    one     one layer at a time differs from a base
    tree    the last layers have all combinations of three widths

Ways: `alone` compiles and runs each graph for itself; `no reuse` is `fxp.configurations` with no
memory for values; `reuse` with `--memory` bytes. Ways take turns within a repeat, so that ratios
compare what ran at the same time. Prints medians over the repeats with their extremes, and the CPU
time of a configuration over all threads. Then time against frames, and the most memory that the
process had come to.
"""

from __future__ import annotations

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Annotated, NamedTuple

import numpy as np
import typer

from benchmarks.bench_simulate import SIX_SENSORS, random_net
from fxp.calibrate import Formats, calibrate
from fxp.configurations import evaluate_all
from fxp.console import run as run_app
from fxp.floatnet import FloatNet
from fxp.fused.steps import Words
from fxp.ir import Graph, Input, layer_of
from fxp.lower import lower
from fxp.outline import outline
from fxp.simulate import compile_graph, run
from fxp.spec import QuantSpec

LAYERS = ("embedding", *(f"block{i}" for i in range(len(SIX_SENSORS.channels))))
CLIP_FRAMES = 1000
SCALE = (1_000, 10_000, 100_000, 1_000_000)
SCALE_COUNT = 9
BRANCHES = 3
COARSER = 4


class Widths(NamedTuple):
    """Word bits of the weights layer by layer, and how much coarser those of the last are."""

    layers: tuple[int, ...]
    coarser: int = 0


Labels = list[dict[str, np.ndarray]]

app = typer.Typer(add_completion=False)


class Maker:
    """Makes graphs of one network whose activations have so many bits."""

    def __init__(self, net: FloatNet, bits: int) -> None:
        """Calibrate once for every width of the weights."""
        self.net, self.bits = net, bits
        base = QuantSpec(activation_bits=bits, calibrator="max", accumulator_bits=63)
        self.formats = {
            width: calibrate(net, base.model_copy(update={"weight_bits": width}))
            for width in range(2, bits + 1)
        }

    def graph(self, widths: Widths) -> Graph:
        """The network with weights of these widths."""
        own, base = dict(zip(LAYERS, widths.layers, strict=True)), self.formats[self.bits]
        weights = {
            key: self.formats[own.get(layer_of(key), self.bits)].weights[key]
            for key in base.weights
        }
        for key, (word_bits, frac_bits) in weights.items():
            if layer_of(key) == LAYERS[-1]:
                weights[key] = word_bits, tuple(frac - widths.coarser for frac in frac_bits)
        return lower(self.net, Formats(base.input, base.casts, weights, base.quant))


@app.command()
def main(
    frames: Annotated[int, typer.Option(min=1, help="frames of all clips together")] = 60_000,
    count: Annotated[int, typer.Option(min=1, help="most configurations of a set")] = 81,
    repeats: Annotated[int, typer.Option(min=1, help="timed repeats")] = 3,
    memory: Annotated[int, typer.Option(min=0, help="bytes for values kept")] = 1 << 30,
    scale: Annotated[bool, typer.Option(help="also time against frames")] = True,
) -> None:
    """Time sets of configurations."""
    net = random_net(SIX_SENSORS, seed=0)
    clips = random_clips(net, frames)
    typer.echo(
        f"{'bits':>4} {'set':>5} {'way':>9} {'threads':>7} {'a minute':>22} {'CPU ms':>7} ratio"
    )
    for bits in (8, 12):
        maker = Maker(net, bits)
        for name, widths in sets(bits, count).items():
            compare(maker, name, widths, clips, repeats, memory)
    if scale:
        against_frames(Maker(net, 8), memory)


def sets(bits: int, count: int) -> dict[str, list[Widths]]:
    """At most `count` different configurations of each set."""
    base, last = (bits,) * len(LAYERS), len(LAYERS) - 1
    lower_bits = range(bits - 1, 1, -1)
    depth = max(1, int(math.log(count + 0.5, BRANCHES)))
    leaves = product(range(bits, bits - BRANCHES, -1), repeat=depth)
    found = {
        "last": [
            Widths(changed(base, last, width), coarser)
            for coarser in range(COARSER)
            for width in (bits, *lower_bits)
        ],
        "one": [
            Widths(base),
            *(Widths(changed(base, i, width)) for width in lower_bits for i in range(len(LAYERS))),
        ],
        "tree": [Widths(base[:-depth] + leaf) for leaf in leaves],
    }
    return {name: widths[:count] for name, widths in found.items()}


def changed(layers: tuple[int, ...], layer: int, width: int) -> tuple[int, ...]:
    """The widths with another one in one layer."""
    return (*layers[:layer], width, *layers[layer + 1 :])


def compare(
    maker: Maker,
    name: str,
    widths: Sequence[Widths],
    clips: Sequence[Words],
    repeats: int,
    memory: int,
) -> None:
    """Time all ways to evaluate a set, in turns, and print them."""
    ways: dict[tuple[str, int], Callable[[], list[int]]] = {
        ("alone", 1): lambda: [alone(maker.graph(own), clips) for own in widths]
    }
    for threads in (1, 2):
        for way, most in (("no reuse", 0), ("reuse", memory)):
            ways[way, threads] = lambda t=threads, m=most: scores(maker, widths, clips, t, m)
    wall: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    cpu: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    expected = scores(maker, widths, clips, 2, memory)  # compiles what is not compiled yet
    for _ in range(repeats):
        for way, work in ways.items():
            start, used = time.perf_counter(), time.process_time()
            found = work()
            wall[way].append(time.perf_counter() - start)
            cpu[way].append(time.process_time() - used)
            assert found == expected
    for way, seconds in wall.items():
        rates = [60 * len(widths) / each for each in seconds]
        ratio = statistics.median(a / b for a, b in zip(wall["alone", 1], seconds, strict=True))
        millis = 1e3 * statistics.median(cpu[way]) / len(widths)
        rate = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}..{max(rates):,.0f})"
        typer.echo(
            f"{maker.bits:>4} {name:>5} {way[0]:>9} {way[1]:>7} {rate:>22} {millis:>7.1f}"
            f" {ratio:.2f}"
        )


def against_frames(maker: Maker, memory: int) -> None:
    """Seconds and memory of a few configurations, on more and more frames."""
    widths = sets(maker.bits, SCALE_COUNT)["tree"]
    typer.echo(f"\n{'frames':>9} {'ms each':>8} {'CPU ms':>7} {'ns a frame':>10} {'peak MB':>8}")
    for frames in SCALE:
        clips = random_clips(maker.net, frames)
        start, used = time.perf_counter(), time.process_time()
        scores(maker, widths, clips, 2, memory)
        each = (time.perf_counter() - start) / len(widths)
        busy = (time.process_time() - used) / len(widths)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        typer.echo(
            f"{frames:>9,} {1e3 * each:>8.1f} {1e3 * busy:>7.1f} {1e9 * busy / frames:>10.0f}"
            f" {peak:>8.0f}"
        )


def scores(
    maker: Maker, widths: Sequence[Widths], clips: Sequence[Words], threads: int, memory: int
) -> list[int]:
    """Of every configuration, made when it is its turn."""
    entries = ((own, lambda own=own: maker.graph(own)) for own in widths)
    found = evaluate_all(
        entries,
        clips,
        lambda _, values: score(values),
        names=["label"],
        threads=threads,
        memory_bytes=memory,
    )
    for outcome in found:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.score for outcome in found if outcome.score is not None]


def alone(graph: Graph, clips: Sequence[Words]) -> int:
    """The score of one graph, by the public simulator."""
    plan = compile_graph(replace(graph, outputs=("label",)))
    return score([run(plan, clip)[0] for clip in clips])


def score(values: Labels) -> int:
    """Something that depends on all labels."""
    return sum(int(own["label"].ravel() @ np.arange(own["label"].size)) for own in values)


def random_clips(net: FloatNet, frames: int) -> list[Words]:
    """Normally distributed words of a 16-bit sensor, in clips (T, C, V)."""
    node = outline(net.arch).nodes[0]
    assert isinstance(node, Input)
    rng = np.random.default_rng(1)
    lengths = [min(CLIP_FRAMES, frames - at) for at in range(0, frames, CLIP_FRAMES)]
    shapes = [(length, node.channels, node.joints) for length in lengths]
    return [
        rng.normal(0, 6000, shape).clip(-(2**15), 2**15 - 1).astype(np.int16) for shape in shapes
    ]


if __name__ == "__main__":
    run_app(app)
