"""The Fisher proxy against the second-order divergence where that is known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fxp.calibrate import Formats, calibrate
from fxp.lower import lower
from fxp.ptq.reference import real_values
from fxp.ptq.search import moved
from fxp.spec import QuantSpec
from stgcn_ref.qat.fisher import fisher_losses
from tests.qat_toys import learnt, toy

CLIPS = [clip.x.astype(np.int64) for clip in toy(3, (400, 300, 350)).clips]
WIDE = QuantSpec(weight_bits=12, activation_bits=12, stream_bits=14)


def wide() -> Formats:
    return calibrate(learnt(), WIDE)


def shares(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def narrowed(formats: Formats, name: str, bits: int) -> Formats:
    """The same range of one cast in fewer bits."""
    own = formats.casts[name]
    to = replace(own.to, word_bits=own.to.word_bits - bits, frac_bits=own.to.frac_bits - bits)
    return replace(formats, casts={**formats.casts, name: replace(own, to=to)})


def test_of_the_logits() -> None:
    """Here F is diag(p) - p p^T: its diagonal times the squared errors, over 2."""
    base = wide()
    other = narrowed(base, "logits", 9)
    (found,) = fisher_losses(learnt(), base, [other], CLIPS)
    values = [
        [frames["logits"][:, :, 0] for frames in real_values(lower(learnt(), f), CLIPS, ["logits"])]
        for f in (base, other)
    ]
    expected = sum(
        (shares(a) * (1 - shares(a)) * (b - a) ** 2).sum() for a, b in zip(*values, strict=True)
    )
    assert found == pytest.approx(expected / 2 / sum(map(len, CLIPS)), rel=0.25)
    assert found > 0


def test_of_the_classifier() -> None:
    """Here the gradient of a weight is the share's residue times the operand."""
    base = wide()
    other = moved(base, "classifier.weight", -7)
    (found,) = fisher_losses(learnt(), base, [other], CLIPS)
    graphs = [lower(learnt(), formats) for formats in (base, other)]
    weights = [
        np.ldexp(node.weight.raw.astype(float), -node.weight.frac_bits[0])
        for graph in graphs
        for node in graph.nodes
        if node.name == "classifier"
    ]
    error = weights[1] - weights[0]  # (K, C)
    total = 0.0
    for values in real_values(graphs[0], CLIPS, ["pool.q", "logits"]):
        p = shares(values["logits"][:, :, 0])
        total += float(((p * (1 - p)).T @ values["pool.q"][:, :, 0] ** 2 * error**2).sum())
    # few clips, and sums over one are drawn as a whole: seeds differ much
    mean = np.mean([fisher_losses(learnt(), base, [other], CLIPS, s)[0] for s in range(24)])
    assert mean == pytest.approx(total / 2 / sum(map(len, CLIPS)), rel=0.4)
    assert found > 0


def test_formats_alike_lose_nothing_and_seeds_decide() -> None:
    base = wide()
    other = narrowed(base, "block0.conv.q", 6)
    found = fisher_losses(learnt(), base, [base, other], CLIPS[:1], seed=1)
    assert found[0] == 0 < found[1]
    assert found == fisher_losses(learnt(), base, [base, other], CLIPS[:1], seed=1)
    assert found != fisher_losses(learnt(), base, [base, other], CLIPS[:1], seed=2)


def test_coarser_words_lose_more() -> None:
    base = wide()
    for name in ("block0.conv.q", "block0.add.q", "pool.q"):
        others = [narrowed(base, name, bits) for bits in (2, 4, 6)]
        found = fisher_losses(learnt(), base, others, CLIPS[:1])
        assert found == sorted(found) and found[0] < found[2]
