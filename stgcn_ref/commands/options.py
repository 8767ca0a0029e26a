"""Groups of options that several commands share, and what they make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from fxp.errors import InputError
from fxp.spec import Spec
from stgcn_ref.commands.settings import Flag, Participants, Positional, Settings
from stgcn_ref.datasets.clips import Dataset
from stgcn_ref.datasets.hugadb_files import Labels
from stgcn_ref.networks import Family, Opened, open_network
from stgcn_ref.recordings import AnySet, Side, read

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


class NetworkSettings(DataSettings):
    """A network, and the recordings that it runs on."""

    network: NetworkFile = Field(description="A trained, published or integer network.")
    family: Family | None = Field(
        None, description="The file is a published checkpoint of this family."
    )
    skeleton: str | None = Field(None, description="Joints of a published checkpoint.")
    subjects: Participants | None = Field(
        None, description="Participants, as `8,10`. Default: all."
    )
    part: Side | None = Field(
        None, description="Side of the split, or part of a set that comes in parts."
    )

    def opened(self) -> Opened:
        """The network in the file."""
        return open_network(self.network, self.family, self.skeleton)

    def recordings(self, opened: Opened, side: Side) -> Dataset:
        """The recordings as this network reads and names them; of a split, `side` by default."""
        how = replace(opened.reading(), reader=self.reader.model_extra or {}, labels=self.labels)
        part = self.part or (side if self.split else None)
        ds = read(self.data, how, self.subjects, self.split, part)
        if not isinstance(ds, Dataset):
            raise InputError(f"data set {ds.name}: single actions, and long recordings are needed")
        return opened.fitted(ds)


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
