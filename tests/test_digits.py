"""Words cut into digits: their sum of products is the product, turn by turn."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.spec import QuantSpec
from hw_model.blueprint import blueprint
from hw_model.digits import Digits, Plan, Split, digits_of
from hw_model.ledger import published_arch
from hw_model.loops import loop_nest

LOOPS = loop_nest(blueprint(published_arch("rtstgcn", 9), QuantSpec()))


def horner(plan: Plan, step: int, weight: int, operand: int, bias: int) -> int:
    """What the accumulator of a lane holds after the last turn."""
    level = plan.levels - 1
    split = Split(64, plan.levels, step)
    words = np.array([bias])
    total = int(split.digit(words, level)[0])
    for turn in plan.turns:
        x = int(plan.operand.digit(np.array(operand), turn.operand))
        if turn.weight is not None:
            total += x * int(plan.weight.digit(np.array(weight), turn.weight))
        if turn.ends_level:
            level -= 1
            total = (total << step) | int(split.digit(words, level)[0])
    return total


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_digits_of_every_word_of_eight_bits(count: int, step: int) -> None:
    """Their sum is the word, and each fits the digits' own width."""
    split = Split(8, count, step)
    words = np.arange(-128, 128)
    digits = [split.digit(words, at) for at in range(count)]
    again = sum(digit << (at * step) for at, digit in enumerate(digits))
    assert np.array_equal(again, words)
    most = 1 << (split.digit_bits - 1)
    assert all(-most <= digit.min() and digit.max() < most for digit in digits)


@pytest.mark.parametrize(
    "digits",
    [
        Digits(8, 8),
        Digits(3, 8, 2, 0),
        Digits(8, 3, 2, 2),
        Digits(3, 3, 2, 2),
        Digits(3, 5, 2, 4),
        Digits(2, 5, 1, 4),  # levels without a product between
    ],
)
def test_every_product_of_six_and_seven_bits(digits: Digits) -> None:
    """The bias of -77 is not divided by anything that the sum moves up by."""
    plan = digits.plan(6, 7)
    step = digits.weight_step
    for weight, operand in itertools.product((-32, -31, -1, 0, 1, 13, 31), range(-64, 64)):
        assert horner(plan, step, weight, operand, -77) == weight * operand - 77


@given(
    weight_bits=st.integers(2, 16),
    operand_bits=st.integers(2, 16),
    wide=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    drawn=st.tuples(st.integers(), st.integers(), st.integers(-(2**30), 2**30)),
)
def test_a_networks_digits_make_the_product(
    weight_bits: int, operand_bits: int, wide: tuple[int, int], drawn: tuple[int, int, int]
) -> None:
    """No digit is wider than the multiplier, whatever widths a network has."""
    loops = []
    for loop in LOOPS:
        if loop.kind in ("conv", "graph_product"):
            loop = replace(loop, weight_bits=weight_bits, signed_bits=operand_bits)
        elif loop.kind in ("affine", "joint_mean"):
            loop = replace(loop, weight_bits=wide[0], signed_bits=wide[1])
        loops.append(loop)
    digits = digits_of(loops)
    plan = digits.plan(*wide)
    assert plan.weight.digit_bits <= max(weight_bits, 2)
    assert plan.operand.digit_bits <= max(operand_bits, 2)
    weight, operand = (
        (word & ((1 << bits) - 1)) - (word & (1 << (bits - 1))) * 2
        for word, bits in zip(drawn, wide, strict=False)
    )
    expected = weight * operand + drawn[2]
    assert horner(plan, digits.weight_step, weight, operand, drawn[2]) == expected


def test_a_network_of_narrow_words() -> None:
    """An input norm of 12 x 16 bits on multipliers of 4 x 8: 4 digits of 3 bits, 3 of 6."""
    quant = QuantSpec(weight_bits=4, activation_bits=8)
    loops = loop_nest(blueprint(published_arch("rtstgcn", 9), quant))
    digits = digits_of(loops)
    assert digits == Digits(4, 8, 3, 6)
    turns = {loop.name: digits.turns(loop) for loop in loops if digits.turns(loop) > 1}
    assert turns == {"input_norm": 12, "pool": 4}


def test_nothing_is_cut_where_multipliers_are_wide() -> None:
    """A network whose convolutions have 16 bits multiplies everything at once."""
    quant = QuantSpec(weight_bits=16, activation_bits=16)
    loops = loop_nest(blueprint(published_arch("rtstgcn", 9), quant))
    digits = digits_of(loops)
    assert digits == Digits(16, 16)
    assert {digits.turns(loop) for loop in loops} == {1}
