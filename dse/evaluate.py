"""The steps of an evaluation, as functions that a worker runs: train, simulate, price.

Each takes the worker's `Context` and plain data, writes its files into the results directory and
returns metrics. Training is the only step that loads torch, and only when it runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dse.data import Sides
from dse.executor import report_share
from dse.metrics import REFUSED, cost_metrics
from dse.points import Design, Topology
from dse.tallies import save_tallies, tallies_file, tally
from fxp.errors import InputError
from fxp.floatnet import Fold, load_floatnet, save_floatnet
from fxp.ir import Graph
from fxp.ptq.quantise import quantise
from fxp.ranges import certify
from fxp.store import graph_hash, load_arrays, load_graph, save_arrays, save_graph
from hw_model.accelerator import Accelerator
from hw_model.blueprint import blueprint
from hw_model.cost import estimate
from stgcn_ref.datasets.clips import MERGES, Dataset, LabelArray, held, merged, spread
from stgcn_ref.judge import label_judge, others
from stgcn_ref.metrics import argmax_agreement, score
from stgcn_ref.scoring import predict_integers

CALIBRATION_CLIPS = 16
LABELS_KIND = "float-labels"

Metrics = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Context:
    """What a worker has: the results directory, the cache of trainings, the prepared data."""

    directory: Path
    cache: Path
    data: Sides | None


def make_context(directory: Path, cache: Path, data: Sides | None) -> Context:
    """A worker's context; libraries that are loaded later (torch) keep to one thread.

    Workers share the cores already, and sums split over threads would depend on their number.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    return Context(directory, cache, data)


def float_file(directory: Path, topology: str, fold: Fold) -> Path:
    """Where a topology's exported float network is kept."""
    return directory / "topologies" / f"{topology}-{fold}.fxp"


def labels_file(directory: Path, topology: str) -> Path:
    """Where a float network's labels of the scored recordings are kept."""
    return directory / "topologies" / f"{topology}-labels.fxp"


def network_file(directory: Path, design: str) -> Path:
    """Where a design's integer network is kept (a model file of `fxp`)."""
    return directory / "networks" / f"{design}.fxp"


def train_topology(context: Context, topology: Topology, folds: Sequence[Fold]) -> Metrics:
    """Train a topology (or find it in the cache), export it, and score the float network.

    Files: one float network per `fold`, and the labels it gives to the scored recordings.
    """
    from stgcn_ref.checkpoints import Watch, load_checkpoint, train_cached
    from stgcn_ref.evaluate import predict as predict_float
    from stgcn_ref.export import export
    from stgcn_ref.models.stgcn import STGCN

    assert context.data is not None and topology.recipe is not None
    assert topology.seed is not None
    train, scored = context.data.train, context.data.scored
    epochs = topology.recipe.epochs
    watch = Watch(on_epoch=lambda epoch: report_share((epoch.number + 1) / epochs))
    checkpoint = train_cached(
        topology.arch,
        train,
        context.data.valid,
        topology.recipe,
        topology.seed,
        context.cache,
        watch,
    )
    model = load_checkpoint(checkpoint)
    assert not isinstance(model, STGCN)  # no space trains one, see `dse.axes`
    labels = predict_float(model, scored)
    save_arrays(
        labels_file(context.directory, topology.key),
        {"kind": LABELS_KIND, "clips": [clip.name for clip in scored.clips]},
        {f"clip{index}": array for index, array in enumerate(labels)},
    )
    about = {
        "topology": topology.key,
        "seed": topology.seed,
        "data": train.name,
        "synthetic": train.synthetic,
        "classes": list(train.classes),
        "preparation": train.meta.get("preparation"),
    }
    for fold in folds:
        net = export(model, topology.arch, train.clips, about, fold)
        save_floatnet(net, float_file(context.directory, topology.key, fold))
    counted = sum(parameter.numel() for parameter in model.parameters())
    found = {f"float_{name}": value for name, value in scores(scored, labels).items()}
    return {"parameters": counted, **found}


def scores(data: Dataset, predictions: Sequence[LabelArray]) -> dict[str, float]:
    """All scores of step labels (T,) per clip, in percent, on the original frames.

    Where the data has the classes of a merge (`elevator`), the scores under it are added.
    """
    found = [held(clip, steps) for clip, steps in zip(data.clips, predictions, strict=True)]
    truth = [clip.frame_labels for clip in data.clips]
    values = asdict(score(found, truth))
    for merge, classes in MERGES.items():
        if not {*classes, *classes.values()} <= set(data.classes):
            continue
        table = merged(data.classes, merge)
        joined = score([table[x] for x in found], [table[x] for x in truth])
        values |= {f"{merge}_{name}": value for name, value in asdict(joined).items()}
    return {name: float(value) for name, value in values.items()}


def evaluate_design(context: Context, design: Design) -> Metrics:
    """Lower a design to integers, measure it on the scored recordings, and keep the network.

    A design that cannot be built (an accumulator wider than declared, a format that does not fit)
    gives its reason under `REFUSED`. Without data, weights are zero and nothing is measured. What
    each recording adds to the scores is kept too (`dse.tallies`).
    """
    try:
        graph = build(context, design)
    except InputError as error:
        return {REFUSED: " ".join(str(error).split())}
    metrics: Metrics = {}
    if context.data is not None:
        scored = context.data.scored
        labels = predict_integers(graph, scored)
        floats = _float_labels(context.directory, design.topology.key, scored)
        metrics = scores(scored, labels)
        metrics["argmax_agreement"] = argmax_agreement(labels, floats)
        save_tallies(tally(scored, labels, floats), tallies_file(context.directory, design.key))
    about = {**graph.meta, "network": design.key, "measured": metrics}
    save_graph(replace(graph, meta=about), network_file(context.directory, design.key))
    return {**metrics, "graph_hash": graph_hash(graph)}


def build(context: Context, design: Design) -> Graph:
    """The integer network of a design, every accumulator certified.

    What is repaired is so on `CALIBRATION_CLIPS` training recordings, spread evenly over all; which
    repair is best is judged on the other training recordings.

    Raises:
        InputError: it cannot be built (the line says why).
    """
    spec = design.quant.spec
    name = f"{design.key[:12]} {design.quant.label}"
    if design.topology.recipe is None:
        graph = blueprint(design.topology.arch, spec, name)
    else:
        graph = _quantised(context, design, name)
    certify(graph)
    return graph


def _quantised(context: Context, design: Design, name: str) -> Graph:
    """Calibrated and repaired; trained where the design says how."""
    assert context.data is not None
    spec, train = design.quant.spec, context.data.train
    net = load_floatnet(float_file(context.directory, design.topology.key, spec.fold))
    clips = spread(train.clips, CALIBRATION_CLIPS)
    recipe = design.quant.training
    if recipe is None:
        words = [clip.x.astype(np.int64) for clip in clips]
        judge = None
        if spec.repair.choose:
            judge = label_judge(net, spec.input_bits, others(train.clips, clips))
        return quantise(net, spec, words, name, judge)

    from stgcn_ref.checkpoints import Watch
    from stgcn_ref.qat.session import quantise as train_integers

    watch = Watch(on_epoch=lambda epoch: report_share((epoch.number + 1) / recipe.epochs))
    partial = network_file(context.directory, design.key).with_suffix(".partial")
    sides = train, context.data.valid
    seed = design.topology.seed or 0
    return train_integers(net, spec, *sides, clips, recipe, seed, partial, name, watch).graph


def _float_labels(directory: Path, topology: str, data: Dataset) -> list[LabelArray]:
    _, arrays = load_arrays(labels_file(directory, topology), LABELS_KIND)
    return [np.asarray(arrays[f"clip{index}"]) for index in range(len(data.clips))]


def price(
    context: Context, design: Design, accelerators: Sequence[tuple[str, Accelerator]]
) -> dict[str, Metrics]:
    """As `price_network`, at the rate of the recordings' steps."""
    rate_hz = context.data.scored.rate_hz if context.data is not None else None
    return price_network(context.directory, design.key, accelerators, rate_hz)


def price_network(
    directory: Path,
    design: str,
    accelerators: Sequence[tuple[str, Accelerator]],
    rate_hz: float | None,
) -> dict[str, Metrics]:
    """Cost of a kept network on accelerators, by the keys given with them.

    A network that an accelerator cannot run, or not `rate_hz` steps a second of it, has its reason
    under `REFUSED`.
    """
    graph = load_graph(network_file(directory, design))
    return {
        key: cost_metrics(estimate(graph, accelerator, frame_rate_hz=rate_hz))
        for key, accelerator in accelerators
    }
