"""The constants of an RT-ST-GCN for its fast float forms in torch: norms folded, zeros left out.

Tensors are channels-last, (T, V, C).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fxp.cast import FloatArray
from fxp.errors import InputError
from fxp.spec import ArchSpec

PADDED = 16  # columns of constants, of which one a partition is in use: rows stay aligned


@dataclass(frozen=True, eq=False)
class Slot:
    """One source per joint of a partition: `u[:, w] = x[:, source[w]] * factor[w]`.

    Joints without one have a factor of zero. `further` are the joints' other non-zeros: (joint,
    source, factor).
    """

    source: Tensor | None  # None: the joint itself
    factor: Tensor  # (V, 1)
    further: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """A folded layer. weight `(Co, P * Ci + PADDED)`: columns of constants carry the convs' bias.

    The constants of a joint are the sums of its adjacency's columns, times the frames in its
    window; `columns` `(V, P)` are those of one frame.
    """

    window: int
    dilation: int
    inputs: int
    slots: tuple[Slot, ...]
    adjacency: Tensor  # (V * P, V)
    columns: Tensor
    weight: Tensor
    bias: Tensor
    residual: tuple[Tensor, Tensor] | None  # weight and bias of its convolution
    identity: bool  # the residual is the layer's input
    signed: bool  # the sum with the residual can be negative, so its ReLU acts

    @property
    def reach(self) -> int:
        """Frames before the present one that the window reaches back to."""
        return (self.window - 1) * self.dilation

    def counts(self, first: int, frames: int) -> Tensor:
        """Frames of the clip in the windows of `frames` frames from `first` on, (T,)."""
        t = torch.arange(first, first + frames)
        return (t // self.dilation + 1).clamp(max=self.window).float()


@dataclass(frozen=True, eq=False)
class Folded:
    """All constants of the network; scale and shift of the input are (V, Cin)."""

    scale: Tensor
    shift: Tensor
    embedding: tuple[Tensor, Tensor]
    layers: tuple[Layer, ...]
    classifier: tuple[Tensor, Tensor]


def fold(arch: ArchSpec, params: Mapping[str, FloatArray]) -> Folded:
    """The network's constants, every norm's scale in the weights before it.

    Raises:
        InputError: another family, or LayerNorms.
    """
    if arch.family != "rtstgcn" or arch.norm != "batch":
        raise InputError(f"torch forms: an rtstgcn with batch norms is needed, got {arch.family}")
    return Folded(
        _tensor(params["input_norm.scale"].T),
        _tensor(params["input_norm.bias"].T),
        _linear(params, "embedding"),
        tuple(_layer(arch, params, i) for i in range(len(arch.channels))),
        _linear(params, "classifier"),
    )


def _layer(arch: ArchSpec, params: Mapping[str, FloatArray], i: int) -> Layer:
    name, residual = f"block{i}", arch.residuals[i]
    adjacency = params[f"{name}.graph.adjacency"]
    partitions, joints, _ = adjacency.shape
    scale = params[f"{name}.norm.scale"]  # (Co, 1)
    weight = params[f"{name}.conv.weight"].reshape(partitions, len(scale), -1)
    bias = params[f"{name}.conv.bias"].reshape(partitions, len(scale))
    wide = np.zeros((len(scale), PADDED))
    wide[:, :partitions] = bias.T
    side_by_side = weight.transpose(1, 0, 2).reshape(len(scale), -1)  # (Co, P * Ci)
    return Layer(
        arch.window[i],
        arch.dilation[i],
        weight.shape[2],
        tuple(_slot(matrix) for matrix in adjacency),
        _tensor(adjacency.transpose(2, 0, 1).reshape(joints * partitions, joints)),
        _tensor(adjacency.sum(axis=1).T),
        _tensor(scale * np.concatenate([side_by_side, wide], axis=1)),
        _tensor(params[f"{name}.norm.bias"][:, 0]),
        _linear(params, f"{name}.residual") if residual == "conv" else None,
        residual == "identity",
        residual == "conv" or (residual == "identity" and i == 0),  # others add to a ReLU's output
    )


def _slot(matrix: FloatArray) -> Slot:
    """The non-zeros of one partition's adjacency (V, V), from the first axis to the second."""
    sources = [np.flatnonzero(column).tolist() for column in matrix.T]
    first = [found[0] if found else w for w, found in enumerate(sources)]
    own = first == list(range(len(sources)))
    return Slot(
        None if own else torch.tensor(first),
        _tensor(matrix[first, np.arange(len(first))][:, None]),
        tuple((w, v, float(matrix[v, w])) for w, found in enumerate(sources) for v in found[1:]),
    )


def _linear(params: Mapping[str, FloatArray], name: str) -> tuple[Tensor, Tensor]:
    return _tensor(params[f"{name}.weight"]), _tensor(params[f"{name}.bias"])


def _tensor(x: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def window_sum(x: Tensor, frames: int, window: int, dilation: int) -> Tensor:
    """Sums over the windows of the last `frames` frames of x (reach + frames, ...), by doubling."""
    total: Tensor | None = None
    part, span, done = x, 1, 0
    while span <= window:
        if window & span:
            piece = part[done * dilation : done * dilation + frames]
            total = piece if total is None else total + piece
            done += span
        if done < window:
            part = part[: len(part) - span * dilation] + part[span * dilation :]
        span *= 2
    assert total is not None
    return total
