"""What a command asks of an engine: which weights are off the chip, and how fast they come."""

from typing import Any

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.ir import Conv, Graph, TemporalConv
from hw_model.accelerator import load_accelerator
from hw_model.cost import estimate
from hw_model.rtl.prediction import predicted_cycles
from hw_model.rtl.request import Request, lanes_of, settings_for
from hw_model.rtl.runs import Settings
from hw_model.streaming import NEAR, LineSource
from tests.accelerators import machine, memory
from tests.golden import networks
from tests.test_rtl_streaming import spilling

GRAPH: Graph = networks.ragged(np.random.default_rng(1))
CONVOLUTIONS = tuple(n.name for n in GRAPH.nodes if isinstance(n, Conv | TemporalConv))


def settings(request: Request, lanes: int = 2, board: Any = None) -> Settings:
    return settings_for(GRAPH, request, lanes, dense=False, board=board)


def test_names_in_any_order_all_and_none() -> None:
    assert settings(Request(stress=False, seed=4)) == Settings(2, seed=4, stress=False)
    assert settings(Request(off_chip="all")).off_chip == CONVOLUTIONS
    named = f"{CONVOLUTIONS[2]},{CONVOLUTIONS[0]}"
    assert settings(Request(off_chip=named)).off_chip == (CONVOLUTIONS[0], CONVOLUTIONS[2])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(off_chip="nothing"), "`ragged`, got 'nothing' \\(no node\\)"),
        (Request(off_chip=f"{CONVOLUTIONS[0]},"), "`ragged`, got '' \\(no node\\)"),
        (Request(off_chip="block0.graph"), "`ragged`, got 'block0.graph' \\(GraphProduct\\)"),
        (Request(off_chip="input"), "`ragged`, got 'input' \\(Input\\)"),
        (Request(off_chip="auto"), "`--off-chip auto` needs an accelerator"),
        (Request(latency=3), "`--fetch-latency` is for weights off the chip"),
        (Request(interval=3), "`--fetch-interval` is for weights off the chip"),
        (Request(paired=True), "`--lanes` must be even with `--paired`, got 3"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(request_: Request, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        settings(request_, lanes=3)
    assert "\n" not in str(caught.value)


def test_the_times_of_the_memory_are_those_given_else_those_of_the_board() -> None:
    board = machine(2, dram={"bytes_per_s": 2e8, "latency_s": 3e-7}, clock_hz=1e8)
    one = CONVOLUTIONS[0]
    assert settings(Request(off_chip=one)).source == NEAR
    assert settings(Request(off_chip=one, latency=9)).source == LineSource(9, 1)
    assert settings(Request(off_chip=one, interval=9)).source == LineSource(1, 9)
    assert settings(Request(off_chip=one), 2, board).source == LineSource(30, 1)
    # a line of 16 lanes of 6 to 8 bits at two bytes a cycle: the widest of those that stream
    assert settings(Request(off_chip="all"), 16, board).source == LineSource(30, 8)
    assert settings(Request(off_chip="all", latency=2), 16, board).source == LineSource(2, 8)
    assert settings(Request(off_chip="all"), 2, machine(2)).source == NEAR


@pytest.mark.parametrize("latency_s", [0.0, 3e-7])
def test_auto_is_what_the_estimate_streams_in_its_cycles(latency_s: float) -> None:
    board = spilling(GRAPH, 2, {"bytes_per_s": 1e8, "latency_s": latency_s})
    found = settings(Request(off_chip="auto"), 2, board)
    assert found.off_chip == CONVOLUTIONS
    cost = estimate(GRAPH, board)
    predicted = predicted_cycles(GRAPH, found)
    assert predicted["interval"] == cost.interval_cycles
    assert predicted["latency"] == cost.latency_cycles
    roomy = machine(2, memory=memory(1 << 20))
    assert settings(Request(off_chip="auto"), 2, roomy) == Settings(2)


def test_lanes_are_paired_where_that_is_asked_for() -> None:
    assert settings(Request(paired=True)) == Settings(2, paired=True)
    assert settings(Request(), lanes=3) == Settings(3)


@pytest.mark.parametrize(("bits", "paired"), [(7, False), (8, True)])
def test_a_board_says_by_its_packing_whether_lanes_are_paired(bits: int, paired: bool) -> None:
    """The widest operand of `ragged` has 8 bits; lanes in pairs are twice as many."""
    packing = {"max_weight_bits": bits, "max_activation_bits": bits, "products": 2}
    wide = {"max_weight_bits": 18, "max_activation_bits": 27, "packing": [packing]}
    board = machine(3, multiplier=wide)
    assert settings(Request(), 3, board) == Settings(6 if paired else 3, paired=paired)
    wrong = f"accelerator {board.name} says by its `multiplier.packing` whether lanes are paired"
    with pytest.raises(InputError, match=wrong):
        settings(Request(paired=True), 3, board)


def test_an_array_is_no_engine() -> None:
    assert lanes_of(load_accelerator("zu7ev-rtl")).lanes == 96
    with pytest.raises(InputError, match="accelerator array-8x8-16b: `engine` must be lanes"):
        lanes_of(load_accelerator("array-8x8-16b"))
