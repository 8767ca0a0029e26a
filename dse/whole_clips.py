"""The original task, a label for a whole clip: ST-GCN in float and in integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dse.metrics import cost_metrics
from dse.points import COST_CODE, INTEGER_CODE, content_key
from dse.quants import quant_label
from dse.rows import Row, kept
from fxp.archive import load_arrays, save_arrays
from fxp.calibrate import calibrate
from fxp.code_version import code_version
from fxp.floatnet import FloatNet, load_floatnet, save_floatnet
from fxp.lower import lower
from fxp.ranges import certify
from fxp.spec import ArchSpec, QuantSpec
from hw_model.accelerator import Accelerator
from hw_model.cost import estimate
from stgcn_ref.datasets.actions import cut_actions
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.datasets.recognition import RecognitionSet, recognition_hash
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.recognition_metrics import score_clips
from stgcn_ref.scoring import class_scores_integers
from stgcn_ref.training_code import EXPORT_CODE

ROOM = "clips"
_SCORES = "clip-scores"


def score_whole_clips(
    arch: ArchSpec,
    recipe: TrainRecipe,
    steps: int,
    quants: Sequence[QuantSpec],
    data: tuple[Dataset, Dataset],
    accelerator: Accelerator,
    directory: Path,
    cache: Path,
    note: Callable[[str], None],
) -> list[Row]:
    """A row in float, then one for each setting; what `directory` has is not measured again.

    Args:
        arch: a network of whole clips (family `stgcn`).
        recipe: how it is trained.
        steps: network steps of a clip, see `cut_actions`.
        quants: settings of the integer networks.
        data: training and validation recordings, prepared.
        accelerator: what the cost is of.
        directory, cache: results directory, folder of trainings.
        note: told of each step in a line.

    Raises:
        InputError: network and data do not fit, or a setting cannot be built.
    """
    train, valid = (cut_actions(side, steps) for side in data)
    identity = {
        "arch": arch.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        "data": [recognition_hash(side) for side in (train, valid)],
        "code": code_version(EXPORT_CODE),
    }
    room = directory / ROOM
    room.mkdir(exist_ok=True)
    stem = content_key(identity)
    net_file, scores_file = room / f"{stem}.fxp", room / f"{stem}-scores.fxp"

    def trained() -> Row:
        note("whole clips: training")
        return _float_row(arch, recipe, train, valid, cache, net_file, scores_file)

    rows = [kept(room / f"{stem}-float.json", trained)]
    floats = np.asarray(load_arrays(scores_file, _SCORES)[1]["scores"])

    def measured(quant: QuantSpec) -> Row:
        note(f"whole clips: {quant_label(quant, quant)}")
        return _integer_row(load_floatnet(net_file), quant, valid, floats, accelerator)

    for quant in quants:
        more = {
            "quant": quant.model_dump(mode="json"),
            "accelerator": accelerator.model_dump(mode="json"),
            "code": [code_version(names) for names in (INTEGER_CODE, COST_CODE)],
        }
        key = content_key([identity, more])
        rows.append(kept(room / f"{key}.json", partial(measured, quant)))
    return rows


def _float_row(
    arch: ArchSpec,
    recipe: TrainRecipe,
    train: RecognitionSet,
    valid: RecognitionSet,
    cache: Path,
    net_file: Path,
    scores_file: Path,
) -> Row:
    from stgcn_ref.checkpoints import load_checkpoint, train_cached
    from stgcn_ref.evaluate import class_scores
    from stgcn_ref.export import export

    model = load_checkpoint(train_cached(arch, train, valid, recipe, 0, cache))
    scores = class_scores(model, valid)
    save_arrays(scores_file, {"kind": _SCORES}, {"scores": scores})
    save_floatnet(export(model, arch, train.clips, {"data": train.name}), net_file)
    labels = [clip.label for clip in valid.clips]
    return {
        "setting": "float",
        "train_clips": len(train.clips),
        "clips": len(valid.clips),
        "steps": len(valid.clips[0].x),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **asdict(score_clips(scores, labels)),
    }


def _integer_row(
    net: FloatNet,
    quant: QuantSpec,
    valid: RecognitionSet,
    floats: np.ndarray[Any, np.dtype[Any]],
    accelerator: Accelerator,
) -> Row:
    graph = lower(net, calibrate(net, quant))
    certify(graph)
    scores = class_scores_integers(graph, valid)
    same = scores.argmax(axis=1) == floats.argmax(axis=1)
    return {
        "setting": quant_label(quant, quant),
        "argmax_agreement": 100.0 * float(same.mean()),
        **asdict(score_clips(scores, [clip.label for clip in valid.clips])),
        **cost_metrics(estimate(graph, accelerator)),
    }
