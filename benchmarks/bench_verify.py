"""What a verified run costs beside a plain one, on one thread.

    python benchmarks/bench_verify.py [ARCH.yaml] [--frames 400000] [--share 0.001] [--repeats 9]

Plain and verified runs, without and with counters, take turns, each time with another draw. Prints
the medians, their ratios to that of plain runs, and the share of frames that the draws really took:
choose so many frames that a call checks some. The network and its clip are those of
`bench_simulate.py`, weights and words of 8 bits.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import typer
from bench_simulate import SIX_SENSORS, random_clip, random_net

from fxp.calibrate import calibrate
from fxp.console import run as run_app
from fxp.lower import lower
from fxp.sampling import Counters
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, QuantSpec, load_spec

app = typer.Typer(add_completion=False)


@app.command()
def main(
    arch: Annotated[Path | None, typer.Argument(help="architecture in YAML")] = None,
    frames: Annotated[int, typer.Option(min=1, help="frames of the clip")] = 400_000,
    share: Annotated[float, typer.Option(min=0, max=1, help="of the frames")] = 0.001,
    repeats: Annotated[int, typer.Option(min=1, help="timed repeats")] = 9,
) -> None:
    """Time plain and verified runs of a random network."""
    net = random_net(SIX_SENSORS if arch is None else load_spec(ArchSpec, arch), seed=0)
    quant = QuantSpec(weight_bits=8, activation_bits=8, calibrator="max", accumulator_bits=63)
    graph = lower(net, calibrate(net, quant))
    plan, clip = compile_graph(graph), random_clip(graph, frames)
    run(plan, clip[: min(frames, 64)], verify=1.0, watch=Counters())  # compiles the kernels
    names, watch = ["plain", "verified", "counted"], Counters()
    times: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(repeats):
        for name in names:
            start = time.perf_counter()
            if name == "plain":
                run(plan, clip)
            else:
                run(plan, clip, verify=share, seed=seed, watch=watch if name == "counted" else None)
            times[name].append(time.perf_counter() - start)
        names.append(names.pop(0))  # none is always the first
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        middle, low, high = (1e6 * x / frames for x in (median[name], min(seconds), max(seconds)))
        ratio = median[name] / median["plain"]
        typer.echo(f"{name:8} {middle:8.2f} µs/frame ({low:.2f}..{high:.2f}), ratio {ratio:.3f}")
    typer.echo(f"checked {watch.frames / (frames * repeats):.5f} of the frames")


if __name__ == "__main__":
    run_app(app)
