"""Training of clip labels: windows, steps in several passes, learning, resuming."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fxp.errors import InputError
from stgcn_ref.clip_task import clip_task, window
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.datasets.synthetic_recognition import generate_synthetic_recognition
from stgcn_ref.evaluate import class_scores, evaluate_clips, predict
from stgcn_ref.models.build import build
from stgcn_ref.models.stgcn import STGCN
from stgcn_ref.recipe import Augmentation, TrainRecipe
from stgcn_ref.recognition_metrics import RecognitionScores
from stgcn_ref.train import train
from tests.training import CLIP_ARCH, changed, of_subjects, toy

RECIPE = TrainRecipe(epochs=2, batch=4, segment=24, lr=1e-2, dropout=0.1)


@pytest.fixture(scope="module")
def data() -> tuple[RecognitionSet, RecognitionSet]:
    ds = generate_synthetic_recognition(0, 4, 10, 32)
    return of_subjects(ds, 1, 2, 3), of_subjects(ds, 4)


def test_a_window_is_a_part_of_the_recorded_frames(
    data: tuple[RecognitionSet, RecognitionSet],
) -> None:
    clip = data[0].clips[0]
    ramp = np.zeros_like(clip.x)
    ramp[:20] = np.arange(1, 21)[:, None, None, None]
    short = replace(clip, x=ramp, frames=20)
    starts = set()
    for seed in range(60):
        found = window(short, 15, np.random.default_rng(seed))
        start = int(found[0, 0, 0, 0])
        assert np.array_equal(found, ramp[start - 1 : start + 14])
        starts.add(start)
    assert starts == set(range(1, 7))
    rng = np.random.default_rng(0)
    assert np.array_equal(window(short, 25, rng), ramp[:25])
    assert np.array_equal(window(short, 32, rng), ramp)
    longer = window(short, 40, rng)
    assert np.array_equal(longer[:32], ramp) and not longer[32:].any()


def test_an_epoch_has_every_clip_once(data: tuple[RecognitionSet, RecognitionSet]) -> None:
    task = clip_task(*data, changed(RECIPE, batch=4, accumulate=2))
    plan = task.epoch(np.random.default_rng(0))
    steps = [list(step) for step in plan.steps]
    assert [len(step) for step in steps] == [2, 2, 2, 2] and plan.count == 4


def test_the_input_norm_starts_from_all_words(data: tuple[RecognitionSet, RecognitionSet]) -> None:
    net = build(CLIP_ARCH)
    clip_task(*data, RECIPE).prepare(net)
    x = np.concatenate([clip.x.transpose(0, 3, 2, 1) for clip in data[0].clips])  # (T, M, V, C)
    words = x.reshape(-1, 36).astype(np.float64)
    assert isinstance(net, STGCN)
    np.testing.assert_allclose(net.input_norm.running_mean, words.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(net.input_norm.running_var, words.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_accumulated_passes_are_one_large_batch(
    data: tuple[RecognitionSet, RecognitionSet], balance: float
) -> None:
    torch.manual_seed(0)
    net = build(CLIP_ARCH).eval()

    def gradient(batch: int, accumulate: int) -> list[torch.Tensor]:
        recipe = changed(RECIPE, batch=batch, accumulate=accumulate, class_balance=balance)
        task = clip_task(*data, recipe)
        task.prepare(net)
        (step,) = task.epoch(np.random.default_rng(0)).steps
        net.zero_grad()
        for one in step:
            one(net).backward()  # type: ignore[no-untyped-call]
        return [p.grad.clone() for p in net.parameters() if p.grad is not None]

    for one, other in zip(gradient(30, 1), gradient(7, 5), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_clip_labels_are_learnt(data: tuple[RecognitionSet, RecognitionSet]) -> None:
    augmentation = Augmentation(vectors=2, rotation_deg=3, time_scale=0.05).model_dump()
    recipe = changed(RECIPE, epochs=20, ema=0.5, lr=3e-2, dropout=0, augmentation=augmentation)
    run = train(CLIP_ARCH, data[0], data[0], recipe, seed=0)
    assert run.history[-1].loss < 0.75 * run.history[0].loss
    scores = run.best_scores
    assert isinstance(scores, RecognitionScores) and scores.top_1 >= 50
    assert scores.top_1 == max(
        e.scores.top_1 for e in run.history if isinstance(e.scores, RecognitionScores)
    )
    assert evaluate_clips(run.kept(), data[0]) == scores


def test_scores_are_those_of_every_clip_alone(
    data: tuple[RecognitionSet, RecognitionSet],
) -> None:
    torch.manual_seed(1)
    net = build(CLIP_ARCH)
    clips = [data[1].clips[0], replace(data[1].clips[1], x=data[1].clips[1].x[:20], frames=10)]
    ds = replace(data[1], clips=(*clips, *data[1].clips[2:]))
    found = class_scores(net, ds)
    assert net.training and found.shape == (10, 8)
    net.eval()
    for row, clip in zip(found, ds.clips, strict=True):
        with torch.no_grad():
            alone = net(torch.from_numpy(clip.x.swapaxes(0, 1).copy())[None])[0].numpy()
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-5)


def test_sets_of_another_kind_are_refused(data: tuple[RecognitionSet, RecognitionSet]) -> None:
    with pytest.raises(InputError, match="gives one label a clip of 2 persons, it has one label a"):
        train(CLIP_ARCH, toy(1), toy(2), RECIPE, seed=0)
    with pytest.raises(InputError, match="data set synthetic-gait-clips: the network"):
        train(CLIP_ARCH.model_copy(update={"persons": 1}), *data, RECIPE, seed=0)
    with pytest.raises(InputError, match="family stgcn labels whole clips, not frames"):
        predict(build(CLIP_ARCH), toy(1))
