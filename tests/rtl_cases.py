"""Small networks on the engine, and the simulators that run it where they are installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fxp.calibrate import calibrate
from fxp.errors import InputError
from fxp.golden import write_bundle
from fxp.ir import Conv, Graph, Input, IntArray, TemporalConv
from fxp.lower import lower
from fxp.spec import QuantSpec
from hw_model.rtl.bundle import rtl_attachment
from hw_model.rtl.runs import Settings
from hw_model.rtl.toolchains import Simulator, find_tools
from hw_model.streaming import NEAR, LineSource
from tests.golden import networks
from tests.networks import random_floatnet, small_arch


def small_network(rng: np.random.Generator) -> Graph:
    """A whole RT-ST-GCN: three blocks, both kinds of residual, streams wider than operands."""
    net = random_floatnet(small_arch(), int(rng.integers(100)))
    widths = {"weight_bits": 8, "activation_bits": 8, "stream_bits": 12}
    return lower(net, calibrate(net, QuantSpec.model_validate(widths)))


# lanes: more than channels, channels that end within a line, fewer than channels
CASES: dict[str, tuple[Callable[[np.random.Generator], Graph], int, int]] = {
    "dilated": (networks.dilated, 2, 7),
    "ragged": (networks.ragged, 4, 5),
    "narrow": (networks.narrow, 1, 5),
    "small": (small_network, 3, 4),
    "strided": (networks.strided, 3, 9),
    "vector": (networks.vector, 2, 5),
    "normed": (networks.normed, 2, 5),
    "shares": (networks.shares, 3, 5),
}


def network(name: str) -> tuple[Graph, IntArray, int]:
    """Graph, clip `(T, C, V)` of random words, and lanes of a case."""
    build, lanes, frames = CASES[name]
    graph = build(np.random.default_rng(1))
    first = graph.nodes[0]
    assert isinstance(first, Input)
    low, high = first.fmt.raw_min, first.fmt.raw_max + 1
    shape = (frames, first.channels, first.joints)
    return graph, np.random.default_rng(2).integers(low, high, shape), lanes


def write_case(name: str, folder: Path, stress: bool = True, off_chip: bool = False) -> Path:
    """The bundle of a case, in a folder of its name; all its weights may be off the chip."""
    graph, clip, lanes = network(name)
    names = tuple(n.name for n in graph.nodes if isinstance(n, Conv | TemporalConv)) * off_chip
    settings = Settings(
        lanes, seed=3, stress=stress, off_chip=names, source=LineSource(5, 3) if names else NEAR
    )
    attachment = rtl_attachment(graph, clip, settings)
    write_bundle(graph, clip, folder / name, lanes=lanes, attachments=[attachment])
    return folder / name


def need(simulator: Simulator) -> None:
    """Skip where a simulator is missing, unless RTL_SIMULATORS=required."""
    try:
        find_tools(simulator)
    except InputError as error:
        if os.environ.get("RTL_SIMULATORS") == "required":
            raise
        pytest.skip(str(error))
