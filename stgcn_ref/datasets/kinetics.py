"""Kinetics-skeleton: OpenPose joints in YouTube clips, one action each, up to 300 frames at 30 Hz.

S. Yan, Y. Xiong, D. Lin, "Spatial Temporal Graph Convolutional Networks" (2018), who extracted the
joints; read as by feeder/feeder_kinetics.py of github.com/yysijie/st-gcn. The folder is the user's;
nothing of it is part of this project. `docs/datasets.md` describes the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from fxp.spec import Spec
from stgcn_ref.datasets.clips import FloatArray
from stgcn_ref.datasets.recognition import RecognitionClip, RecognitionSet
from stgcn_ref.datasets.streams import ClipStream, Take, collect_recognition
from stgcn_ref.datasets.text_files import read_json
from stgcn_ref.datasets.words import FracBits, to_words, word_meta

RATE_HZ = 30.0
JOINTS = 18
Part = Literal["train", "val"]
HUGE = 1e9  # no position or score, and False for NaN
FRAC_BITS = 14  # positions are fractions of the image, scores 0..1: 1/16384, +-2


class KineticsSpec(Spec):
    """Which clips are read, and how.

    - `part`: `kinetics_<part>/` with `kinetics_<part>_label.json` beside it; none: both, as far as
      they are there.
    - `persons_seen`: bodies read of each frame, in the file's order.
    - `persons`: of these, the bodies kept: in each frame those with the highest summed score.
    - `frames`: the length of every clip; frames that a file does not list are zero.
    - `frac_bits`: a word is `2**-frac_bits` of the image's width or height, or of a score.
    """

    part: Part | None = None
    persons_seen: Annotated[int, Field(ge=1, le=100)] = 5
    persons: Annotated[int, Field(ge=1, le=100)] = 2
    frames: Annotated[int, Field(ge=1, le=10**5)] = 300
    frac_bits: FracBits = FRAC_BITS


@dataclass(frozen=True)
class _Entry:
    """What the label file says of a clip."""

    label: int
    class_name: str
    has_skeleton: bool


def load_kinetics(root: Path | str, spec: KineticsSpec | None = None) -> RecognitionSet:
    """The clips under `root`, all in memory. Errors as `open_kinetics`, and of every file."""
    return collect_recognition(open_kinetics(root, spec))


def open_kinetics(
    root: Path | str, spec: KineticsSpec | None = None
) -> ClipStream[RecognitionClip]:
    """The clips that have a skeleton, by part and name.

    Raises:
        InputError: no such folder or label file, a malformed label file, a file without a label,
            or no clip with a skeleton.
    """
    spec, root = spec or KineticsSpec(), Path(root)
    entries: dict[str, _Entry] = {}
    chosen = []
    for part in _parts(root, spec.part):
        label_file = root / f"kinetics_{part}_label.json"
        listed = _read_labels(label_file)
        entries |= listed
        for path in sorted((root / f"kinetics_{part}").glob("*.json")):
            if path.stem not in listed:
                raise InputError(f"{path}: {path.stem!r} has no entry in {label_file.name}")
            if listed[path.stem].has_skeleton:
                chosen.append((path, listed[path.stem]))
    if not chosen:
        raise InputError(f"{root}: no clip with a skeleton (kinetics_train/*.json, ...)")
    named = entries  # a part alone may lack a class: both parts' indices mean the same names
    for part in _parts(root, None):
        named = _read_labels(root / f"kinetics_{part}_label.json") | named
    meta = word_meta(
        "Kinetics-skeleton (Yan et al., 2018)",
        ("x", "y", "score"),
        ("image width", "image height", "1"),
        (spec.frac_bits,) * 3,
    )
    meta["reader"] = spec.model_dump(mode="json")
    meta["left_out"] = sum(not entry.has_skeleton for entry in entries.values())
    return ClipStream(
        "kinetics-skeleton",
        load_skeleton("openpose"),
        _classes(named),
        RATE_HZ,
        meta,
        _takes(chosen, spec),
    )


def _parts(root: Path, part: Part | None) -> tuple[Part, ...]:
    """The parts that are there, of those asked for."""
    asked: tuple[Part, ...] = ("train", "val") if part is None else (part,)
    found = tuple(
        part
        for part in asked
        if (root / f"kinetics_{part}").is_dir() and (root / f"kinetics_{part}_label.json").is_file()
    )
    if not found:
        raise InputError(
            f"{root}: no Kinetics-skeleton here (kinetics_{asked[0]}/,"
            f" kinetics_{asked[0]}_label.json)"
        )
    return found


def _read_labels(path: Path) -> dict[str, _Entry]:
    data = _object(path)
    entries = {}
    for name, entry in data.items():
        match entry:
            case {"label_index": int(label), "label": str(text), "has_skeleton": bool(has)} if (
                label >= 0
            ):
                entries[name] = _Entry(label, text, has)
            case _:
                raise InputError(
                    f"{path}: key {name!r}: needs `label_index` (from 0), `label`, `has_skeleton`"
                )
    if not entries:
        raise InputError(f"{path}: no entry")
    return entries


def _classes(entries: dict[str, _Entry]) -> tuple[str, ...]:
    """Names by index, up to the highest that occurs; an index without a clip keeps its number."""
    names = {entry.label: entry.class_name for entry in entries.values()}
    return tuple(names.get(index, f"class {index}") for index in range(max(names) + 1))


def _object(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: a JSON object is needed, got {type(data).__name__}")
    return data


def _takes(
    samples: list[tuple[Path, _Entry]], spec: KineticsSpec
) -> Iterator[Take[RecognitionClip]]:
    for path, entry in samples:
        data = _object(path)
        if data.get("label_index") != entry.label:
            raise InputError(
                f"{path}: key `label_index` is {data.get('label_index')!r}, the label file's"
                f" {entry.label}"
            )
        values, count, recorded = _read_frames(path, data, spec)
        values = prepared(values, spec.persons)
        x = to_words(values, spec.frac_bits, str(path))
        clip = RecognitionClip(path.stem, 0, x, entry.label, recorded)
        lost = values[:recorded, 2, :, 0] == 0  # (T, V), of the best-scored body
        yield Take(clip, lost, int(count.max()))


def _read_frames(
    path: Path, data: dict[str, Any], spec: KineticsSpec
) -> tuple[FloatArray, npt.NDArray[np.int64], int]:
    """Values (frames, 3, 18, persons_seen), bodies per frame, one past the last frame listed."""
    listed = data.get("data")
    if not isinstance(listed, list) or not listed:
        raise InputError(f"{path}: key `data`: a list of one or more frames is needed")
    values = np.zeros((spec.frames, 3, JOINTS, spec.persons_seen))
    count = np.zeros(spec.frames, dtype=np.int64)
    for number, frame in enumerate(listed):
        where = f"{path}: data[{number}]"
        match frame:
            case {"frame_index": int(index), "skeleton": list(skeletons)}:
                pass
            case _:
                raise InputError(f"{where}: needs `frame_index` and a list `skeleton`")
        if not 0 <= index < spec.frames:
            raise InputError(f"{where}: `frame_index` must be 0..{spec.frames - 1}, got {index}")
        count[index] = len(skeletons)
        for person, skeleton in enumerate(skeletons[: spec.persons_seen]):
            values[index, :, :, person] = _body(f"{where}: skeleton {person}", skeleton)
    return values, count, max(frame["frame_index"] for frame in listed) + 1


def _body(where: str, skeleton: Any) -> FloatArray:
    """x, y, score of one body, (3, 18)."""
    if not isinstance(skeleton, dict):
        raise InputError(f"{where}: `pose` and `score` are needed")
    parts = []
    for key, count in (("pose", 2 * JOINTS), ("score", JOINTS)):
        cells = skeleton.get(key)
        if not isinstance(cells, list) or len(cells) != count:
            found = len(cells) if isinstance(cells, list) else "none"
            raise InputError(f"{where}: `{key}`: {count} numbers are needed, got {found}")
        if not all(type(cell) in (int, float) and abs(cell) < HUGE for cell in cells):
            raise InputError(f"{where}: `{key}`: every cell must be a finite number")
        parts.append(np.array(cells, dtype=np.float64))
    pose, score = parts
    return np.stack((pose[0::2], pose[1::2], score))


def prepared(values: FloatArray, persons: int) -> FloatArray:
    """As the published feeder: centred, and the best-scored persons of each frame.

    `values` (T, 3, V, M): x and y as fractions of the image, score. One half is taken from x and
    y; joints of score 0 become zero; in each frame the bodies are sorted by their summed score,
    highest first (ties keep the file's order), and the first `persons` are kept.
    """
    out = values.copy()
    out[:, :2] = np.where(values[:, 2:] == 0, 0.0, values[:, :2] - 0.5)
    order = np.argsort(-out[:, 2].sum(axis=1), axis=1, kind="stable")  # (T, M)
    sorted_bodies = np.take_along_axis(out, order[:, None, None, :], axis=3)
    if persons <= sorted_bodies.shape[3]:
        return sorted_bodies[..., :persons]
    missing = persons - sorted_bodies.shape[3]
    return np.pad(sorted_bodies, ((0, 0), (0, 0), (0, 0), (0, missing)))
