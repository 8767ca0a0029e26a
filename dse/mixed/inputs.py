"""What a choice of widths reads: the float network, its recordings, and what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from dse.mixed.recipe import MixRecipe
from fxp.archive import load_arrays
from fxp.code_version import code_version
from fxp.errors import InputError
from fxp.floatnet import FLOATNET_KIND, FloatNet, load_floatnet
from fxp.ir import Graph, IntArray
from fxp.ptq.reference import reference
from fxp.spec import QuantSpec, parse_spec
from hw_model.accelerator import Accelerator
from stgcn_ref.datasets.clips import Clip, Dataset, dataset_hash, select, spread
from stgcn_ref.datasets.hugadb import Ids
from stgcn_ref.networks import Opened, open_network
from stgcn_ref.preparation import PreparationSpec
from stgcn_ref.recordings import read

CODE = ("fxp", "fxp.ptq", "fxp.kernels", "hw_model")


@dataclass(frozen=True, eq=False)
class Inputs:
    """The float network and recordings that it reads: all of them, and those to choose by."""

    net: FloatNet
    recordings: Dataset
    calibration: tuple[Clip, ...]
    selection: tuple[Clip, ...]


def read_inputs(
    path: Path,
    base: QuantSpec,
    recipe: MixRecipe,
    data: Path | None,
    train: frozenset[int] | None,
    others: frozenset[int],
    score: frozenset[int],
) -> Inputs:
    """Open a float network (a checkpoint, or a file of `FloatNet`) and its recordings.

    A checkpoint is exported as by `python -m stgcn_ref export`, on the same recordings.

    Args:
        path: the network.
        base: its `fold` says how a checkpoint is exported.
        recipe: how many recordings are calibrated on and selected by.
        data: folder of the data set; None: synthetic recordings.
        train: participants to calibrate on and select by; None: all that are not named otherwise.
        others: participants to select by too, with all their recordings: a network is surer of
            people it was trained on, so those it was not trained on show more of what is lost.
        score: participants that designs are scored on at the end.

    Raises:
        InputError: no float network, no long recordings, too few of them, or what opening them
            raises.
    """
    net = None
    if load_arrays(path)[0].get("kind") == FLOATNET_KIND:
        net = load_floatnet(path)
        opened = _opened(net, base)
    else:
        opened = open_network(path)
        if isinstance(opened.net, Graph):
            raise InputError(f"{path}: an integer network already")
    wanted = None if train is None else train | others | score
    ds = read(data, opened.reading(), wanted)
    if not isinstance(ds, Dataset):
        raise InputError(f"data set {ds.name}: single actions, and long recordings are needed")
    ds = opened.fitted(ds)
    chosen, strangers = _participants(ds, train, others, score)
    calibration = spread(chosen.clips, recipe.calibration_clips)
    left = [clip for clip in chosen.clips if clip not in calibration]
    if not left:
        raise InputError(
            f"data set {ds.name}: {len(chosen.clips)} recordings to choose by, all of them to "
            "calibrate on: `calibration_clips` must leave some to select by"
        )
    selection = (*spread(left, recipe.selection_clips), *strangers)
    return Inputs(net or _exported(path, opened, ds, calibration, base), ds, calibration, selection)


def about_inputs(
    given: Inputs, path: Path, base: QuantSpec, accelerator: Accelerator
) -> dict[str, Any]:
    """What decides every number that is measured, as JSON data."""
    digest = hashlib.sha256()
    for side in (given.calibration, given.selection):
        part = Dataset(
            given.recordings.name,
            given.recordings.skeleton,
            given.recordings.classes,
            given.recordings.rate_hz,
            side,
            synthetic=given.recordings.synthetic,
        )
        digest.update(dataset_hash(part).encode())
    return {
        "network": hashlib.sha256(path.read_bytes()).hexdigest(),
        "quant": base.model_dump(mode="json"),
        "accelerator": accelerator.model_dump(mode="json"),
        "recordings": digest.hexdigest(),
        "code": code_version(CODE),
    }


def words_of(clips: Sequence[Clip]) -> list[IntArray]:
    """Input words of clips, int64 (T, C, V)."""
    return [clip.x.astype(np.int64) for clip in clips]


def _opened(net: FloatNet, base: QuantSpec) -> Opened:
    """The float network as a network that reads recordings: in words so wide that all is kept."""
    steps = parse_spec(PreparationSpec, net.meta.get("preparation") or {}, "preparation")
    ids: Ids = "original" if net.meta.get("ids") == "original" else "dense"
    return Opened(reference(net, base.input_bits), net.arch, steps, ids, net.meta)


def _participants(
    ds: Dataset, train: frozenset[int] | None, others: frozenset[int], score: frozenset[int]
) -> tuple[Dataset, tuple[Clip, ...]]:
    """Recordings to calibrate on and select by, and those of others to select by too."""
    if train is None:
        train = frozenset(clip.subject for clip in ds.clips) - others - score
    sides = (("--train", train), ("--select", others), ("--score", score))
    for (one, own), (two, its) in combinations(sides, 2):
        if both := own & its:
            names = ", ".join(map(str, sorted(both)))
            raise InputError(f"participant {names} is in both {one} and {two}")
    return select(ds, train), select(ds, others).clips if others else ()


def _exported(
    path: Path, opened: Opened, ds: Dataset, calibration: Sequence[Clip], base: QuantSpec
) -> FloatNet:
    from stgcn_ref.commands.export import origin
    from stgcn_ref.export import export

    assert not isinstance(opened.net, Graph)
    return export(opened.net, opened.arch, calibration, origin(path, opened, ds), base.fold)
