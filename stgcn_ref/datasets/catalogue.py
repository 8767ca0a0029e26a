"""Which data set lies in a folder, told by the names of its files, and opened with the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from fxp.errors import InputError
from stgcn_ref.datasets.c3d import open_c3d
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.hugadb import load_hugadb
from stgcn_ref.datasets.hugadb_files import PACKED_NAME, TEXT_NAME
from stgcn_ref.datasets.kinetics import open_kinetics
from stgcn_ref.datasets.lara import LABEL_SUFFIX, open_lara
from stgcn_ref.datasets.ntu import open_ntu
from stgcn_ref.datasets.pkummd import open_pkummd, recordings
from stgcn_ref.datasets.recognition import RecognitionClip
from stgcn_ref.datasets.streams import ClipStream, Take, collect
from stgcn_ref.datasets.trials import open_trials

AnyTake = Take[Clip] | Take[RecognitionClip]
AnyStream = ClipStream[Clip] | ClipStream[RecognitionClip]
SegmentationOpener = Callable[[Path], ClipStream[Clip]]
RecognitionOpener = Callable[[Path], ClipStream[RecognitionClip]]
OpenerT = TypeVar("OpenerT")

KNOWN = "HuGaDB, NTU RGB+D, Kinetics-skeleton, PKU-MMD, LARa, C3D, directory of trials"


def recognition_opener(path: Path) -> RecognitionOpener | None:
    """What opens a set of single actions, or None where `path` is none."""
    if path.is_file():
        return open_ntu if path.suffix == ".skeleton" else None
    signs: tuple[tuple[RecognitionOpener, Iterable[Path]], ...] = (
        (open_ntu, path.glob("*.skeleton")),
        (open_kinetics, path.glob("kinetics_*_label.json")),
    )
    return _first(signs)


def segmentation_opener(path: Path) -> SegmentationOpener | None:
    """What opens a set of long recordings, or None where `path` is none (HuGaDB has no stream)."""
    if path.is_file():
        return open_c3d if path.suffix == ".c3d" else None
    signs: tuple[tuple[SegmentationOpener, Iterable[Path]], ...] = (
        (open_trials, path.glob("features/*.npy")),
        (open_trials, path.glob("*/features/*.npy")),
        (open_pkummd, recordings(path)),
        (open_lara, path.rglob(f"*{LABEL_SUFFIX}.csv")),
        (open_c3d, path.rglob("*.c3d")),
    )
    return _first(signs)


def _first(signs: Iterable[tuple[OpenerT, Iterable[Path]]]) -> OpenerT | None:
    return next((open_set for open_set, files in signs if any(files)), None)


def has_hugadb(path: Path) -> bool:
    """Whether `path` is a HuGaDB recording or a folder of them."""
    folders = (path, path / "various")
    files = [path] if path.is_file() else [f for folder in folders for f in folder.glob("*")]
    return any(TEXT_NAME.fullmatch(f.name) or PACKED_NAME.fullmatch(f.name) for f in files)


def load_recordings(path: Path | str) -> Dataset:
    """Any set of long recordings, with its reader's defaults.

    Raises:
        InputError: nothing recognised, a set of single actions, or as the set's reader.
    """
    path = Path(path)
    if has_hugadb(path):
        return load_hugadb(path)
    open_set = segmentation_opener(path)
    if open_set is not None:
        return collect(open_set(path))
    if recognition_opener(path) is not None:
        raise InputError(f"{path}: holds single actions, and long recordings are needed")
    raise unknown(path)


def unknown(path: Path) -> InputError:
    """The error that says what could have been there."""
    if not path.exists():
        return InputError(f"{path}: no such file or folder")
    return InputError(f"{path}: no data set recognised here (known: {KNOWN})")
