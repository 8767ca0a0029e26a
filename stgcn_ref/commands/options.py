"""Groups of options that several commands share, and what they make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from fxp.errors import InputError
from fxp.spec import Spec
from stgcn_ref.commands.settings import (
    Count,
    Flag,
    Flags,
    Numbers,
    Participants,
    Positional,
    Settings,
)
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.datasets.hugadb_files import Labels
from stgcn_ref.networks import Family, Opened, Told, open_network
from stgcn_ref.recordings import AnySet, Side, read

TOLD = (
    *("window", "dilations", "strides", "residual", "importance"),
    *("config_json", "persons", "frac_bits"),
)
NetworkFile = Annotated[Path, Positional("NETWORK")]


class ReaderSettings(Spec):
    """Settings of whichever reader opens the data set; the reader knows the keys."""

    model_config = ConfigDict(frozen=True, extra="allow")


class DataSettings(Settings):
    """Which recordings, and how their reader opens them."""

    displaces: ClassVar = {"split": ("train", "valid", "subjects"), "subjects": ("split", "part")}
    data: Path | None = Field(
        None, description="Folder of a data set; without it, synthetic ones are generated."
    )
    labels: Labels = Field("v2", description="Version of the labels (HuGaDB).")
    split: str | None = Field(
        None, description="Published split: xsub, xview, ... (NTU), or a split file (PKU-MMD)."
    )
    reader: ReaderSettings = Field(ReaderSettings(), description="Settings of the set's reader.")


class NetworkFileSettings(Settings):
    """A network of any kind; all but the file itself is for published checkpoints."""

    network: NetworkFile = Field(description="A trained, published or integer network.")
    family: Family | None = Field(
        None, description="The file is a published checkpoint of this family."
    )
    skeleton: str | None = Field(None, description="Joints of a published checkpoint.")
    window: Numbers | None = Field(None, description="Its windows, one or one a layer (rtstgcn).")
    dilations: Numbers | None = Field(
        None, description="Its dilations, one or one a layer (rtstgcn, msgcn)."
    )
    strides: Numbers | None = Field(None, description="Its strides, one a block (stgcn).")
    residual: Flags | None = Field(
        None, description="Which of its layers have a residual, as `0,1,1` (rtstgcn)."
    )
    importance: Flag | None = Field(None, description="Whether it learnt edge importances.")
    config_json: Path | None = Field(
        None, description="Configuration of the Realtime-ST-GCN repository, in place of those."
    )
    persons: Count | None = Field(None, description="Persons of a clip (stgcn). Default: 2.")
    frac_bits: Numbers | None = Field(
        None, description="It learnt from measurements: a word is 2**-frac_bits of one."
    )

    def opened(self) -> Opened:
        """The network in the file."""
        if self.family is None:
            for key in TOLD:
                if getattr(self, key) is not None:
                    option = f"`--{key.replace('_', '-')}`"
                    raise InputError(f"{option} is for published checkpoints: give `--family` too")
        told = Told(
            self.window,
            self.dilations,
            self.strides,
            self.residual,
            self.importance,
            self.config_json,
            self.persons,
            self.frac_bits,
        )
        return open_network(self.network, self.family, self.skeleton, told)


class NetworkSettings(DataSettings, NetworkFileSettings):
    """A network, and the recordings that it runs on."""

    subjects: Participants | None = Field(
        None, description="Participants, as `8,10`. Default: all."
    )
    part: Side | None = Field(
        None, description="Side of the split, or part of a set that comes in parts."
    )

    def recordings(self, opened: Opened, side: Side) -> AnySet:
        """The recordings as this network reads and names them; of a split, `side` by default."""
        how = replace(opened.reading(), reader=self.reader.model_extra or {}, labels=self.labels)
        part = self.part or (side if self.split else None)
        match read(self.data, how, self.subjects, self.split, part):
            case Dataset() as long:
                return opened.fitted(long)
            case actions:
                return opened.fitted(actions)


class JsonSettings(Settings):
    """Whether to print for people or for programs."""

    as_json: Flag = Field(False, alias="json", description="Print one JSON object.")


def kind_of(ds: AnySet) -> str:
    """Name of a data set; generated data says so."""
    return ds.name + (" (synthetic)" if ds.synthetic else "")


def length_of(ds: AnySet, drop_last: bool = False) -> int:
    """Original frames that are scored."""
    if isinstance(ds, Dataset):
        return sum(len(clip.frame_labels) - drop_last for clip in ds.clips)
    return sum(clip.frames for clip in ds.clips)
