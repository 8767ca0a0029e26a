"""Augmentation: sensors turn as they would on a body, labels follow, nothing else happens."""

from __future__ import annotations

import numpy as np

from stgcn_ref.augment import Features, augment, augment_clip, rotations
from stgcn_ref.recipe import Augmentation


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


def _persons(frames: int = 40) -> tuple[Features, tuple[Features, Features]]:
    """Two persons of three joints; the second one comes late and one joint of it is never seen."""
    x = np.random.default_rng(5).normal(100, 30, (frames, 6, 3)).astype(np.float32)
    x[:12, 3:] = 0
    x[:, 4] = 0
    return x, (x.mean(axis=0), x.std(axis=0))


def test_a_clip_turns_and_scales_as_one() -> None:
    x, statistics = _persons()
    spec = Augmentation(vectors=1, rotation_deg=30, vector_scale=(0.2,))
    y = augment_clip(x, spec, statistics, np.random.default_rng(1))
    turn = np.linalg.lstsq(x.reshape(-1, 3), y.reshape(-1, 3), rcond=None)[0].T
    np.testing.assert_allclose(y, x @ turn.T, atol=1e-2)
    scale = np.cbrt(np.linalg.det(turn))
    assert abs(scale - 1) > 0.01
    np.testing.assert_allclose(turn @ turn.T, scale**2 * np.eye(3), atol=1e-4)


def test_who_is_absent_stays_absent() -> None:
    x, statistics = _persons()
    spec = Augmentation(vectors=1, rotation_deg=30, noise=0.3, joint_drop=0.5)
    y = augment_clip(x, spec, statistics, np.random.default_rng(1))
    away = ~x.any(axis=2)
    assert away.sum() == 12 * 2 + 40 and (y[away] == 0).all()
    assert y[~away].any(axis=1).all() and not np.array_equal(x, y)


def test_a_faster_clip_ends_with_zeros_and_a_slower_one_is_cut() -> None:
    ramp = 1 + np.arange(100, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    ends = set()
    for seed in range(8):
        spec = Augmentation(time_scale=0.3)
        y = augment_clip(ramp, spec, (ramp[0], ramp[0]), np.random.default_rng(seed))
        assert y.shape == ramp.shape
        played = y[:, 0, 0] > 0
        length = int(played.sum())
        assert played[:length].all() and length >= 70
        ends.add(length < 100)
        assert np.ptp(np.diff(y[:length, 0, 0])) < 1e-4
    assert ends == {True, False}


def test_a_clip_of_which_nothing_is_asked_is_left_alone() -> None:
    x, statistics = _persons()
    assert augment_clip(x, Augmentation(vectors=1), statistics, np.random.default_rng(0)) is x
