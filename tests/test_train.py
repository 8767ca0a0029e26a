"""Training: every frame counts once, the loss is its definition, runs repeat and resume."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.errors import InputError
from fxp.spec import ArchSpec
from stgcn_ref.augment import Features, augment, rotations
from stgcn_ref.datasets.clips import Clip, Dataset, held
from stgcn_ref.evaluate import evaluate, predict
from stgcn_ref.loss import class_weight, segment_loss
from stgcn_ref.metrics import score
from stgcn_ref.models.build import build
from stgcn_ref.recipe import Augmentation, TrainRecipe
from stgcn_ref.segments import IGNORE, batches, cut
from stgcn_ref.train import Run, train

torch.set_num_threads(1)

ARCH = ArchSpec(
    skeleton="hugadb", in_channels=6, embedding=4, channels=(6,), window=(2,), classes=3
)
RECIPE = TrainRecipe(epochs=3, batch=2, segment=40, lr=2e-2, dropout=0.1)


def _toy(seed: int, lengths: tuple[int, ...] = (120, 75, 90), hold: int = 1) -> Dataset:
    """Three classes in turn, 15 steps each, that differ in the mean of their words."""
    rng = np.random.default_rng(seed)
    clips = []
    for index, steps in enumerate(lengths):
        labels = (np.arange(steps) // 15 + rng.integers(3)) % 3
        x = rng.normal(0, 200, (steps, 6, 6)) + 400 * (labels - 1)[:, None, None] + 2000
        frames = np.repeat(labels, hold)
        words = x.astype(np.int32)
        clips.append(Clip(f"toy{seed}_{index}", seed, words, labels, frames, hold))
    return Dataset("toy", "hugadb", ("a", "b", "c"), 20.0, tuple(clips), synthetic=True)


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a.keys() | b.keys())


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    segment=st.integers(1, 80),
    warmup=st.integers(0, 60),
    seed=st.integers(0, 100),
)
def test_every_frame_counts_once(lengths: list[int], segment: int, warmup: int, seed: int) -> None:
    counts = [np.zeros(length, dtype=int) for length in lengths]
    for s in cut(lengths, segment, warmup, np.random.default_rng(seed)):
        counts[s.clip][s.counted : s.stop] += 1
        assert 0 <= s.start <= s.counted < s.stop <= lengths[s.clip]
        assert s.stop - s.start <= segment + warmup
        # full context, or all the past there is
        assert s.counted - s.start == min(s.counted, warmup)
    assert all((count == 1).all() for count in counts)


def test_batches_hold_every_segment_and_pad_with_the_last_frame() -> None:
    ds = _toy(1)
    features = [np.ascontiguousarray(c.x.transpose(0, 2, 1), dtype=np.float32) for c in ds.clips]
    rng = np.random.default_rng(0)
    segments = cut([len(f) for f in features], 40, 7, rng)
    still = (features[0][0], features[0][1])
    todo = list(batches(ds.clips, features, segments, 2, Augmentation(), still, rng))
    found = np.sort(np.concatenate([batch.target.ravel() for batch in todo]))
    truth = np.sort(np.concatenate([clip.labels for clip in ds.clips]))
    assert (found[found != IGNORE] == truth).all()
    padded = 0
    lengths = sorted(s.stop - s.start for s in segments)
    for batch in todo:
        assert batch.x.shape[:2] == batch.target.shape and len(batch.x) <= 2
        for x in batch.x:
            end = len(x)
            while end > 1 and (x[end - 1] == x[end - 2]).all():
                end -= 1
            lengths.remove(end)
            padded += len(x) - end
    assert not lengths and padded > 0


def test_segments_meet_in_random_order() -> None:
    ds = _toy(1)
    features = [np.ascontiguousarray(c.x.transpose(0, 2, 1), dtype=np.float32) for c in ds.clips]

    def first(seed: int) -> Features:
        rng = np.random.default_rng(seed)
        segments = cut([len(f) for f in features], 20, 0, rng)
        spread = (features[0][0], features[0][1])
        return next(batches(ds.clips, features, segments, 2, Augmentation(), spread, rng)).x

    assert np.array_equal(first(0), first(0))
    assert not np.array_equal(first(0)[:, :5], first(1)[:, :5])


def _segment(frames: int = 50) -> tuple[Features, np.ndarray, tuple[Features, Features]]:
    rng = np.random.default_rng(0)
    x = rng.normal(100, 30, (frames, 6, 8)).astype(np.float32)
    target = np.repeat(np.arange(frames // 10), 10).astype(np.int64)
    return x, target, (x.mean(axis=0), x.std(axis=0))


def test_nothing_asked_nothing_changed() -> None:
    x, target, statistics = _segment()
    rng = np.random.default_rng(3)
    after = augment(x, target, Augmentation(vectors=2), statistics, rng)
    assert after[0] is x and after[1] is target
    assert rng.random() == np.random.default_rng(3).random()


def test_rotations_are_rotations_by_their_angle() -> None:
    vectors = np.random.default_rng(0).normal(0, 1, (20, 3))
    turn = rotations(vectors)
    np.testing.assert_allclose(
        turn @ turn.transpose(0, 2, 1), np.tile(np.eye(3), (20, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turn), 1)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", turn, vectors), vectors, atol=1e-12)
    angle = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(np.trace(turn, axis1=1, axis2=2), 1 + 2 * np.cos(angle))
    quarter = rotations(np.array([[0, 0, np.pi / 2]]))[0]  # x turns into y: right-handed
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    assert (rotations(np.zeros((1, 3))) == np.eye(3)).all()


def test_sensors_turn_as_a_whole_and_keep_lengths_and_angles() -> None:
    x, target, statistics = _segment()
    spec = Augmentation(vectors=2, rotation_deg=40)
    y, _ = augment(x, target, spec, statistics, np.random.default_rng(1))
    a, b, a2, b2 = x[..., :3], x[..., 3:6], y[..., :3], y[..., 3:6]
    assert np.array_equal(x[..., 6:], y[..., 6:])
    np.testing.assert_allclose((a * b).sum(-1), (a2 * b2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose((a * a).sum(-1), (a2 * a2).sum(-1), rtol=1e-4)
    # every joint has its own turn, the same in all frames
    turns = [np.linalg.lstsq(a[:, v], a2[:, v], rcond=None)[0].T for v in range(6)]
    for v in range(6):
        np.testing.assert_allclose(a[:, v] @ turns[v].T, a2[:, v], atol=1e-2)
    assert not np.allclose(turns[0], turns[1], atol=0.05)


def test_gains_per_triple() -> None:
    x, target, statistics = _segment()
    spec = Augmentation(vectors=2, vector_scale=(0.0, 0.3))
    y, _ = augment(x, target, spec, statistics, np.random.default_rng(1))
    assert np.array_equal(y[..., :3], x[..., :3])
    gain = y[..., 3:6] / x[..., 3:6]
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:1, :, :1], gain.shape), rtol=1e-5)
    assert gain[0, :, 0].std() > 0.1


def test_noise_follows_each_features_deviation() -> None:
    x, target, (mean, deviation) = _segment(3000)
    deviation = deviation * np.arange(1, 9, dtype=np.float32)
    spec = Augmentation(noise=0.2)
    y, _ = augment(x, target, spec, (mean, deviation), np.random.default_rng(1))
    np.testing.assert_allclose((y - x).std(axis=0), 0.2 * deviation, rtol=0.1)


def test_dropped_joints_show_their_mean() -> None:
    x, target, statistics = _segment()
    spec = Augmentation(joint_drop=0.5)
    y, _ = augment(x, target, spec, statistics, np.random.default_rng(1))
    dropped = [v for v in range(6) if (y[:, v] == statistics[0][v]).all()]
    kept = [v for v in range(6) if np.array_equal(x[:, v], y[:, v])]
    assert dropped and kept and len(dropped) + len(kept) == 6


def test_another_pace_keeps_words_and_labels_together() -> None:
    frames = 200
    ramp = np.arange(frames, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    target = np.arange(frames) // 20
    lengths = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y, labels = augment(ramp, target, Augmentation(time_scale=0.3), (ramp[0], ramp[0]), rng)
        lengths.add(len(y))
        assert len(y) == len(labels)
        assert 0.7 * len(y) <= frames <= 1.3 * len(y) + 2
        step = np.diff(y[:, 0, 0])
        np.testing.assert_allclose(step, step[0], rtol=1e-3)
        assert (labels == np.rint(y[:, 0, 0]).astype(int) // 20).mean() > 0.98
    assert len(lengths) > 3


def test_a_single_frame_has_no_pace() -> None:
    x = np.ones((1, 2, 3), np.float32)
    rng = np.random.default_rng(0)
    y, labels = augment(x, np.zeros(1, np.int64), Augmentation(time_scale=0.5), (x[0], x[0]), rng)
    assert len(y) == len(labels) == 1


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
    without = segment_loss(logits, target, replace_recipe(recipe, smoothing=0.0), None)
    assert without.item() == pytest.approx(torch.stack(cross).mean().item())


def replace_recipe(recipe: TrainRecipe, **over: object) -> TrainRecipe:
    return TrainRecipe.model_validate(recipe.model_dump() | over)


def test_smoothing_detaches_the_earlier_frame() -> None:
    logits = torch.randn(1, 3, 2, requires_grad=True)
    target = torch.zeros(1, 2, dtype=torch.int64)
    both = segment_loss(logits, target, TrainRecipe(smoothing=1.0), None)
    cross = segment_loss(logits, target, TrainRecipe(smoothing=0.0), None)
    (both - cross).backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 0].abs().max() < 1e-6 < logits.grad[0, :, 1].abs().max()


def test_class_weights_average_to_one() -> None:
    ds = _toy(1)
    assert class_weight(ds, 0.0) is None
    weight = class_weight(ds, 1.0)
    assert weight is not None
    counts = np.bincount(np.concatenate([c.labels for c in ds.clips]), minlength=3)
    share = weight.numpy() * counts
    np.testing.assert_allclose(share, share[0], rtol=1e-5)
    assert share.sum() == pytest.approx(counts.sum(), rel=1e-5)
    lone = replace(ds, classes=("a", "b", "c", "never"))
    weights = class_weight(lone, 0.5)
    assert weights is not None and weights[3] == 0


def test_training_learns_and_reports() -> None:
    seen: list[tuple[int, int]] = []
    epochs: list[int] = []
    run = train(
        ARCH,
        _toy(1),
        _toy(2),
        replace_recipe(RECIPE, epochs=12),
        seed=0,
        on_step=lambda step, steps: seen.append((step, steps)),
        on_epoch=lambda r: epochs.append(r.done),
    )
    assert run.best_scores.frame_accuracy > 90
    assert epochs == list(range(1, 13))
    assert seen[0] == (1, seen[0][1]) and all(step <= steps for step, steps in seen)
    net = run.kept()
    assert not net.training
    assert evaluate(net, _toy(2)) == run.best_scores
    mean = np.concatenate([c.x for c in _toy(1).clips]).mean(axis=0)  # (C, V)
    np.testing.assert_allclose(
        net.input_norm.running_mean.numpy().reshape(6, 6),
        mean.T,
        rtol=1e-5,  # type: ignore[union-attr]
    )


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        return train(ARCH, _toy(1), _toy(2), RECIPE, seed).kept().state_dict()

    first = trained(0)
    torch.manual_seed(99)
    assert _same(first, trained(0))
    assert not _same(first, trained(1))


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_training_ends_as_an_undisturbed_one(stop: int, ema: float) -> None:
    recipe = replace_recipe(RECIPE, ema=ema)
    data = _toy(1), _toy(2)

    states = []

    def kill(run: Run) -> None:
        states.append({key: _cloned(value) for key, value in run.state().items()})
        if run.done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ARCH, *data, recipe, seed=3, on_epoch=kill)
    resumed = train(ARCH, *data, recipe, seed=3, state=states[-1])
    whole = train(ARCH, *data, recipe, seed=3)
    assert resumed.history == whole.history
    assert _same(resumed.kept().state_dict(), whole.kept().state_dict())


def _cloned(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    return [_cloned(item) for item in value] if isinstance(value, list) else value


def test_training_stops_once_nothing_gets_better() -> None:
    recipe = replace_recipe(RECIPE, epochs=60, patience=3, metric="frame_accuracy")
    run = train(ARCH, _toy(1), _toy(2), recipe, seed=0)
    assert run.done < 60
    assert run.done == run.best_epoch + 1 + 3
    accuracies = [e.scores.frame_accuracy for e in run.history if e.scores is not None]
    assert accuracies.index(max(accuracies)) == run.best_epoch


def test_validation_starts_where_the_recipe_says() -> None:
    run = train(ARCH, _toy(1), _toy(2), replace_recipe(RECIPE, epochs=4, select_from=0.75), seed=0)
    assert [e.scores is None for e in run.history] == [True, True, False, False]
    assert run.best_epoch in (2, 3)


def test_predictions_are_those_of_every_clip_alone() -> None:
    ds = _toy(4, lengths=(30, 200, 1, 77), hold=3)
    torch.manual_seed(0)
    net = build(ARCH)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    found = predict(net, ds)
    assert net.training and _same(before, net.state_dict())
    net.eval()
    for clip, labels in zip(ds.clips, found, strict=True):
        state = net.stream_state()
        frames = torch.from_numpy(clip.x).float()
        with torch.no_grad():
            alone = [int(net.step(frame[None], state).argmax()) for frame in frames]
        assert labels.tolist() == alone
    expected = score(
        [held(c, y) for c, y in zip(ds.clips, found, strict=True)],
        [c.frame_labels for c in ds.clips],
    )
    assert evaluate(net, ds) == expected


def test_thread_count_is_left_alone() -> None:
    torch.set_num_threads(2)
    try:
        train(ARCH, _toy(1), _toy(2), replace_recipe(RECIPE, epochs=1), seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"classes": 4}, "`classes` of the network is 4, of the data 3"),
        ({"in_channels": 5}, "`in_channels` of the network is 5, of the data 6"),
        ({"skeleton": "ntu"}, "`skeleton` of the network is ntu, of the data hugadb"),
    ],
)
def test_network_and_data_must_fit(over: dict[str, object], message: str) -> None:
    arch = ArchSpec.model_validate(ARCH.model_dump() | over)
    with pytest.raises(InputError, match=message):
        train(arch, _toy(1), _toy(2), RECIPE, seed=0)


def test_turned_vectors_must_exist() -> None:
    recipe = replace_recipe(RECIPE, augmentation=Augmentation(vectors=3, rotation_deg=5))
    with pytest.raises(InputError, match="`vectors`: 3 triples need 9 channels, the data has 6"):
        train(ARCH, _toy(1), _toy(2), recipe, seed=0)


def test_divergence_is_named() -> None:
    with pytest.raises(InputError, match=r"loss is (nan|inf) in epoch \d: lower `lr`"):
        train(ARCH, _toy(1), _toy(2), replace_recipe(RECIPE, lr=1e30), seed=0)


def test_learning_rate_rises_and_falls() -> None:
    from stgcn_ref.train import learning_rate

    recipe = TrainRecipe(lr=1.0, lr_rise=0.1)
    assert learning_rate(recipe, 0.05) == pytest.approx(0.5)
    assert learning_rate(recipe, 0.1) == pytest.approx(1.0)
    assert learning_rate(recipe, 0.55) == pytest.approx(0.5)
    assert learning_rate(recipe, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert math.isclose(learning_rate(replace_recipe(recipe, lr_rise=0.0), 0.0), 1.0)
