"""Export: folding changes nothing, observations are of the folded network, in bounded pieces."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stgcn_ref.export as export_module
from fxp.errors import InputError
from fxp.floatnet import load_floatnet, save_floatnet
from fxp.ir import Requantise, TemporalSum
from fxp.outline import outline
from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec
from stgcn_ref.export import export
from stgcn_ref.folding import folded_parameters, rebuild
from stgcn_ref.models.blocks import Block
from stgcn_ref.models.build import Net
from tests.networks import archs, as_read, clip, random_model, small_arch, small_msgcn


def logits(model: Net, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        return copy.deepcopy(model).double().eval()(as_read(x).double())[0].numpy()


@settings(max_examples=15, deadline=None)
@given(
    archs(),
    st.integers(0, 99),
    st.sampled_from(["weights", "affine"]),
)
def test_folded_network_equals_the_model(arch: ArchSpec, seed: int, fold: Any) -> None:
    model = random_model(arch, seed)
    recording = clip(arch, 30, seed)
    net = export(model, arch, [recording], fold=fold)
    expected, found = logits(model, recording.x), logits(rebuild(net), recording.x)
    assert np.abs(expected - found).max() <= 1e-5 * np.abs(expected).max()
    assert net.observations.keys() == {
        "input",
        *(node.x for node in outline(arch).nodes if isinstance(node, Requantise)),
        *(node.name for node in outline(arch).nodes if isinstance(node, TemporalSum)),
    }


def test_where_the_scale_goes() -> None:
    arch = small_arch()
    model = random_model(arch)
    weights, affine = (folded_parameters(model, fold) for fold in ("weights", "affine"))
    for i in range(3):
        assert (weights[f"block{i}.norm.scale"] == 1).all()
        scale = affine[f"block{i}.norm.scale"]
        assert (scale != 1).all()
        per_row = np.tile(scale, (3, 1))  # partition-major rows
        moved = affine[f"block{i}.conv.weight"] * per_row
        assert np.array_equal(weights[f"block{i}.conv.weight"], moved)
        moved = affine[f"block{i}.conv.bias"] * per_row[:, 0]
        assert np.array_equal(weights[f"block{i}.conv.bias"], moved)
        assert np.array_equal(weights[f"block{i}.norm.bias"], affine[f"block{i}.norm.bias"])


def test_adjacency_and_input_norm() -> None:
    arch = small_arch()
    model = random_model(arch)
    params = folded_parameters(model, "weights")
    block = model.blocks[1]
    assert isinstance(block, Block)
    graph = partitions(load_skeleton("hugadb"), "spatial", "symmetric").astype(np.float32)
    importance = block.gcn.importance.detach().double().numpy()
    assert np.array_equal(params["block1.graph.adjacency"], graph.astype(np.float64) * importance)
    norm = model.input_norm
    assert norm.running_mean is not None and norm.running_var is not None
    joint, channel = 4, 2
    k = joint * 6 + channel
    gamma, beta = norm.weight.detach().numpy()[k], norm.bias.detach().numpy()[k]
    scale = float(gamma) / np.sqrt(float(norm.running_var[k]) + norm.eps)
    assert params["input_norm.scale"][channel, joint] == pytest.approx(scale, rel=1e-12)
    bias = float(beta) - float(norm.running_mean[k]) * scale
    assert params["input_norm.bias"][channel, joint] == pytest.approx(bias, rel=1e-12)


@pytest.mark.parametrize("frames", [7, 50, 1000])
@pytest.mark.parametrize(
    "arch",
    [
        small_arch(window=5, dilation=2),
        small_arch(family="costgcn", window=(3, 5, 3), dilation=(1, 2, 1)),
        small_msgcn(),
    ],
    ids=lambda arch: str(arch.family),
)
def test_pieces_observe_what_the_whole_clip_shows(
    monkeypatch: pytest.MonkeyPatch, arch: ArchSpec, frames: int
) -> None:
    monkeypatch.setattr(export_module, "SEGMENT_FRAMES", frames)
    model = random_model(arch)
    recordings = [clip(arch, 120, 1, "one"), clip(arch, 33, 2, "two")]
    net = export(model, arch, recordings, meta={"classes": list("abcde")})
    shown: dict[str, list[np.ndarray[Any, Any]]] = {}
    folded = rebuild(net)
    for recording in recordings:
        shown.setdefault("input", []).append(recording.x.astype(np.float32).ravel())
        whole = torch.from_numpy(recording.x.transpose(1, 0, 2).copy())[None]
        with torch.inference_mode():
            folded(whole, lambda name, y: shown.setdefault(name, []).append(y.numpy().ravel()))
    assert shown.keys() == net.observations.keys()
    for name, seen in net.observations.items():
        values = np.concatenate(shown[name]).astype(np.float64)
        close = float(1e-5 * np.abs(values).max())  # pieces of other lengths sum in another order
        assert seen.lo == pytest.approx(values.min(), abs=close)
        assert seen.hi == pytest.approx(values.max(), abs=close)
        if values.size <= seen.sample.size:  # kept whole
            assert np.allclose(np.sort(seen.sample), np.sort(values), atol=close, rtol=0)
        else:
            assert seen.sample.mean() == pytest.approx(values.mean(), abs=values.std() / 10)
    assert net.meta == {
        "classes": list("abcde"),
        "fold": "weights",
        "calibration_clips": ["one", "two"],
    }


def test_export_is_repeatable_and_leaves_everything_as_it_was(tmp_path: Any) -> None:
    arch = small_arch()
    model = random_model(arch).train()
    before = copy.deepcopy(model.state_dict())
    state = torch.random.get_rng_state()
    files = []
    for name in ("a", "b"):
        files.append(tmp_path / name)
        save_floatnet(export(model, arch, [clip(arch, 600, 3)]), files[-1])
    assert files[0].read_bytes() == files[1].read_bytes()
    load_floatnet(files[0])
    assert torch.equal(state, torch.random.get_rng_state()) and model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    other = export(model, arch, [clip(arch, 600, 3)], seed=1).observations["block0.conv"]
    assert not np.array_equal(
        other.sample, load_floatnet(files[0]).observations["block0.conv"].sample
    )


def test_norm_without_running_statistics() -> None:
    arch = small_arch()
    model = random_model(arch)
    block = model.blocks[1]
    assert isinstance(block, Block)
    block.norm.running_mean = block.norm.running_var = None
    with pytest.raises(
        InputError, match=r"^block1\.norm: the norm has no running statistics \(tra"
    ):
        export(model, arch, [clip(arch, 10, 0)])


def test_a_model_of_another_architecture() -> None:
    recording = clip(small_arch(), 10, 0)
    model = random_model(small_arch())
    with pytest.raises(
        InputError, match=r"\(window, dilation, stride\) of the model are \(\(3, 1, 1\), "
    ):
        export(model, small_arch(window=3), [recording])
    with pytest.raises(
        InputError, match=r"parameter `classifier\.weight` must be float64 \(9, 8\)"
    ):
        export(model, small_arch(classes=9), [recording])


def test_a_scale_that_cannot_fold() -> None:
    arch = small_arch()
    model = random_model(arch)
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"parameter `classifier\.weight` has a NaN"):
        export(model, arch, [clip(arch, 10, 0)])
    with pytest.raises(InputError, match=r"at least one clip"):
        export(random_model(arch), arch, [])
