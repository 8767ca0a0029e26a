"""The published counts, and the reconstruction behind them, digit by digit."""

import pytest

from fxp.spec import ArchSpec, QuantSpec
from hw_model.blueprint import blueprint
from hw_model.ledger import (
    CONVENTIONS,
    Figure,
    co_macs,
    co_words,
    fifo_words,
    parameters,
    published_arch,
    published_figures,
    rt_macs,
    rt_words,
)
from hw_model.loops import Loop, loop_nest

SHORT, LONG = 9, 69


def loops_of(arch: ArchSpec) -> tuple[Loop, ...]:
    return loop_nest(blueprint(arch, QuantSpec()))


RT9, RT69 = (loops_of(published_arch("rtstgcn", window)) for window in (SHORT, LONG))
CO9, CO69 = (loops_of(published_arch("costgcn", window)) for window in (SHORT, LONG))


def test_every_figure_agrees_and_states_its_convention() -> None:
    figures = published_figures()
    assert len(figures) == 17
    for figure in figures:
        assert figure.agrees, figure
        assert figure.convention in CONVENTIONS
    assert {figure.convention for figure in figures} == set(CONVENTIONS)


def test_multiplications_alone() -> None:
    total = 19_843_712
    assert sum(loop.macs_dense for loop in RT9) == sum(loop.macs_dense for loop in RT69) == total
    assert total == 16_281_600 + 2_520_000 + 1_024_000 + 4_800 + 13_312
    assert sum(loop.macs_dense for loop in CO9) == total + 58_060_800
    assert sum(loop.macs_dense for loop in CO69) == total + 58_060_800 // SHORT * LONG


def test_reconstructed_totals() -> None:
    assert rt_macs(RT9) == rt_macs(RT69) == 20_099_914
    assert (co_macs(CO9), co_macs(CO69)) == (78_583_114, 468_247_114)
    assert parameters(RT9, residual_bias=False) == 815_176
    assert (fifo_words(RT9), fifo_words(RT69)) == (379_200, 2_971_200)
    assert (fifo_words(CO9), fifo_words(CO69)) == (379_200, 2_971_200)
    assert (rt_words(RT9), rt_words(RT69)) == (1_328_776, 4_928_776)
    assert (co_words(CO9), co_words(CO69)) == (3_964_936, 24_631_816)


def test_edges() -> None:
    assert sum(loop.edges for loop in RT9) == 9 * 73
    assert all(loop.weights.words == 1875 for loop in RT9 if loop.kind == "graph_product")


@pytest.mark.parametrize("family", ["rtstgcn", "costgcn"])
def test_counts_do_not_depend_on_widths(family: str) -> None:
    arch = published_arch("rtstgcn" if family == "rtstgcn" else "costgcn", SHORT)
    narrow = loop_nest(blueprint(arch, QuantSpec(weight_bits=2, activation_bits=3)))
    assert parameters(narrow, True) == parameters(loops_of(arch), True)
    assert fifo_words(narrow) == fifo_words(loops_of(arch))


@pytest.mark.parametrize(
    ("ours", "printed", "agreement", "agrees"),
    [
        (19_843_712, "19,843,712", "exact", True),
        (19_843_711, "19,843,712", "exact", False),
        (20_501_000, "20.1 M", "2 %", True),
        (20_503_000, "20.1 M", "2 %", False),
        (1_328_776, "1.3 M", "digits", True),
        (1_351_000, "1.3 M", "digits", False),
        (4_499_000, "5 M", "digits", False),
        (4_929_000, "5 M", "digits", True),
    ],
)
def test_agreement(ours: int, printed: str, agreement: str, agrees: bool) -> None:
    assert Figure("n", "q", "c", ours, printed, agreement).agrees == agrees  # type: ignore[arg-type]
