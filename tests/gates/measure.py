"""The figures under gate: accuracy of small trained networks, bit-exactness, cost of the presets.

Trainings are small on purpose (seconds to a minute on one core): a gate watches for change, and
says nothing of how good a network can get. Networks trained on recordings are made here and thrown
away, since the recordings' authors state no licence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fxp.calibrate import calibrate
from fxp.lower import lower
from fxp.oracle import evaluate as oracle
from fxp.simulate import compile_graph, run
from fxp.spec import ArchSpec, QuantSpec, load_spec
from fxp.store import graph_hash
from hw_model.accelerator import load_accelerator, preset_names
from hw_model.blueprint import blueprint
from hw_model.cost import estimate
from stgcn_ref.datasets.clips import Dataset, dataset_hash, split
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.evaluate import predict as predict_float
from stgcn_ref.export import export
from stgcn_ref.metrics import argmax_agreement
from stgcn_ref.preparation import PreparationSpec, prepare
from stgcn_ref.recipe import Augmentation, TrainRecipe
from stgcn_ref.scoring import predict_integers, score_steps
from stgcn_ref.train import train

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "w8a8": QuantSpec(weight_bits=8, activation_bits=8),
    "w8a8s12": QuantSpec(weight_bits=8, activation_bits=8, stream_bits=12),
    "w4a8s12": QuantSpec(
        weight_bits=4,
        activation_bits=8,
        stream_bits=12,
        adjacency_bits=8,
        layers={"embedding": {"weight_bits": 8}, "classifier": {"weight_bits": 8}},
    ),
}
ORACLE_FRAMES = 40
COST_FIGURES = (
    "macs_dense",
    "macs_sparse",
    "multiplications",
    "additions",
    "memory_words",
    "memory_bits",
    "interval_cycles",
    "latency_cycles",
    "dram_bytes",
    "energy_uj",
    "fits",
)


@dataclass(frozen=True)
class Measured:
    """Figures by name, and the content hash of the data they were measured on."""

    figures: dict[str, float | int | str]
    data_hash: str


def synthetic() -> Measured:
    """A three-block network on the synthetic generator's streams."""
    data = prepare(generate_synthetic(seed=7), PreparationSpec(frames_per_step=3, shift=3))
    train_set, valid_set = split(data, train=(1, 2, 3, 4, 5, 6), valid=(7, 8))
    turning = Augmentation(vectors=2, rotation_deg=10.0)
    recipe = TrainRecipe(epochs=12, batch=4, segment=256, lr=0.02, ema=0.95, augmentation=turning)
    return _accuracy(train_set, valid_set, (8, 16, 16), 9, recipe)


def hugadb(root: Path) -> Measured:
    """The same on real recordings: trained on participants 1, 5 and 6, measured on 8."""
    data = load_hugadb(root, subjects=(1, 5, 6, 8))
    steps = PreparationSpec(frames_per_step=6, shift=3, gyro_repair=True, lift=True)
    train_set, valid_set = split(prepare(data, steps), train=(1, 5, 6), valid=(8,))
    turning = Augmentation(vectors=2, rotation_deg=15.0, vector_scale=(0.0, 0.15))
    recipe = TrainRecipe(epochs=8, batch=8, segment=256, ema=0.99, augmentation=turning)
    return _accuracy(train_set, valid_set, (16, 16, 32, 32), 5, recipe)


def cost() -> Measured:
    """The network of docs/cost-model.md at 8 bits on every preset: exact numbers."""
    arch = load_spec(ArchSpec, ROOT / "examples" / "pkummd_rtstgcn.yaml")
    graph = blueprint(arch, QuantSpec())
    figures: dict[str, float | int | str] = {}
    for name in preset_names():
        found = estimate(graph, load_accelerator(name))
        figures |= {f"{name}/{key}": getattr(found, key) for key in COST_FIGURES}
    return Measured(figures, graph_hash(graph))


PARTS: dict[str, Callable[[], Measured]] = {"synthetic": synthetic, "cost": cost}


def _accuracy(
    train_set: Dataset,
    valid_set: Dataset,
    channels: tuple[int, ...],
    window: int,
    recipe: TrainRecipe,
) -> Measured:
    """Float scores, integer scores by setting, and whether oracle and simulator agree."""
    arch = ArchSpec(
        skeleton=train_set.skeleton,
        in_channels=train_set.clips[0].x.shape[1],
        embedding=channels[0],
        channels=channels,
        window=(window,),
        classes=len(train_set.classes),
    )
    model = train(arch, train_set, valid_set, recipe, seed=0).kept()
    labels = predict_float(model, valid_set)
    figures: dict[str, float | int | str] = _scores("float", valid_set, labels)
    net = export(model, arch, train_set.clips)
    for name, quant in SETTINGS.items():
        graph = lower(net, calibrate(net, quant))
        found = predict_integers(graph, valid_set)
        figures |= _scores(name, valid_set, found)
        figures[f"{name}/argmax_agreement"] = argmax_agreement(found, labels)
        x = valid_set.clips[0].x[:ORACLE_FRAMES]
        names = [node.name for node in graph.nodes]
        fast, exact = run(compile_graph(graph), x, taps=names)[0], oracle(graph, x)
        wrong = sum(int(np.count_nonzero(fast[key] != exact[key])) for key in names)
        figures[f"{name}/differing_words"] = wrong
    return Measured(figures, f"{dataset_hash(train_set)}+{dataset_hash(valid_set)}")


def _scores(
    name: str, data: Dataset, labels: list[np.ndarray[tuple[int], np.dtype[np.int64]]]
) -> dict[str, float | int | str]:
    found = score_steps(data, labels)
    return {
        f"{name}/frame_accuracy": found.frame_accuracy,
        f"{name}/f1_50": found.f1_50,
        f"{name}/edit": found.edit,
    }
