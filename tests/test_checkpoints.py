"""Checkpoints: round trip, the cache, resuming after an interruption, and damaged files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from fxp.archive import load_arrays, save_arrays
from fxp.errors import InputError
from stgcn_ref import checkpoints
from stgcn_ref.checkpoints import (
    KIND,
    Watch,
    load,
    load_checkpoint,
    read_header,
    save_checkpoint,
    train_cached,
    training_key,
)
from stgcn_ref.datasets.clips import Dataset, split
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.datasets.synthetic_recognition import generate_synthetic_recognition
from stgcn_ref.models.build import build
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.train import Epoch
from tests.families import graph
from tests.networks import random_model, small_arch
from tests.published_states import msgcn_state, rtstgcn_state, stgcn_state
from tests.training import AHEAD, CLIP_ARCH, of_subjects, same

RECIPE = TrainRecipe(epochs=3, batch=4, segment=64)


@pytest.fixture(scope="module")
def data() -> tuple[Dataset, Dataset]:
    ds = generate_synthetic(3, subjects=2, clips_per_subject=1, frames_per_clip=500)
    return split(ds, train=(1,), valid=(2,))


@pytest.fixture(scope="module")
def arch(data: tuple[Dataset, Dataset]):  # type: ignore[no-untyped-def]
    return small_arch(classes=len(data[0].classes))


def test_a_checkpoint_gives_back_every_tensor(tmp_path: Path) -> None:
    arch = small_arch()
    net = random_model(arch, seed=1)
    save_checkpoint(net, arch, tmp_path / "n.ckpt", {"seed": 1})
    found = load_checkpoint(tmp_path / "n.ckpt")
    assert not found.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name
    assert read_header(tmp_path / "n.ckpt") == (arch, {"seed": 1})


def test_a_training_is_done_once(data, arch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    seen: list[Epoch] = []
    path = train_cached(arch, *data, RECIPE, 0, tmp_path, Watch(on_epoch=seen.append))
    assert [epoch.number for epoch in seen] == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    before = path.read_bytes()
    assert train_cached(arch, *data, RECIPE, 0, tmp_path, Watch(on_epoch=seen.append)) == path
    assert len(seen) == 3 and path.read_bytes() == before
    assert path.stem == training_key(arch, *data, RECIPE, 0)
    assert training_key(arch, *data, RECIPE, 1) != path.stem
    assert training_key(arch, data[0], data[0], RECIPE, 0) != path.stem


def test_an_interrupted_training_goes_on_and_ends_alike(data, arch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    class StoppedError(Exception):
        pass

    def stop(epoch: Epoch) -> None:
        if epoch.number == 1:
            raise StoppedError

    whole = train_cached(arch, *data, RECIPE, 0, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train_cached(arch, *data, RECIPE, 0, tmp_path / "cut", Watch(on_epoch=stop))
    assert [p.suffix for p in (tmp_path / "cut").iterdir()] == [".partial"]
    seen: list[Epoch] = []
    cut = train_cached(arch, *data, RECIPE, 0, tmp_path / "cut", Watch(on_epoch=seen.append))
    assert [epoch.number for epoch in seen] == [2]
    assert cut.read_bytes() == whole.read_bytes()


def test_a_partial_file_that_cannot_be_read_is_started_anew(data, arch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    key = training_key(arch, *data, RECIPE, 0)
    (tmp_path / f"{key}.partial").write_bytes(b"not a training")
    seen: list[Epoch] = []
    train_cached(arch, *data, RECIPE, 0, tmp_path, Watch(on_epoch=seen.append))
    assert len(seen) == 3


def test_other_training_code_is_another_training(data, arch, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    before = training_key(arch, *data, RECIPE, 0)
    monkeypatch.setattr(checkpoints, "TRAINING_CODE", (*checkpoints.TRAINING_CODE, "fxp.cast"))
    assert training_key(arch, *data, RECIPE, 0) != before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.pop("embedding.bias"), "tensor `embedding.bias` is missing"),
        (lambda a: a.update(extra=np.zeros(1)), "tensor `extra` is unknown"),
        (
            lambda a: a.update({"embedding.bias": np.zeros(9, np.float32)}),
            "tensor `embedding.bias` must be",
        ),
        (lambda a: a.update({"embedding.bias": np.zeros(4)}), "tensor `embedding.bias` must be"),
    ],
)
def test_tensors_must_be_the_architectures(change, reason: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arch, path = small_arch(), tmp_path / "n.ckpt"
    save_checkpoint(random_model(arch), arch, path, {})
    header, arrays = load_arrays(path, KIND)
    change(arrays)
    kept = {key: header[key] for key in ("kind", "arch", "about")}
    save_arrays(path, kept, arrays)
    with pytest.raises(InputError, match=f"n.ckpt: {reason}"):
        load_checkpoint(path)


def test_one_function_loads_own_and_published_networks(tmp_path: Path) -> None:
    arch, path = small_arch(), tmp_path / "n.ckpt"
    net = random_model(arch, seed=2)
    save_checkpoint(net, arch, path, {})
    x = torch.randn(2, 6, 15, 6)
    for found in (load(path), load(str(path), "own"), load(path, skeleton="hugadb")):
        assert not found.training
        with torch.no_grad():
            assert torch.equal(found(x), net(x))
    with pytest.raises(InputError, match=r"n\.ckpt: `skeleton` is hugadb, not ntu"):
        load(path, skeleton="ntu")
    with pytest.raises(InputError, match=r"n\.ckpt: keyword `window` is for published networks"):
        load(path, window=3)
    with pytest.raises(InputError, match=r"n\.ckpt"):  # no state dict
        load(path, "msgcn")


@pytest.mark.parametrize(
    ("family", "state", "hyper", "shape", "expected"),
    [
        ("stgcn", stgcn_state(graph(), (4, 6), (1, 2)), {}, (2, 3, 12, 6, 2), (2, 5)),
        ("msgcn", msgcn_state(graph(), 2, 1), {}, (2, 3, 12, 6), (2, 5, 12)),
        (
            "rtstgcn",
            rtstgcn_state(graph(), (4, 6), (1, 1)),
            {"window": 3, "dilations": 1},
            (2, 3, 12, 6),
            (2, 5, 12),
        ),
    ],
)
def test_published_networks_give_labels_of_clips_or_frames(
    family: Literal["stgcn", "msgcn", "rtstgcn"],
    state: dict[str, torch.Tensor],
    hyper: dict[str, Any],
    shape: tuple[int, ...],
    expected: tuple[int, ...],
    tmp_path: Path,
) -> None:
    torch.save(state, tmp_path / "n.pt")
    net = load(tmp_path / "n.pt", family, **hyper)
    assert not net.training
    with torch.no_grad():
        assert net(torch.randn(shape)).shape == expected


@pytest.mark.parametrize("name", AHEAD)
def test_every_family_has_checkpoints(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build(AHEAD[name]).eval()
    save_checkpoint(net, AHEAD[name], tmp_path / "n.ckpt", {})
    found = load_checkpoint(tmp_path / "n.ckpt")
    assert same(found.state_dict(), net.state_dict())


def test_clip_labels_are_trained_once_too(tmp_path: Path) -> None:
    ds = generate_synthetic_recognition(0, 2, 6, 20)
    sets = of_subjects(ds, 1), of_subjects(ds, 2)
    recipe = TrainRecipe(epochs=1, batch=4)
    path = train_cached(CLIP_ARCH, *sets, recipe, 0, tmp_path)
    assert train_cached(CLIP_ARCH, *sets, recipe, 0, tmp_path) == path
    arch, about = read_header(path)
    assert arch == CLIP_ARCH and set(about["scores"]) == {"top_1", "top_5", "mcc"}
    assert about["data"]["train"]["synthetic"]
    assert isinstance(load(path), STGCN)
    assert training_key(CLIP_ARCH, sets[0], sets[0], recipe, 0) != path.stem


def test_another_device_is_another_training(data, arch, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    keys = {key: training_key(arch, *data, RECIPE, 0, key) for key in ("auto", "cpu", "cuda")}
    assert keys["auto"] == keys["cuda"] != keys["cpu"]


def test_foreign_and_truncated_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.ckpt"
    with pytest.raises(InputError, match=r"n\.ckpt"):
        load_checkpoint(path)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"n\.ckpt"):
        load_checkpoint(path)
    save_checkpoint(random_model(small_arch()), small_arch(), path, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"n\.ckpt"):
        load_checkpoint(path)
