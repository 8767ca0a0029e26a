"""The stress case of an argmax: winners, losers and ties of every channel, and what they show."""

import numpy as np
import pytest

from fxp.ir import Argmax, Conv, Input, IntArray, Weights
from fxp.oracle import evaluate
from fxp.qformat import QFormat
from fxp.stress import HIGHEST, LOWEST
from tests.test_stress import check_reached, network, only, values_of


def contests(joints: int = 1, channels: int = 5) -> tuple[IntArray, dict[str, IntArray]]:
    """Words of an argmax's clip `(T, C, V)`, and the labels `(V,)` of each purpose."""
    graph = network(Input("x", channels, joints, QFormat(4, 0)), Argmax("y", "x"))
    (case,) = only(graph, "y")
    labels = values_of(case)["y"][:, 0]
    assert np.array_equal(evaluate(case.graph, case.clip)["y"][:, 0], labels)
    return case.clip, {purpose: labels[at] for purpose, at in case.purposes.items()}


@pytest.mark.parametrize("joints", [1, 2, 5, 7])
def test_an_argmax_gets_winners_losers_and_ties_of_every_channel(joints: int) -> None:
    _, labels = contests(joints)
    for first in range(0, 5, joints):
        own = (first + np.arange(joints)) % 5
        after = (own + 1) % 5
        for purpose, wanted in (
            (f"channel {first} alone highest", own),
            (f"channel {first} an lsb above the next", own),
            (f"channel {first} an lsb below the next", after),
            (f"channel {first} alone lowest", own == 0),  # the first of the others
            (f"tie of channel {first} and the next", np.minimum(own, after)),
        ):
            assert np.array_equal(labels[purpose], wanted), purpose
    for purpose in ("all equal and highest", "all equal and lowest", "all operands lowest"):
        assert not labels[purpose].any(), purpose
    assert labels[HIGHEST].max() == 4 and labels[LOWEST].min() == 0


WRONG_ARGMAXES = {
    "the last of equals": lambda x: len(x) - 1 - x[::-1].argmax(axis=0),
    "without sign": lambda x: (x & 15).argmax(axis=0),
    "without the first": lambda x: 1 + x[1:].argmax(axis=0),
    "without the last": lambda x: x[:-1].argmax(axis=0),
    "without the last bit": lambda x: (x >> 1).argmax(axis=0),
    "from the word zero": lambda x: np.concatenate([np.maximum(x[:1], 0), x[1:]]).argmax(axis=0),
    "a bit too narrow": lambda x: (((x & 7) ^ 4) - 4).argmax(axis=0),
}


@pytest.mark.parametrize("name", WRONG_ARGMAXES)
@pytest.mark.parametrize("joints", [1, 3])
def test_a_wrong_argmax_shows(name: str, joints: int) -> None:
    clip, _ = contests(joints)
    right = clip.argmax(axis=1)
    assert any(
        not np.array_equal(WRONG_ARGMAXES[name](frame), wanted)
        for frame, wanted in zip(clip, right, strict=True)
    )


def test_channels_of_unequal_binary_points_tie_as_numbers() -> None:
    weight = Weights(np.array([[3, 0], [0, 5], [2, 2]]), 8, (0, 2, 1))
    conv = Conv("c", "x", weight, np.array([1, -2, 0]))
    graph = network(Input("x", 2, 2, QFormat(5, 0)), conv, Argmax("y", "c"))
    (case,) = only(graph, "y")
    values = values_of(case)
    numbers = values["c"] * np.array([4, 1, 2])[:, None]  # at two fractional bits
    for purpose in ("all equal and highest", "all equal and lowest"):
        frame = numbers[case.purposes[purpose]]
        assert (frame == frame[0, 0]).all() and not values["y"][case.purposes[purpose]].any()
    for first in (0, 2):  # and channel 1, of the second joint; the pairs have unequal points
        names = (f"tie of channel {first} and the next", f"channel {first} an lsb above the next")
        for purpose, lsbs in zip(names, ((0, 0), (4, 1) if first == 0 else (2, 4)), strict=True):
            frame = numbers[case.purposes[purpose]]
            for joint in range(2):
                own = (first + joint) % 3
                above = frame[own, joint] - frame[(own + 1) % 3, joint]
                assert above == lsbs[joint], (purpose, joint)
    assert check_reached(graph, oracle=True) == {}
