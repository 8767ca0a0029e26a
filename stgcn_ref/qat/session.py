"""One network from floats to trained integers: calibrate, search, train, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fxp.archive import canonical_json
from fxp.calibrate import Formats, calibrate
from fxp.code_version import code_version
from fxp.files import replacing
from fxp.floatnet import FloatNet
from fxp.ir import Graph
from fxp.lower import lower
from fxp.ptq.narrow import narrowed
from fxp.ptq.search import binary_points, search_formats, with_points
from fxp.spec import QuantSpec
from stgcn_ref.checkpoints import Watch, read_partial
from stgcn_ref.datasets.clips import Dataset, LabelArray, WordArray, dataset_hash, spread
from stgcn_ref.evaluate import predict
from stgcn_ref.metrics import Scores
from stgcn_ref.qat.recipe import QatRecipe
from stgcn_ref.qat.teacher import taught, teacher_of
from stgcn_ref.qat.train import Run, check_overflow, train_quantised
from stgcn_ref.scoring import predict_integers, score_steps
from stgcn_ref.training_code import QAT_CODE

# Many short pieces: what a search finds depends strongly on its frames.
SEARCH_PIECES = 48


@dataclass(frozen=True)
class Outcome:
    """Scores of a network, and the share of steps (percent) that it labels as the float one."""

    name: str
    scores: Scores
    agreement: float


@dataclass(frozen=True)
class Quantised:
    """The trained integer network, and the float, calibrated, searched and trained one's scores."""

    graph: Graph
    outcomes: tuple[Outcome, ...]


def quantise(
    net: FloatNet,
    quant: QuantSpec,
    train_set: Dataset,
    valid_set: Dataset,
    recipe: QatRecipe,
    seed: int,
    partial: Path,
    name: str = "",
    watch: Watch | None = None,
) -> Quantised:
    """Calibrate `net` to `quant`, search its binary points if the recipe says so, and train it.

    Args:
        net: exported with observations.
        quant: widths and modes.
        train_set, valid_set: recordings of different participants.
        recipe, seed: how to train, see `train_quantised`.
        partial: file that keeps what an interrupted session goes on from; removed at the end.
        name: of the graph.
        watch: told of the progress of the training.

    Raises:
        InputError, GraphError: as `calibrate`, `lower` and `train_quantised`.
    """
    check_overflow(quant)
    watch = watch or Watch()
    key = _key(net, quant, train_set, valid_set, recipe, seed)
    kept = read_partial(partial)
    if kept is not None and kept.get("key") != key:
        kept = None
    calibrated = calibrate(net, quant)
    if recipe.accumulators:  # what cannot be is refused before anything is searched or written
        narrowed(net, calibrated, recipe.accumulators)
    formats = _searched(net, calibrated, train_set, recipe, kept)
    points = binary_points(formats)

    def keep(run: Run) -> None:
        _save(partial, {"key": key, "points": points, "run": run.state()})
        if watch.on_epoch is not None:
            watch.on_epoch(run.history[-1])

    if kept is None:
        _save(partial, {"key": key, "points": points})
    run = train_quantised(
        net,
        formats,
        train_set,
        valid_set,
        recipe,
        seed,
        state=kept.get("run") if kept else None,
        on_epoch=keep,
        on_step=watch.on_step,
    )
    graph = run.kept(name)
    graph = replace(graph, meta={**graph.meta, "qat": _about(recipe, seed, run)})
    stages = {"calibrated": lower(net, calibrated), "trained": graph}
    if formats != calibrated:
        stages = {**stages, "searched": lower(net, formats)}
    order = [stage for stage in ("calibrated", "searched", "trained") if stage in stages]
    outcomes = _outcomes(net, {stage: stages[stage] for stage in order}, valid_set)
    partial.unlink(missing_ok=True)
    return Quantised(graph, outcomes)


def agreement(one: Sequence[LabelArray], other: Sequence[LabelArray]) -> float:
    """Share of steps with the same label, in percent."""
    return 100 * float(np.mean(np.concatenate(one) == np.concatenate(other)))


def _outcomes(net: FloatNet, graphs: dict[str, Graph], valid_set: Dataset) -> tuple[Outcome, ...]:
    labels = {"float": predict(teacher_of(net), valid_set)}
    labels |= {stage: predict_integers(graph, valid_set) for stage, graph in graphs.items()}
    return tuple(
        Outcome(stage, score_steps(valid_set, found), agreement(found, labels["float"]))
        for stage, found in labels.items()
    )


def _searched(
    net: FloatNet,
    calibrated: Formats,
    train_set: Dataset,
    recipe: QatRecipe,
    kept: dict[str, Any] | None,
) -> Formats:
    if kept is not None:
        return with_points(calibrated, kept["points"])
    if not recipe.search_sweeps:
        return calibrated
    clips = _search_pieces(train_set, recipe.search_frames)
    wanted = taught(net, clips)
    return search_formats(net, calibrated, clips, wanted, recipe.search_sweeps).formats


def _search_pieces(ds: Dataset, frames: int) -> list[WordArray]:
    """The middles of `SEARCH_PIECES` recordings spread evenly, about `frames` in all."""
    chosen = spread(ds.clips, SEARCH_PIECES)
    length = -(-frames // len(chosen))
    return [_middle(clip.x, length) for clip in chosen]


def _middle(x: WordArray, frames: int) -> WordArray:
    start = max(0, (len(x) - frames) // 2)
    return x[start : start + frames]


def _about(recipe: QatRecipe, seed: int, run: Run) -> dict[str, Any]:
    """What the network's file says of its training."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "epoch": run.best_epoch,
        "frac_bits": {key: list(value) for key, value in binary_points(run.formats).items()},
    }


def _save(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        torch.save(content, temporary)


def _key(
    net: FloatNet,
    quant: QuantSpec,
    train_set: Dataset,
    valid_set: Dataset,
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
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "code": code_version(QAT_CODE),
        "torch": torch.__version__,
    }
    digest.update(canonical_json(content))
    return digest.hexdigest()
