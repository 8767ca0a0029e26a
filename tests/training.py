"""Small data, recipes and networks of every family for the tests of training."""

from __future__ import annotations

import numpy as np
import torch

from fxp.spec import ArchSpec
from stgcn_ref.augment import Features
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.recognition import RecognitionSet
from stgcn_ref.recipe import TrainRecipe

_BASE: dict[str, object] = {"skeleton": "hugadb", "in_channels": 6, "classes": 3}

ARCH = ArchSpec.model_validate({**_BASE, "embedding": 4, "channels": (6,), "window": (2,)})
LAYER_NORM = ArchSpec.model_validate(
    {**_BASE, "norm": "layer", "embedding": 4, "channels": (6, 4), "window": (2,)}
)
# Networks that look ahead, by name
AHEAD = {
    "costgcn": ArchSpec.model_validate(
        {**_BASE, "family": "costgcn", "embedding": 4, "channels": (6, 4), "window": (3,)}
    ),
    "frame-wise st-gcn": ArchSpec.model_validate(
        {**_BASE, "family": "costgcn", "channels": (4, 6), "window": (5,)}
    ),
    "msgcn": ArchSpec.model_validate(
        {
            **_BASE,
            "family": "msgcn",
            "embedding": 4,
            "channels": (4, 4),
            "window": (3,),
            "dilation": (1, 2),
            "refinements": 1,
        }
    ),
    "tcn": ArchSpec.model_validate(
        {
            **_BASE,
            "family": "tcn",
            "embedding": 6,
            "channels": (6, 8),
            "window": (4,),
            "dilation": (1, 2),
        }
    ),
}
CLIP_ARCH = ArchSpec(
    family="stgcn",
    skeleton="hugadb",
    in_channels=6,
    classes=8,
    channels=(6, 8),
    stride=(1, 2),
    window=(3,),
    persons=2,
)
RECIPE = TrainRecipe(epochs=3, batch=2, segment=40, lr=2e-2, dropout=0.1)


def toy(seed: int, lengths: tuple[int, ...] = (120, 75, 90), hold: int = 1) -> Dataset:
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


def features(ds: Dataset) -> list[Features]:
    """Frames (T, V, C) of every clip."""
    return [np.ascontiguousarray(c.x.transpose(0, 2, 1), dtype=np.float32) for c in ds.clips]


def of_subjects(ds: RecognitionSet, *subjects: int) -> RecognitionSet:
    """The clips of these subjects."""
    clips = tuple(clip for clip in ds.clips if clip.subject in subjects)
    return RecognitionSet(ds.name, ds.skeleton, ds.classes, ds.rate_hz, clips, ds.synthetic)


def changed(recipe: TrainRecipe, **over: object) -> TrainRecipe:
    """A recipe with other values for these keys."""
    return TrainRecipe.model_validate(recipe.model_dump() | over)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts are equal to the last bit."""
    return all(torch.equal(a[key], b[key]) for key in a.keys() | b.keys())


def cloned(value: object) -> object:
    """A copy of plain data with all its tensors."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: cloned(item) for key, item in value.items()}
    return [cloned(item) for item in value] if isinstance(value, list) else value
