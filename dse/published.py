"""Released networks as they are: float and integer scores on recordings, kept once measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from dse.comparison import Published
from dse.metrics import cost_metrics
from dse.points import COST_CODE, INTEGER_CODE, content_key
from dse.quants import quant_label
from dse.rows import Row, kept
from fxp.archive import load_arrays, save_arrays
from fxp.calibrate import calibrate
from fxp.code_version import code_version
from fxp.ir import Graph
from fxp.lower import lower
from fxp.ranges import certify
from fxp.spec import QuantSpec
from hw_model.accelerator import Accelerator
from hw_model.cost import estimate
from stgcn_ref.datasets.clips import Dataset, LabelArray, dataset_hash, spread
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.metrics import argmax_agreement
from stgcn_ref.networks import Opened, open_network, standard_widths
from stgcn_ref.preparation import prepare
from stgcn_ref.scoring import score_steps
from stgcn_ref.training_code import EXPORT_CODE

ROOM = "published"
_LABELS = "published-labels"


def score_published(
    entry: Published,
    checkpoint: Path,
    data_root: Path,
    accelerator: Accelerator,
    directory: Path,
    note: Callable[[str], None],
) -> list[Row]:
    """A row in float, then one for each width; rows that `directory` has are not measured again.

    Each row has the scores in percent, `recordings`, `frames`, the cost metrics and the setting's
    widths; integer rows the agreement of their labels with the float network's, frame by frame.

    Raises:
        InputError: the checkpoint cannot be read, or does not fit the recordings.
    """
    opened = open_network(checkpoint, entry.family, entry.skeleton)
    subjects = None if entry.participants is None else set(entry.participants)
    recorded = load_hugadb(data_root, entry.labels, subjects, opened.ids)
    ds = opened.fitted(prepare(recorded, opened.preparation))
    identity = {
        "entry": entry.model_dump(mode="json", exclude={"bits"}),
        "checkpoint": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "data": dataset_hash(ds),
        "accelerator": accelerator.model_dump(mode="json"),
        "code": [code_version(names) for names in (EXPORT_CODE, INTEGER_CODE, COST_CODE)],
    }
    room = directory / ROOM
    room.mkdir(exist_ok=True)
    stem = content_key(identity)
    labels = room / f"{stem}-labels.fxp"

    def measured(bits: int | None) -> Row:
        note(f"{checkpoint.name}: {'float' if bits is None else f'{bits} bits'}")
        if bits is None:
            return _float_row(opened, ds, entry, labels)
        return _integer_row(opened, ds, entry, bits, labels, accelerator)

    return [
        kept(room / f"{stem}-{'float' if bits is None else bits}.json", partial(measured, bits))
        for bits in (None, *entry.bits)
    ]


def _float_row(opened: Opened, ds: Dataset, entry: Published, labels: Path) -> Row:
    assert not isinstance(opened.net, Graph)
    found = opened.predict(ds)
    save_arrays(labels, {"kind": _LABELS}, {f"clip{i}": array for i, array in enumerate(found)})
    counted = sum(parameter.numel() for parameter in opened.net.parameters())
    return {"setting": "float", "parameters": counted, **_scores(ds, found, entry)}


def _integer_row(
    opened: Opened,
    ds: Dataset,
    entry: Published,
    bits: int,
    labels: Path,
    accelerator: Accelerator,
) -> Row:
    quant = standard_widths(opened, bits)
    graph = _lowered(opened, ds, entry.calibration, quant)
    found = replace(opened, net=graph).predict(ds)
    _, arrays = load_arrays(labels, _LABELS)
    floats = [np.asarray(arrays[f"clip{i}"]) for i in range(len(ds.clips))]
    cost = cost_metrics(estimate(graph, accelerator, frame_rate_hz=ds.rate_hz))
    return {
        "setting": quant_label(quant, quant),
        "argmax_agreement": argmax_agreement(found, floats),
        **_scores(ds, found, entry),
        **cost,
    }


def _lowered(opened: Opened, ds: Dataset, calibration: int, quant: QuantSpec) -> Graph:
    from stgcn_ref.export import export

    assert not isinstance(opened.net, Graph)
    clips = spread(ds.clips, calibration)
    net = export(opened.net, opened.arch, clips, {"data": ds.name}, quant.fold)
    graph = lower(net, calibrate(net, quant))
    certify(graph)
    return graph


def _scores(ds: Dataset, found: list[LabelArray], entry: Published) -> Row:
    frames = sum(len(clip.frame_labels) - entry.drop_last for clip in ds.clips)
    scores = asdict(score_steps(ds, found, entry.drop_last))
    return {"recordings": len(ds.clips), "frames": frames, **scores}
