"""Published networks as architectures: described, exported and lowered, equal to the authors'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fxp.calibrate import calibrate
from fxp.errors import InputError
from fxp.ir import Requantise
from fxp.lower import lower
from fxp.ranges import certify
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, QuantSpec
from stgcn_ref.export import export
from stgcn_ref.models.costgcn import continual, continual_arch
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.published import Network, assemble
from stgcn_ref.published_arch import arch_of, read_words
from stgcn_ref.published_tensors import Tensors
from tests.families import graph
from tests.networks import FloatArray, as_joints, as_read, clip
from tests.published_states import (
    State,
    rtstgcn_reference,
    rtstgcn_state,
    stgcn_reference,
    stgcn_state,
)

torch.set_num_threads(1)

SKELETON = {"skeleton": "hugadb", "normalisation": "column", "classes": 5, "in_channels": 3}
WINDOW, DILATIONS = (3, 4, 2), (1, 2, 1)


def opened(state: State, family: str, **told: Any) -> Network:
    return assemble(Tensors("net.pt", dict(state)), family, **told)


def integer_logits(net: Any, arch: ArchSpec, frames: int = 60) -> tuple[Any, FloatArray]:
    """Words that network and integer network read, and the latter's logits (T, classes)."""
    recording = clip(arch, frames, 0)
    floats = export(net, arch, [recording])
    quant = QuantSpec(weight_bits=16, activation_bits=16, stream_bits=20, calibrator="max")
    made = lower(floats, calibrate(floats, quant))
    certify(made)
    found, _ = run(compile_graph(made), as_joints(recording.x))
    cast = next(n for n in made.nodes if isinstance(n, Requantise) and n.name == "logits").cast
    return recording.x, np.ldexp(found["logits"][:, :, 0] * 1.0, -cast.to.frac_bits)


def near(found: FloatArray, expected: torch.Tensor, arch: ArchSpec) -> bool:
    wanted = expected.double().numpy().reshape(arch.classes, -1).T
    assert found.shape == wanted.shape
    return bool(np.abs(found - wanted).max() < 5e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("strides", [(1, 1, 2), (1, 2, 2)])
def test_stgcn(strides: tuple[int, ...]) -> None:
    state = stgcn_state(graph(), (4, 4, 6), strides)
    net = opened(state, "stgcn", strides=strides)
    arch = arch_of(net, "net.pt")
    assert arch == ArchSpec.model_validate(
        SKELETON
        | {"family": "stgcn", "channels": (4, 4, 6), "window": 3, "stride": strides, "persons": 2}
    )
    x, found = integer_logits(net, arch)
    assert near(found, stgcn_reference(state, as_read(x).float(), strides), arch)
    assert arch_of(net, "net.pt", persons=5).persons == 5


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_rtstgcn(norm: str) -> None:
    state = rtstgcn_state(graph(), (4, 4, 6), DILATIONS, norm)
    net = opened(state, "rtstgcn", window=WINDOW, dilations=DILATIONS)
    arch = arch_of(net, "net.pt")
    told = {"embedding": 4, "channels": (4, 4, 6), "window": WINDOW, "dilation": DILATIONS}
    residual = ("auto", "conv", "conv")  # dilation 2, four to six channels
    assert arch == ArchSpec.model_validate(SKELETON | told | {"norm": norm, "residual": residual})
    x, found = integer_logits(net, arch)
    assert near(found, rtstgcn_reference(state, as_read(x).float(), WINDOW, DILATIONS), arch)


def test_rtstgcn_without_some_residuals() -> None:
    state = rtstgcn_state(graph(), (4, 4, 6), DILATIONS)
    state = {key: value for key, value in state.items() if ".residual." not in key}
    told = {"window": WINDOW, "dilations": DILATIONS, "residual": (True, False, False)}
    net = opened(state, "rtstgcn", **told)
    arch = arch_of(net, "net.pt")
    assert arch.residuals == ("identity", "none", "none")
    x, found = integer_logits(net, arch)
    with torch.no_grad():
        assert near(found, net(as_read(x)), arch)


def test_norms_without_statistics_are_refused() -> None:
    state = rtstgcn_state(graph(), (4, 4, 6), DILATIONS, "batch alone")
    net = opened(state, "rtstgcn", window=WINDOW, dilations=DILATIONS)
    arch = arch_of(net, "net.pt")
    with pytest.raises(InputError, match=r"input_norm: the norm has no running statistics"):
        export(net, arch, [clip(arch, 20, 0)])
    with pytest.raises(InputError, match=r"net\.pt: the input norm has no running statistics"):
        read_words(net, (0, 0, 0), "net.pt")


@pytest.mark.parametrize("strides", [(1, 2, 2), (2, 1, 3)])
def test_the_continual_form(strides: tuple[int, ...]) -> None:
    net = opened(stgcn_state(graph(), (4, 4, 6), strides), "stgcn", strides=strides)
    assert isinstance(net, STGCN)
    frames = continual(net)
    arch = continual_arch(arch_of(net, "net.pt"))
    assert (arch.family, arch.persons, arch.dilation) == (
        "costgcn",
        1,
        (1, strides[0], strides[0] * strides[1]),
    )
    x, found = integer_logits(frames, arch)
    with torch.no_grad():
        assert near(found, frames(as_read(x)), arch)


def test_words_in_place_of_measurements() -> None:
    frac_bits = (10, 10, 15)
    factor = torch.tensor([2.0**bits for bits in frac_bits])[:, None, None]
    for family, state, told in (
        ("stgcn", stgcn_state(graph(), (4, 6), (1, 2)), {}),
        ("rtstgcn", rtstgcn_state(graph(), (4, 6), (1, 1), "batch"), {"window": 3, "dilations": 1}),
    ):
        x = torch.rand(2, 3, 20, 6) - 0.5
        net, words = opened(state, family, **told), x * factor
        if family == "stgcn":
            x, words = x[..., None], words[..., None]
        with torch.no_grad():
            expected = net(x)
            read_words(net, frac_bits, "net.pt")
            torch.testing.assert_close(net(words), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="`frac_bits` needs 3 entries, one a channel, got 2"):
        read_words(net, (10, 10), "net.pt")
    state = rtstgcn_state(graph(), (4, 6), (1, 1))
    layered = opened(state, "rtstgcn", window=3, dilations=1)
    read_words(layered, (10, 10, 10), "net.pt")
    with pytest.raises(InputError, match="must be equal in front of a LayerNorm"):
        read_words(layered, frac_bits, "net.pt")
