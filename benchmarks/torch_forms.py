"""An RT-ST-GCN in float32 by torch, in the fastest forms found: what integer speed is held against.

    python -m benchmarks.torch_forms [ARCH.yaml] [--frames 512] [--repeats 9]

prints the frames a second of every form, by turns, and the time of a single frame.

All maps of a layer but its ReLUs are linear, so their order is free: the window sum comes first,
on the fewest channels, then the adjacency, one gather for each non-zero it needs, then all
partitions in one matrix product, whose bias and ReLU are part of it. Norms are folded. Clips pass
in chunks that stay in the second-level cache; a layer keeps the frames that its window reaches
back to. Tensors are channels-last, (T, V, C), on one thread.

On processors where torch's `linear` (MKL) does not use the widest vectors, the oneDNN product that
`torch.compile` also calls does; both are here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from benchmarks.bench_simulate import random_net
from benchmarks.torch_compiled import Compiled
from benchmarks.torch_folded import Folded, Layer, fold, window_sum
from fxp.cast import FloatArray
from fxp.console import run as run_app
from fxp.floatnet import FloatNet
from fxp.spec import ArchSpec, load_spec
from stgcn_ref.folding import rebuild
from stgcn_ref.models.build import Net

CHUNK = 64  # frames
PUBLISHED = Path(__file__).parent.parent / "examples" / "pkummd_rtstgcn.yaml"
# x (rows, Cin), with ReLU or not -> (rows, Cout)
Product = Callable[[Tensor, bool], Tensor]
MakeProduct = Callable[[Tensor, Tensor | None], Product]

app = typer.Typer(add_completion=False)


@app.command()
def main(
    arch: Annotated[Path, typer.Argument(help="architecture in YAML")] = PUBLISHED,
    frames: Annotated[int, typer.Option(min=1, help="frames of the clip")] = 512,
    repeats: Annotated[int, typer.Option(min=1, help="timed repeats")] = 9,
) -> None:
    """Time the forms of a random network."""
    net = random_net(load_spec(ArchSpec, arch), seed=0)
    x = torch.randn(frames, net.arch.in_channels, net.params["input_norm.scale"].shape[1])
    work: dict[str, Callable[[], object]] = {
        name: partial(form, x) for name, form in forms(net.arch, net.params).items()
    }
    for name, make in (("MKL", mkl), ("oneDNN", onednn)):
        stream = Streaming(fold(net.arch, net.params), make)
        work[f"streaming, {name}"] = partial(_one_by_one, stream, x[:200])
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            if turn:  # the first one compiles
                times[name].append(time.perf_counter() - start)
    typer.echo(f"{'form':<18} {'median frames/s':>16} {'fastest':>8} {'us a frame':>11}")
    for name, seconds in times.items():
        count = len(x[:200]) if name.startswith("streaming") else frames
        middle, least = statistics.median(seconds) / count, min(seconds) / count
        typer.echo(f"{name:<18} {1 / middle:>16,.0f} {1 / least:>8,.0f} {1e6 * middle:>11,.0f}")


def _one_by_one(stream: Streaming, x: Tensor) -> None:
    state = stream.initial_state()
    for frame in x:
        stream.step(frame, state)


def forms(
    arch: ArchSpec, params: Mapping[str, FloatArray], chunk: int = CHUNK
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions from clips (T, C, V) to logits (T, classes), by name; sets one thread.

    `params` are those of a `FloatNet`. "as trained" is this project's own model.

    Raises:
        InputError: the network is no RT-ST-GCN with foldable norms.
    """
    torch.set_num_threads(1)
    net = fold(arch, params)
    model = rebuild(FloatNet(arch, params, meta={"fold": "weights"}))
    return {
        "as trained": partial(_as_trained, model),
        "eager, MKL": Eager(net, mkl, chunk),
        "eager, oneDNN": Eager(net, onednn, chunk),
        "compiled": Compiled(net, chunk),
    }


def mkl(weight: Tensor, bias: Tensor | None) -> Product:
    """`torch.nn.functional.linear`, its ReLU in place."""

    def product(x: Tensor, relu: bool) -> Tensor:
        y = F.linear(x, weight, bias)
        return y.relu_() if relu else y

    return product


def onednn(weight: Tensor, bias: Tensor | None) -> Product:
    """oneDNN's product with packed weights; the ReLU is part of it."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)

    def product(x: Tensor, relu: bool) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, packed, bias, "relu" if relu else "none", [], ""
        )
        return y

    return product


@torch.inference_mode()
def _as_trained(model: Net, x: Tensor) -> Tensor:
    y: Tensor = model(x.transpose(0, 1).unsqueeze(0))  # (1, C, T, V) -> (1, classes, T)
    return y[0].T


class Eager:
    """The network chunk by chunk in buffers of its own; a layer writes into the next one's."""

    def __init__(self, net: Folded, make: MakeProduct, chunk: int) -> None:
        """`make` gives the matrix products."""
        self.net, self.chunk = net, chunk
        self.embedding, self.classifier = make(*net.embedding), make(*net.classifier)
        self.products = [make(layer.weight, layer.bias) for layer in net.layers]
        self.shortcuts = [layer.residual and make(*layer.residual) for layer in net.layers]
        joints = len(net.scale)
        sizes = [(layer.reach + chunk, layer.inputs) for layer in net.layers]
        last = (chunk, net.classifier[0].shape[1])
        self.inputs = [torch.zeros(t, joints, c) for t, c in (*sizes, last)]
        widths = (layer.weight.shape[1] for layer in net.layers)
        self.gathered = [torch.zeros(chunk, joints, width) for width in widths]

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """A whole clip."""
        for layer, buffer in zip(self.net.layers, self.inputs, strict=False):
            buffer[: layer.reach].zero_()
        starts = range(0, len(x), self.chunk)
        return torch.cat([self._advance(x[t : t + self.chunk], t) for t in starts])

    def _advance(self, x: Tensor, first: int) -> Tensor:
        net, frames = self.net, len(x)
        entered = torch.addcmul(net.shift, x.transpose(1, 2), net.scale)
        head = self.inputs[0][net.layers[0].reach :][:frames]
        head.view(-1, head.shape[2]).copy_(self.embedding(entered.view(-1, x.shape[1]), False))
        for i, layer in enumerate(net.layers):
            reach = self.net.layers[i + 1].reach if i + 1 < len(net.layers) else 0
            self._block(i, layer, first, frames, self.inputs[i + 1][reach : reach + frames])
            kept = self.inputs[i][frames : frames + layer.reach].clone()
            self.inputs[i][: layer.reach] = kept
        return self.classifier(self.inputs[-1][:frames].mean(dim=1), False)

    def _block(self, i: int, layer: Layer, first: int, frames: int, out: Tensor) -> None:
        past = self.inputs[i][: layer.reach + frames]
        present, u = past[layer.reach :], self.gathered[i][:frames]
        gather(window_sum(past, frames, layer.window, layer.dilation), layer, u)
        counts = layer.counts(first, frames)[:, None, None]
        constants = u[:, :, len(layer.slots) * layer.inputs :][:, :, : len(layer.slots)]
        torch.mul(layer.columns, counts, out=constants)
        y = self.products[i](u.view(-1, u.shape[2]), True).view(out.shape)
        shortcut = self.shortcuts[i]
        if shortcut is not None:
            x = shortcut(present.reshape(-1, layer.inputs), False).view(out.shape)
            torch.add(y, x, out=out).relu_()
        elif layer.identity:
            torch.add(y, present, out=out)
            if layer.signed:
                out.relu_()
        else:
            out.copy_(y)


def gather(x: Tensor, layer: Layer, u: Tensor) -> None:
    """Products of x (T, V, C) with every partition's adjacency, side by side into u (T, V, .)."""
    for p, slot in enumerate(layer.slots):
        columns = u[:, :, p * layer.inputs : (p + 1) * layer.inputs]
        chosen = x if slot.source is None else x.index_select(1, slot.source)
        torch.mul(chosen, slot.factor, out=columns)
        for joint, source, factor in slot.further:
            columns[:, joint].add_(x[:, source], alpha=factor)


@dataclass
class StreamState:
    """What a stream remembers: a ring (dilation, window, V, Ci) a layer, and frames seen."""

    rings: list[Tensor]
    frame: int = 0


class Streaming:
    """One frame at a time, for latency: a ring of frames for each window, summed anew each frame.

    A single frame is too little work for gathers: the adjacency is one dense product.
    """

    def __init__(self, net: Folded, make: MakeProduct) -> None:
        """`make` gives the matrix products."""
        self.net = net
        self.embedding, self.classifier = make(*net.embedding), make(*net.classifier)
        wide = [len(x.slots) * x.inputs for x in net.layers]
        self.products = [
            make(x.weight[:, :n].contiguous(), None) for x, n in zip(net.layers, wide, strict=True)
        ]
        self.shortcuts = [layer.residual and make(*layer.residual) for layer in net.layers]
        self.biases = [_biases(layer) for layer in net.layers]

    def initial_state(self) -> StreamState:
        """Empty rings, for one clip."""
        joints = len(self.net.scale)
        shapes = ((x.dilation, x.window, joints, x.inputs) for x in self.net.layers)
        return StreamState([torch.zeros(shape) for shape in shapes])

    @torch.inference_mode()
    def step(self, frame: Tensor, state: StreamState) -> Tensor:
        """A frame (C, V) -> logits (classes,); moves `state` on."""
        x = self.embedding(torch.addcmul(self.net.shift, frame.T, self.net.scale), False)
        for i, layer in enumerate(self.net.layers):
            turn, phase = divmod(state.frame, layer.dilation)
            ring = state.rings[i][phase]
            ring[turn % layer.window] = x
            u = torch.mm(layer.adjacency, ring.sum(0)).view(len(x), -1)  # (V, P * Ci)
            y = self.products[i](u, False).add_(self.biases[i][min(turn, layer.window - 1)]).relu_()
            shortcut = self.shortcuts[i]
            if shortcut is not None:
                y.add_(shortcut(x, False))
            elif layer.identity:
                y.add_(x)
            x = y.relu_() if layer.signed else y
        state.frame += 1
        return self.classifier(x.mean(dim=0, keepdim=True), False)[0]


def _biases(layer: Layer) -> list[Tensor]:
    """What a layer adds (V, Co) when 1, 2, ... frames are in its window."""
    partitions = len(layer.slots)
    first = partitions * layer.inputs
    one = layer.columns @ layer.weight[:, first : first + partitions].T
    return [layer.bias + n * one for n in range(1, layer.window + 1)]


if __name__ == "__main__":
    run_app(app)
