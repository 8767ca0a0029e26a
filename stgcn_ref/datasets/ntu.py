"""NTU RGB+D 60 and 120: clips of one action and up to two persons, 25 Kinect v2 joints, 30 Hz.

A. Shahroudy, J. Liu, T.-T. Ng, G. Wang, "NTU RGB+D" (2016); J. Liu et al., "NTU RGB+D 120" (2019).
The folder is the user's; nothing of it is part of this project. `docs/datasets.md` describes the
files and the preparation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from fxp.spec import Spec
from stgcn_ref.datasets.bodies import Centre, centred, most_moving, padded, turned
from stgcn_ref.datasets.class_names import NTU
from stgcn_ref.datasets.ntu_files import (
    SLOTS,
    SampleName,
    parse_name,
    read_bodies,
    read_missing,
)
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet
from stgcn_ref.datasets.streams import ClipStream, Take, collect_recognition
from stgcn_ref.datasets.words import CAMERA_FRAC_BITS, FracBits, to_words, word_meta

RATE_HZ = 30.0
Split = Literal["xsub", "xview", "xsub120", "xset120"]

# The published lists: performers, cameras or setups whose samples are for training.
XSUB_PERFORMERS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
XSUB120_PERFORMERS = (
    *XSUB_PERFORMERS,
    *(45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86),
    *(89, 91, 92, 93, 94, 95, 97, 98, 100, 103),
)
XVIEW_CAMERAS = (2, 3)
XSET120_SETUPS = tuple(range(2, 33, 2))


class NtuSpec(Spec):
    """Which samples are read, and how.

    - `split`, `part`: a published division (none: every sample) and the side of it.
    - `missing`: a list of samples to leave out (the authors publish one per set).
    - `persons`: the bodies kept, those that move most first.
    - `frames`: the length of every clip (none: as recorded); `pad` fills shorter ones by repeating
      them or with zeros.
    - `centre`, `rotate`: see `stgcn_ref.datasets.bodies`. The defaults are 2s-AGCN's; the released
      ST-GCN networks were trained with `pad="zero"`, `centre="none"`, `rotate=False`.
    - `frac_bits`: a word is `2**-frac_bits` metres.
    """

    split: Split | None = None
    part: Literal["train", "test"] = "train"
    missing: Path | None = None
    persons: Annotated[int, Field(ge=1, le=SLOTS)] = 2
    frames: Annotated[int, Field(ge=1, le=10**5)] | None = 300
    pad: Literal["repeat", "zero"] = "repeat"
    centre: Centre = "frame"
    rotate: bool = True
    frac_bits: FracBits = CAMERA_FRAC_BITS


def load_ntu(root: Path | str, spec: NtuSpec | None = None) -> RecognitionSet:
    """The samples under `root`, all in memory. Errors as `open_ntu`, and of every file."""
    return collect_recognition(open_ntu(root, spec))


def open_ntu(root: Path | str, spec: NtuSpec | None = None) -> ClipStream[RecognitionClip]:
    """The `.skeleton` files under `root` (a folder, or one file), by name.

    Raises:
        InputError: no such files, a foreign name, an unreadable list, or nothing left to read.
    """
    spec, root = spec or NtuSpec(), Path(root)
    files = sorted(root.glob("*.skeleton")) if root.is_dir() else [root]
    if not files or not files[0].is_file():
        raise InputError(f"{root}: no NTU RGB+D samples here (SsssCcccPpppRrrrAaaa.skeleton)")
    named = [(path, parse_name(path)) for path in files]
    left_out = read_missing(spec.missing) if spec.missing else frozenset[str]()
    chosen = [
        (path, name) for path, name in named if name.text not in left_out and _wanted(name, spec)
    ]
    if not chosen:
        raise InputError(
            f"{root}: no sample left of {len(named)} (`split` {spec.split}, `part` {spec.part},"
            f" `missing` names {len(left_out)})"
        )
    large = (spec.split or "").endswith("120") or any(name.action > 60 for _, name in named)
    meta = word_meta(
        "NTU RGB+D (Shahroudy et al., 2016)", ("x", "y", "z"), ("m",) * 3, (spec.frac_bits,) * 3
    )
    meta["reader"] = spec.model_dump(mode="json", exclude={"missing"})
    meta["left_out"] = sum(name.text in left_out for _, name in named)
    return ClipStream(
        "ntu120" if large else "ntu60",
        load_skeleton("ntu"),
        NTU if large else NTU[:60],
        RATE_HZ,
        meta,
        _takes(chosen, spec),
    )


def _wanted(name: SampleName, spec: NtuSpec) -> bool:
    match spec.split:
        case None:
            return True
        case "xsub":
            training = name.performer in XSUB_PERFORMERS
        case "xsub120":
            training = name.performer in XSUB120_PERFORMERS
        case "xview":
            training = name.camera in XVIEW_CAMERAS
        case "xset120":
            training = name.setup in XSET120_SETUPS
    return training == (spec.part == "train")


def _takes(
    samples: list[tuple[Path, SampleName]], spec: NtuSpec
) -> Iterator[Take[RecognitionClip]]:
    for path, name in samples:
        bodies = read_bodies(path)
        recorded = len(bodies.count)
        slots = most_moving(bodies.xyz, spec.persons)
        frames = recorded if spec.frames is None else spec.frames
        xyz = padded(bodies.xyz[slots], frames, spec.pad == "repeat")
        xyz = centred(xyz, spec.centre)
        if spec.rotate:
            xyz = turned(xyz)
        x = to_words(xyz.transpose(1, 3, 2, 0), spec.frac_bits, str(path))  # (T, C, V, M)
        clip = RecognitionClip(
            name.text,
            name.performer,
            x,
            name.action - 1,
            min(recorded, frames),
            camera=name.camera,
            setup=name.setup,
        )
        yield Take(clip, ~bodies.tracked[slots[0]], int(bodies.count.max()))
