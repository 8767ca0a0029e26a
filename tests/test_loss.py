"""The loss is its definition, and the parts of a step add up to the loss of all its frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stgcn_ref.loss import class_weight, mass, segment_loss
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.segments import IGNORE
from tests.training import changed, toy


def test_loss_is_its_definition() -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 4, 9)
    target = torch.randint(0, 4, (2, 9))
    target[0, :3] = IGNORE
    target[1, 7:] = IGNORE
    recipe = TrainRecipe(smoothing=0.15, smoothing_limit=4.0)
    logp = torch.log_softmax(logits.double(), dim=1)
    cross, smooth = [], []
    for n in range(2):
        for t in range(9):
            if target[n, t] == IGNORE:
                continue
            cross.append(-logp[n, target[n, t], t])
            if t and target[n, t - 1] != IGNORE:
                change = (logp[n, :, t] - logp[n, :, t - 1]) ** 2
                smooth.append(torch.minimum(change, torch.tensor(4.0)).mean())
    expected = torch.stack(cross).mean() + 0.15 * torch.stack(smooth).mean()
    assert segment_loss(logits, target, recipe, None).item() == pytest.approx(expected.item())
    without = segment_loss(logits, target, changed(recipe, smoothing=0.0), None)
    assert without.item() == pytest.approx(torch.stack(cross).mean().item())


def test_smoothing_detaches_the_earlier_frame() -> None:
    logits = torch.randn(1, 3, 2, requires_grad=True)
    target = torch.zeros(1, 2, dtype=torch.int64)
    both = segment_loss(logits, target, TrainRecipe(smoothing=1.0), None)
    cross = segment_loss(logits, target, TrainRecipe(smoothing=0.0), None)
    (both - cross).backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 0].abs().max() < 1e-6 < logits.grad[0, :, 1].abs().max()


def test_class_weights_average_to_one() -> None:
    ds = toy(1)
    labels = np.concatenate([c.labels for c in ds.clips])
    assert class_weight(labels, 3, 0.0) is None
    weight = class_weight(labels, 3, 1.0)
    assert weight is not None
    counts = np.bincount(labels, minlength=3)
    share = weight.numpy() * counts
    np.testing.assert_allclose(share, share[0], rtol=1e-5)
    assert share.sum() == pytest.approx(counts.sum(), rel=1e-5)
    weights = class_weight(labels, 4, 0.5)
    assert weights is not None and weights[3] == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_of_a_step_add_up_to_the_whole(weighted: bool) -> None:
    torch.manual_seed(1)
    logits = (2 * torch.randn(5, 3, 11, dtype=torch.float64)).requires_grad_()
    target = torch.randint(0, 3, (5, 11))
    target[0, 4:], target[3, :7] = IGNORE, IGNORE
    weight = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64) if weighted else None
    recipe = TrainRecipe(smoothing=0.3, label_smoothing=0.1)
    whole = segment_loss(logits, target, recipe, weight)
    (gradient,) = torch.autograd.grad(whole, logits)
    parts = [slice(0, 2), slice(2, 3), slice(3, 5)]
    over = mass([target[part] for part in parts], weight)
    losses = [segment_loss(logits[part], target[part], recipe, weight, over) for part in parts]
    total = torch.stack(losses).sum()
    torch.testing.assert_close(total, whole)
    torch.testing.assert_close(torch.autograd.grad(total, logits)[0], gradient)
