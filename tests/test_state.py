from __future__ import annotations

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.ir import Add, Graph, Input, Requantise, TemporalConv, TemporalSum, Weights
from fxp.qformat import Cast, QFormat
from fxp.simulate import Plan, compile_graph, initial_state, restore, run, snapshot

FMT = QFormat(8, 0)


def plan() -> Plan:
    """A sum over 3 frames, 2 apart, of 2 channels and 3 joints; then 4 taps, 2 of them ahead."""
    weight = Weights(np.random.default_rng(0).integers(-3, 4, (2, 2, 4)), 3, (0,))
    return compile_graph(
        Graph(
            "net",
            (
                Input("x", 2, 3, FMT),
                TemporalSum("sum", "x", window=3, dilation=2),
                Requantise("sum.q", "sum", Cast(FMT)),
                TemporalConv("conv", "sum.q", weight, np.array([1, 2]), 1, lookahead=2),
                Add("add", "x", "conv"),
            ),
            ("add",),
        )
    )


def clip(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).integers(-128, 128, (frames, 2, 3))


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 7, 20])
def test_snapshot_holds_what_the_definition_says(frames: int) -> None:
    net, words = plan(), clip(frames)
    taps = ["sum", "sum.q"]
    values, state = run(net, words, taps=taps, more=True)
    arrays = snapshot(net, state)
    assert all(array.dtype == np.int64 for array in arrays.values())
    assert arrays["frames"] == frames
    assert arrays["finished"] == 0
    assert arrays["sum.position"] == frames % 6
    assert arrays["sum.fifo"].shape == (6, 2, 3)
    assert arrays["sum.accumulator"].shape == (2, 2, 3)
    assert arrays["conv.history"].shape == (4, 2, 3)
    assert arrays["add.delay_a"].shape == (2, 2, 3)
    assert "add.delay_b" not in arrays
    for t in range(max(0, frames - 6), frames):
        assert np.array_equal(arrays["sum.fifo"][t % 6], words[t])
    for t in range(max(0, frames - 2), frames):
        assert np.array_equal(arrays["sum.accumulator"][t % 2], values["sum"][t])
        assert np.array_equal(arrays["add.delay_a"][t % 2], words[t])
    for t in range(max(0, frames - 4), frames):
        assert np.array_equal(arrays["conv.history"][t % 4], values["sum.q"][t])
    if frames < 6:
        assert not arrays["sum.fifo"][frames:].any()


def test_an_initial_state_is_all_zero() -> None:
    net = plan()
    run(net, clip(9))
    arrays = snapshot(net, initial_state(net))
    assert len(arrays) == 7
    assert not any(array.any() for array in arrays.values())


def test_a_snapshot_is_a_copy_and_restores_the_state_in_mid_clip() -> None:
    net, words = plan(), clip(20)
    _, state = run(net, words[:7], more=True)
    arrays = snapshot(net, state)
    kept = {name: array.copy() for name, array in arrays.items()}
    expected, _ = run(net, words[7:], state)
    assert all(np.array_equal(arrays[name], kept[name]) for name in kept)
    found, end = run(net, words[7:], restore(net, arrays))
    assert np.array_equal(found["add"], expected["add"])
    assert snapshot(net, end)["finished"] == 1
    assert restore(net, snapshot(net, end)).finished


def test_a_snapshot_of_another_network_is_refused() -> None:
    net = plan()
    arrays = snapshot(net, initial_state(net))
    del arrays["sum.fifo"]
    with pytest.raises(InputError, match=r"^snapshot: array `sum\.fifo` is missing$"):
        restore(net, arrays)
    arrays["sum.fifo"] = np.zeros((5, 2, 3), np.int64)
    with pytest.raises(InputError, match=r"`sum\.fifo` must have shape \(6, 2, 3\), got \(5, 2, 3"):
        restore(net, arrays)
