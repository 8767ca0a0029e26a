"""A plain accelerator and a tiny network, both easy to count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from fxp.ir import (
    Add,
    Affine,
    Argmax,
    Conv,
    Graph,
    GraphProduct,
    Input,
    JointMean,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
)
from fxp.qformat import Cast, QFormat
from fxp.spec import ArchSpec
from hw_model.accelerator import Accelerator

# 0.01 pJ per bit of an adder and per one-bit product, 1 pJ per bit of SRAM, 10 pJ per bit of DRAM
_PLAIN: dict[str, Any] = {
    "name": "plain",
    "description": "round numbers",
    "source": "test",
    "clock_hz": 1e6,
    "engine": {"kind": "lanes", "lanes": 2},
    "multiplier": {"max_weight_bits": 32, "max_activation_bits": 32},
    "adjacency": "sparse",
    "memory": {"capacity_bits": 10**9, "ports": 10**6, "port_bits": 32},
    "energy": {
        "source": "test",
        "process": "none",
        "multiply_pj": {8: 0.64},
        "add_pj": {10: 0.1},
        "sram_pj_per_bit": {1: 1.0},
        "dram_pj_per_bit": 10.0,
    },
}


def machine(lanes: int = 2, **changes: Any) -> Accelerator:
    """The plain accelerator with `lanes` lanes and other top-level keys replaced."""
    engine = {"kind": "lanes", "lanes": lanes}
    return Accelerator.model_validate({**_PLAIN, "engine": engine, **changes})


def memory(capacity_bits: int = 10**9, **changes: Any) -> dict[str, Any]:
    """The `memory` entry of an accelerator with wide ports."""
    return {"capacity_bits": capacity_bits, "ports": 10**6, "port_bits": 32, **changes}


def tiny_graph() -> Graph:
    """One block of 2 channels on 3 joints with 2 partitions and 3 edges, mean, 3 classes.

    Joint 0 receives one edge, joint 1 two (of different partitions), joint 2 none.
    """
    adjacency = np.zeros((2, 3, 3), np.int64)
    adjacency[0, 0, 0] = adjacency[0, 1, 1] = adjacency[1, 0, 1] = 1
    nodes = (
        Input("input", 2, 3, QFormat(8, 0)),
        Conv("block.conv", "input", _weights(4, 4, 2), _zeros(4)),
        _cast("block.conv.q", "block.conv", 6),
        GraphProduct("block.graph", "block.conv.q", Weights(adjacency, 5, (0,))),
        _cast("block.graph.q", "block.graph", 7),
        TemporalSum("block.sum", "block.graph.q", window=3, dilation=2),
        Affine("block.norm", "block.sum", Weights(_zeros(2, 1) + 4, 4, (0,)), _zeros(2, 1)),
        _cast("block.norm.q", "block.norm", 6, relu=True),
        Add("block.add", "block.norm.q", "input"),
        _cast("block.add.q", "block.add", 6, relu=True),
        JointMean("pool", "block.add.q", multiplier=11, shift=5),
        _cast("pool.q", "pool", 6),
        Conv("classifier", "pool.q", _weights(4, 3, 2), _zeros(3)),
        _cast("logits", "classifier", 10),
        Argmax("label", "logits"),
    )
    return Graph("tiny", nodes, ("logits", "label"))


def temporal_graph() -> Graph:
    """A convolution, then 3 taps over time (dilation 2, 2 frames ahead) beside a residual."""
    nodes = (
        Input("input", 2, 3, QFormat(6, 0)),
        Conv("c", "input", _weights(5, 2, 2), _zeros(2)),
        _cast("c.q", "c", 7),
        TemporalConv("t", "c.q", _weights(5, 4, 2, 3), _zeros(4), dilation=2, lookahead=2),
        _cast("t.q", "t", 7),
        Conv("r", "input", _weights(5, 4, 2), _zeros(4)),
        _cast("r.q", "r", 9),
        Add("sum", "t.q", "r.q"),
        _cast("sum.q", "sum", 8),
    )
    return Graph("temporal", nodes, ("sum.q",))


@st.composite
def small_archs(draw: st.DrawFn) -> ArchSpec:
    """Networks of one to three small blocks on six joints."""
    depth = draw(st.integers(1, 3))
    sizes = st.integers(1, 9)
    blocks = st.tuples(*[st.integers(1, 4)] * depth)
    return ArchSpec(
        family=draw(st.sampled_from(("rtstgcn", "costgcn"))),
        skeleton="hugadb",
        partition=draw(st.sampled_from(("uniform", "distance", "spatial"))),
        in_channels=draw(sizes),
        embedding=draw(sizes),
        channels=draw(st.tuples(*[sizes] * depth)),
        window=draw(blocks),
        dilation=draw(blocks),
        classes=draw(st.integers(2, 7)),
    )


def _weights(word_bits: int, *shape: int) -> Weights:
    return Weights(_zeros(*shape), word_bits, (0,))


def _zeros(*shape: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.zeros(shape, np.int64)


def _cast(name: str, x: str, word_bits: int, relu: bool = False) -> Requantise:
    return Requantise(name, x, Cast(QFormat(word_bits, 0)), relu)
