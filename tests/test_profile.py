from __future__ import annotations

import gc
import itertools
import math
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fxp.archive import save_arrays
from fxp.calibrate import calibrate
from fxp.cast import dequantise, overflow, round_shift
from fxp.errors import InputError
from fxp.floatnet import save_floatnet
from fxp.golden import write_bundle
from fxp.ir import Graph, IntArray, Requantise
from fxp.lower import lower
from fxp.oracle import evaluate
from fxp.profile import TensorProfile, profile, roles_of
from fxp.profile_files import load_profile, save_profile
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from fxp.real import real_values
from fxp.spec import QuantSpec
from fxp.store import save_graph
from fxp.tensor_stats import TensorStats, cast_limits, percentile_log2, stats_update
from fxp.validate import describe
from tests.golden.networks import CASES, make
from tests.networks import random_floatnet, small_arch, words
from tests.strategies import random_clip
from tests.test_fxp_cli import Command, command

__all__ = ["command"]  # the fixture


def by_name(tensors: tuple[TensorProfile, ...]) -> dict[str, TensorProfile]:
    return {tensor.name: tensor for tensor in tensors}


@pytest.mark.parametrize("signed", [True, False])
def test_limits_of_a_cast_are_those_of_its_definition(signed: bool) -> None:
    accumulators = range(-150, 151)
    for bits, shift, relu, rounding, mode in itertools.product(
        (1, 2, 4), (-2, -1, 0, 1, 2, 4), (False, True), Rounding, Overflow
    ):
        cast = Cast(QFormat(bits, 3, signed), rounding, mode)
        low, high = cast_limits(cast, 3 + shift, relu)
        for word in accumulators:
            rounded = round_shift(word, shift, rounding)
            clips = overflow(rounded, cast.to, mode) != rounded
            if relu and mode is not Overflow.WRAP:  # it would have been zero anyway
                clips = clips and rounded > 0
            assert clips == (not low <= word <= high), (cast, shift, relu, word)


def test_percentiles_are_right_to_an_eighth_of_an_octave() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(0, 3, (500, 4, 5)) * (rng.random((500, 4, 5)) < 0.9)
    stats = TensorStats(4)
    for part in np.split(wanted, 5):
        stats_update(stats, np.rint(part * 16).astype(np.int64), (4,), part)
    magnitudes = np.abs(wanted[wanted != 0])
    for percent in (1, 25, 50, 75, 99):
        found = percentile_log2(stats, percent)
        assert found is not None
        expected = math.log2(np.percentile(magnitudes, percent, method="lower"))
        assert abs(found - expected) <= 1 / 16 + 1e-9
    assert percentile_log2(TensorStats(1), 50) is None


def naive(graph: Graph, clips: list[IntArray], name: str) -> dict[str, object]:
    """The figures of one value by their definitions, over all clips at once."""
    about, node = describe(graph), next(node for node in graph.nodes if node.name == name)
    runs = [evaluate(graph, clip) for clip in clips]
    raw = np.concatenate([run[name].astype(np.int64) for run in runs])
    wanted = np.concatenate([dict(real_values(graph, clip))[name] for clip in clips])
    numbers = dequantise(raw, np.reshape(about[name].frac_bits, (-1, 1)))
    clipped = 0
    if isinstance(node, Requantise):
        source = np.concatenate([run[node.x].astype(np.int64) for run in runs])
        for place, word in np.ndenumerate(source):
            shift = about[node.x].frac(place[1]) - node.cast.to.frac_bits
            rounded = round_shift(int(word), shift, node.cast.rounding)
            lost = overflow(rounded, node.cast.to, node.cast.overflow) != rounded
            clipped += lost and not (node.relu and rounded < 0)
    return {
        "lowest": float(numbers.min()),
        "highest": float(numbers.max()),
        "wanted_lowest": float(wanted.min()),
        "wanted_highest": float(wanted.max()),
        "zero_share": float((raw == 0).mean()),
        "clip_share": clipped / raw.size,
        "power": float(np.square(wanted).sum()),
        "error": float(np.square(numbers - wanted).sum()),
        "dead": tuple(np.flatnonzero((raw == 0).all(axis=(0, 2))).tolist()),
        "span": int(raw.max()) - int(raw.min()) + 1,
    }


@pytest.mark.parametrize("case", ["dilated", "ragged", "clip"])
def test_figures_are_those_of_their_definitions(case: str) -> None:
    graph, clip = make(CASES[case])
    rng = np.random.default_rng(1)
    clips = [clip, random_clip(rng, graph, 5), random_clip(rng, graph, 1)]
    tensors = by_name(profile(graph, clips).tensors)
    assert list(tensors) == [node.name for node in graph.nodes[:-1]]  # all but the label
    for name, found in tensors.items():
        expected = naive(graph, clips, name)
        for key in ("lowest", "highest", "wanted_lowest", "wanted_highest", "zero_share"):
            assert getattr(found, key) == pytest.approx(expected[key], rel=1e-12), (name, key)
        assert found.clip_share == expected["clip_share"], name
        assert found.dead_channels == expected["dead"]
        power, error = expected["power"], expected["error"]
        assert isinstance(power, float)
        assert isinstance(error, float)
        assert found.relative_error == pytest.approx(math.sqrt(error / power), rel=1e-9)
        if error:
            assert found.sqnr_db == pytest.approx(10 * math.log10(power / error), rel=1e-9)
        assert found.codes_used == expected["span"] / 2.0**found.word_bits  # type: ignore[operator]


@pytest.mark.parametrize("case", CASES)
def test_networks_of_every_node(case: str) -> None:
    graph, clip = make(CASES[case])
    found = profile(graph, [clip], data="clip", synthetic=True)
    assert (found.clips, found.frames) == (1, len(clip))
    assert found.label_agreement is not None
    labels = evaluate(graph, clip)["label"], dict(real_values(graph, clip))["label"]
    assert found.label_agreement == float((labels[0] == labels[1]).mean())
    assert all(constant.relative_error == 0.0 for constant in found.constants)


def test_roles() -> None:
    graph, _ = make(CASES["dilated"])
    roles = roles_of(graph)
    assert roles["input"] == "input"
    assert roles["embedding.q"] == "operand"
    assert roles["embedding.stream"] == roles["block0.norm.q"] == "stream"
    assert roles["block0.graph"] == roles["block0.sum"] == "sum"
    assert roles["logits"] == "scores"


def test_dead_channels_and_idle_bits() -> None:
    stats = TensorStats(3)
    raw = np.array([[[4, 8], [0, 0], [0, -12]]])
    stats_update(stats, raw, (0,), raw.astype(np.float64))
    stats_update(stats, 0 * raw, (0,), 0.0 * raw)
    assert stats.used_bits & 7 == 4
    assert np.flatnonzero((stats.channel_low == 0) & (stats.channel_high == 0)).tolist() == [1]


def test_against_the_float_network() -> None:
    net = random_floatnet(small_arch(), 3)
    graph = lower(net, calibrate(net, QuantSpec(calibrator="max")))
    clip = words(net.arch, 30, 1)
    found = profile(graph, [clip], net)
    assert found.reference == "the float network"
    constants = by_name(found.constants)
    for key, constant in constants.items():
        node = next(node for node in graph.nodes if key.startswith(f"{node.name}."))
        weights = getattr(node, key.removeprefix(f"{node.name}."))
        error = net.params[key] - dequantise(weights.raw, weights.frac_bits[0])
        expected = math.sqrt(np.square(error).sum() / np.square(net.params[key]).sum())
        assert constant.relative_error == pytest.approx(expected, rel=1e-9)
        assert constant.clip_share == 0
    exact = profile(graph, [clip])
    assert by_name(exact.tensors)["input_norm"].relative_error == 0.0
    assert by_name(found.tensors)["input_norm"].relative_error != 0.0


def test_clips_are_taken_one_by_one() -> None:
    graph, clip = make(CASES["narrow"])
    alive: list[weakref.ref[IntArray]] = []

    def clips() -> Iterator[IntArray]:
        for _ in range(5):
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 1
            words = clip.copy()
            alive.append(weakref.ref(words))
            yield words

    assert profile(graph, clips()).clips == 5


def test_no_clip_and_another_network_are_refused() -> None:
    graph, clip = make(CASES["narrow"])
    with pytest.raises(InputError, match="profile: at least one clip is needed"):
        profile(graph, [])
    with pytest.raises(InputError, match=r"float network: `block0.conv.weight` must be of shape"):
        profile(graph, [clip], random_floatnet(small_arch(), 0))
    with pytest.raises(InputError, match="shape must be"):
        profile(graph, [clip[:, :1]])


def test_files_keep_everything(tmp_path: Path) -> None:
    graph, clip = make(CASES["ragged"])
    found = profile(graph, [clip], data="somewhere", synthetic=True)
    save_profile(found, (), tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json") == (found, ())
    with pytest.raises(InputError, match="cannot be read"):
        load_profile(tmp_path / "gone.json")
    for text, rule in (
        ("[]", "not a profile"),
        ('{"format":"stgcn-codesign-profile","version":2}', "`version` must be 1"),
        ('{"format":"stgcn-codesign-profile","version":1}', "sensitivity: must be a list"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=rule):
            load_profile(tmp_path / "bad.json")


def test_the_command(tmp_path: Path, command: Command) -> None:
    net = random_floatnet(small_arch(), 3)
    graph = lower(net, calibrate(net, QuantSpec()))
    save_graph(graph, tmp_path / "net.fxp")
    save_floatnet(net, tmp_path / "float.fxp")
    np.savez(tmp_path / "clips.npz", a=words(net.arch, 9, 1), b=words(net.arch, 5, 2))
    np.save(tmp_path / "clip.npy", words(net.arch, 4, 3))
    write_bundle(graph, words(net.arch, 3, 4).astype(np.int64), tmp_path / "bundle")
    data = [
        arg for name in ("clips.npz", "clip.npy", "bundle") for arg in ("--data", tmp_path / name)
    ]
    out = tmp_path / "p.json"
    options = ("--reference", tmp_path / "float.fxp", "--sensitivity", "4,6", "--out", out)
    assert command("profile", tmp_path / "net.fxp", *data, *options) == 0
    lines = command.out.splitlines()
    assert lines[0].split()[:3] == ["tensor", "role", "word"]
    assert "clips 4, frames 21" in lines
    found, changes = load_profile(out)
    assert found.data == "clips.npz, clip.npy, bundle"
    assert {change.bits for change in changes} == {4, 6}
    assert {change.frames for change in changes} == {21}
    rows = {line.split()[0] for line in lines if line}
    assert rows >= {tensor.name for tensor in (*found.tensors, *found.constants)}


def test_bad_input_of_the_command(tmp_path: Path, command: Command) -> None:
    graph, clip = make(CASES["narrow"])
    save_graph(graph, tmp_path / "net.fxp")
    np.save(tmp_path / "clip.npy", clip)
    net, good = tmp_path / "net.fxp", tmp_path / "clip.npy"
    args = ("profile", net, "--data")
    assert "no such file" in command.refused(*args, tmp_path / "gone.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04nothing")
    assert "bad.npz: not a readable .npz file" in command.refused(*args, tmp_path / "bad.npz")
    np.savez(tmp_path / "none.npz")
    assert "none.npz: holds no array" in command.refused(*args, tmp_path / "none.npz")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    assert "not a readable .npz file" in command.refused(*args, tmp_path / "objects.npz")
    np.savez(tmp_path / "shape.npz", a=clip[0])
    assert "shape.npz: a: clip for input" in command.refused(*args, tmp_path / "shape.npz")
    good.rename(tmp_path / "array.npz")
    assert "not an .npz file" in command.refused(*args, tmp_path / "array.npz")
    np.save(good, clip)
    assert "as `4,6,8` are needed" in command.refused(*args, good, "--sensitivity", "4;6")
    assert "at least 2 bits, got 1" in command.refused(*args, good, "--sensitivity", "1")
    save_arrays(tmp_path / "other.fxp", {"kind": "other"}, {})
    assert "`kind` must be" in command.refused(*args, good, "--reference", tmp_path / "other.fxp")
