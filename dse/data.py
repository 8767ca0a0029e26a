"""The recordings of a space, prepared and split, and the hash that identifies them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from dse.axes import Axes
from dse.space import HugadbData, Space, SyntheticData
from fxp.errors import InputError
from stgcn_ref.datasets.clips import Dataset, dataset_hash, split
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.preparation import prepare


def load_data(space: Space, source: str, root: Path | None) -> tuple[Dataset, Dataset] | None:
    """Training and validation recordings of a space, prepared; None where it has no data.

    Args:
        space: the space.
        source: its file, for messages.
        root: the data folder of the command line (`--data`), needed for real recordings only.

    Raises:
        InputError: the folder is missing or not needed, a participant is absent, or a preparation
            does not suit the recordings.
    """
    section = space.data
    if root is not None and not isinstance(section, HugadbData):
        raise InputError(f"{source}: --data is given, but this space reads no recordings")
    match section:
        case None:
            return None
        case SyntheticData():
            whole = generate_synthetic(**section.generator.model_dump())
        case HugadbData():
            if root is None:
                raise InputError(f"{source}: HuGaDB recordings are needed: give --data FOLDER")
            whole = load_hugadb(root, section.labels, {*section.train, *section.valid})
    try:
        return split(prepare(whole, section.preparation), section.train, section.valid)
    except InputError as error:
        raise InputError(f"{source}: key `data`: {error}") from None


def check_fit(axes: Axes, data: tuple[Dataset, Dataset] | None) -> None:
    """Whether the networks of a space can read its recordings, in float and in integers.

    Raises:
        InputError: skeleton, channels or classes differ, or the words do not fit the input port.
    """
    if data is None:
        return
    train = data[0]
    facts = {
        "skeleton": train.skeleton,
        "in_channels": train.clips[0].x.shape[1],
        "classes": len(train.classes),
    }
    for network in axes.networks:
        where = "network.base" if axes.space.network else f"networks.{network.params['model']}"
        for key, value in facts.items():
            if (given := getattr(network.arch, key)) != value:
                raise InputError(
                    f"{axes.source}: key `{where}.{key}`: must be {value!r} for data set"
                    f" {train.name}, got {given!r}"
                )
    needed = train.meta.get("word_bits", 0)
    for quant in axes.quants:
        if quant.spec.input_bits < needed:
            raise InputError(
                f"{axes.source}: key `quant`: `input_bits` must be at least {needed} for the"
                f" prepared words of {train.name}, got {quant.spec.input_bits} ({quant.label})"
            )


def data_hash(data: tuple[Dataset, Dataset] | None) -> str:
    """sha256 (hex) of both sides of the split; empty without data."""
    if data is None:
        return ""
    return hashlib.sha256("".join(map(dataset_hash, data)).encode()).hexdigest()


def describe(data: tuple[Dataset, Dataset] | None) -> dict[str, Any] | None:
    """What the recordings are, for results and reports (JSON data)."""
    if data is None:
        return None
    train, valid = data
    sides = {
        side: {
            "participants": sorted({clip.subject for clip in ds.clips}),
            "recordings": len(ds.clips),
            "steps": sum(len(clip.x) for clip in ds.clips),
            "frames": sum(len(clip.frame_labels) for clip in ds.clips),
        }
        for side, ds in (("train", train), ("valid", valid))
    }
    return {
        "name": train.name,
        "synthetic": train.synthetic,
        "classes": list(train.classes),
        "skeleton": train.skeleton,
        "step_rate_hz": train.rate_hz,
        "hash": data_hash(data),
        **sides,
    }
