"""Input preparation: exact integers, by hand and against the plain definition."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxp.errors import InputError
from fxp.spec import parse_spec
from stgcn_ref.datasets.clips import Clip, Dataset, held, select
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.lift import lift_channels, squared_magnitude
from stgcn_ref.preparation import PreparationSpec, divide_by_ten, majority, prepare, word_bits


def dataset(x: np.ndarray, labels: list[int], flagged: tuple[int, ...] = ()) -> Dataset:
    truth = np.array(labels, dtype=np.int64)
    clip = Clip("one", 1, x.astype(np.int32), truth, truth, flagged=flagged)
    meta = {"gyro_flags": "given", "channels": [f"c{i}" for i in range(x.shape[1])]}
    return Dataset("small", "hugadb", ("a", "b", "c"), 60.0, (clip,), synthetic=True, meta=meta)


def words(frames: int, channels: int = 6, joints: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-(2**15), 2**15, (frames, channels, joints))


def test_the_default_changes_nothing_but_the_record() -> None:
    before = generate_synthetic(1, subjects=1, clips_per_subject=1, frames_per_clip=40)
    after = prepare(before, PreparationSpec())
    np.testing.assert_array_equal(after.clips[0].x, before.clips[0].x)
    np.testing.assert_array_equal(after.clips[0].labels, before.clips[0].labels)
    assert after.clips[0].hold == 1 and after.rate_hz == 60.0
    assert after.meta["preparation"] == PreparationSpec().model_dump()
    assert "preparation" not in before.meta


def test_block_sums_drop_the_tail_and_keep_its_labels() -> None:
    x = np.array([1, 2, 3, 40, 50, 60, 700, 800]).reshape(8, 1, 1)
    labels = [0, 1, 1, 1, 2, 2, 0, 0]
    after = prepare(dataset(x, labels), PreparationSpec(frames_per_step=3))
    clip = after.clips[0]
    assert clip.x[:, 0, 0].tolist() == [6, 150]
    assert clip.labels.tolist() == [1, 2]
    assert clip.frame_labels.tolist() == labels and clip.hold == 3
    assert after.rate_hz == 20.0
    assert held(clip, [1, 2]).tolist() == [1, 1, 1, 2, 2, 2, 2, 2]


@given(st.integers(1, 9), st.integers(0, 8), st.integers(0, 3))
def test_sums_and_shift_are_the_definition(n: int, tail: int, shift: int) -> None:
    x = words(4 * n + tail % n, joints=2, channels=2)
    spec = PreparationSpec(frames_per_step=n, shift=shift)
    found = prepare(dataset(x, [0] * len(x)), spec).clips[0].x
    for step, values in enumerate(found.reshape(4, -1).tolist()):
        for index, value in enumerate(values):
            total = sum(int(v) for v in x[step * n : (step + 1) * n].reshape(n, -1)[:, index])
            assert value == (2 * total + 2**shift) // 2 ** (shift + 1)  # floor(total/2^s + 1/2)


@pytest.mark.parametrize(
    ("n", "shift", "bits"), [(1, 0, 16), (2, 0, 17), (3, 0, 18), (4, 0, 18), (5, 0, 19), (3, 2, 16)]
)
def test_word_bits_hold_the_extremes(n: int, shift: int, bits: int) -> None:
    spec = PreparationSpec(frames_per_step=n, shift=shift)
    assert word_bits(spec) == bits
    for word in (-(2**15), 2**15 - 1):
        x = np.full((n, 6, 1), word)
        value = int(prepare(dataset(x, [0] * n), spec).clips[0].x[0, 0, 0])
        assert -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    assert value >= 2 ** (bits - 2)  # and one bit less would not do


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_majority_is_the_most_frequent_and_latest(rows: list[list[int]]) -> None:
    for row, label in zip(rows, majority(np.array(rows)).tolist(), strict=True):
        counts = Counter(row)
        most = {key for key, count in counts.items() if count == max(counts.values())}
        assert label == next(x for x in reversed(row) if x in most)


def test_divide_by_ten_everywhere_and_its_hardware_form() -> None:
    every = np.arange(-(2**15), 2**15, dtype=np.int64)
    exact = np.array([(2 * v + 10) // 20 for v in every.tolist()])  # floor(v / 10 + 1/2)
    np.testing.assert_array_equal(divide_by_ten(every), exact)
    np.testing.assert_array_equal(((every + 40965) * 52429 >> 19) - 4096, exact)
    assert divide_by_ten(np.array([5, -5, 14, 15, -15, -16])).tolist() == [1, 0, 1, 2, -1, -2]


def test_gyro_repair_touches_flagged_gyros_alone() -> None:
    x = words(7, joints=3)
    found = prepare(dataset(x, [0] * 7, flagged=(2,)), PreparationSpec(gyro_repair=True))
    expected = x.copy()
    expected[:, 3:, 2] = np.floor(x[:, 3:, 2] / 10 + 0.5)
    np.testing.assert_array_equal(found.clips[0].x, expected)


def test_repair_comes_before_the_sum() -> None:
    x = np.zeros((2, 6, 1))
    x[:, 3] = 4  # 0.4 rounds to 0 twice; the sum of 8 would have rounded to 1
    spec = PreparationSpec(gyro_repair=True, frames_per_step=2)
    assert prepare(dataset(x, [0, 0], flagged=(0,)), spec).clips[0].x[0, 3, 0] == 0


def test_magnitude_by_hand() -> None:
    x = np.zeros((3, 6, 1))
    x[0, :3, 0] = (0, 0, -16384)  # at rest: 2**28 >> 15
    x[1, :3, 0] = (300, 400, 500)  # 500000 >> 15
    x[2, :3, 0] = -32768  # beyond the top
    after = prepare(dataset(x, [0, 0, 0]), PreparationSpec(magnitude=True))
    assert after.clips[0].x[:, 6, 0].tolist() == [8192, 15, 32767]
    np.testing.assert_array_equal(after.clips[0].x[:, :6], x)
    assert after.meta["channels"][-1] == "acc_magnitude"


def test_lift_follows_the_sums_unshifted() -> None:
    x = words(90)
    bare = prepare(dataset(x, [0] * 90), PreparationSpec(frames_per_step=6, shift=3))
    both = prepare(dataset(x, [0] * 90), PreparationSpec(frames_per_step=6, shift=3, lift=True))
    np.testing.assert_array_equal(both.clips[0].x[:, :6], bare.clips[0].x)
    sums = squared_magnitude(x[:, :3]).reshape(15, 6, 2).sum(axis=1)
    np.testing.assert_array_equal(both.clips[0].x[:, 6:], lift_channels(sums, 6))
    assert both.meta["channels"][6:] == ["acc_surplus", "lift_velocity"]
    assert both.meta["word_bits"] == 16
    with pytest.raises(InputError, match="`lift` needs `frames_per_step` of at most 8"):
        parse_spec(PreparationSpec, {"lift": True, "frames_per_step": 9}, "space.yaml")


def test_causal() -> None:
    spec = PreparationSpec(gyro_repair=True, magnitude=True, frames_per_step=3, shift=2)
    x, other = words(30), words(30, seed=1)
    other[:15] = x[:15]
    a, b = (prepare(dataset(v, [0] * 30, flagged=(1,)), spec).clips[0].x for v in (x, other))
    np.testing.assert_array_equal(a[:5], b[:5])
    assert (a[5:] != b[5:]).any()


def test_bad_input() -> None:
    good = dataset(words(4), [0] * 4)
    with pytest.raises(InputError, match="data set small: is prepared already"):
        prepare(prepare(good, PreparationSpec()), PreparationSpec())
    with pytest.raises(InputError, match="clip one: 4 frames are fewer than one step of 5"):
        prepare(good, PreparationSpec(frames_per_step=5))
    with pytest.raises(InputError, match="clip one: preparation needs 16-bit words"):
        prepare(dataset(np.full((1, 6, 1), 32768), [0]), PreparationSpec())
    with pytest.raises(InputError, match="`gyro_repair` needs the list of faults"):
        prepare(replace(good, meta={"gyro_flags": None}), PreparationSpec(gyro_repair=True))
    with pytest.raises(InputError, match="need channels acc xyz, gyro xyz"):
        prepare(dataset(words(4, channels=3), [0] * 4), PreparationSpec(magnitude=True))
    with pytest.raises(InputError, match=r"here: key `frames_per_step`: .*, got '0'"):
        parse_spec(PreparationSpec, {"frames_per_step": 0}, "here")


@pytest.mark.hugadb
def test_real_recordings(hugadb_root: Path) -> None:
    ds = load_hugadb(hugadb_root, subjects=[5, 8])
    spec = PreparationSpec(gyro_repair=True, frames_per_step=3)
    after = prepare(ds, spec)
    clean, repaired = select(after, [8]).clips[0], select(after, [5]).clips[0]
    assert not clean.flagged and repaired.flagged == (1, 2)
    raw = select(ds, [8]).clips[0].x
    np.testing.assert_array_equal(clean.x[0], raw[:3].sum(axis=0))
    before = select(ds, [5]).clips[0].x
    assert before[:, 3:, 1].max() == 32767  # it clips, as the list says
    tenth = np.floor(before[:3, 3:, 1] / 10 + 0.5).sum(axis=0)
    np.testing.assert_array_equal(repaired.x[0, 3:, 1], tenth)
    assert all(len(c.frame_labels) == len(d.x) for c, d in zip(after.clips, ds.clips, strict=True))
