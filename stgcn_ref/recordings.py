"""Any data set of the catalogue, or the synthetic one, as a network reads it.

What a network was trained on is kept in its file as a `Reading`, so that it is scored, calibrated
and run on words of the same meaning: the reader's settings, features, preparation, class numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from fxp.errors import InputError
from fxp.spec import Spec, parse_spec
from stgcn_ref.datasets.c3d import MarkerSpec, open_c3d
from stgcn_ref.datasets.catalogue import (
    AnyStream,
    has_hugadb,
    recognition_opener,
    segmentation_opener,
    unknown,
)
from stgcn_ref.datasets.clips import Clip, Dataset, select, split
from stgcn_ref.datasets.hugadb import Ids, load_hugadb
from stgcn_ref.datasets.hugadb_files import Labels
from stgcn_ref.datasets.kinetics import KineticsSpec, open_kinetics
from stgcn_ref.datasets.lara import LaraSpec, open_lara
from stgcn_ref.datasets.ntu import NtuSpec, open_ntu
from stgcn_ref.datasets.pkummd import PkuMmdSpec, open_pkummd
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet
from stgcn_ref.datasets.streams import ClipStream, collect, collect_recognition
from stgcn_ref.datasets.synthetic import generate_synthetic
from stgcn_ref.datasets.synthetic_recognition import generate_synthetic_recognition
from stgcn_ref.datasets.trials import TrialsSpec, open_trials
from stgcn_ref.features import FeatureSpec, featured
from stgcn_ref.preparation import PreparationSpec, prepare

Side = Literal["train", "valid"]
AnySet = Dataset | RecognitionSet
ClipT = TypeVar("ClipT", Clip, RecognitionClip)
SpecT = TypeVar("SpecT", bound=Spec)
TRAIN, VALID = frozenset(range(1, 7)), frozenset({7, 8})  # of HuGaDB and the synthetic set
DIVISION = ("split", "part")  # settings of a reader that say which clips, not what they hold


@dataclass(frozen=True)
class Reading:
    """How a network reads recordings. `labels` and `ids` are of HuGaDB alone.

    `reader` are settings of the data set's reader (`NtuSpec` and the like); those left out are as
    in `known_reader`, what the network was trained with, else the reader's defaults. `actions`: of
    the two synthetic sets the one of single actions.
    """

    preparation: PreparationSpec = field(default_factory=PreparationSpec)
    features: FeatureSpec | None = None
    reader: Mapping[str, Any] = field(default_factory=dict)
    known_reader: Mapping[str, Any] = field(default_factory=dict)
    ids: Ids = "dense"
    labels: Labels = "v2"
    actions: bool = False

    def of(self, ds: AnySet) -> AnySet:
        """The words that the network's input port receives.

        Raises:
            InputError: as `featured` and `prepare`, or such steps are asked of single actions.
        """
        if isinstance(ds, RecognitionSet):
            if self.features is not None or self.preparation != PreparationSpec():
                raise InputError(
                    f"data set {ds.name}: single actions take no features and no preparation"
                )
            return ds
        if self.features is not None:
            ds = featured(ds, self.features)
        return prepare(ds, self.preparation)


def read(
    root: Path | None,
    how: Reading,
    subjects: frozenset[int] | None = None,
    division: str | None = None,
    side: Side | None = None,
) -> AnySet:
    """Recordings as a network reads them.

    Args:
        root: folder (or file) of a data set; None is the synthetic one.
        how: see `Reading`.
        subjects: participants; None: all.
        division: a published split: `xsub` and the like for NTU RGB+D, a file for PKU-MMD.
        side: of that split, or of a set that comes in parts (Kinetics, trials); None: both.

    Raises:
        InputError: no data set recognised, a malformed file, a participant or a part that is
            absent, a split or a setting that the data set does not have.
    """
    return how.of(read_raw(root, how, subjects, division, side))


def read_sides(
    root: Path | None,
    how: Reading,
    train: frozenset[int] | None,
    valid: frozenset[int] | None,
    division: str | None,
) -> tuple[AnySet, AnySet]:
    """Training and validation sets: by participants, or by the set's own split or parts.

    Raises:
        InputError: as `read`; participants for one side only, or in both; nothing divides the set.
    """
    if root is None or has_hugadb(root):
        train, valid = train or TRAIN, valid or VALID
    if train is not None and valid is not None:
        match read(root, how, train | valid, division):
            case Dataset() as long:
                return split(long, train, valid)
            case actions:
                return split(actions, train, valid)
    if train is not None or valid is not None:
        raise InputError(f"{root}: give both --train and --valid, or neither")
    return read(root, how, None, division, "train"), read(root, how, None, division, "valid")


def read_raw(
    root: Path | None,
    how: Reading,
    subjects: frozenset[int] | None = None,
    division: str | None = None,
    side: Side | None = None,
) -> AnySet:
    """Recordings as their reader gives them, before features and preparation; see `read`."""
    if root is None or has_hugadb(root):
        where = "synthetic recordings" if root is None else f"{root}: HuGaDB"
        if division is not None or side is not None:
            raise InputError(f"{where}: no published split or parts: choose participants")
        if how.reader:
            raise InputError(f"{where}: no reader settings, got {', '.join(how.reader)}")
        if root is not None:
            return load_hugadb(root, how.labels, subjects, how.ids)
        return _synthetic(how.actions, subjects)
    if recognition_opener(root) is not None:
        return collect_recognition(_of(_actions(root, how, division, side), subjects, root))
    return collect(_of(_long(root, how, division, side), subjects, root))


def _synthetic(actions: bool, subjects: frozenset[int] | None) -> AnySet:
    if actions:
        clips = generate_synthetic_recognition()
        return clips if subjects is None else select(clips, subjects)
    ds = generate_synthetic()
    return ds if subjects is None else select(ds, subjects)


def open_stream(root: Path, how: Reading) -> AnyStream:
    """A data set other than HuGaDB, its clips still to be read; errors as `read`."""
    if recognition_opener(root) is not None:
        return _actions(root, how, None, None)
    return _long(root, how, None, None)


def _actions(
    root: Path, how: Reading, division: str | None, side: Side | None
) -> ClipStream[RecognitionClip]:
    """A set of single actions; without a split both sides are read."""
    if recognition_opener(root) is open_kinetics:
        if division is not None:
            raise InputError(f"{root}: Kinetics-skeleton has parts and no further split")
        part = {"part": {"train": "train", "valid": "val"}[side]} if side else {}
        return open_kinetics(root, _settings(KineticsSpec, root, how, part))
    if side is not None and division is None:
        raise InputError(f"{root}: NTU RGB+D is divided by participants or by --split")
    chosen = {"split": division, "part": "test" if side == "valid" else "train"}
    return open_ntu(root, _settings(NtuSpec, root, how, chosen if division else {}))


def _long(root: Path, how: Reading, division: str | None, side: Side | None) -> ClipStream[Clip]:
    """A set of long recordings."""
    opener = segmentation_opener(root)
    if opener is None:
        raise unknown(root)
    if opener is open_pkummd:
        if side is not None and division is None:
            raise InputError(f"{root}: PKU-MMD is divided by a split file of its authors (--split)")
        chosen = {"split": division, "part": side or "train"}
        return open_pkummd(root, _settings(PkuMmdSpec, root, how, chosen if division else {}))
    if division is not None:
        raise InputError(f"{root}: this data set has no published split, got {division!r}")
    if opener is open_trials:
        part = {"part": _part(root, side)} if side else {}
        return open_trials(root, _settings(TrialsSpec, root, how, part))
    if side is not None:
        raise InputError(f"{root}: this data set has no parts: choose participants")
    if opener is open_lara:
        return open_lara(root, _settings(LaraSpec, root, how, {}))
    return open_c3d(root, _settings(MarkerSpec, root, how, {}))


def _settings(
    spec: type[SpecT], root: Path, how: Reading, chosen: Mapping[str, str | None]
) -> SpecT:
    """Settings of a reader: as chosen here, over the user's, over those the network knows."""
    for key in DIVISION:
        if key in how.reader:
            raise InputError(f"reader settings of {root}: `{key}` is an option of the command")
    known = {key: value for key, value in how.known_reader.items() if key not in DIVISION}
    fits = known.keys() <= spec.model_fields.keys()  # else it was trained on another kind of set
    return parse_spec(
        spec,
        (known if fits else {}) | dict(how.reader) | dict(chosen),
        f"reader settings of {root}",
    )


def _part(root: Path, side: Side) -> str:
    """The folder of a side of a directory of trials."""
    names = ("train",) if side == "train" else ("val", "valid", "test")
    found = [name for name in names if (root / name / "features").is_dir()]
    if not found:
        raise InputError(f"{root}: no {' or '.join(names)} with features/: choose participants")
    return found[0]


def _of(
    stream: ClipStream[ClipT], subjects: frozenset[int] | None, root: Path
) -> ClipStream[ClipT]:
    """The stream with the clips of these participants only; the others are not kept in memory."""
    if subjects is None:
        return stream
    if stream.name in ("pkummd", "kinetics-skeleton"):
        raise InputError(f"{root}: {stream.name} does not name participants")
    kept, present = [], set[int]()
    for take in stream.takes:
        present.add(take.clip.subject)
        if take.clip.subject in subjects:
            kept.append(take)
    if present == {0}:
        raise InputError(f"{root}: the files name no participants")
    for subject in sorted(subjects - present):
        have = ", ".join(map(str, sorted(present)))
        raise InputError(f"{root}: participant {subject} is absent (present: {have})")
    return replace(stream, takes=iter(kept))
