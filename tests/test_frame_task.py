"""Training of frame labels: context, losses of stages, and steps in several passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from stgcn_ref.evaluate import evaluate
from stgcn_ref.frame_task import FrameTask, context, frame_loss, frame_task
from stgcn_ref.loss import mass, segment_loss
from stgcn_ref.models.build import FrameNet, build
from stgcn_ref.models.msgcn import MSGCN
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.segments import IGNORE, Batch
from stgcn_ref.task import Pass
from stgcn_ref.train import train
from tests.families import settled
from tests.training import AHEAD, LAYER_NORM, RECIPE, changed, features, toy


def _net(name: str = "msgcn") -> FrameNet:
    x = torch.from_numpy(toy(1).clips[0].x.transpose(1, 0, 2).copy())[None].float()
    net = settled(lambda: build(AHEAD[name]), x)
    assert not isinstance(net, STGCN)
    return net  # type: ignore[return-value]


def _task(net: FrameNet, recipe: TrainRecipe) -> FrameTask:
    return frame_task(toy(1), toy(2), recipe, net.receptive_field, net.latency_frames)


@pytest.mark.parametrize(
    ("recipe", "sides"),
    [
        (TrainRecipe(), (60, 40)),
        (TrainRecipe(warmup_limit=50), (50, 40)),
        (TrainRecipe(warmup_limit=30), (30, 30)),
        (TrainRecipe(warmup=80), (80, 40)),
        (TrainRecipe(warmup=0), (0, 0)),
    ],
)
def test_context_is_what_the_network_reads_within_limits(
    recipe: TrainRecipe, sides: tuple[int, int]
) -> None:
    assert context(recipe, receptive_field=101, latency=40) == sides


@pytest.mark.parametrize("name", AHEAD)
def test_counted_frames_are_those_of_the_whole_clip(name: str) -> None:
    net = _net(name).double()
    task = _task(net, changed(RECIPE, segment=20, batch=3))
    whole = {}
    for x, clip in zip(features(toy(1)), toy(1).clips, strict=True):
        with torch.no_grad():
            logits = net(torch.from_numpy(x).double().permute(2, 0, 1)[None])[0]
        loss = nn.functional.cross_entropy(
            logits.T, torch.from_numpy(clip.labels), reduction="none"
        )
        whole[clip.name] = loss
    expected = torch.cat(list(whole.values())).sum().item()
    found = 0.0
    bare = changed(task.recipe, smoothing=0.0)
    for batch in _batches(task):
        over = mass([torch.from_numpy(batch.target)], None)
        doubled = Batch(batch.x.astype(np.float64), batch.target, batch.lengths)  # type: ignore[arg-type]
        with torch.no_grad():
            loss = frame_loss(net, doubled, bare, None, over)
            if isinstance(net, MSGCN):  # the last stage's share of all stages' sum
                x = torch.from_numpy(doubled.x).permute(0, 3, 1, 2)
                loss = loss - _first_stages(net, x, batch, bare)
        found += loss.item() * over.frames
    assert found == pytest.approx(expected, rel=1e-9)


def _first_stages(net: MSGCN, x: torch.Tensor, batch: Batch, recipe: TrainRecipe) -> torch.Tensor:
    from stgcn_ref.models.ending import ending

    with ending(net, torch.from_numpy(batch.lengths), x.shape[2]):
        stages = net(x, all_stages=True)
    target = torch.from_numpy(batch.target)
    return torch.stack([segment_loss(y, target, recipe, None) for y in stages[:-1]]).sum()


def _batches(task: FrameTask) -> list[Batch]:
    from stgcn_ref.recipe import Augmentation
    from stgcn_ref.segments import batches, cut, grouped

    rng = np.random.default_rng(4)
    frames, recipe = list(task.features), task.recipe
    segments = cut([len(x) for x in frames], recipe.segment, task.before, task.after, rng)
    groups = grouped(segments, recipe.batch, rng)
    still = (frames[0][0], frames[0][1])
    return list(batches(task.train_set.clips, frames, groups, Augmentation(), still, rng))


def test_every_stage_is_judged() -> None:
    net = _net("msgcn")
    assert isinstance(net, MSGCN)
    target = torch.from_numpy(np.tile(np.arange(30) % 3, (2, 1)))
    target[:, :5] = IGNORE
    x = np.random.default_rng(0).normal(2000, 500, (2, 30, 6, 6)).astype(np.float32)
    batch = Batch(x, target.numpy(), np.array([30, 30]))
    recipe = TrainRecipe(smoothing=0.4)
    stages = net(torch.from_numpy(x).permute(0, 3, 1, 2), all_stages=True)
    assert len(stages) == 2
    expected = sum(segment_loss(logits, target, recipe, None).item() for logits in stages)
    found = frame_loss(net, batch, recipe, None, mass([target], None)).item()
    assert found == pytest.approx(expected, rel=1e-6)


def _gradient(net: FrameNet, recipe: TrainRecipe) -> tuple[float, list[torch.Tensor]]:
    """Loss and gradient of the one step of an epoch; its number of passes is the recipe's."""
    plan = _task(net, recipe).epoch(np.random.default_rng(0))
    (step,) = plan.steps
    assert plan.count == 1
    net.zero_grad()
    total = 0.0
    for one in step:
        loss = _backward(one, net)
        total += loss
    return total, [p.grad.clone() for p in net.parameters() if p.grad is not None]


def _backward(one: Pass, net: FrameNet) -> float:
    loss = one(net)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


@pytest.mark.parametrize("balance", [0.0, 0.7])
@pytest.mark.parametrize("name", ["layer norm", "msgcn"])
def test_accumulated_passes_are_one_large_batch(name: str, balance: float) -> None:
    """With a LayerNorm in training mode; with BatchNorm once its statistics are fixed."""
    torch.manual_seed(0)
    net = build(LAYER_NORM).train() if name == "layer norm" else _net(name).eval()
    assert not isinstance(net, STGCN)
    recipe = changed(RECIPE, class_balance=balance, batch=100)
    whole, gradient = _gradient(net, recipe)
    for batch in (1, 3):
        parts, found = _gradient(net, changed(recipe, batch=batch, accumulate=100))
        assert parts == pytest.approx(whole, rel=1e-5)
        for one, other in zip(found, gradient, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()))


def test_steps_hold_as_many_passes_as_asked() -> None:
    net = _net("tcn")
    plan = _task(net, changed(RECIPE, segment=10, batch=2, accumulate=3)).epoch(
        np.random.default_rng(0)
    )
    sizes = [len(step) for step in plan.steps]
    assert len(sizes) == plan.count
    assert set(sizes[:-1]) == {3} and 1 <= sizes[-1] <= 3


@pytest.mark.parametrize("name", AHEAD)
def test_networks_that_look_ahead_learn(name: str) -> None:
    recipe = changed(RECIPE, epochs=10, accumulate=2, ema=0.5)
    run = train(AHEAD[name], toy(1), toy(2), recipe, seed=0)
    losses = [epoch.loss for epoch in run.history]
    assert losses[-1] < 0.8 * losses[0]
    net = run.kept()
    assert evaluate(net, toy(2)) == run.best_scores
    untrained = train(AHEAD[name], toy(1), toy(2), changed(recipe, epochs=1, lr=1e-9), seed=0)
    assert run.best_scores.frame_accuracy > untrained.best_scores.frame_accuracy + 10


def test_a_network_with_layer_norms_learns() -> None:
    """Classes that differ in their joints: LayerNorm takes out what all words share."""
    sets = [toy(seed) for seed in (1, 2)]
    for ds in sets:
        for clip in ds.clips:
            clip.x[:, :, 3] += (700 * (clip.labels - 1)).astype(np.int32)[:, None]
    run = train(LAYER_NORM, sets[0], sets[1], changed(RECIPE, epochs=10), seed=0)
    assert run.best_scores.frame_accuracy > 80
