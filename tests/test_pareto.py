"""The front against its definition, by brute force over every pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.pareto import Direction, non_dominated
from fxp.errors import InputError


def dominates(a: Sequence[float], b: Sequence[float], directions: Sequence[Direction]) -> bool:
    """The definition, objective by objective."""
    if any(math.isnan(x) for x in (*a, *b)):
        return False
    better = [x < y if d == "min" else x > y for x, y, d in zip(a, b, directions, strict=True)]
    worse = [x > y if d == "min" else x < y for x, y, d in zip(a, b, directions, strict=True)]
    return any(better) and not any(worse)


def brute_force(points: list[list[float]], directions: Sequence[Direction]) -> list[bool]:
    return [
        not any(math.isnan(x) for x in point)
        and not any(dominates(other, point, directions) for other in points)
        for point in points
    ]


def front(points: list[list[float]], directions: Sequence[Direction]) -> list[bool]:
    values = np.array(points, dtype=np.float64).reshape(len(points), len(directions))
    return [bool(x) for x in non_dominated(values, directions)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[float]], list[Direction]]:
    """Few distinct values, so that ties, duplicates, NaN and infinities meet often."""
    width = draw(st.integers(1, 4))
    some = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, -1.5, math.inf, -math.inf, math.nan])
    value = some | st.floats(allow_nan=False, width=32)
    rows = st.lists(st.lists(value, min_size=width, max_size=width), max_size=24)
    directions: list[Direction] = draw(
        st.lists(st.sampled_from(["min", "max"]), min_size=width, max_size=width)
    )
    return draw(rows), directions


@given(tables())
def test_equals_brute_force(table: tuple[list[list[float]], list[Direction]]) -> None:
    points, directions = table
    assert front(points, directions) == brute_force(points, directions)


def test_every_small_table_exhaustively() -> None:
    cells = [0.0, 1.0, math.nan]
    rows = [list(row) for row in itertools.product(cells, repeat=2)]
    for points in itertools.product(rows, repeat=3):
        table = [list(point) for point in points]
        for directions in (["min", "min"], ["max", "min"]):
            assert front(table, directions) == brute_force(table, directions)  # type: ignore[arg-type]


@given(tables(), st.randoms(use_true_random=False))
def test_order_of_the_points_does_not_matter(
    table: tuple[list[list[float]], list[Direction]], random: object
) -> None:
    points, directions = table
    order = list(range(len(points)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = front([points[i] for i in order], directions)
    straight = front(points, directions)
    assert shuffled == [straight[i] for i in order]


def test_duplicates_of_a_front_point_all_stay() -> None:
    assert front([[1, 5], [1, 5], [0, 5], [2, 5]], ["max", "min"]) == [False, False, False, True]
    assert front([[1, 5], [1, 5], [0, 9]], ["max", "min"]) == [True, True, False]


def test_nan_is_never_on_the_front_and_dominates_nothing() -> None:
    assert front([[math.nan, 0.0], [1.0, 1.0]], ["min", "min"]) == [False, True]
    assert front([[math.nan, 0.0]], ["min", "min"]) == [False]


def test_one_objective_and_no_points() -> None:
    assert front([[3], [1], [1]], ["min"]) == [False, True, True]
    assert front([], ["min", "max"]) == []


def test_wrong_directions_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit 1 directions"):
        non_dominated(np.zeros((2, 2)), ["min"])
    with pytest.raises(InputError, match="direction must be min or max, got 'up'"):
        non_dominated(np.zeros((2, 1)), ["up"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="do not fit"):
        non_dominated(np.zeros((2, 0)), [])
