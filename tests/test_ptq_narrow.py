"""Networks brought under accumulator widths: certified there, and otherwise as they were."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxp.accumulators import accumulators, by_layer
from fxp.calibrate import Formats, calibrate
from fxp.errors import GraphError, InputError
from fxp.floatnet import FloatNet
from fxp.ir import Affine, Conv, Graph, GraphProduct, TemporalConv
from fxp.lower import lower
from fxp.ptq.narrow import narrowed, within
from fxp.ptq.quantise import quantise
from fxp.ranges import certify
from fxp.spec import QuantSpec, Repair, parse_spec
from fxp.store import graph_hash
from stgcn_ref.export import export
from tests.networks import VARIANTS, archs, clip, random_floatnet, small_arch
from tests.networks import random_model as model

QUANT = QuantSpec(weight_bits=6, activation_bits=6, stream_bits=8, input_bits=16, calibrator="max")


INPUT = "input_norm.scale"


def layers_of(graph: Graph) -> dict[str, int]:
    return {each.layer: each.bits for each in by_layer(accumulators(graph))}


def formats_of(net: FloatNet, **over: object) -> Formats:
    spec = QuantSpec.model_validate(QUANT.model_dump() | {"fold": net.meta["fold"]} | over)
    return calibrate(net, spec)


def assert_narrow(graph: Graph, targets: dict[str, int]) -> None:
    for layer, bits in layers_of(graph).items():
        assert bits <= targets.get(layer, 63), layer


def assert_no_weights(error: GraphError, graph: Graph) -> None:
    """What was refused is a sum without weights, or one that only zeros would bring there."""
    if re.fullmatch(r"node `.*`: \d+ bits leave none of its weights but zeros", str(error)):
        return
    found = re.match(r"node `(.*)`: .* whatever its weights", str(error))
    assert found
    (node,) = [node for node in graph.nodes if node.name == found[1]]
    assert not isinstance(node, Conv | TemporalConv | GraphProduct | Affine)


def narrowest(net: FloatNet, formats: Formats) -> tuple[dict[str, int], Graph]:
    """Every layer two bits narrower, and again, until no weights bring it there."""
    graph, stuck = lower(net, formats), set[str]()
    targets = layers_of(graph)
    while len(stuck) < len(targets):
        for layer in sorted(targets.keys() - stuck):
            tried = targets | {layer: targets[layer] - 2}
            try:
                found = lower(*narrowed(net, formats, tried))
            except GraphError as error:
                assert_no_weights(error, graph)
                stuck.add(layer)
                continue
            assert_narrow(found, tried)
            targets, graph = tried, found
            if targets[layer] <= 9:
                stuck.add(layer)
    return targets, graph


@pytest.mark.parametrize("name", ["rtstgcn", "costgcn", "tcn"])
def test_layers_of_every_family_get_as_narrow_as_their_casts_allow(name: str) -> None:
    net = random_floatnet(VARIANTS[name], 0)
    formats = formats_of(net)
    before = layers_of(lower(net, formats))
    targets, graph = narrowest(net, formats)
    assert_narrow(graph, targets)
    assert sum(targets.values()) < sum(before.values()) - 2 * len(before)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(archs(), st.integers(0, 1000), st.integers(9, 20), st.sampled_from(["tensor", "channel"]))
def test_random_networks_certify_at_their_target(
    arch: object, seed: int, bits: int, granularity: str
) -> None:
    net = random_floatnet(arch, seed)  # type: ignore[arg-type]
    formats = formats_of(net, weight_granularity=granularity)
    whole = layers_of(lower(net, formats))
    for layer in whole:
        try:
            found, chosen = narrowed(net, formats, {layer: bits})
        except GraphError as error:
            assert_no_weights(error, lower(net, formats))
            continue
        graph = lower(found, chosen)
        assert layers_of(graph)[layer] <= bits
        again = within(graph, found.params, chosen, {layer: bits})
        assert all(np.array_equal(again[key], found.params[key]) for key in again)


def test_what_fits_is_left_alone() -> None:
    net = random_floatnet(small_arch(), 3)
    formats = formats_of(net)
    graph = lower(net, formats)
    found, chosen = narrowed(net, formats, layers_of(graph))
    assert all(np.array_equal(found.params[key], net.params[key]) for key in net.params)
    assert chosen.weights == formats.weights and chosen.casts == formats.casts
    assert graph_hash(lower(found, chosen)) != graph_hash(graph)  # it declares its widest now
    assert lower(found, chosen).accumulator_bits == max(certify(graph).values())


def test_one_number_is_for_all_layers_and_is_declared() -> None:
    net = random_floatnet(small_arch(), 3)
    formats = formats_of(net)
    most = max(layers_of(lower(net, formats)).values())
    graph = lower(*narrowed(net, formats, {"*": most - 1}))
    assert graph.accumulator_bits == most - 1
    certify(graph)
    with pytest.raises(GraphError, match=r"^node `pool`: .* whatever its weights, .* target is 9$"):
        narrowed(net, formats, {"*": 30, "pool": 9})


def test_a_target_of_no_layer_is_refused() -> None:
    net = random_floatnet(small_arch(), 3)
    with pytest.raises(InputError, match=r"^key `accumulators`: 'bolck\*' matches no layer"):
        narrowed(net, formats_of(net), {"bolck*": 12})


def test_folded_norms_stay_powers_of_two() -> None:
    drawn = random_floatnet(small_arch(), 5)
    ones = {key: np.ones_like(drawn.params[key]) for key in drawn.params if "norm.scale" in key}
    net = replace(drawn, params={**drawn.params, **ones, INPUT: drawn.params[INPUT]})
    formats = formats_of(net)
    bits = {each.node: each.bits for each in accumulators(lower(net, formats))}
    assert (bits["block2.norm"], bits["block2.add"]) == (14, 10)
    found, chosen = narrowed(net, formats, {"block2": 11})
    (norm,) = [n for n in lower(found, chosen).nodes if n.name == "block2.norm"]
    # it was 2**5; the sum reaches -128, so that 2**3 would leave no room for a negative bias
    assert isinstance(norm, Affine) and set(norm.scale.raw.ravel().tolist()) == {4}
    assert (found.params["block2.norm.scale"] == 1.0).all()
    assert np.array_equal(found.params["block2.norm.bias"], net.params["block2.norm.bias"])


def test_weights_are_not_all_given_up() -> None:
    """16-bit words times one are 16 bits; a bit less would leave a scale of zero."""
    net = random_floatnet(small_arch(), 3)
    formats = formats_of(net)
    scale = lower(*narrowed(net, formats, {"input_norm": 17})).nodes[1]
    assert isinstance(scale, Affine) and 1 <= np.abs(scale.scale.raw).max() <= 2
    with pytest.raises(GraphError, match=r"^node `input_norm`: 15 bits leave none of its weights"):
        narrowed(net, formats, {"input_norm": 15})


def test_partitions_of_unlike_binary_points_are_aligned() -> None:
    net = random_floatnet(small_arch(), 7)
    key = "block0.graph.adjacency"
    net.params[key][1:] /= 16.0
    formats = formats_of(net, weight_granularity="channel")
    points = formats.weights[key][1]
    assert len(set(points)) > 1
    before = {each.node: each.bits for each in accumulators(lower(net, formats))}
    for bits in range(before["block0.graph"] - 1, before["block0.add"], -1):
        found, chosen = narrowed(net, formats, {"block0": bits})
        graph = lower(found, chosen)
        assert layers_of(graph)["block0"] <= bits
        # and the sums come near: nothing was taken that need not be
        after = {each.node: each.bits for each in accumulators(graph)}
        assert after["block0.graph"] >= bits - 1


def test_accumulators_as_a_repair() -> None:
    arch = small_arch()
    clips = [clip(arch, 90, 1)]
    net = export(model(arch), arch, clips)
    words = [c.x.astype(np.int64) for c in clips]
    plain = layers_of(quantise(net, QUANT))
    targets = {"embedding": plain["embedding"] - 2, "block*": plain["block1"] - 1}
    wanted = {layer: targets.get(layer, targets["block*"]) for layer in plain if "b" in layer}
    for repair in (
        Repair(accumulators=targets),
        Repair(accumulators=targets, rounding="gptq", bias=True),
    ):
        given = [] if not repair.measures else words
        graph = quantise(net, QUANT.model_copy(update={"repair": repair}), given)
        assert_narrow(graph, wanted)
    with pytest.raises(InputError, match="need calibration recordings"):
        quantise(net, QUANT.model_copy(update={"repair": repair}))


def test_a_repair_without_widths_is_written_as_it_always_was() -> None:
    keys = {"equalise", "search", "rounding", "bias"}
    assert Repair().model_dump().keys() == keys
    given = Repair(accumulators={"block*": 12})
    assert Repair.model_validate(given.model_dump(mode="json")) == given


def test_a_number_in_a_file() -> None:
    assert parse_spec(Repair, {"accumulators": 16}, "f").accumulators == {"*": 16}
    with pytest.raises(
        InputError, match=r"^f: key `accumulators.\*`: .*greater than or equal to 4"
    ):
        parse_spec(Repair, {"accumulators": 3}, "f")
