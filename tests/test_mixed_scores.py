"""What mixed widths save by scores that nothing was chosen by: worked by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from dse.mixed.bench import Trial
from dse.mixed.choose import Choice
from dse.mixed.command import _spread
from dse.mixed.scores import COMPARED, savings_on


def trial(key: str, cost: float) -> Trial:
    return Trial(key, "made", {}, cost, 0.0, 0.0, {})


def choice(uniform: dict[str, float], mixed: dict[str, float]) -> Choice:
    fronts = {
        "uniform_front": [trial(key, cost) for key, cost in uniform.items()],
        "mixed_front": [trial(key, cost) for key, cost in mixed.items()],
    }
    return cast(Choice, SimpleNamespace(**fronts))


def scores(divergence: float, agreement: float, accuracy: float, f1_50: float) -> dict[str, Any]:
    return dict(zip(COMPARED, (divergence, agreement, accuracy, f1_50), strict=True))


def test_the_cheapest_design_that_is_no_worse_counts_for_each_measure_alone() -> None:
    made = choice({"u8": 1.0, "u4": 0.5}, {"m": 0.4, "n": 0.8, "u8": 1.0})
    scored = {
        "u8": scores(0.001, 99.0, 88.0, 90.0),
        "u4": scores(0.004, 98.0, 87.0, 85.0),
        "m": scores(0.005, 98.0, 86.0, 91.0),
        "n": scores(0.001, 99.5, 87.5, 80.0),
    }
    found = savings_on(made, scored)
    assert {name: [round(percent, 9) for percent in each] for name, each in found.items()} == {
        "divergence": [20.0, 0.0],  # n ties with u8; m diverges more than u4
        "agreement": [20.0, 20.0],  # m ties with u4
        "frame accuracy": [0.0, 0.0],
        "F1@50": [60.0, 20.0],
    }


def test_a_line_of_percents() -> None:
    assert _spread([10.0, 25.0, 40.0]) == (
        "10.0 to 40.0 % less cost than uniform widths, median 25.0 %, 2 of 3 by 25 % or more"
    )
    assert _spread([]) == "no uniform design to compare with"
