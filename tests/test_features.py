"""Displacement and relative coordinates: by hand, and as the published definition has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxp.errors import InputError
from stgcn_ref.datasets.clips import Clip, Dataset, WordArray
from stgcn_ref.features import FeatureSpec, displacement, featured, relative
from stgcn_ref.preparation import PreparationSpec, prepare


def line(*words: int) -> WordArray:
    return np.array(words, dtype=np.int32)[:, None, None]


def test_displacement_by_hand() -> None:
    x = line(3, 5, 4, 4)
    assert displacement(x).ravel().tolist() == [0, 2, -1, 0]
    assert displacement(x, causal=False).ravel().tolist() == [2, -1, 0, 0]


def test_frames_that_are_not_there() -> None:
    """Outside the first to the last frame with anything in it nothing moves; inside, gaps do."""
    x = line(0, 0, 7, 0, 9, 0)
    assert displacement(x).ravel().tolist() == [0, 0, 0, -7, 9, 0]
    assert displacement(x, causal=False).ravel().tolist() == [0, 0, -7, 9, 0, 0]
    assert not displacement(line(0, 0, 0)).any() and not displacement(line(0, 0), False).any()
    assert displacement(line(5)).tolist() == [[[0]]]
    assert displacement(line(0, 5), causal=False).ravel().tolist() == [0, 0]


def slow_displacement(x: list[list[int]], causal: bool) -> list[list[int]]:
    """The definition, frame by frame, on (T, words)."""
    there = [frame for frame, words in enumerate(x) if any(words)]
    out = [[0] * len(words) for words in x]
    if there:
        for frame in range(there[0], there[-1]):
            moved = [b - a for a, b in zip(x[frame], x[frame + 1], strict=True)]
            out[frame + 1 if causal else frame] = moved
    return out


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.sampled_from([0, 0, 1, -3, 9]), min_size=2, max_size=2), min_size=1),
    st.booleans(),
)
def test_displacement_is_the_definition(rows: list[list[int]], causal: bool) -> None:
    x = np.array(rows, dtype=np.int32)[:, :, None]
    assert displacement(x, causal)[:, :, 0].tolist() == slow_displacement(rows, causal)


def test_causal_is_the_published_one_a_frame_later() -> None:
    x = np.random.default_rng(0).integers(1, 99, (20, 3, 5), dtype=np.int32)
    assert (displacement(x)[1:] == displacement(x, causal=False)[:-1]).all()


def test_relative() -> None:
    x = np.random.default_rng(0).integers(-99, 99, (4, 3, 5), dtype=np.int32)
    for reference in range(5):
        out = relative(x, reference)
        for frame, channel, joint in np.ndindex(*x.shape):
            expected = x[frame, channel, joint] - x[frame, channel, reference]
            assert out[frame, channel, joint] == expected
    persons = np.stack([x, 2 * x], axis=3)  # (T, C, V, M)
    assert (relative(persons, 1)[..., 1] == 2 * relative(x, 1)).all()
    assert displacement(persons).shape == persons.shape
    for reference in (-1, 5):
        with pytest.raises(InputError, match=r"`reference` must be 0\.\.4"):
            relative(x, reference)


def test_words_stay_16_bits() -> None:
    x = np.array([[[32767, -32768]], [[-32768, 32767]]], dtype=np.int32)
    assert displacement(x).tolist() == [[[0, 0]], [[-32768, 32767]]]
    assert relative(x).tolist() == [[[0, -32768]], [[0, 32767]]]


def dataset() -> Dataset:
    x = np.random.default_rng(1).integers(-99, 99, (9, 3, 6), dtype=np.int32)
    labels = np.arange(9, dtype=np.int64) % 3
    meta = {"channels": ["x", "y", "z"], "units": ["m"] * 3, "frac_bits": [10] * 3}
    clips = (Clip("one", 1, x, labels, labels),)
    return Dataset("made up", "hugadb", ("a", "b", "c"), 20.0, clips, synthetic=True, meta=meta)


def test_featured() -> None:
    ds = dataset()
    x = ds.clips[0].x
    out = featured(ds, FeatureSpec(reference=2, causal=False))
    assert out.clips[0].x.shape == (9, 6, 6) and out.clips[0].x.dtype == np.int32
    assert (out.clips[0].x[:, :3] == displacement(x, causal=False)).all()
    assert (out.clips[0].x[:, 3:] == relative(x, 2)).all()
    assert out.meta["channels"][2:4] == ["displacement z", "relative x"]
    assert out.meta["units"] == ["m"] * 6 and out.meta["frac_bits"] == [10] * 6
    assert out.meta["features"]["reference"] == 2 and out.meta["word_bits"] == 16
    assert out.synthetic and "features" not in ds.meta
    alone = featured(ds, FeatureSpec(displacement=False))
    assert (alone.clips[0].x == relative(x)).all() and len(alone.meta["channels"]) == 3


def test_every_is_after_the_features() -> None:
    ds = dataset()
    slow = featured(ds, FeatureSpec(every=4))
    assert slow.rate_hz == 5.0 and slow.clips[0].labels.tolist() == [0, 1, 2]
    assert (slow.clips[0].x == featured(ds, FeatureSpec()).clips[0].x[::4]).all()
    assert slow.clips[0].frame_labels.tolist() == [0, 1, 2] and slow.clips[0].hold == 1


def test_order_of_the_steps() -> None:
    ds = dataset()
    prepared = prepare(featured(ds, FeatureSpec()), PreparationSpec(frames_per_step=3))
    assert prepared.clips[0].x.shape == (3, 6, 6)
    with pytest.raises(InputError, match="has its preparation already"):
        featured(prepare(ds, PreparationSpec()), FeatureSpec())
    with pytest.raises(InputError, match="has its features already"):
        featured(featured(ds, FeatureSpec()), FeatureSpec())
    with pytest.raises(InputError, match="`displacement` or `relative` must be asked for"):
        featured(ds, FeatureSpec(displacement=False, relative=False))
