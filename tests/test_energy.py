import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.accelerator import load_accelerator, preset_names
from hw_model.cost import estimate
from hw_model.energy import add_pj, multiply_pj, sram_pj_per_bit
from tests.accelerators import machine, memory, tiny_graph

HOROWITZ = load_accelerator("pynq-z2").energy
BITS = st.integers(1, 32)


def test_table_entries_come_back() -> None:
    assert multiply_pj(HOROWITZ, 8, 8) == pytest.approx(0.2)
    assert multiply_pj(HOROWITZ, 32, 32) == pytest.approx(3.1)
    assert add_pj(HOROWITZ, 8) == pytest.approx(0.03)
    assert add_pj(HOROWITZ, 32) == pytest.approx(0.1)
    for size_bytes, pj in ((8 * 1024, 10), (32 * 1024, 20), (1024 * 1024, 100)):
        assert sram_pj_per_bit(HOROWITZ, 8 * size_bytes) * 64 == pytest.approx(pj)


def test_between_and_beyond_the_entries() -> None:
    assert multiply_pj(HOROWITZ, 4, 8) == pytest.approx(0.1)  # half the one-bit products of 8 x 8
    assert multiply_pj(HOROWITZ, 2, 16) == multiply_pj(HOROWITZ, 4, 8)
    assert multiply_pj(HOROWITZ, 16, 16) == pytest.approx(0.2 + 2.9 * (256 - 64) / (1024 - 64))
    assert add_pj(HOROWITZ, 4) == pytest.approx(0.015)
    assert add_pj(HOROWITZ, 44) == pytest.approx(0.1 + 12 * 0.07 / 24)
    assert sram_pj_per_bit(HOROWITZ, 8) == pytest.approx(10 / 64)  # no smaller than the first entry
    # twice as large from 8 KB on: four times larger doubles, so twice is a factor of sqrt(2)
    assert sram_pj_per_bit(HOROWITZ, 8 * 16 * 1024) * 64 == pytest.approx(10 * 2**0.5)


@pytest.mark.parametrize("name", preset_names())
@given(BITS, BITS, BITS, st.integers(1, 10**9), st.integers(0, 10**9))
def test_monotone_and_never_nothing(
    name: str, a: int, b: int, c: int, size: int, more: int
) -> None:
    table = load_accelerator(name).energy
    low, high = sorted((b, c))
    assert 0 < multiply_pj(table, a, low) <= multiply_pj(table, a, high)
    assert multiply_pj(table, a, b) == multiply_pj(table, b, a)
    assert 0 < add_pj(table, low) <= add_pj(table, high)
    assert 0 < sram_pj_per_bit(table, size) <= sram_pj_per_bit(table, size + more) * (1 + 1e-12)


def test_tiny_graph_by_hand() -> None:
    """0.01 pJ per one-bit product and per adder bit, 1 pJ per bit of SRAM."""
    energy = estimate(tiny_graph(), machine(2)).energy
    # MACs of 4 x 8, 5 x 6 and 4 x 6 bits, two products of 5 x 6 in the mean
    assert energy.multiply_pj == pytest.approx(24 * 0.32 + 6 * 0.30 + 6 * 0.24 + 2 * 0.30)
    macs = 24 * 0.13 + 6 * 0.14 + 6 * 0.11
    casts = 12 * 0.13 + 6 * 0.14 + 6 * 0.12 + 6 * 0.09 + 2 * 0.12 + 3 * 0.11
    others = 12 * 0.09 + 6 * 0.12 + 6 * 0.09 + 6 * 0.12 + 3 * 0.10  # sum, norm, add, mean, argmax
    assert energy.add_pj == pytest.approx(macs + casts + others)
    assert energy.weights_pj == pytest.approx(252 + 36 + 72 + 57)
    assert energy.state_pj == pytest.approx(2 * (42 + 54))
    assert energy.activations_pj == pytest.approx(470 + 36)  # the mean reads its words twice
    assert energy.dram_pj == 0
    assert energy.total_pj == pytest.approx(11.52 + 12.21 + 417 + 192 + 506)


def test_an_access_switches_one_bank() -> None:
    """The price grows with a kind's own memory up to the bank."""
    table = machine().energy.model_dump() | {"sram_pj_per_bit": {1: 1.0, 10**6: 1000.0}}
    whole = estimate(tiny_graph(), machine(energy=table)).energy
    banks = estimate(tiny_graph(), machine(energy=table, memory=memory(bank_bits=8))).energy
    assert banks.weights_pj == pytest.approx(417)  # a bank of one byte: 1 pJ per bit
    assert whole.weights_pj == pytest.approx(417 * (206 / 8) ** 0.5)  # 1000 x larger, 1e6 x bytes
    assert whole.state_pj == pytest.approx(192 * ((252 + 108) / 8) ** 0.5)
