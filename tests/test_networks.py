"""Networks in files of every kind: what they are, the data they fit, the labels they give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fxp.calibrate import calibrate, nominal_formats
from fxp.errors import InputError
from fxp.floatnet import zero_floatnet
from fxp.ir import Graph
from fxp.lower import lower
from fxp.spec import ArchSpec, QuantSpec
from fxp.store import save_graph
from stgcn_ref.checkpoints import save_checkpoint
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.export import export
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.networks import Told, open_network, standard_widths
from stgcn_ref.preparation import PreparationSpec
from stgcn_ref.scoring import check_fit, score_steps
from tests.families import graph
from tests.networks import as_read, clip, random_model, small_arch, small_msgcn
from tests.published_states import msgcn_state, rtstgcn_state, stgcn_reference, stgcn_state

ARCH = small_msgcn(skeleton="hugadb-msgcn", normalisation="column")


def dataset(arch: ArchSpec) -> Dataset:
    clips = tuple(clip(arch, frames, seed, f"c{seed}") for seed, frames in enumerate((50, 41, 64)))
    return Dataset("words", "hugadb", tuple("abcde"), 60.0, clips, synthetic=True)


def published(path: Path, matrix: Tensor) -> Path:
    torch.save(msgcn_state(matrix, depth=2, refinements=1), path)
    return path


def test_checkpoint_and_integer_network(tmp_path: Path) -> None:
    ds, net = dataset(ARCH), random_model(ARCH)
    about = {"preparation": {"frames_per_step": 3}, "ids": "original"}
    save_checkpoint(net, ARCH, tmp_path / "net.ckpt", {"data": {"train": about}})
    floats = export(net, ARCH, ds.clips, about)
    quant = QuantSpec(weight_bits=16, activation_bits=16)
    save_graph(lower(floats, calibrate(floats, quant)), tmp_path / "net.fxp")
    found = {}
    for name in ("net.ckpt", "net.fxp"):
        opened = open_network(tmp_path / name)
        assert (opened.arch, opened.ids) == (ARCH, "original")
        assert opened.preparation.frames_per_step == 3
        found[name] = opened.predict(opened.fitted(ds))
        assert [len(labels) for labels in found[name]] == [50, 41, 64]
    assert isinstance(opened.net, Graph)
    same = [a == b for a, b in zip(*found.values(), strict=True)]
    assert np.concatenate(same).mean() > 0.97
    # clip by clip, and no padding between clips of unequal length
    alone = net(torch.from_numpy(ds.clips[1].x.transpose(1, 0, 2).copy())[None])
    assert np.array_equal(found["net.ckpt"][1], alone[0].argmax(dim=0).numpy())


def test_a_network_that_tells_no_data(tmp_path: Path) -> None:
    made = lower(zero_floatnet(ARCH), nominal_formats(ARCH, QuantSpec()))
    save_graph(made, tmp_path / "net.fxp")
    opened = open_network(tmp_path / "net.fxp")
    assert opened.ids == "dense" and opened.preparation.frames_per_step == 1
    save_graph(replace(made, meta={}), tmp_path / "net.fxp")
    with pytest.raises(InputError, match=r"net\.fxp: arch: a mapping of keys is needed"):
        open_network(tmp_path / "net.fxp")


def test_published_checkpoint(tmp_path: Path) -> None:
    path = published(tmp_path / "net.model", graph("hugadb-msgcn"))
    opened = open_network(path, "msgcn")
    assert isinstance(opened.net, MSGCN)
    assert opened.ids == "original"
    assert opened.arch == ArchSpec(
        family="msgcn",
        skeleton="hugadb-msgcn",
        partition="spatial",
        normalisation="column",
        in_channels=3,
        embedding=4,
        channels=(4, 4),
        window=(3,),
        dilation=(1, 2),
        refinements=1,
        classes=5,
    )
    with pytest.raises(InputError, match="--skeleton"):
        open_network(path, skeleton="hugadb")


def test_standard_widths(tmp_path: Path) -> None:
    opened = open_network(published(tmp_path / "net.model", graph("hugadb-msgcn")), "msgcn")
    eight = standard_widths(opened, 8)
    assert eight.bits("block0") == (8, 8, 12) and eight.bits("stage1") == (8, 12, 12)
    assert standard_widths(opened, 16).bits("stage1") == (16, 16, 16)
    assert standard_widths(opened, 8, 10).bits("stage1") == (8, 10, 10)
    plain = replace(opened, arch=small_arch(), preparation=PreparationSpec(frames_per_step=6))
    assert standard_widths(plain, 8) == QuantSpec(stream_bits=None, input_bits=19)
    for bits, stream_bits, key in ((1, None, "weight_bits"), (8, 40, "stream_bits")):
        with pytest.raises(InputError, match=f"--bits {bits}: key `{key}`"):
            standard_widths(opened, bits, stream_bits)


def test_graph_of_no_skeleton(tmp_path: Path) -> None:
    path = published(tmp_path / "net.model", graph("hugadb-msgcn") + 0.25)
    with pytest.raises(InputError, match=r"the graph is of no known skeleton: name one"):
        open_network(path, "msgcn")
    with pytest.warns(UserWarning, match="graph"):
        opened = open_network(path, "msgcn", "hugadb")
    assert (opened.arch.skeleton, opened.arch.partition) == ("hugadb", "spatial")
    path = published(tmp_path / "net.model", torch.rand(5, 6, 6))
    with pytest.warns(UserWarning, match="graph"), pytest.raises(InputError, match="5 partitions"):
        open_network(path, "msgcn", "hugadb")


def test_fit_of_data() -> None:
    ds = dataset(ARCH)
    check_fit(ARCH, ds)  # other edges, the same joints
    for other, message in (
        (replace(ds, skeleton="pkummd"), "`skeleton` of the network is hugadb-msgcn, of the data"),
        (replace(ds, skeleton="mine"), "`skeleton` of the network is hugadb-msgcn, of the data m"),
        (replace(ds, classes=tuple("abcdef")), "`classes` of the network is 5, of the data 6"),
    ):
        with pytest.raises(InputError, match=message):
            check_fit(ARCH, other)


def test_last_frames_are_dropped_on_demand() -> None:
    ds = dataset(ARCH)
    wrong_at_the_end = [np.zeros(len(c.labels), np.int64) for c in ds.clips]
    for labels in wrong_at_the_end:
        labels[-1] = 1
    assert score_steps(ds, wrong_at_the_end).frame_accuracy == pytest.approx(100 * 152 / 155)
    assert score_steps(ds, wrong_at_the_end, drop_last=True).frame_accuracy == 100


def test_published_network_of_clips(tmp_path: Path) -> None:
    """From the authors' tensors to one integer label a clip."""
    state = stgcn_state(graph("ntu"), (4, 6), (1, 2))
    torch.save(state, tmp_path / "net.pt")
    opened = open_network(tmp_path / "net.pt", "stgcn", told=Told(frac_bits=(10, 10, 10)))
    assert (opened.arch.skeleton, opened.arch.persons, opened.ids) == ("ntu", 2, "dense")
    clips = tuple(
        clip(opened.arch, frames, seed, f"c{seed}") for seed, frames in enumerate((40, 33))
    )
    ds = RecognitionSet("words", "ntu", tuple("abcde"), 30.0, clips, synthetic=True)
    labels = opened.predict(opened.fitted(ds))
    for recording, label in zip(clips, labels, strict=True):
        measured = as_read(recording.x).float() / 1024
        assert label.tolist() == stgcn_reference(state, measured, (1, 2)).argmax(dim=1).tolist()
    assert not isinstance(opened.net, Graph)
    floats = export(opened.net, opened.arch, clips)
    widths = standard_widths(opened, 16)
    save_graph(lower(floats, calibrate(floats, widths)), tmp_path / "net.fxp")
    again = open_network(tmp_path / "net.fxp")
    assert [x.tolist() for x in again.predict(again.fitted(ds))] == [x.tolist() for x in labels]
    with pytest.raises(
        InputError, match=r"\(stgcn\) gives one label a clip of 2 persons, it has on"
    ):
        again.fitted(dataset(ARCH))
    three = open_network(tmp_path / "net.pt", "stgcn", told=Told(persons=3))
    with pytest.raises(
        InputError, match="a clip of 3 persons, it has one label a clip of 2 persons"
    ):
        three.fitted(ds)


def test_published_network_of_frames_with_layer_norm(tmp_path: Path) -> None:
    torch.save(rtstgcn_state(graph(), (4, 6), (1, 2)), tmp_path / "net.pt")
    told = Told(window=(3, 4), dilations=(1, 2))
    opened = open_network(tmp_path / "net.pt", "rtstgcn", told=told)
    assert (opened.arch.norm, opened.arch.window) == ("layer", (3, 4))
    assert opened.arch.dilation == (1, 2) and not isinstance(opened.net, Graph)
    clips = dataset(opened.arch).clips
    floats = export(opened.net, opened.arch, clips)
    made = lower(floats, calibrate(floats, standard_widths(opened, 16)))
    found = replace(opened, net=made).predict(dataset(opened.arch))
    wanted = opened.predict(dataset(opened.arch))
    assert np.mean(np.concatenate(found) == np.concatenate(wanted)) > 0.97
    for other, keys, message in (
        ("rtstgcn", {}, "`window` is needed: no tensor tells it"),
        ("rtstgcn", {"strides": (1, 1)}, "keyword `strides` is none of family rtstgcn"),
        ("rtstgcn", {"persons": 2}, "keyword `persons` is none of family rtstgcn"),
    ):
        with pytest.raises(InputError, match=message):
            open_network(tmp_path / "net.pt", other, told=Told(**keys))
