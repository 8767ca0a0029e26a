"""What a design point is, by content: the keys that tie its accuracy, its cost and its vectors.

A *topology* is a trained float network: architecture, data, recipe, seed, and the code that trains.
A *network* is a topology in integers: plus the quantisation, and the code that computes integers.
A *design point* is a network on an accelerator: plus the accelerator, and the code that prices it.
Each key is the sha256 of the canonical JSON of exactly that, so equal keys mean equal results (on
one machine, as far as training goes) and a result is never computed twice.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dse.axes import Axes, Network
from dse.quants import Quant, for_layers
from fxp.archive import canonical_json
from fxp.code_version import code_version
from fxp.spec import ArchSpec
from hw_model.accelerator import Accelerator
from stgcn_ref.recipe import TrainRecipe
from stgcn_ref.training_code import EXPORT_CODE, QAT_CODE

# Packages and modules whose text decides what a step computes.
INTEGER_CODE = (
    "fxp",
    "fxp.kernels",
    "fxp.ptq",
    "stgcn_ref.datasets.clips",
    "stgcn_ref.judge",
    "stgcn_ref.metrics",
    "stgcn_ref.scoring",
)
COST_CODE = ("hw_model", "hw_model.area", "hw_model.rtl")


@dataclass(frozen=True)
class Topology:
    """A float network to train, or without a recipe one of zero weights."""

    key: str
    arch: ArchSpec
    recipe: TrainRecipe | None
    seed: int | None
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Design:
    """A topology in integers."""

    key: str
    topology: Topology
    quant: Quant
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """A design on an accelerator; `params` are all its columns in results."""

    key: str
    design: Design
    accelerator: Accelerator
    params: Mapping[str, Any]


def expand(axes: Axes, data_hash: str) -> tuple[Point, ...]:
    """The points of the space after sampling, each once, in the order of its axes.

    Args:
        axes: the checked space.
        data_hash: of the prepared training and validation sets (empty without training).
    """
    points: dict[str, Point] = {}
    for network, seed, quant, accelerator in _choices(axes):
        topology = _topology(network, seed, data_hash)
        if axes.space.networks:
            quant = replace(quant, spec=for_layers(quant.spec, network.arch))
        design = _design(topology, quant)
        point = _point(design, accelerator)
        points.setdefault(point.key, point)
    return tuple(points.values())


def _choices(axes: Axes) -> Iterator[tuple[Network, int | None, Quant, Accelerator]]:
    """One value per axis: the whole grid, or a sample without repetition in grid order."""
    seeds: Sequence[int | None] = axes.space.seeds if axes.space.training else (None,)
    sampling = axes.space.sampling
    chosen: Sequence[int] = range(axes.size)
    if sampling.count is not None:
        chosen = sorted(random.Random(sampling.seed).sample(chosen, sampling.count))
    for index in chosen:
        index, accelerator = divmod(index, len(axes.accelerators))
        index, quant = divmod(index, len(axes.quants))
        network, seed = divmod(index, len(seeds))
        yield (
            axes.networks[network],
            seeds[seed],
            axes.quants[quant],
            axes.accelerators[accelerator],
        )


def _topology(network: Network, seed: int | None, data_hash: str) -> Topology:
    recipe = network.recipe
    content: dict[str, Any] = {"arch": network.arch.model_dump(mode="json")}
    if recipe is not None:
        content |= {
            "data": data_hash,
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "code": code_version(EXPORT_CODE),
        }
    params = {**network.params, "seed": seed}
    return Topology(content_key(content), network.arch, recipe, seed, params)


def _design(topology: Topology, quant: Quant) -> Design:
    spec = quant.spec
    content = {
        "topology": topology.key,
        "quant": spec.model_dump(mode="json"),
        "code": code_version(INTEGER_CODE),
    }
    if quant.training is not None:
        content["training"] = quant.training.model_dump(mode="json")
        content["training_code"] = code_version(QAT_CODE)
    params = {
        **topology.params,
        "quant": quant.label,
        "method": quant.method,
        "weight_bits": spec.weight_bits,
        "activation_bits": spec.activation_bits,
        "stream_bits": spec.stream_bits or spec.activation_bits,
        "rounding": spec.rounding.value,
        "overflow": spec.overflow.value,
        "weight_granularity": spec.weight_granularity,
        "calibrator": spec.calibrator,
    }
    return Design(content_key(content), topology, quant, params)


def _point(design: Design, accelerator: Accelerator) -> Point:
    content = {
        "network": design.key,
        "accelerator": accelerator.model_dump(mode="json"),
        "code": code_version(COST_CODE),
    }
    params = {
        **design.params,
        "accelerator": accelerator.name,
        "topology": design.topology.key,
    }
    return Point(content_key(content), design, accelerator, params)


def content_key(content: Any) -> str:
    """sha256 (hex) of the canonical JSON of plain data."""
    return hashlib.sha256(canonical_json(content)).hexdigest()
