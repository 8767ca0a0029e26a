"""How much less a changed graph computes from its change on: `fxp.replay` against full runs.

    python benchmarks/bench_replay.py NETWORK.fxp [--clips 8] [--frames 500]

NETWORK is a file of float weights (`fxp.floatnet`), the clips are random words within what it was
observed on: the time does not depend on them. Every convolution's layer in turn gets weights of
fewer bits; both ways run in turns in this process, and must give the same words. Prints CPU
seconds and their ratio, for logits alone, and with weights rounded by GPTQ and biases corrected.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fxp.console import run as run_app
from fxp.floatnet import FloatNet, load_floatnet
from fxp.ir import Conv, Input, IntArray, TemporalConv, layer_of
from fxp.outline import outline
from fxp.ptq.quantise import quantise
from fxp.ptq.reference import real_values
from fxp.replay import Replay
from fxp.spec import LayerBits, QuantSpec, Repair

app = typer.Typer(add_completion=False)
BITS = 5


@app.command()
def main(
    network: Annotated[Path, typer.Argument(help="a file of float weights")],
    clips: Annotated[int, typer.Option(min=1, help="number of clips")] = 8,
    frames: Annotated[int, typer.Option(min=1, help="frames of each")] = 500,
) -> None:
    """Time changed networks, run whole and from the change on."""
    net = load_floatnet(network)
    words = random_words(net, clips, frames)
    weighted = [n for n in outline(net.arch).nodes if isinstance(n, Conv | TemporalConv)]
    layers = list(dict.fromkeys(layer_of(node.name) for node in weighted))
    for name, repair in (
        ("logits", Repair()),
        ("repair and logits", Repair(rounding="gptq", bias=True)),
    ):
        base = QuantSpec(stream_bits=12, adjacency_bits=8, repair=repair, fold=net.meta["fold"])
        replay = Replay(words)
        logits(net, base, words), logits(net, base, replay)  # compiles the kernels, fills it
        seconds = {"full": 0.0, "replay": 0.0}
        for layer in layers:
            quant = base.model_copy(update={"layers": {layer: LayerBits(weight_bits=BITS)}})
            found = []
            for way, given in (("full", words), ("replay", replay)):
                start = time.process_time()
                found.append(logits(net, quant, given))
                seconds[way] += time.process_time() - start
            for full, again in zip(*found, strict=True):
                assert np.array_equal(full, again)
        ratio = seconds["full"] / seconds["replay"]
        each = ", ".join(f"{way} {value / len(layers):.3f} s" for way, value in seconds.items())
        typer.echo(f"{name}: {each} a change of {len(layers)}, ratio {ratio:.2f}")


def logits(net: FloatNet, quant: QuantSpec, clips: Sequence[IntArray]) -> list[np.ndarray]:
    """Of every clip, from the float network on."""
    graph = quantise(net, quant, clips)
    return [values["logits"] for values in real_values(graph, clips, ["logits"])]


def random_words(net: FloatNet, clips: int, frames: int) -> list[IntArray]:
    """Words (T, C, V) over the range that was observed."""
    front, seen = outline(net.arch).nodes[0], net.observations["input"]
    assert isinstance(front, Input)
    rng = np.random.default_rng(0)
    shape = (frames, front.channels, front.joints)
    return [rng.integers(int(seen.lo), int(seen.hi), shape, endpoint=True) for _ in range(clips)]


if __name__ == "__main__":
    run_app(app)
