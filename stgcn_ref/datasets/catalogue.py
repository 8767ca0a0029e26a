"""Which data set lies in a folder, told by the names of its files, and opened with the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from stgcn_ref.datasets.c3d import open_c3d
from stgcn_ref.datasets.clips import Clip
from stgcn_ref.datasets.kinetics import open_kinetics
from stgcn_ref.datasets.lara import LABEL_SUFFIX, open_lara
from stgcn_ref.datasets.ntu import open_ntu
from stgcn_ref.datasets.pkummd import open_pkummd, recordings
from stgcn_ref.datasets.recognition import RecognitionClip
from stgcn_ref.datasets.streams import ClipStream, Take
from stgcn_ref.datasets.trials import open_trials

AnyTake = Take[Clip] | Take[RecognitionClip]
AnyStream = ClipStream[Clip] | ClipStream[RecognitionClip]
Opener = Callable[[Path], AnyStream]


def opener(path: Path) -> Opener | None:
    """What opens `path`, or None where it is none of these sets (HuGaDB is not among them)."""
    if path.suffix == ".skeleton" and path.is_file():
        return open_ntu
    if path.suffix == ".c3d" and path.is_file():
        return open_c3d
    signs: tuple[tuple[Opener, Iterable[Path]], ...] = (
        (open_ntu, path.glob("*.skeleton")),
        (open_kinetics, path.glob("kinetics_*_label.json")),
        (open_trials, path.glob("features/*.npy")),
        (open_trials, path.glob("*/features/*.npy")),
        (open_pkummd, recordings(path)),
        (open_lara, path.rglob(f"*{LABEL_SUFFIX}.csv")),
        (open_c3d, path.rglob("*.c3d")),
    )
    return next((open_set for open_set, files in signs if any(files)), None)
