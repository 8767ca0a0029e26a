from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings

from fxp import trace
from fxp.ir import Graph, IntArray, TemporalSum
from fxp.memories import Ground, frame_words, ground_of, settings_for
from fxp.trace import Piece, defined, ring_words, simulated
from tests.golden.networks import CASES, make
from tests.strategies import graphs_with_clips


def joined(pieces: Iterator[Piece]) -> tuple[dict[str, IntArray], dict[str, IntArray]]:
    """All frames and all snapshots; every frame must come once, in order."""
    values: dict[str, list[IntArray]] = {}
    states: dict[str, IntArray] = {}
    for piece in pieces:
        for name, frames in piece.values.items():
            assert piece.first[name] == sum(len(part) for part in values.setdefault(name, []))
            values[name].append(frames)
        assert not states.keys() & piece.states.keys()
        states.update(piece.states)
    return {name: np.concatenate(parts) for name, parts in values.items()}, states


def grounded(graph: Graph, frames: int) -> Ground:
    return ground_of(graph, settings_for(graph, frames, snapshots=range(frames)))


@settings(deadline=None, max_examples=25)
@given(graphs_with_clips())
def test_simulator_and_definition_agree_on_values_and_state(case: tuple[Graph, IntArray]) -> None:
    graph, clip = case
    ground = grounded(graph, len(clip))
    values, states = joined(simulated(ground, clip))
    expected_values, expected_states = joined(defined(ground, clip))
    assert values.keys() == expected_values.keys() == {node.name for node in graph.nodes}
    for name, frames in expected_values.items():
        assert np.array_equal(values[name], frames), name
    assert states.keys() == expected_states.keys()
    for file, ring in expected_states.items():
        assert np.array_equal(states[file], ring), file


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@pytest.mark.parametrize("name", ["dilated", "ragged"])
def test_pieces_of_any_size_are_the_same(
    name: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, clip = make(CASES[name])
    ground = grounded(graph, len(clip))
    whole = joined(simulated(ground, clip))
    monkeypatch.setattr(trace, "PIECE_WORDS", frames * frame_words(ground) + 1)
    pieces = joined(simulated(ground, clip))
    for a, b in zip(whole, pieces, strict=True):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[key], b[key]) for key in a)


def test_snapshots_continue_the_running_sum() -> None:
    """From any snapshot on, `acc[phase] += x - fifo[slot]` gives what the network gave."""
    graph, clip = make(CASES["dilated"])
    node = next(node for node in graph.nodes if isinstance(node, TemporalSum))
    values, states = joined(simulated(grounded(graph, len(clip)), clip))
    x, y, depth = values[node.x], values[node.name], node.window * node.dilation
    for start in range(len(clip)):
        fifo = states[f"state/{node.name}.fifo.t{start}.hex"].copy()
        total = states[f"state/{node.name}.accumulator.t{start}.hex"].copy()
        assert (fifo.shape[0], total.shape[0]) == (depth, node.dilation)
        for t in range(start + 1, len(clip)):
            total[t % node.dilation] += x[t] - fifo[t % depth]
            fifo[t % depth] = x[t]
            assert np.array_equal(total[t % node.dilation], y[t])


def test_ring_words() -> None:
    frames = np.arange(1, 8).reshape(7, 1, 1)
    assert ring_words(frames, 0, 3).ravel().tolist() == [0, 0, 0]
    assert ring_words(frames, 2, 3).ravel().tolist() == [1, 2, 0]
    assert ring_words(frames, 3, 3).ravel().tolist() == [1, 2, 3]
    assert ring_words(frames, 5, 3).ravel().tolist() == [4, 5, 3]
    assert ring_words(frames, 7, 1).ravel().tolist() == [7]
