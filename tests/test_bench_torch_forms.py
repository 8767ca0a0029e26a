"""The float forms by torch: all equal the project's own model, by clips and frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.bench_simulate import random_net
from benchmarks.torch_folded import fold, window_sum
from benchmarks.torch_forms import Eager, MakeProduct, Streaming, forms, mkl, onednn
from fxp.cast import FloatArray
from fxp.errors import InputError
from fxp.spec import ArchSpec, load_spec

PUBLISHED = load_spec(ArchSpec, Path("examples/pkummd_rtstgcn.yaml"))
SMALL = ArchSpec(
    skeleton="pkummd",
    in_channels=3,
    embedding=8,
    channels=(8, 8, 12, 12),
    window=(9, 5, 4, 1),
    dilation=(1, 2, 3, 1),
    residual=("auto", "auto", "auto", "none"),
    classes=5,
)
FRAMES = 50


def parameters(arch: ArchSpec) -> dict[str, FloatArray]:
    """Weights of unit gain, every norm and bias away from what changes nothing."""
    rng = np.random.default_rng(3)
    params = dict(random_net(arch, seed=0).params)
    for key, value in params.items():
        if key.endswith("bias"):
            params[key] = rng.normal(size=value.shape)
        elif key.endswith("norm.scale"):
            params[key] = rng.uniform(0.05, 0.2, value.shape)
    return params


def clip(frames: int = FRAMES) -> Tensor:
    return torch.randn(frames, 3, 25, generator=torch.Generator().manual_seed(1))


def distance(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest logit."""
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


@pytest.fixture(scope="module")
def params() -> Mapping[str, FloatArray]:
    return parameters(SMALL)


@pytest.mark.parametrize("chunk", [7, 16, 64])  # within and beyond a window's reach of 9
@pytest.mark.parametrize("name", ["eager, MKL", "eager, oneDNN"])
def test_an_eager_form_equals_the_model(
    params: Mapping[str, FloatArray], name: str, chunk: int
) -> None:
    found = forms(SMALL, params, chunk)
    expected = found["as trained"](clip())
    for _ in range(2):  # a second clip starts afresh
        assert distance(found[name](clip()), expected) < 1e-5


@pytest.mark.parametrize("make", [mkl, onednn])
def test_the_streaming_form_equals_the_model(
    params: Mapping[str, FloatArray], make: MakeProduct
) -> None:
    expected = forms(SMALL, params)["as trained"](clip())
    stream = Streaming(fold(SMALL, params), make)
    for _ in range(2):
        state = stream.initial_state()
        logits = torch.stack([stream.step(frame, state) for frame in clip()])
        assert distance(logits, expected) < 1e-5


def test_the_published_network_in_all_its_eager_forms() -> None:
    params = parameters(PUBLISHED)
    found = forms(PUBLISHED, params, chunk=16)
    expected = found["as trained"](clip())
    for name in ("eager, MKL", "eager, oneDNN"):
        assert distance(found[name](clip()), expected) < 1e-4


def test_the_compiled_form_as_a_function_equals_the_model(
    params: Mapping[str, FloatArray],
) -> None:
    """What is compiled, without the compiler: it takes most of a minute."""
    found = forms(SMALL, params, chunk=16)
    compiled = found["compiled"]
    compiled.step = compiled.net_of_a_chunk  # type: ignore[attr-defined]
    assert distance(compiled(clip()), found["as trained"](clip())) < 1e-5


@pytest.mark.parametrize("window", range(1, 12))
@pytest.mark.parametrize("dilation", [1, 3])
def test_window_sums_are_sums_of_windows(window: int, dilation: int) -> None:
    reach, frames = (window - 1) * dilation, 5
    x = torch.arange(float((reach + frames) * 2)).view(-1, 2) ** 2
    expected = [x[t : t + reach + 1 : dilation].sum(0) for t in range(frames)]
    assert torch.equal(window_sum(x, frames, window, dilation), torch.stack(expected))


def test_a_clip_shorter_than_a_chunk_and_a_ragged_end(params: Mapping[str, FloatArray]) -> None:
    eager = Eager(fold(SMALL, params), mkl, 16)
    expected = forms(SMALL, params)["as trained"](clip())
    for frames in (1, 5, 17):
        assert distance(eager(clip(FRAMES)[:frames]), expected[:frames]) < 1e-5


def test_another_network_is_refused() -> None:
    other = ArchSpec(
        skeleton="pkummd", in_channels=3, channels=(8,), window=(3,), classes=5, family="costgcn"
    )
    with pytest.raises(InputError, match="an rtstgcn with batch norms is needed, got costgcn"):
        fold(other, {})
