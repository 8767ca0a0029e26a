"""Small float networks for tests: random numbers in the shapes of an architecture."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from fxp.floatnet import FloatNet, Fold
from fxp.observe import Observation
from fxp.outline import outline, parameter_shapes
from fxp.skeleton import load_skeleton
from fxp.spec import ArchSpec
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.models.blocks import ChannelNorm
from stgcn_ref.models.build import FrameNet, build

torch.set_num_threads(1)


def small_arch(**over: object) -> ArchSpec:
    """Two or three blocks on the six-joint skeleton: a residual convolution and an identity."""
    base: dict[str, object] = {
        "skeleton": "hugadb",
        "in_channels": 6,
        "embedding": 4,
        "channels": (4, 8, 8),
        "window": (3, 2, 4),
        "dilation": (1, 2, 1),
        "classes": 5,
    }
    return ArchSpec.model_validate(base | over)


def small_msgcn(**over: object) -> ArchSpec:
    """Two graph layers and two refinements of two layers."""
    base: dict[str, object] = {
        "family": "msgcn",
        "channels": (4, 4),
        "window": 3,
        "dilation": (1, 2),
        "refinements": 2,
    }
    return small_arch(**(base | over))


@st.composite
def archs(draw: st.DrawFn) -> ArchSpec:
    """Architectures of all families, up to three blocks of up to six channels."""
    depth = draw(st.integers(1, 3))
    sizes = st.integers(1, 6)
    embedding = draw(sizes)
    family = draw(st.sampled_from(["rtstgcn", "costgcn", "msgcn"]))
    channels = draw(st.lists(sizes, min_size=depth, max_size=depth))
    window = draw(st.lists(st.integers(1, 9), min_size=depth, max_size=depth))
    if family == "msgcn":
        channels, window = [embedding] * depth, window[:1]
    return ArchSpec(
        family=family,
        skeleton=draw(st.sampled_from(["hugadb", "tpvicon"])),
        partition=draw(st.sampled_from(["uniform", "distance", "spatial"])),
        normalisation=draw(st.sampled_from(["column", "symmetric"])),
        in_channels=draw(sizes),
        embedding=embedding,
        channels=tuple(channels),
        window=tuple(window),
        dilation=tuple(draw(st.lists(st.integers(1, 3), min_size=depth, max_size=depth))),
        refinements=draw(st.integers(0, 2)) if family == "msgcn" else 0,
        classes=draw(st.integers(2, 6)),
    )


def random_floatnet(arch: ArchSpec, seed: int, fold: Fold = "weights") -> FloatNet:
    """Random parameters and random (not matching) observations of every accumulator."""
    rng = np.random.default_rng(seed)
    graph = outline(arch)
    params = {
        key: rng.normal(0.0, 10.0 ** rng.uniform(-2, 1), shape)
        for key, shape in parameter_shapes(graph).items()
    }
    if fold == "weights":
        for i in range(len(arch.channels)):
            params[f"block{i}.norm.scale"] = np.ones((arch.channels[i], 1))
    observations = {}
    for node in graph.nodes[1:]:
        sample = rng.normal(rng.normal(), 10.0 ** rng.uniform(-2, 2), 500).astype(np.float32)
        observations[node.name] = Observation(float(sample.min()), float(sample.max()), sample)
    return FloatNet(arch, params, observations, {"fold": fold})


def random_model(arch: ArchSpec, seed: int = 0, offset: float = 300.0) -> FrameNet:
    """A random network whose norms took their statistics from one random clip; eval mode."""
    torch.manual_seed(seed)
    net = build(arch)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith(("importance", "norm.weight", "residual.1.weight")):
                value.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                value.uniform_(-0.5, 0.5)
        for module in net.modules():
            if isinstance(module, ChannelNorm):
                module.momentum = 1.0
        net(torch.from_numpy(words(arch, 400, seed, offset).transpose(1, 0, 2).copy())[None])
    return net.eval()


def words(
    arch: ArchSpec, frames: int, seed: int, offset: float = 300.0
) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """Sensor-like integer words (T, C, V): a slow wave, noise and an offset."""
    rng = np.random.default_rng(seed)
    joints = len(load_skeleton(arch.skeleton).joints)
    shape = (frames, arch.in_channels, joints)
    phase = np.arange(frames)[:, None, None] * rng.uniform(0.01, 0.3, shape[1:])
    x = 900 * np.sin(phase + rng.uniform(0, 6, shape[1:])) + rng.normal(0, 200, shape) + offset
    return np.rint(x).astype(np.int32)


def clip(arch: ArchSpec, frames: int, seed: int, name: str = "clip") -> Clip:
    labels = np.zeros(frames, np.int64)
    return Clip(name, 1, words(arch, frames, seed), labels, labels)
