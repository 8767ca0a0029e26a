"""Formats: widths by role and layer, binary points by what was observed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.binary_point import Word, finest_frac_bits
from fxp.calibrate import CHANNEL_SPREAD_BITS, GUARD_BITS, calibrate, nominal_formats
from fxp.errors import InputError
from fxp.floatnet import FloatNet
from fxp.ir import Requantise
from fxp.observe import Observation
from fxp.outline import constant_key, outline
from fxp.qformat import Overflow, QFormat, Rounding
from fxp.spec import ArchSpec, QuantSpec
from tests.networks import archs, random_floatnet, small_arch


def quant(**over: object) -> QuantSpec:
    return QuantSpec.model_validate({"calibrator": "max"} | over)


def seen(net: FloatNet, name: str, *values: float) -> FloatNet:
    """`net` with the accumulator `name` observed to take these values."""
    sample = np.array(values, np.float32)
    observed = Observation(float(sample.min()), float(sample.max()), sample)
    return replace(net, observations={**net.observations, name: observed})


@settings(max_examples=30)
@given(archs(), st.integers(0, 99), st.sampled_from(["max", "percentile", "mse"]))
def test_everything_gets_a_format(arch: ArchSpec, seed: int, calibrator: str) -> None:
    spec = quant(calibrator=calibrator, weight_granularity="channel")
    graph = outline(arch)
    net = random_floatnet(arch, seed)
    for formats in (calibrate(net, spec), nominal_formats(arch, spec)):
        assert formats.casts.keys() == {n.name for n in graph.nodes if isinstance(n, Requantise)}
        assert formats.weights.keys() == {key for n in graph.nodes if (key := constant_key(n))}
        assert formats.input == QFormat(16, 0) and formats.quant == spec
        for key, (_, frac_bits) in formats.weights.items():
            assert len(frac_bits) in (1, len(net.params[key]))


def test_widths_by_what_reads_a_value() -> None:
    spec = quant(
        weight_bits=5,
        activation_bits=7,
        stream_bits=11,
        adjacency_bits=6,
        norm_bits=9,
        input_bits=13,
        logit_bits=15,
        fold="affine",
    )
    arch = small_arch()
    for formats in (
        nominal_formats(arch, spec),
        calibrate(random_floatnet(arch, 1, "affine"), spec),
    ):
        bits = {name: cast.to.word_bits for name, cast in formats.casts.items()}
        streams = {n for n, b in bits.items() if b == 11}
        assert streams == {
            *("embedding.stream", "block1.add.stream", "block1.residual.q"),
            *(f"block{i}.norm.q" for i in range(3)),
        }
        assert bits["logits"] == 15
        assert {b for n, b in bits.items() if n not in streams | {"logits"}} == {7}
        assert formats.input == QFormat(13, 0)
        for key, (word_bits, _) in formats.weights.items():
            wanted = {"adjacency": 6, "scale": 9, "weight": 5}[key.rsplit(".", 1)[1]]
            assert word_bits == wanted, key


def test_tconv_reads_an_operand_and_writes_a_stream() -> None:
    spec = quant(activation_bits=7, stream_bits=11)
    casts = nominal_formats(small_arch(family="costgcn"), spec).casts
    assert casts["block0.norm.q"].to.word_bits == 7
    assert casts["block0.tconv.q"].to.word_bits == 11


def test_defaults_of_widths() -> None:
    formats = nominal_formats(small_arch(), quant(weight_bits=4, activation_bits=6, fold="affine"))
    assert {cast.to.word_bits for cast in formats.casts.values()} == {6, 16}  # 16: the logits
    assert formats.weights["block0.graph.adjacency"] == (4, (0,))
    assert formats.weights["block0.norm.scale"] == (8, (0,))
    assert formats.weights["input_norm.scale"] == (12, (0,))
    wide = nominal_formats(small_arch(), quant(weight_bits=14, fold="affine"))
    assert wide.weights["block0.norm.scale"] == (14, (0,))
    assert wide.weights["input_norm.scale"] == (14, (0,))
    folded = nominal_formats(small_arch(), quant(weight_bits=14))
    assert folded.weights["block0.norm.scale"] == (2, (0,))
    assert folded.weights["input_norm.scale"] == (14, (0,))


def test_modes_go_into_every_cast() -> None:
    spec = quant(rounding="TRN", overflow="WRAP")
    for formats in (
        nominal_formats(small_arch(), spec),
        calibrate(random_floatnet(small_arch(), 0), spec),
    ):
        modes = {(cast.rounding, cast.overflow) for cast in formats.casts.values()}
        assert modes == {(Rounding.TRN, Overflow.WRAP)}


def test_overrides_by_layer_and_glob_last_one_wins() -> None:
    layers = {
        "block*": {"weight_bits": 6, "activation_bits": 10},
        "block1": {"weight_bits": 3, "stream_bits": 14},
        "embedding": {"activation_bits": 12},
        "classifier": {"weight_bits": 16},
    }
    formats = nominal_formats(small_arch(), quant(layers=layers))
    bits = {name: cast.to.word_bits for name, cast in formats.casts.items()}
    words = {key: word_bits for key, (word_bits, _) in formats.weights.items()}
    assert (bits["block0.conv.q"], bits["block0.norm.q"], bits["block1.norm.q"]) == (10, 10, 14)
    assert (bits["embedding.q"], bits["embedding.stream"], bits["input_norm.q"]) == (12, 12, 8)
    assert (words["block0.conv.weight"], words["block1.conv.weight"]) == (6, 3)
    assert (words["block1.residual.weight"], words["classifier.weight"]) == (3, 16)
    assert words["embedding.weight"] == 8


def test_override_of_no_layer() -> None:
    spec = quant(layers={"blok*": {"weight_bits": 4}})
    message = r"key `layers`: 'blok\*' matches no layer \(layers: input, input_norm, embedding, blo"
    with pytest.raises(InputError, match=message):
        nominal_formats(small_arch(), spec)
    with pytest.raises(InputError, match=message):
        calibrate(random_floatnet(small_arch(), 0), spec)


def test_binary_point_follows_the_accumulator() -> None:
    net = seen(random_floatnet(small_arch(), 0), "block0.conv", -3.0, 0.5, 1.0)
    assert calibrate(net, quant()).casts["block0.conv.q"].to == QFormat(8, 5)
    assert calibrate(net, quant(activation_bits=9)).casts["block0.conv.q"].to == QFormat(9, 6)
    net = seen(net, "block0.conv", -4.0, 3.9)
    assert calibrate(net, quant()).casts["block0.conv.q"].to == QFormat(8, 5)
    net = seen(net, "block0.conv", -4.0, 4.0)
    assert calibrate(net, quant()).casts["block0.conv.q"].to == QFormat(8, 4)


def test_relu_hides_the_negative_side() -> None:
    net = seen(random_floatnet(small_arch(), 0), "block0.add", -100.0, 0.5, 1.9)
    for calibrator in ("max", "percentile", "mse"):
        formats = calibrate(net, quant(calibrator=calibrator, stream_bits=12))
        assert formats.casts["block0.add.q"].to == QFormat(8, 6)
        unsigned = calibrate(net, quant(calibrator=calibrator, unsigned_relu=True))
        assert unsigned.casts["block0.add.q"].to == QFormat(8, 7, signed=False)
        assert unsigned.casts["block0.conv.q"].to.signed
    dead = seen(net, "block0.add", -2.0, -1.0)
    assert calibrate(dead, quant()).casts["block0.add.q"].to == QFormat(8, 7)


def test_operand_and_stream_of_one_accumulator() -> None:
    net = seen(random_floatnet(small_arch(), 0), "block1.add", 0.0, 1.9)
    formats = calibrate(net, quant(stream_bits=12))
    assert formats.casts["block1.add.q"].to == QFormat(8, 6)
    assert formats.casts["block1.add.stream"].to == QFormat(12, 10)


def test_weights_per_tensor_or_channel() -> None:
    net = random_floatnet(small_arch(), 0)
    weight = np.array([[0.9, -0.1], [0.2, 0.05], [-1e-9, 0.0], [0.0, 0.0]]).repeat(3, axis=1)
    net = replace(net, params={**net.params, "embedding.weight": weight})
    assert calibrate(net, quant()).weights["embedding.weight"] == (8, (7,))
    spread = 7 + CHANNEL_SPREAD_BITS
    channel = calibrate(net, quant(weight_granularity="channel")).weights
    assert channel["embedding.weight"] == (8, (7, 9, spread, 7))
    assert len(channel["block0.graph.adjacency"][1]) == 3  # partitions


def test_unit_scale_keeps_the_bias_precise() -> None:
    net = random_floatnet(small_arch(), 0)
    net = seen(seen(net, "block0.graph", -1.9, 1.9), "block0.norm", 0.0, 0.9)
    formats = calibrate(net, quant(stream_bits=12))
    assert formats.casts["block0.graph.q"].to == QFormat(8, 6)
    assert formats.casts["block0.norm.q"].to == QFormat(12, 11)
    k = 11 + GUARD_BITS - 6
    assert formats.weights["block0.norm.scale"] == (k + 2, (k,))
    coarse = seen(seen(net, "block0.graph", -0.9, 0.9), "block0.norm", 0.0, 100.0)
    assert calibrate(coarse, quant()).weights["block0.norm.scale"] == (2, (0,))


def test_affine_scale_is_a_constant_like_others() -> None:
    net = random_floatnet(small_arch(), 0, "affine")
    scale = net.params["block0.norm.scale"]
    lo, hi = np.array([scale.min()]), np.array([scale.max()])
    expected = (8, tuple(finest_frac_bits(lo, hi, Word(8)).tolist()))
    assert calibrate(net, quant(fold="affine")).weights["block0.norm.scale"] == expected


def test_formats_are_monotone_in_the_width() -> None:
    net = random_floatnet(small_arch(), 5)
    before: dict[str, int] = {}
    for bits in range(2, 25):
        formats = calibrate(net, quant(weight_bits=bits, activation_bits=bits, logit_bits=bits))
        now = {name: cast.to.frac_bits for name, cast in formats.casts.items()}
        now |= {key: f[0] for key, (_, f) in formats.weights.items() if not key.endswith("scale")}
        assert all(0 <= now[name] - f <= 2 for name, f in before.items())
        before = now


def test_refusals() -> None:
    net = random_floatnet(small_arch(), 0)
    with pytest.raises(InputError, match=r"^`fold` is 'affine' but the network was exported with"):
        calibrate(net, quant(fold="affine"))
    blind = {k: v for k, v in net.observations.items() if k != "block1.sum" and k != "pool"}
    with pytest.raises(InputError, match=r"^pool\.q: no observation of `pool` to calibrate from"):
        calibrate(replace(net, observations=blind), quant())
    with pytest.raises(InputError, match=r"^input: observed -200 to 32768, more than the `input_b"):
        calibrate(seen(net, "input", -200, 32768), quant())
    calibrate(seen(net, "input", -32768, 32767), quant())
