"""Lowering: every raw word, certified graphs, and integers within a proven bound of the float."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.calibrate import Formats, calibrate, nominal_formats
from fxp.errors import GraphError, InputError
from fxp.floatnet import FloatNet, zero_floatnet
from fxp.ir import (
    Add,
    Affine,
    Argmax,
    Conv,
    Graph,
    GraphProduct,
    Input,
    JointMean,
    Requantise,
    TemporalConv,
    TemporalSum,
    Weights,
)
from fxp.lower import lower
from fxp.oracle import evaluate
from fxp.outline import outline
from fxp.ranges import analyse, certify
from fxp.spec import ArchSpec, QuantSpec
from fxp.validate import describe
from stgcn_ref.export import export
from stgcn_ref.folding import rebuild
from tests.networks import archs, clip, random_floatnet, random_model, small_arch

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def quant(**over: object) -> QuantSpec:
    return QuantSpec.model_validate({"calibrator": "max", "accumulator_bits": 63} | over)


def node(graph: Graph, name: str) -> Any:
    return next(n for n in graph.nodes if n.name == name)


# ---------------------------------------------------------------------------- raw words


def hand_formats(net: FloatNet, weights: dict[str, tuple[int, tuple[int, ...]]]) -> Formats:
    nominal = nominal_formats(net.arch, quant())
    return replace(nominal, weights={**nominal.weights, **weights})


def test_weights_round_half_up_and_saturate() -> None:
    net = random_floatnet(small_arch(classes=2, channels=(4,), window=1, dilation=1), 0)
    weight = np.array([[0.375, -0.375, 0.125, 100.0], [0.3, -0.3, -100.0, 0.0]])
    net = replace(net, params={**net.params, "classifier.weight": weight})
    graph = lower(net, hand_formats(net, {"classifier.weight": (4, (2,))}))
    made = node(graph, "classifier").weight
    assert (made.word_bits, made.frac_bits) == (4, (2,))
    assert made.raw.tolist() == [[2, -1, 1, 7], [1, -1, -8, 0]]
    graph = lower(net, hand_formats(net, {"classifier.weight": (4, (2, -4))}))
    assert node(graph, "classifier").weight.raw.tolist() == [[2, -1, 1, 7], [0, 0, -6, 0]]


def test_bias_stands_at_the_accumulators_binary_point() -> None:
    net = random_floatnet(small_arch(classes=3, channels=(4,), window=1, dilation=1), 0)
    bias = np.array([0.375, -0.375, 1e5 + 0.5])
    net = replace(net, params={**net.params, "classifier.bias": bias})
    formats = hand_formats(net, {"classifier.weight": (4, (1, 2, 0))})
    pool = formats.casts["pool.q"]
    formats = replace(
        formats, casts={**formats.casts, "pool.q": replace(pool, to=replace(pool.to, frac_bits=1))}
    )
    graph = lower(net, formats)
    assert node(graph, "classifier").bias.tolist() == [2, -3, 200001]
    assert describe(graph)["classifier"].frac_bits == (2, 3, 1)


def test_bias_below_one_half_is_not_rounded_up() -> None:
    net = random_floatnet(small_arch(classes=2, channels=(4,), window=1, dilation=1), 0)
    bias = np.array([0.49999999999999994, -0.5])
    net = replace(net, params={**net.params, "classifier.bias": bias})
    graph = lower(net, hand_formats(net, {"classifier.weight": (4, (0,))}))
    assert node(graph, "classifier").bias.tolist() == [0, 0]


def test_bias_beyond_int64() -> None:
    net = random_floatnet(small_arch(), 0)
    bias = np.array([0.0, -1e300, 0, 0, 0])
    net = replace(net, params={**net.params, "classifier.bias": bias})
    with pytest.raises(
        GraphError, match=r"^classifier: a bias of -1e\+300 needs more than 63 bits"
    ):
        lower(net, hand_formats(net, {}))


def test_bias_beyond_the_accumulators_is_refused_by_certify() -> None:
    net = random_floatnet(small_arch(), 0)
    bias = np.array([0.0, -1e9, 0, 0, 0])
    net = replace(net, params={**net.params, "classifier.bias": bias})
    graph = lower(net, replace(hand_formats(net, {}), quant=quant(accumulator_bits=24)))
    assert graph.accumulator_bits == 24
    with pytest.raises(GraphError, match="classifier"):
        certify(graph)


def test_missing_formats() -> None:
    net = random_floatnet(small_arch(), 0)
    formats = hand_formats(net, {})
    casts = {k: v for k, v in formats.casts.items() if k != "block0.add.q"}
    with pytest.raises(InputError, match=r"^formats: no entry for `block0\.add\.q`$"):
        lower(net, replace(formats, casts=casts))
    with pytest.raises(InputError, match=r"^formats: no entry for `input_norm\.scale`$"):
        lower(net, replace(formats, weights={}))


def test_streams_of_the_operands_format_are_the_operand() -> None:
    arch = small_arch()
    same = lower(zero_floatnet(arch), nominal_formats(arch, quant()))
    assert not [n.name for n in same.nodes if n.name.endswith(".stream")]
    assert node(same, "block0.add").b == "embedding.q"
    assert node(same, "block2.add").b == "block1.add.q"
    wide = lower(zero_floatnet(arch), nominal_formats(arch, quant(stream_bits=12)))
    streams = [n.name for n in wide.nodes if n.name.endswith(".stream")]
    assert streams == ["embedding.stream", "block1.add.stream"]
    assert node(wide, "block0.add").b == "embedding.stream"
    assert node(wide, "block1.conv").x == "block0.add.q"


def test_meta_tells_where_a_graph_comes_from() -> None:
    arch = small_arch()
    net = replace(zero_floatnet(arch), meta={"fold": "weights", "classes": ["a"] * 5})
    spec = quant(stream_bits=12)
    graph = lower(net, nominal_formats(arch, spec), name="mine")
    assert (graph.name, graph.outputs) == ("mine", ("logits", "label"))
    assert ArchSpec.model_validate(graph.meta["arch"]) == arch
    assert QuantSpec.model_validate(graph.meta["quant"]) == spec
    assert graph.meta["classes"] == ["a"] * 5


# ---------------------------------------------------------------------------- any network


@settings(max_examples=40)
@given(
    archs(),
    st.integers(0, 999),
    st.sampled_from(["weights", "affine"]),
    st.sampled_from(["tensor", "channel"]),
    st.sampled_from(["max", "mse"]),
    st.integers(2, 10),
    st.integers(2, 10),
    st.booleans(),
)
def test_every_lowered_graph_is_certified(
    arch: ArchSpec,
    seed: int,
    fold: Any,
    granularity: str,
    calibrator: str,
    weight_bits: int,
    activation_bits: int,
    unsigned: bool,
) -> None:
    spec = quant(
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        stream_bits=activation_bits + 3,
        fold=fold,
        weight_granularity=granularity,
        calibrator=calibrator,
        unsigned_relu=unsigned,
    )
    net = random_floatnet(arch, seed, fold)
    graph = lower(net, calibrate(net, spec))
    widths = certify(graph)
    assert max(widths.values()) <= 63
    signals = analyse(graph)
    assert set(signals) == {n.name for n in graph.nodes}
    assert certify(lower(zero_floatnet(arch, fold), nominal_formats(arch, spec)))


# ------------------------------------------------------- integers against the float network


def dequantised(weights: Weights) -> Floats:
    frac_bits = np.array(weights.frac_bits).reshape(-1, *[1] * (weights.raw.ndim - 1))
    return np.ldexp(weights.raw.astype(np.float64), -frac_bits)


def bounds(net: FloatNet, graph: Graph, values: dict[str, Floats]) -> dict[str, Floats]:
    """How far the integer value (C, V) of every node can be from the float one, in any frame.

    `values` are the float accumulators (T, C, V). Errors add up in absolute value: with operands
    x' = x + e and constants w' = w + d, |w'x' - wx| <= |w'| |e| + |d| |x|. A cast adds at most one
    lsb: half for the rounding, and half because a value within half an lsb beyond the largest word
    clips to it. Clipping, ReLU and Argmax do not enlarge a difference.
    """
    error: dict[str, Floats] = {}
    size: dict[str, Floats] = {}  # |x| of the float value, (C, V)
    for n in graph.nodes:
        e, x = (error[n.x], size[n.x]) if hasattr(n, "x") else (np.zeros(0), np.zeros(0))
        match n:
            case Input():
                error[n.name], size[n.name] = np.zeros((n.channels, n.joints)), values["input"]
                size[n.name] = np.abs(size[n.name]).max(axis=0)
                continue
            case Conv():
                w, b = dequantised(n.weight), net.params[f"{n.name}.bias"]
                d = np.abs(w - net.params[f"{n.name}.weight"])
                bias_error = np.abs(bias_values(graph, n) - b)
                error[n.name] = np.abs(w) @ e + d @ x + bias_error[:, None]
            case GraphProduct():
                a = dequantised(n.adjacency)
                d = np.abs(a - net.params[f"{n.name}.adjacency"])
                parts = (len(a), -1, a.shape[1])
                error[n.name] = np.einsum("pcv,pvw->cw", e.reshape(parts), np.abs(a))
                error[n.name] += np.einsum("pcv,pvw->cw", x.reshape(parts), d)
            case TemporalSum():
                error[n.name] = n.window * e
            case Affine():
                s, b = dequantised(n.scale), net.params[f"{n.name}.bias"]
                d = np.abs(s - net.params[f"{n.name}.scale"])
                error[n.name] = np.abs(s) * e + d * x + np.abs(bias_values(graph, n) - b)
            case Add():
                error[n.name] = error[n.a] + error[n.b]
            case JointMean():
                m, v = n.multiplier * 2.0**-n.shift, e.shape[1]
                error[n.name] = m * e.sum(1, keepdims=True) + abs(m - 1 / v) * x.sum(
                    1, keepdims=True
                )
            case Requantise():
                error[n.name] = e + 2.0**-n.cast.to.frac_bits
                size[n.name] = x
                continue
            case Argmax():
                continue
            case TemporalConv():
                raise AssertionError("no float network has one")
            case _:
                assert_never(n)
        size[n.name] = np.abs(values[n.name]).max(axis=0)
    return error


def bias_values(graph: Graph, n: Conv | Affine) -> Floats:
    frac_bits = np.array(describe(graph)[n.name].frac_bits).reshape(-1, *[1] * (n.bias.ndim - 1))
    return np.ldexp(n.bias.astype(np.float64), -frac_bits)


def float_values(net: FloatNet, x: np.ndarray[Any, Any]) -> dict[str, Floats]:
    """Every accumulator (T, C, V) of the float network, in float64."""
    found: dict[str, Floats] = {"input": x.astype(np.float64)}

    def observe(name: str, y: torch.Tensor) -> None:
        found[name] = y[0].permute(1, 0, 2).numpy()

    with torch.inference_mode():
        rebuild(net).double()(torch.from_numpy(x.transpose(1, 0, 2).copy())[None], observe)
    return found


def integer_values(graph: Graph, x: np.ndarray[Any, Any]) -> dict[str, Floats]:
    raw = evaluate(graph, x)
    about = describe(graph)
    return {
        name: np.ldexp(value.astype(np.float64), -np.array(about[name].frac_bits).reshape(-1, 1))
        for name, value in raw.items()
    }


@pytest.mark.parametrize("fold", ["weights", "affine"])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("seed", [0, 1])
def test_integers_are_within_the_bound(fold: Any, granularity: str, bits: int, seed: int) -> None:
    arch = small_arch(embedding=3, channels=(3, 4), window=(3, 2), dilation=(1, 2))
    model = random_model(arch, seed)
    recording = clip(arch, 40, seed + 10)
    net = export(model, arch, [recording], fold=fold)
    spec = quant(
        weight_bits=bits,
        activation_bits=bits,
        logit_bits=24,
        fold=fold,
        weight_granularity=granularity,
    )
    graph = lower(net, calibrate(net, spec))
    certify(graph)
    float_, integer = float_values(net, recording.x), integer_values(graph, recording.x)
    bound = bounds(net, graph, float_)
    for name, value in float_.items():
        difference = np.abs(integer[name] - value).max(axis=0)
        # 1e-9: float64 sums, and observations kept in float32 may miss an extreme by its rounding
        room = bound[name] + 1e-9 + 1e-6 * np.abs(value).max()
        assert (difference <= room).all(), name
    if bits == 24:
        logits = float_["classifier"][:, :, 0]
        scale = np.abs(logits).max()
        assert bound["logits"].max() < 0.05 * scale  # the bound says something
        assert np.abs(integer["logits"][:, :, 0] - logits).max() < 1e-3 * scale
        assert (integer["label"][:, 0, 0] == logits.argmax(axis=1)).mean() >= 0.97


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 999))
def test_halving_the_lsb_halves_the_error(seed: int) -> None:
    arch = small_arch(embedding=4, channels=(4, 6), window=3, dilation=1)
    recording = clip(arch, 60, seed)
    net = export(random_model(arch, seed), arch, [recording])
    logits = float_values(net, recording.x)["classifier"]
    rms = {}
    for bits in (8, 12, 16):
        spec = quant(weight_bits=bits, activation_bits=bits, logit_bits=24)
        made = integer_values(lower(net, calibrate(net, spec)), recording.x)
        rms[bits] = float(np.sqrt(np.square(made["logits"] - logits).mean()))
    for bits in (8, 12):  # four bits more: a sixteenth, give or take chance in few numbers
        assert 16 / 3 < rms[bits] / rms[bits + 4] < 16 * 3


def test_outline_and_graph_agree_on_names() -> None:
    arch = small_arch(family="costgcn")
    graph = lower(zero_floatnet(arch), nominal_formats(arch, quant(stream_bits=12)))
    assert [n.name for n in graph.nodes] == [n.name for n in outline(arch).nodes]
