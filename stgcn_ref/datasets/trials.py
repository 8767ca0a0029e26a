"""A directory of trials: arrays and labels per recording, the layout of published conversions.

    PATH/features/NAME.npy    (C, T, V, M) or (C, T, V)
    PATH/labels/NAME.csv      a class id per frame
    PATH/actions.txt          `id name` lines
    PATH/<any name>.json      the skeleton

With a division into parts, `features/` and `labels/` are in `PATH/train/`, `PATH/val/`, ... This is
what github.com/maximyudayev/Realtime-ST-GCN reads (its `dir` data sets). `docs/datasets.md`
describes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fxp.errors import InputError
from fxp.skeleton import Skeleton, load_skeleton, parse_skeleton, skeleton_names
from fxp.spec import Spec
from stgcn_ref.datasets.clips import Clip, Dataset
from stgcn_ref.datasets.label_files import read_actions, read_frame_labels
from stgcn_ref.datasets.streams import ClipStream, Take, collect
from stgcn_ref.datasets.text_files import read_json
from stgcn_ref.datasets.words import CAMERA_FRAC_BITS, FracBits, to_words, word_meta

ACTION_FILES = ("actions.txt", "mapping.txt")


class TrialsSpec(Spec):
    """What the files do not tell.

    - `part`: the sub-folder (`train`, `val`) that holds `features/` and `labels/`; none: all of
      them, or `PATH` itself.
    - `person`: which of the M bodies.
    - `rate_hz`: frames a second.
    - `skeleton`: name of a skeleton of the toolkit, where no JSON file lies in `PATH`.
    - `frac_bits`: a word is `2**-frac_bits` of the arrays' unit; 0 where they hold words already.
      By default 0 if the first array holds integers only, else 10.
    """

    part: str | None = None
    person: Annotated[int, Field(ge=0, le=100)] = 0
    rate_hz: Annotated[float, Field(gt=0)] = 30.0
    skeleton: str | None = None
    frac_bits: FracBits | None = None


def load_trials(root: Path | str, spec: TrialsSpec | None = None) -> Dataset:
    """The trials under `root`, all in memory. Errors as `open_trials`, and of every file."""
    return collect(open_trials(root, spec))


def open_trials(root: Path | str, spec: TrialsSpec | None = None) -> ClipStream[Clip]:
    """The trials by part and name. `Clip.subject` is the first number in the name, else 0.

    Raises:
        InputError: no trials, one without labels, no class names, or no skeleton.
    """
    spec, root = spec or TrialsSpec(), Path(root)
    pairs = [pair for part in _parts(root, spec.part) for pair in _pairs(part)]
    if not pairs:
        raise InputError(f"{root}: no trials here (features/*.npy, labels/*.csv)")
    actions = next((root / name for name in ACTION_FILES if (root / name).is_file()), None)
    if actions is None:
        raise InputError(f"{root}: no class names ({' or '.join(ACTION_FILES)})")
    first = _person(pairs[0][0], read_features(pairs[0][0]), spec.person)
    frac_bits = spec.frac_bits
    if frac_bits is None:
        frac_bits = 0 if bool((first == np.floor(first)).all()) else CAMERA_FRAC_BITS
    channels = first.shape[1]
    meta = word_meta(
        "directory of trials",
        [f"channel {index}" for index in range(channels)],
        ["as stored"] * channels,
        [frac_bits] * channels,
    )
    meta["reader"] = spec.model_dump(mode="json") | {"frac_bits": frac_bits}
    skeleton = _skeleton(root, spec.skeleton, first.shape[2])
    classes = read_actions(actions)
    takes = _takes(root, pairs, len(classes), first.shape[1:], frac_bits, spec.person)
    return ClipStream(root.name or "trials", skeleton, classes, spec.rate_hz, meta, takes)


def _parts(root: Path, part: str | None) -> list[Path]:
    if part is not None:
        return [root / part]
    if (root / "features").is_dir():
        return [root]
    return sorted(path.parent for path in root.glob("*/features") if path.is_dir())


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    pairs = []
    for path in sorted((folder / "features").glob("*.npy")):
        label_file = folder / "labels" / f"{path.stem}.csv"
        if not label_file.is_file():
            raise InputError(f"{path}: no label file {label_file}")
        pairs.append((path, label_file))
    return pairs


def _takes(
    root: Path,
    pairs: list[tuple[Path, Path]],
    classes: int,
    layout: tuple[int, ...],
    frac_bits: int,
    person: int,
) -> Iterator[Take[Clip]]:
    for path, label_file in pairs:
        bodies = read_features(path)
        features = _person(path, bodies, person)
        if features.shape[1:] != layout:
            raise InputError(f"{path}: (C, V) is {features.shape[1:]}, the first file's {layout}")
        x = to_words(features, frac_bits, str(path))
        labels = read_frame_labels(label_file, classes, len(x))
        number = re.search(r"\d+", path.stem)
        part = path.parents[1]
        name = path.stem if part == root else f"{part.name}/{path.stem}"
        clip = Clip(name, int(number[0]) if number else 0, x, labels, labels)
        # zero in every channel is how these arrays mark a missing body
        lost = np.asarray((features == 0).all(axis=1), dtype=np.bool_)
        present = np.asarray(bodies.any(axis=(0, 2)), dtype=np.bool_)  # (T, M)
        yield Take(clip, lost, int(present.sum(axis=1).max()))


def _person(path: Path, bodies: npt.NDArray[Any], person: int) -> npt.NDArray[Any]:
    """One of the bodies (C, T, V, M), as (T, C, V)."""
    if person >= bodies.shape[3]:
        raise InputError(f"{path}: `person` must be 0..{bodies.shape[3] - 1}, got {person}")
    return np.ascontiguousarray(bodies[..., person].transpose(1, 0, 2))


def read_features(path: Path) -> npt.NDArray[Any]:
    """A trial's array (C, T, V, M), of the type it is stored in (float or integer).

    Raises:
        InputError: not an npy file of numbers with these axes (M may be missing), or empty.
    """
    array = _array(path)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or not array.size:
        raise InputError(f"{path}: shape must be (C, T, V, M) or (C, T, V), got {array.shape}")
    return array


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{path}: not a readable npy file ({error.__class__.__name__})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise InputError(f"{path}: an npy array of numbers is needed")
    return array


def _skeleton(root: Path, name: str | None, joints: int) -> Skeleton:
    files = sorted(root.glob("*.json"))
    if name is not None:
        skeleton = load_skeleton(name)
    elif len(files) == 1:
        skeleton = read_skeleton_json(files[0])
    else:
        raise InputError(
            f"{root}: one skeleton JSON is needed, or the `skeleton` by name; found {len(files)}"
        )
    if len(skeleton.joints) != joints:
        raise InputError(
            f"{root}: skeleton {skeleton.name} has {len(skeleton.joints)} joints, the arrays"
            f" {joints}"
        )
    return skeleton


def read_skeleton_json(path: Path) -> Skeleton:
    """A skeleton in the toolkit's format, or in the published one (`num_node`, `edge`, `center`).

    One with the joints' number, edges and centre of a skeleton of the toolkit is that skeleton;
    any other bears the file's name.

    Raises:
        InputError: not such a file, or `Skeleton` refuses it.
    """
    data = read_json(path)
    match data:
        case {"num_node": int(count), "edge": list(edges), "center": center}:
            data = {
                "joints": [f"joint_{index:02d}" for index in range(count)],
                "edges": [edge for edge in edges if not _is_loop(edge)],
                "center": center,
                "source": path.name,
            }
        case {"joints": _, "edges": _, "center": _}:
            data.setdefault("source", path.name)
        case _:
            raise InputError(
                f"{path}: keys must be num_node, edge, center or joints, edges, center"
            )
    try:
        skeleton = parse_skeleton(path.stem, data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    known = (load_skeleton(name) for name in skeleton_names())
    return next((other for other in known if _same(other, skeleton)), skeleton)


def _is_loop(edge: Any) -> bool:
    return isinstance(edge, list) and len(edge) == 2 and edge[0] == edge[1]


def _same(a: Skeleton, b: Skeleton) -> bool:
    return (len(a.joints), a.center, set(map(frozenset, a.edges))) == (
        len(b.joints),
        b.center,
        set(map(frozenset, b.edges)),
    )
