"""Drafting a network: nodes one after the other, all constants zero, no width and no value chosen.

A draft's constants are zeros without memory of their own; its casts, and the tables that depend on
a format, are placeholders. `fxp.outline` puts the families together with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fxp.ir import (
    Affine,
    Conv,
    GraphProduct,
    Input,
    IntArray,
    LayerNorm,
    Node,
    Requantise,
    Softmax,
    TemporalConv,
    Weights,
)
from fxp.node_tables import EXP_BITS, NEWTON_STEPS, SHARE_BITS, reciprocal_root_seeds
from fxp.qformat import Cast, QFormat

INPUT_NORM = "input_norm"
_BLANK_CAST = Cast(QFormat(8, 0))


@dataclass(frozen=True)
class Draft:
    """Nodes so far; each helper appends some and returns the name of the last one.

    `joints` are those of a frame, of all persons. With `layer_norm` a norm is a LayerNorm.
    """

    joints: int
    partitions: int
    layer_norm: bool = False
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: Node) -> str:
        """Append `node` as it is."""
        self.nodes.append(node)
        return node.name

    def cast(self, x: str, part: str = "q", relu: bool = False) -> str:
        """`x.part`: accumulator x in a stored format."""
        return self.add(Requantise(f"{x}.{part}", x, _BLANK_CAST, relu))

    def logits(self, x: str) -> str:
        """The cast of the last classifier."""
        return self.add(Requantise("logits", x, _BLANK_CAST))

    def normalised_input(self, channels: int) -> str:
        """The input and its norm, one scale per channel and joint; its cast."""
        x = self.add(Input("input", channels, self.joints, QFormat(16, 0)))
        return self.cast(self.norm(INPUT_NORM, x, channels, self.joints))

    def conv(self, name: str, x: str, outputs: int, inputs: int) -> str:
        """1x1 convolution."""
        return self.add(Conv(name, x, _blank(outputs, inputs), _zeros(outputs)))

    def tconv(
        self,
        name: str,
        x: str,
        channels: tuple[int, int],
        taps: int,
        dilation: int = 1,
        stride: int = 1,
        lookahead: int | None = None,
    ) -> str:
        """Temporal convolution, channels (in, out); symmetric unless `lookahead` is told."""
        inputs, outputs = channels
        weight, bias = _blank(outputs, inputs, taps), _zeros(outputs)
        ahead = (taps - 1) * dilation // 2 if lookahead is None else lookahead
        return self.add(TemporalConv(name, x, weight, bias, dilation, ahead, stride))

    def graph_conv(self, block: str, x: str, outputs: int, inputs: int) -> str:
        """1x1 convolution into all partitions, then the product with the adjacency; its cast."""
        conv = self.conv(f"{block}.conv", x, self.partitions * outputs, inputs)
        adjacency = _blank(self.partitions, self.joints, self.joints)
        return self.cast(self.add(GraphProduct(f"{block}.graph", self.cast(conv), adjacency)))

    def norm(self, name: str, x: str, channels: int, joints: int = 1) -> str:
        """An affine map per channel (or joint, too); as LayerNorm, one per joint behind its own.

        Returns:
            Its accumulator.
        """
        if self.layer_norm:
            blank, seeds = np.zeros(1, np.int64), reciprocal_root_seeds()
            unit = self.add(LayerNorm(f"{name}.unit", x, blank, seeds, NEWTON_STEPS, frac_bits=0))
            x, joints = self.cast(unit), self.joints
        return self.add(Affine(name, x, _blank(channels, joints), _zeros(channels, joints)))

    def softmax(self, name: str, x: str) -> str:
        """Softmax over channels; its cast."""
        blank = np.full(1, 1 << EXP_BITS)
        return self.cast(self.add(Softmax(name, x, blank, blank, EXP_BITS, SHARE_BITS)))


def _zeros(*shape: int) -> IntArray:
    return np.broadcast_to(np.int64(0), shape)


def _blank(*shape: int) -> Weights:
    return Weights(_zeros(*shape), 8, (0,))
