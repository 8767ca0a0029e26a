"""Repair of integer networks: what must stay the same stays, and what it is for gets better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fxp.calibrate import calibrate
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Conv, Graph, IntArray, TemporalConv
from fxp.lower import lower
from fxp.outline import outline
from fxp.ptq.equalise import equalise, pairs
from fxp.ptq.quantise import quantise
from fxp.ptq.reference import channel_means, observe, real_values, reference, up_to, widened
from fxp.ptq.repair import gram, mend
from fxp.ptq.search import divergence_of
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, QuantSpec, Repair
from fxp.validate import describe
from stgcn_ref.export import export
from stgcn_ref.folding import rebuild
from tests.networks import clip, random_model, small_arch, small_msgcn

RT = small_arch()
CO = small_arch(family="costgcn", window=(3, 2, 5), dilation=(2, 1, 1))
ARCHS = (RT, CO, small_msgcn())


def exported(arch: ArchSpec, seed: int = 0) -> tuple[FloatNet, list[IntArray]]:
    clips = [clip(arch, frames, seed + i, f"c{i}") for i, frames in enumerate((120, 77))]
    return export(random_model(arch, seed), arch, clips), [c.x.astype(np.int64) for c in clips]


def logits(graph: Graph, clips: list[IntArray]) -> np.ndarray:
    return np.concatenate([values["logits"] for values in real_values(graph, clips, ["logits"])])


def logits_of(net: FloatNet, clips: list[IntArray]) -> list[np.ndarray]:
    """The float network's, (T, K) of each clip."""
    wide = real_values(reference(net, 16), clips, ["logits"])
    return [values["logits"][:, :, 0] for values in wide]


@pytest.mark.parametrize("arch", ARCHS, ids=lambda arch: arch.family)
def test_the_reference_is_the_float_network(arch: ArchSpec) -> None:
    net, clips = exported(arch)
    found = logits(reference(net, 16), clips[:1])[:, :, 0]
    with torch.inference_mode():
        frames = torch.from_numpy(clips[0].transpose(1, 0, 2).copy())[None]
        expected = rebuild(net).double()(frames.double())[0].T.numpy()
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


def test_part_of_a_graph_gives_the_same_values() -> None:
    net, clips = exported(CO)
    graph = lower(net, calibrate(net, QuantSpec()))
    whole, _ = run(compile_graph(graph), clips[0], taps=["block1.graph"])
    part, _ = run(compile_graph(up_to(graph, ["block1.graph"])), clips[0])
    assert list(part) == ["block1.graph"]
    assert np.array_equal(part["block1.graph"], whole["block1.graph"])


def test_observations_equal_those_of_the_float_network() -> None:
    net, clips = exported(RT)
    again = observe(net, reference(net, 16), clips)
    assert again.keys() == net.observations.keys()
    for name, seen in net.observations.items():
        size = max(abs(seen.lo), abs(seen.hi))
        assert abs(again[name].lo - seen.lo) < 2e-3 * size, name
        assert abs(again[name].hi - seen.hi) < 2e-3 * size, name


def uneven(net: FloatNet) -> FloatNet:
    """The same function with channels of very unequal range between its pairs of layers."""
    params = dict(net.params)
    for pair in pairs(net):
        value = params[pair.columns]
        steps = np.ldexp(1.0, np.arange(value.shape[1]) % 4 * 2 - 3)
        params[pair.columns] = value * steps.reshape(1, -1, *[1] * (value.ndim - 2))
        for key in pair.rows:
            rows = params[key].reshape(-1, len(steps), *params[key].shape[1:])
            factors = steps.reshape(1, -1, *[1] * (rows.ndim - 2))
            params[key] = (rows / factors).reshape(params[key].shape)
    return replace(net, params=params)


@pytest.mark.parametrize("fold", ["weights", "affine"])
@pytest.mark.parametrize("arch", ARCHS, ids=lambda arch: arch.family)
def test_equalisation_changes_no_logit(arch: ArchSpec, fold: str) -> None:
    recording = clip(arch, 60, 3)
    net = uneven(export(random_model(arch, 3), arch, [recording], fold=fold))  # type: ignore[arg-type]
    equal, changed = equalise(net)
    assert changed and len(list(pairs(net))) == (1 if arch is RT else 1 + len(arch.channels))
    frames = torch.from_numpy(recording.x.transpose(1, 0, 2).copy())[None].double()
    with torch.inference_mode():
        before, after = (rebuild(found).double()(frames) for found in (net, equal))
    assert (before - after).abs().max() <= 1e-9 * before.abs().max()
    for key, value in equal.params.items():  # powers of two: mantissas stay
        assert np.array_equal(np.frexp(value)[0], np.frexp(net.params[key])[0]), key


def test_an_equalised_network_is_observed_anew() -> None:
    """Unequal channels cost an 8-bit operand its bits; equalised, the network comes back."""
    net, clips = exported(CO, 5)
    net = uneven(net)
    net = replace(net, observations=observe(net, reference(widened(net, 3), 16), clips))
    quant = QuantSpec(weight_bits=6, activation_bits=6, stream_bits=12)
    plain, equal = (
        divergence_of(
            quantise(net, quant.model_copy(update={"repair": Repair(equalise=flag)}), clips),
            clips,
            logits_of(net, clips),
        )
        for flag in (False, True)
    )
    assert equal < 0.5 * plain


def test_equalised_pairs_have_closer_ranges() -> None:
    net, _ = exported(CO, 5)
    net = uneven(net)
    equal, _ = equalise(net)

    def spread(found: FloatNet) -> float:
        ranges = np.abs(found.params["block1.tconv.weight"]).max(axis=(0, 2))
        return float(np.log2(ranges.max() / ranges.min()))

    assert spread(equal) < spread(net) - 2


def test_gram_of_a_temporal_convolution_is_that_of_its_patches() -> None:
    net, clips = exported(CO)
    graph = lower(net, calibrate(net, QuantSpec()))
    node = next(n for n in graph.nodes if n.name == "block0.tconv")
    assert isinstance(node, TemporalConv)
    x = next(real_values(graph, clips[:1], [node.x]))[node.x]  # (T, C, V)
    taps, channels = node.weight.raw.shape[2], x.shape[1]
    expected = np.zeros((channels * taps, channels * taps))
    for t in range(len(x)):
        for v in range(x.shape[2]):
            patch = np.zeros((channels, taps))
            for k in range(taps):
                s = t + node.lookahead - (taps - 1 - k) * node.dilation
                if 0 <= s < len(x):
                    patch[:, k] = x[s, :, v]
            expected += np.outer(patch, patch)
    expected /= len(x) * x.shape[2]
    assert np.allclose(gram(graph, node, clips[:1]), expected)


@pytest.mark.parametrize("rounding", ["nearest", "gptq", "adaround"])
def test_corrected_biases_meet_the_means_of_the_float_network(rounding: str) -> None:
    net, clips = exported(RT)
    wide = reference(net, 16)
    quant = QuantSpec(weight_bits=4, activation_bits=8, stream_bits=12)
    formats = calibrate(net, quant)
    names = [n.name for n in outline(net.arch).nodes if isinstance(n, Conv)]
    wanted = channel_means(wide, clips, names)

    graph = lower(mend(net, formats, wide, clips, rounding, True), formats)  # type: ignore[arg-type]
    means, about = channel_means(graph, clips, names), describe(graph)
    for name in names:  # a bias has the accumulator's lsb, and is rounded to it
        lsb = np.ldexp(1.0, -np.array(about[name].frac_bits))
        assert (np.abs(means[name] - wanted[name]) <= 0.5001 * lsb).all(), name


def test_repair_brings_four_bits_closer_to_float() -> None:
    plain, rounded, both = [], [], []
    for seed in range(2):
        net, clips = exported(RT, seed)
        quant = QuantSpec(weight_bits=4, activation_bits=8, stream_bits=12)

        def divergence(repair: Repair) -> float:
            graph = quantise(net, quant.model_copy(update={"repair": repair}), clips)  # noqa: B023
            return divergence_of(graph, clips, logits_of(net, clips))  # noqa: B023

        plain.append(divergence(Repair()))
        rounded.append(divergence(Repair(rounding="gptq")))
        both.append(divergence(Repair(rounding="adaround", bias=True)))
    assert np.mean(rounded) < 0.9 * np.mean(plain)
    assert np.mean(both) < 0.7 * np.mean(plain)


def test_a_repair_may_search_first() -> None:
    net, clips = exported(small_arch(channels=(4,), window=2, dilation=1))
    wanted = logits_of(net, clips)
    quant = QuantSpec(weight_bits=5, activation_bits=5)
    graphs = [
        quantise(net, quant.model_copy(update={"repair": repair}), clips)
        for repair in (Repair(), Repair(search=1))
    ]
    start, end = (divergence_of(graph, clips, wanted) for graph in graphs)
    assert end < start


def test_repair_needs_recordings() -> None:
    net, _ = exported(RT)
    with pytest.raises(InputError, match="calibrator `best` need calibration recordings"):
        quantise(net, QuantSpec(repair=Repair(bias=True)))


def test_without_repair_it_is_plain_calibration() -> None:
    net, clips = exported(RT)
    one = quantise(net, QuantSpec(), clips)
    other = lower(net, calibrate(net, QuantSpec()))
    assert np.array_equal(logits(one, clips), logits(other, clips))
