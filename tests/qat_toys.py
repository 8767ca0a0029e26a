"""A small task, a float network that has learnt it, and coarse formats that spoil it."""

from __future__ import annotations

from functools import cache

import numpy as np

from fxp.floatnet import FloatNet
from fxp.spec import ArchSpec, QuantSpec
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.export import export
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.train import train

ARCH = ArchSpec(
    skeleton="hugadb", in_channels=6, embedding=4, channels=(4,), window=(2,), classes=3
)
COARSE = QuantSpec(weight_bits=3, activation_bits=3, stream_bits=5, adjacency_bits=4)
RECIPE = QatRecipe(epochs=3, batch=2, segment=40, search_sweeps=0, select_from=0.0)


def toy(seed: int, lengths: tuple[int, ...] = (120, 75, 90)) -> Dataset:
    """Three classes in turn, 15 steps each, that differ in the mean of their words."""
    rng = np.random.default_rng(seed)
    clips = []
    for index, steps in enumerate(lengths):
        labels = (np.arange(steps) // 15 + rng.integers(3)) % 3
        x = rng.normal(0, 300, (steps, 6, 6)) + 300 * (labels - 1)[:, None, None] + 2000
        clips.append(Clip(f"toy{seed}_{index}", seed, x.astype(np.int32), labels, labels))
    return Dataset("toy", "hugadb", ("a", "b", "c"), 20.0, tuple(clips), synthetic=True)


@cache
def learnt() -> FloatNet:
    """The float network, observed."""
    recipe = TrainRecipe(epochs=4, batch=2, segment=40, lr=2e-2, dropout=0.0)
    run = train(ARCH, toy(1), toy(2), recipe, 0)
    return export(run.kept(), ARCH, toy(1).clips)
