"""The label judge: steps and segments that an integer network gives otherwise than in float."""

from __future__ import annotations

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.ptq.quantise import quantise
from fxp.spec import QuantSpec
from stgcn_ref.judge import label_judge, label_loss, others
from stgcn_ref.qat.teacher import taught
from stgcn_ref.scoring import predict_integers
from tests.qat_toys import COARSE, learnt, toy


def test_equal_labels_lose_nothing() -> None:
    labels = [np.array([0, 0, 1, 1]), np.array([2, 2])]
    assert label_loss(labels, labels) == 0


def test_a_flicker_costs_its_step_and_its_segments() -> None:
    wanted = np.zeros(10, np.int64)
    found = wanted.copy()
    found[2] = 1
    # 9 of 10 steps agree; three segments found, one of them right: F1 = 2 / (2 + 2)
    assert label_loss([found], [wanted]) == pytest.approx(10 + 50)
    found[2], found[9] = 0, 1  # at the end: two segments found, one right: F1 = 2 / (2 + 1)
    assert label_loss([found], [wanted]) == pytest.approx(10 + 100 / 3)


def test_labels_of_other_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="3 predictions for 4 labels"):
        label_loss([np.zeros(3, np.int64)], [np.zeros(4, np.int64)])


def test_the_judge_compares_with_the_float_network() -> None:
    net, ds = learnt(), toy(2)
    judge = label_judge(net, 16, ds.clips)
    floats = [logits.argmax(axis=1) for logits in taught(net, [clip.x for clip in ds.clips])]
    for quant in (COARSE, QuantSpec(weight_bits=16, activation_bits=16)):
        graph = quantise(net, quant)
        assert judge(graph) == label_loss(predict_integers(graph, ds), floats)
    assert judge(quantise(net, COARSE)) > 0


def test_others_are_those_not_seen_or_all() -> None:
    clips = toy(1).clips
    assert others(clips, clips[:1]) == clips[1:]
    assert others(clips, ()) == clips
    assert others(clips, clips) == clips
