from __future__ import annotations

import pytest

from fxp import ir
from tests.equality import Proof, prove

KINDS = {kind.__name__ for kind in ir.Node.__args__} - {"Input"}


def _check(proof: Proof, words: int) -> None:
    assert proof.differing.total() == 0, proof.first
    assert proof.words.total() >= words
    assert {kind for kind, count in proof.words.items() if count} == KINDS


def test_simulator_equals_oracle_on_random_graphs() -> None:
    _check(prove(words=500_000, seed=1), words=500_000)


@pytest.mark.slow
def test_simulator_equals_oracle_on_ten_million_words() -> None:
    proof = prove(words=10_000_000, seed=2)
    print(f"{proof.words.total():,} words of {proof.graphs:,} graphs, 0 differ")
    _check(proof, words=10_000_000)
