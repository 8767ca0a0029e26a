"""Frames that do not come one for one: strides, and means over the clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.ir import Add, ClipMean, Requantise
from fxp.oracle import evaluate
from fxp.qformat import Cast, QFormat
from fxp.simulate import compile_graph, finish, initial_state, restore, run, snapshot, step
from tests.test_simulate import WORD, ahead, clip, network


def test_behind_strides_a_step_gives_a_frame_now_and_then() -> None:
    """`a` has frames 0, 2, 4... of x, one frame late; `y` every third of these, two late."""
    half = replace(ahead("a", "x", 1), stride=2)
    graph = network(
        half,
        Requantise("a.q", "a", Cast(WORD)),
        replace(ahead("b", "a.q", 2), stride=3),
        replace(ahead("c", "x", 0), stride=6),
        Add("y", "b", "c"),
        outputs=("y", "a"),
    )
    plan = compile_graph(graph)
    for frames in (1, 2, 6, 7, 12, 13, 14, 20):
        words = clip(frames)
        expected = evaluate(graph, words)
        assert expected["a"].shape[0] == -(-frames // 2)
        assert expected["y"].shape[0] == -(-frames // 6)
        state = initial_state(plan)
        for t, frame in enumerate(words):
            values = step(plan, frame, state)
            assert ("a" in values) == (t % 2 == 1)  # frame u of `a` with frame 2u + 1
            assert ("y" in values) == (t >= 5 and t % 6 == 5)  # frame u with frame 6u + 1 + 2*2
            for name, value in values.items():
                period, late = (6, 5) if name == "y" else (2, 1)
                assert np.array_equal(value, expected[name][(t - late) // period])
        rest = finish(plan, state)
        assert np.array_equal(rest["a"], expected["a"][frames // 2 :])
        assert np.array_equal(rest["y"], expected["y"][frames // 6 :])


def test_a_clip_mean_comes_with_the_end_of_the_clip() -> None:
    nodes = (ahead("a", "x", 1), Requantise("a.q", "a", Cast(WORD)), ClipMean("m", "a.q", 3, 20))
    graph = network(*nodes, Requantise("y", "m", Cast(QFormat(8, 5))), outputs=("y", "a"))
    plan = compile_graph(graph)
    for frames in (1, 2, 3, 20):
        words = clip(frames)
        expected = evaluate(graph, words)
        results, state = run(plan, words)
        assert state.finished
        assert np.array_equal(results["y"], expected["y"])
        state = initial_state(plan)
        for frame in words:
            assert "y" not in step(plan, frame, state)
        arrays = snapshot(plan, state)
        assert np.array_equal(arrays["m.accumulator"][0], words[1:].sum(axis=0))
        rest = finish(plan, restore(plan, arrays))
        assert np.array_equal(rest["y"], expected["y"])
        assert np.array_equal(rest["a"], expected["a"][-1:])
    assert finish(plan, initial_state(plan))["y"].shape == (0, 2, 3)


def test_a_clip_too_long_for_its_mean_is_refused_and_the_state_left_alone() -> None:
    plan = compile_graph(network(ClipMean("y", "x", 3, 5)))
    _, state = run(plan, clip(3), more=True)
    for act in (lambda: run(plan, clip(3), state), lambda: run(plan, clip(6))):
        with pytest.raises(InputError, match=r"graph `net`: a clip has at most 5 frames .* got 6$"):
            act()
    assert state.frames == 3
    step(plan, clip(1)[0], state)
    step(plan, clip(1)[0], state)
    with pytest.raises(InputError, match="a clip has at most 5 frames"):
        step(plan, clip(1)[0], state)
    assert finish(plan, state)["y"].shape == (1, 2, 3)
