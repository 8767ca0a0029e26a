"""The recordings of a space, prepared and split, and the hash that identifies them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dse.axes import Axes
from dse.space import DataSplit, HugadbData, Space, SyntheticData
from fxp.errors import InputError
from stgcn_ref.datasets.clips import Dataset, dataset_hash, select, split
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.preparation import prepare


@dataclass(frozen=True, eq=False)
class Sides:
    """The recordings of a space by what they are for, no participant on two of them.

    Networks are trained on `train`, epochs are chosen on `valid`, and all scores are of `scored`:
    the test recordings, or those of `valid` where a space has none.
    """

    train: Dataset
    valid: Dataset
    test: Dataset | None = None

    @property
    def scored(self) -> Dataset:
        """The recordings that scores are of."""
        return self.valid if self.test is None else self.test

    @property
    def by_name(self) -> dict[str, Dataset]:
        """The sides that there are."""
        more = {} if self.test is None else {"test": self.test}
        return {"train": self.train, "valid": self.valid, **more}


def load_data(space: Space, source: str, root: Path | None) -> Sides | None:
    """The recordings of a space, prepared and split; None where it has no data.

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
            people = {*section.train, *section.valid, *(section.test or ())}
            whole = load_hugadb(root, section.labels, people)
    try:
        return _split(prepare(whole, section.preparation), section)
    except InputError as error:
        raise InputError(f"{source}: key `data`: {error}") from None


def _split(ds: Dataset, section: DataSplit) -> Sides:
    if section.test is None:
        return Sides(*split(ds, section.train, section.valid))
    both = ", ".join(str(s) for s in sorted({*section.train, *section.valid} & {*section.test}))
    if both:
        raise InputError(f"data set {ds.name}: participant {both} is on the test side and another")
    return Sides(*split(ds, section.train, section.valid), select(ds, section.test))


def check_fit(axes: Axes, data: Sides | None) -> None:
    """Whether the networks of a space can read its recordings, in float and in integers.

    Raises:
        InputError: skeleton, channels or classes differ, or the words do not fit the input port.
    """
    if data is None:
        return
    train = data.train
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


def data_hash(data: Sides | None) -> str:
    """sha256 (hex) of all sides of the split; empty without data."""
    if data is None:
        return ""
    return hashlib.sha256("".join(map(dataset_hash, data.by_name.values())).encode()).hexdigest()


def describe(data: Sides | None) -> dict[str, Any] | None:
    """What the recordings are, for results and reports (JSON data)."""
    if data is None:
        return None
    train = data.train
    sides = {
        side: {
            "participants": sorted({clip.subject for clip in ds.clips}),
            "recordings": len(ds.clips),
            "steps": sum(len(clip.x) for clip in ds.clips),
            "frames": sum(len(clip.frame_labels) for clip in ds.clips),
        }
        for side, ds in data.by_name.items()
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
