"""One network from floats to trained integers: calibrate, repair, train, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fxp.archive import canonical_json
from fxp.code_version import code_version
from fxp.files import replacing
from fxp.floatnet import FloatNet
from fxp.ir import Graph
from fxp.ptq.narrow import narrowed
from fxp.ptq.search import binary_points
from fxp.spec import QuantSpec
from stgcn_ref.checkpoints import Watch, read_partial
from stgcn_ref.datasets.clips import Clip, Dataset, dataset_hash
from stgcn_ref.evaluate import predict
from stgcn_ref.metrics import Scores, argmax_agreement
from stgcn_ref.qat.beginning import Beginning, begin, restored
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.run import Run
from stgcn_ref.qat.teacher import teacher_of
from stgcn_ref.qat.train import check_overflow, train_quantised
from stgcn_ref.scoring import predict_integers, score_steps
from stgcn_ref.training_code import QAT_CODE


@dataclass(frozen=True)
class Outcome:
    """Scores of a network, and the share of steps (percent) that it labels as the float one."""

    name: str
    scores: Scores
    agreement: float


@dataclass(frozen=True)
class Quantised:
    """The trained integer network, and what its training started from."""

    graph: Graph
    beginning: Beginning


def quantise(
    net: FloatNet,
    quant: QuantSpec,
    train_set: Dataset,
    valid_set: Dataset,
    calibration: Sequence[Clip],
    recipe: QatRecipe,
    seed: int,
    partial: Path,
    name: str = "",
    watch: Watch | None = None,
) -> Quantised:
    """Calibrate and repair `net` as `quant` says, and train it.

    `meta["qat"]` of the graph says how it was trained, `meta["choice"]` which repair it started
    from where that was chosen.

    Args:
        net: exported with observations.
        quant: widths and modes.
        train_set, valid_set: recordings of different participants.
        calibration: the training recordings that a repair is fitted to.
        recipe, seed: how to train, see `train_quantised`.
        partial: file that keeps what an interrupted session goes on from; removed at the end.
        name: of the graph.
        watch: told of the progress of the training.

    Raises:
        InputError, GraphError: as `calibrate`, `lower` and `train_quantised`.
    """
    check_overflow(quant)
    watch = watch or Watch()
    key = _key(net, quant, train_set, valid_set, calibration, recipe, seed)
    kept = read_partial(partial)
    if kept is None or kept.get("key") != key:
        kept = None
        beginning = begin(net, quant, train_set, calibration, recipe)
        if recipe.accumulators:  # what cannot be is refused before anything is written
            narrowed(beginning.prepared.net, beginning.prepared.formats, recipe.accumulators)
    else:
        beginning = restored(net, quant, kept["beginning"])
    content = {"key": key, "beginning": beginning.state()}

    def keep(run: Run) -> None:
        _save(partial, {**content, "run": run.state()})
        if watch.on_epoch is not None:
            watch.on_epoch(run.history[-1])

    if kept is None:
        _save(partial, content)
    run = train_quantised(
        beginning.prepared.net,
        beginning.prepared.formats,
        train_set,
        valid_set,
        recipe,
        seed,
        teacher=net,
        state=kept.get("run") if kept else None,
        on_epoch=keep,
        on_step=watch.on_step,
    )
    graph = run.kept(name)
    more: dict[str, Any] = {"qat": _about(recipe, seed, run)}
    if beginning.choice is not None:
        more["choice"] = dict(beginning.choice)
    partial.unlink(missing_ok=True)
    return Quantised(replace(graph, meta={**graph.meta, **more}), beginning)


def compare(net: FloatNet, graphs: Mapping[str, Graph], valid_set: Dataset) -> tuple[Outcome, ...]:
    """The float network and integer ones on the same recordings."""
    labels = {"float": predict(teacher_of(net), valid_set)}
    labels |= {name: predict_integers(graph, valid_set) for name, graph in graphs.items()}
    return tuple(
        Outcome(name, score_steps(valid_set, found), argmax_agreement(found, labels["float"]))
        for name, found in labels.items()
    )


def _about(recipe: QatRecipe, seed: int, run: Run) -> dict[str, Any]:
    """What the network's file says of its training."""
    points = binary_points(run.formats_of(run.best))
    return {
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "epoch": run.best_epoch,
        "frac_bits": {key: list(value) for key, value in points.items()},
    }


def _save(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        torch.save(content, temporary)


def _key(
    net: FloatNet,
    quant: QuantSpec,
    train_set: Dataset,
    valid_set: Dataset,
    calibration: Sequence[Clip],
    recipe: QatRecipe,
    seed: int,
) -> str:
    """sha256 (hex) of everything that decides the result on a given machine."""
    digest = hashlib.sha256()
    for key in sorted(net.params):
        digest.update(key.encode() + np.ascontiguousarray(net.params[key], "<f8").tobytes())
    for key in sorted(net.observations):
        seen = net.observations[key]
        digest.update(f"{key} {seen.lo} {seen.hi}".encode() + seen.sample.tobytes())
    content = {
        "arch": net.arch.model_dump(mode="json"),
        "quant": quant.model_dump(mode="json"),
        "train": dataset_hash(train_set),
        "valid": dataset_hash(valid_set),
        "calibration": [clip.name for clip in calibration],
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "code": code_version(QAT_CODE),
        "torch": torch.__version__,
    }
    digest.update(canonical_json(content))
    return digest.hexdigest()
