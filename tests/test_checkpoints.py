"""Checkpoints: round trip, the cache, resuming after an interruption, and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fxp.archive import load_arrays, save_arrays
from fxp.errors import InputError
from stgcn_ref import checkpoints
from stgcn_ref.checkpoints import (
    KIND,
    Watch,
    load_checkpoint,
    read_header,
    save_checkpoint,
    train_cached,
    training_key,
)
from stgcn_ref.datasets.clips import Dataset, split
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.train import Epoch
from tests.networks import random_model, small_arch

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
