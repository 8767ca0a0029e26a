"""What a training's loss is: the classes of the float network, of its last stage or of all."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from fxp.calibrate import calibrate
from fxp.floatnet import FloatNet
from fxp.ir import Requantise
from fxp.lower import lower
from fxp.spec import QuantSpec
from stgcn_ref.export import export
from stgcn_ref.loss import mass, segment_loss
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.qat.interpreter import evaluate
from stgcn_ref.qat.lesson import (
    Learner,
    Lesson,
    batch_loss,
    divergence,
    lesson_of,
    stage_logits,
)
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.train import train_quantised
from stgcn_ref.segments import IGNORE, Batch
from tests.networks import random_model, small_msgcn
from tests.qat_toys import RECIPE, learnt, toy

TRAIN, VALID = toy(1), toy(2)
QUANT = QuantSpec(weight_bits=4, activation_bits=5)


def changed(**over: object) -> QatRecipe:
    return QatRecipe.model_validate(RECIPE.model_dump() | over)


@cache
def stages() -> FloatNet:
    """Random, of two refinements."""
    arch = small_msgcn(classes=3)
    return export(random_model(arch), arch, TRAIN.clips)


def learner() -> Learner:
    net = stages()
    graph = lower(net, calibrate(net, QUANT))
    masters = {key: torch.from_numpy(value.copy()) for key, value in net.params.items()}
    return Learner(graph, {key: value.requires_grad_() for key, value in masters.items()}, {})


def a_batch() -> Batch:
    rng = np.random.default_rng(0)
    x = np.stack([clip.x[:40].transpose(0, 2, 1) for clip in TRAIN.clips[:2]]).astype(np.float32)
    target = rng.integers(0, 3, (2, 40))
    target[0, :7] = IGNORE
    return Batch(x, target, np.array([40, 40]))


def lesson(recipe: QatRecipe) -> Lesson:
    return lesson_of(stages(), TRAIN, VALID, recipe)


def loss_of(recipe: QatRecipe) -> float:
    batch = a_batch()
    over = mass([torch.from_numpy(batch.target)], None)
    return batch_loss(lesson(recipe), learner(), batch, over, 73).item()


def test_stages_by_the_values_that_softmaxes_read() -> None:
    graph = learner().graph
    names = stage_logits(graph)
    assert names == ["classifier.q", "stage1.classifier.q", "logits"]
    assert stage_logits(lower(learnt(), calibrate(learnt(), QUANT))) == ["logits"]
    read = [node.x for node in graph.nodes if isinstance(node, Requantise) and node.name in names]
    assert read == ["classifier", "stage1.classifier", "stage2.classifier"]


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("distillation", [0.0, 0.5, 1.0])
def test_the_loss_is_the_weighted_sum_of_the_stages(weight: float, distillation: float) -> None:
    recipe = changed(earlier_stages=weight, distillation=distillation)
    batch, teaching, taught_by = a_batch(), lesson(recipe), learner()
    x, target = torch.from_numpy(batch.x), torch.from_numpy(batch.target)
    teacher = teaching.teacher
    assert isinstance(teacher, MSGCN)
    with torch.no_grad():
        wanted = teacher(x.permute(0, 3, 1, 2), all_stages=True)
        values = evaluate(taught_by.graph, x, taught_by.masters)
    expected, over = 0.0, mass([target], None)
    for scale, name, logits in zip(
        (weight, weight, 1), stage_logits(taught_by.graph), wanted, strict=True
    ):
        own = values[name].x[:, :, 0].transpose(1, 2).float()
        apart = float(divergence(own, logits, target != IGNORE, recipe.temperature)) / 73
        labels = float(segment_loss(own, target, recipe, None, over))
        expected += scale * (distillation * apart + (1 - distillation) * labels)
    assert loss_of(recipe) == pytest.approx(expected, rel=1e-5)


def test_a_network_of_one_stage_has_no_earlier_ones() -> None:
    floats = learnt()
    formats = calibrate(floats, QUANT)
    found = [
        train_quantised(floats, formats, TRAIN, VALID, changed(epochs=1, earlier_stages=w), 0)
        for w in (0.0, 1.0)
    ]
    assert found[0].history == found[1].history


def test_stages_are_trained_together() -> None:
    """With a weight the first stage comes nearer to its own classes."""
    net = stages()
    formats = calibrate(net, QUANT)
    x = torch.from_numpy(np.stack([VALID.clips[0].x.transpose(0, 2, 1)])).float()
    teacher = lesson(changed()).teacher
    assert isinstance(teacher, MSGCN)
    with torch.no_grad():
        wanted = teacher(x.permute(0, 3, 1, 2), all_stages=True)[0]
    apart = []
    for weight in (0.0, 1.0):
        recipe = changed(epochs=6, lr=0.02, ema=0.5, select_from=1, earlier_stages=weight)
        done = train_quantised(net, formats, TRAIN, VALID, recipe, 0)
        first = evaluate(done.kept(), x)["classifier.q"].x[:, :, 0].transpose(1, 2).float()
        apart.append(float(divergence(first, wanted, torch.ones(1, x.shape[1]), 1.0)))
    assert apart[1] < 0.8 * apart[0]
