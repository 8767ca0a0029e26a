"""The trained network as numbers without a framework: what `fxp` quantises.

A `FloatNet` holds float64 parameters keyed `<node>.<field>` after the node names of `fxp.outline`
(norms with running statistics are folded already), and for every accumulator an `Observation` over
calibration clips. Everything that makes an integer network starts here, so a topology is trained
and exported once and calibrated as often as there are formats to try.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fxp.archive import load_arrays, save_arrays
from fxp.errors import InputError
from fxp.ir import GraphProduct
from fxp.observe import Observation
from fxp.outline import folding_norms, outline, parameter_shapes
from fxp.persons import block_diagonal
from fxp.skeleton import load_skeleton, partitions
from fxp.spec import ArchSpec, parse_spec

FloatArray = npt.NDArray[np.float64]
Fold = Literal["weights", "affine"]

FLOATNET_KIND = "floatnet"


@dataclass(frozen=True, eq=False)
class FloatNet:
    """Float parameters and observations of one trained network.

    Shapes: `input_norm.scale/bias (Cin, V)`, `embedding.weight (E, Cin)`, `block{i}.conv.weight
    (P*Co, Ci)` partition-major, `block{i}.graph.adjacency (P, V, V)` (importance folded in),
    `block{i}.norm.scale/bias (Co, 1)`, `block{i}.residual.weight (Co, Ci)` and
    `block{i}.tconv.weight (Co, Co, taps)` with their norms folded in, `classifier.weight (K, C)`;
    each `weight` with a `bias` of its first axis. V counts the joints of all persons
    (`fxp.persons`). Behind a LayerNorm scale and bias of a norm are `(Co, V)`, there are those of
    `block{i}.residual_norm` too, and the residual keeps its own weights.

    `observations` are keyed by accumulator (`block0.conv`) and taken before any ReLU; `input` may
    be among them. `meta` is JSON data: under `fold`, where the norms' scales went (`weights`: into
    the convolution before, leaving scales of exactly one; `affine`: nowhere), and whatever the
    maker tells of classes, preparation and provenance.

    Raises:
        InputError: a parameter is missing, unknown, of the wrong shape or not finite.
    """

    arch: ArchSpec
    params: Mapping[str, FloatArray]
    observations: Mapping[str, Observation] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = parameter_shapes(outline(self.arch))
        for key in sorted(shapes.keys() ^ self.params.keys()):
            state = "missing" if key in shapes else "unknown"
            raise InputError(f"parameter `{key}` is {state} ({self.arch.family} network)")
        for key, shape in shapes.items():
            found = self.params[key]
            if found.shape != shape or found.dtype != np.float64:
                raise InputError(
                    f"parameter `{key}` must be float64 {shape}, got {found.dtype} {found.shape}"
                )
            if not np.isfinite(found).all():
                raise InputError(f"parameter `{key}` has a NaN or an infinity")
        if self.meta.get("fold") not in ("weights", "affine"):
            raise InputError(
                f"meta `fold` must be 'weights' or 'affine', got {self.meta.get('fold')!r}"
            )


def zero_floatnet(arch: ArchSpec, fold: Fold = "weights") -> FloatNet:
    """A network of `arch` for counting its cost: real adjacency, every other weight zero.

    With `fold="weights"` the scales of the blocks' norms are one, as they are after a real export.
    Nothing is observed, so only `nominal_formats` can give it formats.
    """
    adjacency = partitions(load_skeleton(arch.skeleton), arch.partition, arch.normalisation)
    graph = outline(arch)
    params = {key: np.zeros(shape) for key, shape in parameter_shapes(graph).items()}
    for node in graph.nodes:
        if isinstance(node, GraphProduct):
            params[f"{node.name}.adjacency"] = block_diagonal(adjacency, arch.persons)
    if fold == "weights":
        for name in folding_norms(arch):
            params[f"{name}.scale"] += 1.0
    return FloatNet(arch, params, meta={"fold": fold, "provenance": "zero weights, cost only"})


def save_floatnet(net: FloatNet, path: Path) -> None:
    """Write `net` as one model file (errors as in `fxp.archive.save_arrays`)."""
    observed = {name: {"lo": o.lo, "hi": o.hi} for name, o in net.observations.items()}
    header = {
        "kind": FLOATNET_KIND,
        "arch": net.arch.model_dump(mode="json"),
        "observations": observed,
        "meta": dict(net.meta),
    }
    arrays: dict[str, npt.NDArray[Any]] = {f"param.{key}": net.params[key] for key in net.params}
    arrays |= {f"sample.{name}": o.sample for name, o in net.observations.items()}
    save_arrays(path, header, arrays)


def load_floatnet(path: Path) -> FloatNet:
    """Read what `save_floatnet` wrote.

    Raises:
        InputError: one line naming the file and what is wrong with it.
    """
    header, arrays = load_arrays(path, FLOATNET_KIND)
    params = _under("param.", arrays)
    samples = _under("sample.", arrays)
    observed, meta = header.get("observations"), header.get("meta")
    if not isinstance(observed, dict) or not isinstance(meta, dict):
        raise InputError(f"{path}: header: `observations` and `meta` must be objects")
    if observed.keys() != samples.keys():
        raise InputError(f"{path}: observations and samples name different accumulators")
    arch = parse_spec(ArchSpec, header.get("arch"), f"{path}: arch")
    try:
        observations = {
            name: Observation(float(entry["lo"]), float(entry["hi"]), samples[name])
            for name, entry in observed.items()
        }
        return FloatNet(arch, params, observations, meta)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{path}: an observation needs numbers `lo` and `hi`") from None


def _under(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
