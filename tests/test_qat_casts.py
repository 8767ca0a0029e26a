"""Straight-through casts: every word that of `fxp.cast`, gradients where they are said to be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fxp.cast import quantise, requantise
from fxp.qformat import Cast, Overflow, QFormat, Rounding
from stgcn_ref.qat.casts import cast, constant
from stgcn_ref.qat.words import FLOAT32_BITS, FLOAT64_BITS

MODES = list(itertools.product(Rounding, Overflow))


def found_words(
    raws: list[int], frac_bits: int, to: Cast, relu: bool, dtype: torch.dtype
) -> object:
    x = torch.tensor(raws, dtype=dtype) * 2.0**-frac_bits
    return (cast(x, to, relu).double() * 2.0**to.to.frac_bits).long().tolist()


@pytest.mark.parametrize(("rounding", "overflow"), MODES)
def test_every_small_word(rounding: Rounding, overflow: Overflow) -> None:
    raws = list(range(-80, 81))
    for bits, shift, signed, relu in itertools.product(
        (1, 3, 5), (-2, 0, 1, 2, 4), (True, False), (True, False)
    ):
        to = Cast(QFormat(bits, 7 - shift, signed), rounding, overflow)
        expected = [requantise(raw, 7, to, relu) for raw in raws]
        for dtype in (torch.float32, torch.float64):
            assert found_words(raws, 7, to, relu, dtype) == expected


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize(
    ("dtype", "bits"), [(torch.float32, FLOAT32_BITS), (torch.float64, FLOAT64_BITS)]
)
def test_ties_at_the_limits_of_a_mantissa(
    rounding: Rounding, dtype: torch.dtype, bits: int
) -> None:
    most = 1 << bits
    near = sorted({most >> k for k in range(4)} | {1 << k for k in range(bits)})
    raws = [sign * (raw + off) for raw in near for off in (-1, 0) for sign in (-1, 1)]
    for shift in (*range(5), *range(bits - 4, bits + 5), 38):
        to = Cast(QFormat(16, -shift), rounding)
        expected = [requantise(raw, 0, to) for raw in raws]
        assert found_words(raws, 0, to, False, dtype) == expected


@given(
    st.lists(st.floats(-1e6, 1e6, width=64), min_size=1, max_size=9),
    st.integers(1, 24),
    st.integers(-9, 40),
)
def test_constants_are_those_of_lowering(x: list[float], bits: int, frac_bits: int) -> None:
    expected = quantise(np.array(x), Cast(QFormat(bits, frac_bits)))
    found = constant(torch.tensor(x, dtype=torch.float64), (frac_bits,), bits)
    assert (found * 2.0**frac_bits).tolist() == expected.tolist()


def test_the_largest_number_below_a_half_is_rounded_down() -> None:
    x = torch.tensor([0.49999999999999994, 0.5, -0.5, -0.49999999999999994], dtype=torch.float64)
    assert constant(x, (0,), 4).tolist() == [0, 1, 0, 0]


def test_channels_of_a_constant_have_their_own_grids() -> None:
    x = torch.tensor([[0.3, 0.7], [0.3, 0.7]], dtype=torch.float64)
    assert constant(x, (0, 2), 8).tolist() == [[0, 1], [0.25, 0.75]]


@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.RND_CONV])
def test_what_a_cast_moved_to_its_ends_gets_no_gradient(rounding: Rounding) -> None:
    to = Cast(QFormat(4, 1), rounding)  # -4 .. 3.5 in halves
    x = torch.tensor([-9.0, -4.2, -1.0, -0.1, 0.0, 0.1, 3.7, 3.8, 9.0], requires_grad=True)
    for relu, expected in ((False, [0, 1, 1, 1, 1, 1, 1, 0, 0]), (True, [0] * 5 + [1, 1, 0, 0])):
        x.grad = None
        cast(x, to, relu).sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None and x.grad.tolist() == expected


def test_a_saturated_constant_gets_no_gradient() -> None:
    x = torch.tensor([-9.0, -8.0, 0.3, 7.4, 7.5], dtype=torch.float64, requires_grad=True)
    constant(x, (0,), 4).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and x.grad.tolist() == [0, 1, 1, 1, 0]
    x.grad = None
    constant(x, (0,), None).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and x.grad.tolist() == [1] * 5
