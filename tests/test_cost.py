import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fxp.errors import InputError
from fxp.ir import Graph, Input
from fxp.qformat import QFormat
from fxp.spec import ArchSpec, QuantSpec
from hw_model.accelerator import (
    Accelerator,
    Array,
    Lanes,
    Multiplier,
    load_accelerator,
    preset_names,
)
from hw_model.blueprint import blueprint
from hw_model.cost import Estimate, estimate
from hw_model.digits import digits_of
from hw_model.ledger import published_arch
from hw_model.loops import loop_nest
from hw_model.schedule import is_paired
from tests.accelerators import machine, small_archs, tiny_graph

PKU = blueprint(published_arch("rtstgcn", 9), QuantSpec())
COST = blueprint(published_arch("costgcn", 9), QuantSpec())


def test_totals_of_the_tiny_graph() -> None:
    cost = estimate(tiny_graph(), machine(2))
    assert (cost.macs, cost.macs_dense, cost.macs_sparse) == (36, 66, 36)
    assert (cost.multiplications, cost.additions) == (36 + 2, 36 + 68)
    assert (cost.memory_words, cost.memory_bits) == (100, 722)
    assert (cost.on_chip_bits, cost.dram_bytes) == (722, 0)
    assert (cost.interval_cycles, cost.latency_cycles) == (87, 89)
    assert cost.latency_s == pytest.approx(89e-6) and cost.throughput_hz == pytest.approx(1e6 / 87)
    assert cost.utilisation == pytest.approx(36 / (87 * 2))
    assert cost.fits and cost.reasons == ()
    dense = estimate(tiny_graph(), machine(2), adjacency="dense")
    assert (dense.macs, dense.adjacency) == (66, "dense")


def test_layers_add_up() -> None:
    for graph in (PKU, COST, tiny_graph()):
        for name in preset_names():
            cost = estimate(graph, load_accelerator(name))
            assert sum(layer.macs for layer in cost.layers) == cost.macs
            assert sum(layer.dram_bytes for layer in cost.layers) == cost.dram_bytes
            assert sum(layer.energy.total_pj for layer in cost.layers) == pytest.approx(
                cost.energy_uj * 1e6
            )
            for layer in cost.layers:
                assert layer.compute_cycles == sum(layer.terms.values())
                assert layer.cycles == max(
                    layer.compute_cycles, layer.port_cycles, layer.dram_cycles
                )


def test_an_estimate_is_json() -> None:
    cost = estimate(PKU, load_accelerator("pynq-z2"), frame_rate_hz=60)
    data = json.loads(json.dumps(asdict(cost)))
    assert data["macs"] == 17_421_824
    assert data["memory"]["fifo"] == {"words": 388_800, "bits": 3_110_400}
    assert data["layers"][3]["terms"]["conv"] == 4800


def test_loops_at_hand_change_nothing() -> None:
    loops = loop_nest(PKU)
    for name in preset_names():
        accelerator = load_accelerator(name)
        assert estimate(PKU, accelerator, loops=loops) == estimate(PKU, accelerator)


def test_dense_and_sparse_adjacency() -> None:
    small = load_accelerator("pynq-z2")
    sparse, dense = estimate(PKU, small), estimate(PKU, small, "dense")
    assert sparse.macs == 19_843_712 - 2_520_000 + 98_112 and dense.macs == 19_843_712
    assert sparse.interval_cycles < dense.interval_cycles
    assert sparse.energy_uj < dense.energy_uj
    array = load_accelerator("array-8x8-16b")
    assert estimate(PKU, array).adjacency == "dense"
    with pytest.raises(InputError, match=r"array-8x8-16b: adjacency must be dense on an array"):
        estimate(PKU, array, "sparse")


def test_lookahead() -> None:
    """Nine symmetric convolutions of 9 taps, two with dilation 2: 4 * (7 + 2 * 2) frames."""
    small = load_accelerator("pynq-z2")
    assert estimate(PKU, small).lookahead_frames == 0
    cost = estimate(COST, small, frame_rate_hz=22)
    assert cost.lookahead_frames == 44 and cost.lookahead_s == pytest.approx(2.0)
    assert estimate(COST, small).lookahead_s is None


def test_deadline_and_frame_rate() -> None:
    late = machine(deadline_s=88e-6)
    cost = estimate(tiny_graph(), late, frame_rate_hz=12_000)
    assert cost.reasons == (
        "latency 8.9e-05 s is beyond the deadline of 8.8e-05 s",
        "11494.3 frames/s are computed, 12000 come in",
    )
    assert not cost.fits
    assert estimate(tiny_graph(), machine(deadline_s=89e-6), frame_rate_hz=11_490).fits
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"frame rate must be positive"):
            estimate(tiny_graph(), machine(), frame_rate_hz=rate)


def test_operands_too_wide_for_the_multiplier() -> None:
    cost = estimate(
        tiny_graph(), machine(multiplier={"max_weight_bits": 4, "max_activation_bits": 6})
    )
    assert cost.reasons == (
        "block.conv: operands of 4 x 8 bits, the multiplier takes 4 x 6",
        "block.graph: operands of 5 x 6 bits, the multiplier takes 4 x 6",
    )  # the reciprocal of the mean, 5 bits, is cut into digits; not so on an array
    narrow = Multiplier(max_weight_bits=4, max_activation_bits=8)
    array = load_accelerator("array-8x8-16b").model_copy(update={"multiplier": narrow})
    reasons = estimate(tiny_graph(), array).reasons
    assert "pool: operands of 5 x 6 bits, the multiplier takes 4 x 8" in reasons


def test_a_graph_that_does_nothing() -> None:
    graph = Graph("g", (Input("input", 2, 3, QFormat(8, 0)),), ("input",))
    cost = estimate(graph, machine())
    assert (cost.macs, cost.latency_cycles, cost.interval_cycles) == (0, 5, 3)  # the load
    assert cost.memory_bits == 48 and cost.energy.activations_pj == pytest.approx(48)


def squeezed(accelerator: Accelerator, share: float, graph: Graph) -> Accelerator:
    """The accelerator with on-chip memory for a share of the graph's, bandwidth to match."""
    total = estimate(graph, accelerator).memory_bits
    chip = accelerator.memory.model_copy(
        update={"capacity_bits": max(int(total * share), 1), "stream_buffer_bits": 0}
    )
    return accelerator.model_copy(update={"memory": chip})


WIDTHS = {
    "weight_bits": st.integers(2, 16),
    "activation_bits": st.integers(2, 16),
    "stream_bits": st.integers(2, 16),
    "adjacency_bits": st.integers(2, 16),
    "norm_bits": st.integers(2, 16),
    "input_bits": st.integers(2, 16),
    "logit_bits": st.integers(2, 16),
}


@settings(max_examples=60, deadline=None)
@given(
    small_archs(),
    st.fixed_dictionaries(WIDTHS),
    st.fixed_dictionaries(WIDTHS),
    st.sampled_from(preset_names()),
    st.floats(0.3, 1.1),
    st.sampled_from(("weights", "affine")),
)
def test_fewer_bits_never_cost_more(
    arch: ArchSpec,
    one: dict[str, int],
    other: dict[str, int],
    name: str,
    share: float,
    fold: str,
) -> None:
    """Squeezed too, on an array: the weights of lanes leave the chip node by node, and there a few
    bits less may keep another node on it.

    But for layers whose words narrower multipliers cut into more digits, and for streams that are
    the operands themselves where both are equally wide.
    """
    narrow: dict[str, Any] = {key: min(one[key], other[key]) for key in WIDTHS}
    wide: dict[str, Any] = {key: max(one[key], other[key]) for key in WIDTHS}
    graphs = [blueprint(arch, QuantSpec(fold=fold, **bits)) for bits in (narrow, wide)]
    assume(len(graphs[0].nodes) == len(graphs[1].nodes))
    accelerator = load_accelerator(name)
    if isinstance(accelerator.engine, Array):
        accelerator = squeezed(accelerator, share, graphs[1])
    less, more = (estimate(graph, accelerator) for graph in graphs)
    assert less.memory_bits <= more.memory_bits
    assert less.on_chip_bits <= more.on_chip_bits
    assert less.dram_bytes <= more.dram_bytes
    turns = [turns_by_layer(graph, accelerator) for graph in graphs]
    for layer, other_layer in zip(less.layers, more.layers, strict=True):
        if turns[0][layer.layer] <= turns[1][layer.layer]:
            assert layer.cycles <= other_layer.cycles
            assert layer.energy.total_pj <= other_layer.energy.total_pj * (1 + 1e-12)


def turns_by_layer(graph: Graph, accelerator: Accelerator) -> dict[str, int]:
    """The most products of digits that a product of a layer takes."""
    loops = loop_nest(graph)
    digits = digits_of(loops, is_paired(loops, accelerator))
    found: dict[str, int] = {}
    for loop in loops:
        turns = digits.turns(loop) if isinstance(accelerator.engine, Lanes) else 1
        found[loop.layer] = max(turns, found.get(loop.layer, 1))
    return found


@settings(max_examples=60, deadline=None)
@given(small_archs(), st.integers(1, 40), st.integers(1, 40))
def test_more_lanes_are_never_slower(arch: ArchSpec, lanes: int, more: int) -> None:
    graph = blueprint(arch, QuantSpec())
    assert_no_more(estimate(graph, machine(lanes + more)), estimate(graph, machine(lanes)))


def assert_no_more(less: Estimate, more: Estimate) -> None:
    assert less.latency_cycles <= more.latency_cycles
    assert less.interval_cycles <= more.interval_cycles
    assert less.dram_bytes <= more.dram_bytes


@settings(max_examples=40, deadline=None)
@given(small_archs(), st.sampled_from(preset_names()))
def test_everything_that_works_costs(arch: ArchSpec, name: str) -> None:
    cost = estimate(blueprint(arch, QuantSpec()), load_accelerator(name))
    for layer in cost.layers:
        assert layer.energy.total_pj > 0, layer.layer
        assert layer.cycles > 0 or layer.layer == "input"
