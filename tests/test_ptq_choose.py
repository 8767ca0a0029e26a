"""Calibrators and repairs chosen by their end effect: never worse than what they chose from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fxp.binary_point import CALIBRATORS
from fxp.calibrate import calibrate
from fxp.errors import GraphError, InputError
from fxp.floatnet import FloatNet
from fxp.ir import Conv, Graph, IntArray, Requantise, TemporalConv
from fxp.lower import lower
from fxp.outline import outline
from fxp.ptq.choose import CANDIDATES, choose, nearest_to_float
from fxp.ptq.prepare import prepare
from fxp.ptq.quantise import about, quantise
from fxp.ptq.repair import gram
from fxp.ptq.rounding import nearest
from fxp.ptq.search import LOGITS, divergence_of
from fxp.ptq.tensors import best_formats, by_output
from fxp.qformat import Rounding
from fxp.spec import QuantSpec, Repair, parse_spec
from fxp.store import graph_hash
from tests.networks import VARIANTS, as_joints, random_floatnet, words

QUANT = QuantSpec(weight_bits=5, activation_bits=5, stream_bits=8, accumulator_bits=63)


def network(key: str) -> tuple[FloatNet, list[IntArray]]:
    arch = VARIANTS[key]
    return random_floatnet(arch, 3), [as_joints(words(arch, n, n)) for n in (40, 25)]


def with_calibrator(name: str) -> QuantSpec:
    return QUANT.model_copy(update={"calibrator": name})


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("key", ["rtstgcn", "costgcn", "tcn-odd"])
def test_the_best_calibrators_serve_the_classes_at_least_as_well(
    key: str, granularity: str
) -> None:
    net, clips = network(key)
    quant = QUANT.model_copy(update={"weight_granularity": granularity})
    wanted = [
        np.random.default_rng(0).normal(0, 2, (len(clip), net.arch.classes)) for clip in clips
    ]
    single = {
        name: divergence_of(
            lower(net, calibrate(net, quant.model_copy(update={"calibrator": name}))), clips, wanted
        )
        for name in CALIBRATORS
    }
    told: list[float] = []
    formats = best_formats(net, quant, clips, wanted, lambda _, loss: told.append(loss))
    found = divergence_of(lower(net, formats), clips, wanted)
    assert found <= min(single.values()) and found == told[-1]
    assert told == sorted(told, reverse=True)
    allowed = [calibrate(net, quant.model_copy(update={"calibrator": n})) for n in CALIBRATORS]
    for name, cast in formats.casts.items():
        assert cast in [other.casts[name] for other in allowed]
    for name, chosen in formats.weights.items():
        assert chosen in [other.weights[name] for other in allowed]


@pytest.mark.parametrize("key", ["rtstgcn", "costgcn", "tcn-odd"])
def test_points_of_channels_are_those_of_least_error_of_the_output(key: str) -> None:
    net, clips = network(key)
    quant = QUANT.model_copy(update={"weight_granularity": "channel", "calibrator": "max"})
    formats = calibrate(net, quant)
    graph = lower(net, formats)
    convs = [node for node in graph.nodes if isinstance(node, Conv | TemporalConv)]
    by_weight = calibrate(net, quant.model_copy(update={"calibrator": "mse"})).weights
    other = 0
    for node in convs:
        bits, coarsest = formats.weights[f"{node.name}.weight"]
        weight = net.params[f"{node.name}.weight"].reshape(len(coarsest), -1)
        metric = gram(graph, node, clips)
        found = by_output(net, formats, node, clips, coarsest)
        for row, least, chosen in zip(weight, coarsest, found, strict=True):
            errors = {}
            for point in range(least, least + 6):
                off = row - nearest(row[None], bits, np.array([point]))[0]
                errors[point] = float(off @ metric @ off)
            assert least <= chosen <= least + 5
            assert errors[chosen] == pytest.approx(min(errors.values()), rel=1e-9)
        other += found != by_weight[f"{node.name}.weight"][1]
    assert other  # it is not what the weights alone would choose


def test_points_by_output_compete_where_operands_are_wider_than_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, clips = network("costgcn")
    asked: list[str] = []

    def told(*given: Any) -> tuple[int, ...]:
        asked.append(given[2].name)
        return by_output(*given)

    monkeypatch.setattr("fxp.ptq.tensors.by_output", told)
    wanted = [np.random.default_rng(0).normal(0, 2, (len(c), net.arch.classes)) for c in clips]
    convs = [n.name for n in outline(net.arch).nodes if isinstance(n, Conv | TemporalConv)]
    for granularity, bits, expected in (
        ("channel", 8, convs),
        ("channel", 5, []),
        ("tensor", 8, []),
    ):
        update = {"weight_granularity": granularity, "activation_bits": bits}
        asked.clear()
        best_formats(net, QUANT.model_copy(update=update), clips, wanted)
        assert asked == expected


def test_best_needs_recordings() -> None:
    net, _ = network("rtstgcn")
    with pytest.raises(InputError, match="`best` is chosen on recordings, and there are none"):
        calibrate(net, with_calibrator("best"))
    with pytest.raises(InputError, match="calibrator `best` need calibration recordings"):
        quantise(net, with_calibrator("best"))


def test_formats_that_cannot_be_lowered_are_refused_with_their_reason() -> None:
    net, clips = network("rtstgcn")
    narrow = QUANT.model_copy(update={"accumulator_bits": 8})
    wanted = [np.zeros((len(clip), net.arch.classes)) for clip in clips]
    with pytest.raises(GraphError, match="`accumulator_bits` is 8"):
        best_formats(net, narrow, clips, wanted)
    with pytest.raises(GraphError, match="`accumulator_bits` is 8"):
        choose(net, narrow, clips, lambda _: 0.0)


def test_the_choice_is_the_least_loss_and_the_first_of_equals() -> None:
    net, clips = network("rtstgcn")
    seen: list[str] = []

    def judge(graph: object) -> float:
        seen.append(graph_hash(graph))  # type: ignore[arg-type]
        return float([3, 5, 2, 2, 4, 9, 9][len(seen) - 1])

    choice = choose(net, QUANT, clips, judge)
    assert list(choice.losses.values()) == [3, 5, 2, 2, 4, 9, 9]
    assert len(choice.losses) == len(CANDIDATES)
    assert choice.quant.calibrator == "mse"
    assert choice.quant.repair == Repair(bias=True)
    graph = lower(choice.prepared.net, choice.prepared.formats)
    assert graph_hash(graph) == seen[2]
    alone = prepare(net, choice.quant, clips)
    assert graph_hash(lower(alone.net, alone.formats)) == seen[2]


def test_other_roundings_of_casts_are_tried_where_they_are_named() -> None:
    net, clips = network("rtstgcn")
    half_even = Rounding.RND_CONV
    repair = Repair(choose=True, cast_roundings=(Rounding.RND, half_even))
    quant = QUANT.model_copy(update={"repair": repair})
    seen: list[set[Rounding]] = []

    def judge(graph: Graph) -> float:
        seen.append({node.cast.rounding for node in graph.nodes if isinstance(node, Requantise)})
        return float(-len(seen))

    choice = choose(net, quant, clips, judge)
    half = len(CANDIDATES)  # the design's own rounding is tried once, and first
    assert seen == [{Rounding.RND}] * half + [{half_even}] * half
    names = list(choice.losses)
    assert names[half:] == [f"{name}+rnd_conv" for name in names[:half]]
    assert choice.quant.rounding is half_even and choice.quant.repair.cast_roundings == ()
    alone = prepare(net, choice.quant, clips)
    chosen = lower(choice.prepared.net, choice.prepared.formats)
    assert graph_hash(lower(alone.net, alone.formats)) == graph_hash(chosen)
    assert about(choice)["rounding"] == "RND_CONV"


def test_roundings_of_casts_without_a_choice_are_refused() -> None:
    with pytest.raises(InputError, match="`cast_roundings` are tried where `choose` is true"):
        parse_spec(Repair, {"cast_roundings": ["RND_CONV"]}, "file")
    assert "cast_roundings" not in Repair(choose=True).model_dump(mode="json")


def test_a_quantised_network_says_what_was_chosen() -> None:
    net, clips = network("costgcn")
    quant = QUANT.model_copy(update={"repair": Repair(choose=True)})
    with pytest.raises(InputError, match=r"`repair\.choose` needs recordings to judge on"):
        quantise(net, quant, clips)
    judge = nearest_to_float(net, quant.input_bits, clips[1:])
    graph = quantise(net, quant, clips[:1], "net", judge)
    about = graph.meta["choice"]
    assert judge(graph) == min(about["losses"].values()) <= about["losses"]["mse"]
    assert "choose" not in about["repair"] and graph.name == "net"


def test_the_judge_is_the_divergence_from_the_float_network() -> None:
    net, clips = network("rtstgcn")
    judge = nearest_to_float(net, 16, clips)
    wide = QuantSpec(weight_bits=20, activation_bits=20, accumulator_bits=63)
    assert judge(quantise(net, wide)) < 1e-6 < judge(quantise(net, QUANT))
    assert LOGITS in quantise(net, QUANT).outputs
