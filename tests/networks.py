"""Small float networks for tests: random numbers in the shapes of an architecture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st

from fxp.floatnet import FloatNet, Fold
from fxp.ir import IntArray
from fxp.observe import Observation
from fxp.outline import folding_norms, outline, parameter_shapes
from fxp.persons import persons_as_joints
from fxp.skeleton import load_skeleton
from fxp.spec import ArchSpec
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.datasets.recognition import PersonWords, RecognitionClip
from stgcn_ref.models.blocks import ChannelNorm
from stgcn_ref.models.build import Net, build

torch.set_num_threads(1)

FloatArray = npt.NDArray[np.float64]


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


def small_stgcn(**over: object) -> ArchSpec:
    """Strides with and without a change of channels, an identity; two persons."""
    base: dict[str, object] = {
        "family": "stgcn",
        "embedding": None,
        "channels": (4, 4, 8, 8),
        "window": 3,
        "dilation": 1,
        "stride": (1, 2, 1, 2),
        "persons": 2,
    }
    return small_arch(**(base | over))


def small_tcn(**over: object) -> ArchSpec:
    """An identity, a shortcut that is a convolution, an even number of taps."""
    base: dict[str, object] = {"family": "tcn", "window": 4, "dilation": (1, 2, 1)}
    return small_arch(**(base | over))


# Every kind of network there is: families, norms, residuals, with and without an embedding
VARIANTS = {
    "rtstgcn": small_arch(),
    "rtstgcn-residuals": small_arch(channels=(4, 4, 8), residual=("conv", "none", "auto")),
    "rtstgcn-layernorm": small_arch(norm="layer"),
    "rtstgcn-layernorm-residuals": small_arch(
        norm="layer", channels=(4, 4, 4), residual=("conv", "none", "auto")
    ),
    "costgcn": small_arch(family="costgcn", window=(3, 2, 5), dilation=(2, 1, 3)),
    "costgcn-published": small_arch(
        family="costgcn", embedding=None, channels=(6, 8, 8), window=3, dilation=(1, 1, 2)
    ),
    "costgcn-continual": small_arch(
        family="costgcn", embedding=None, channels=(4, 4, 4), residual=("auto", "conv", "auto")
    ),
    "stgcn": small_stgcn(),
    "stgcn-one": small_stgcn(persons=1, channels=(6, 6), stride=(2, 1), window=5),
    "tcn": small_tcn(),
    "tcn-odd": small_tcn(channels=(8, 8), window=3, dilation=(1, 3), embedding=8),
    "msgcn": small_msgcn(),
    "msgcn-alone": small_msgcn(refinements=0, window=5),
}
FRAMEWISE = {key: arch for key, arch in VARIANTS.items() if arch.family != "stgcn"}


@st.composite
def archs(draw: st.DrawFn) -> ArchSpec:
    """Architectures of all families, up to three blocks of up to six channels."""
    depth = draw(st.integers(1, 3))
    sizes = st.integers(1, 6)

    def each(values: st.SearchStrategy[int]) -> tuple[int, ...]:
        return tuple(draw(st.lists(values, min_size=depth, max_size=depth)))

    family = draw(st.sampled_from(["rtstgcn", "costgcn", "stgcn", "msgcn", "tcn"]))
    keys: dict[str, object] = {
        "family": family,
        "skeleton": draw(st.sampled_from(["hugadb", "tpvicon"])),
        "partition": draw(st.sampled_from(["uniform", "distance", "spatial"])),
        "normalisation": draw(st.sampled_from(["column", "symmetric"])),
        "in_channels": draw(sizes),
        "embedding": draw(sizes),
        "channels": each(sizes),
        "window": each(st.integers(1, 9)),
        "dilation": each(st.integers(1, 3)),
        "classes": draw(st.integers(2, 6)),
    }
    residuals = st.sampled_from(["auto", "conv", "none"])
    match family:
        case "rtstgcn":
            keys |= {"norm": draw(st.sampled_from(["batch", "layer"])), "residual": each(residuals)}
        case "costgcn":
            keys["residual"] = each(residuals)
            if draw(st.booleans()):
                keys["embedding"] = None
        case "stgcn":
            keys |= {"embedding": None, "dilation": 1, "window": draw(st.integers(1, 9))}
            keys |= {"stride": each(st.integers(1, 3)), "persons": draw(st.integers(1, 3))}
        case "msgcn":
            keys |= {"channels": [keys["embedding"]] * depth, "window": draw(st.integers(1, 9))}
            keys["refinements"] = draw(st.integers(0, 2))
        case "tcn":
            keys["window"] = draw(st.integers(1, 9))
    return ArchSpec.model_validate(keys)


def random_floatnet(arch: ArchSpec, seed: int, fold: Fold = "weights") -> FloatNet:
    """Random parameters and random (not matching) observations of every accumulator."""
    rng = np.random.default_rng(seed)
    graph = outline(arch)
    params = {
        key: rng.normal(0.0, 10.0 ** rng.uniform(-2, 1), shape)
        for key, shape in parameter_shapes(graph).items()
    }
    if fold == "weights":
        for name in folding_norms(arch):
            params[f"{name}.scale"] = np.ones_like(params[f"{name}.scale"])
    observations = {}
    for node in graph.nodes[1:]:
        sample = rng.normal(rng.normal(), 10.0 ** rng.uniform(-2, 2), 500).astype(np.float32)
        observations[node.name] = Observation(float(sample.min()), float(sample.max()), sample)
    return FloatNet(arch, params, observations, {"fold": fold})


def random_model(arch: ArchSpec, seed: int = 0, offset: float = 300.0) -> Net:
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
        net(as_read(words(arch, 400, seed, offset)))
    return net.eval()


def words(arch: ArchSpec, frames: int, seed: int, offset: float = 300.0) -> PersonWords:
    """Sensor-like integer words (T, C, V), of a network for clips (T, C, V, M).

    A slow wave, noise and an offset.
    """
    rng = np.random.default_rng(seed)
    joints = len(load_skeleton(arch.skeleton).joints)
    persons = (arch.persons,) if arch.family == "stgcn" else ()
    shape = (frames, arch.in_channels, joints, *persons)
    phase = np.arange(frames).reshape(-1, *[1] * (len(shape) - 1)) * rng.uniform(
        0.01, 0.3, shape[1:]
    )
    x = 900 * np.sin(phase + rng.uniform(0, 6, shape[1:])) + rng.normal(0, 200, shape) + offset
    return np.rint(x).astype(np.int32)


def as_read(x: PersonWords) -> torch.Tensor:
    """Words as a float network reads them: a batch of one, (1, C, T, V) or (1, C, T, V, M)."""
    return torch.from_numpy(x.swapaxes(0, 1).copy())[None]


def clip(arch: ArchSpec, frames: int, seed: int, name: str = "clip") -> Clip | RecognitionClip:
    x = words(arch, frames, seed)
    if arch.family == "stgcn":
        return RecognitionClip(name, 1, x, 0, frames)
    labels = np.zeros(frames, np.int64)
    return Clip(name, 1, x, labels, labels)


def as_joints(x: PersonWords) -> IntArray:
    """Words as the integer network reads them, int64 (T, C, V), persons as joints."""
    return (persons_as_joints(x) if x.ndim == 4 else x).astype(np.int64)
