"""The directory of trials: small folders in the published layout, skeleton files, faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxp.errors import InputError
from fxp.skeleton import load_skeleton
from stgcn_ref.datasets.trials import (
    TrialsSpec,
    load_trials,
    open_trials,
    read_skeleton_json,
)
from tests.originals import FloatArray, places, write_trials


def array(seed: int, frames: int = 4, persons: int = 1) -> FloatArray:
    return places(seed, 3, frames, 4, persons)  # (C, T, V, M)


def test_words_are_the_arrays(tmp_path: Path) -> None:
    a, b = array(0), array(1, 6)
    b[:, 2:4] = 0.0
    root = tmp_path / "gait"
    write_trials(root, {"S07_b": (b, [1] * 6), "S12_a": (a, [0, 1, 1, 0])})
    ds = load_trials(root)
    assert [clip.name for clip in ds.clips] == ["S07_b", "S12_a"]
    assert [clip.subject for clip in ds.clips] == [7, 12]
    assert (ds.clips[1].x == a[..., 0].transpose(1, 0, 2) * 1024).all()
    assert ds.clips[1].labels.tolist() == [0, 1, 1, 0]
    assert (ds.name, ds.skeleton, ds.classes) == ("gait", "chain", ("rest", "move"))
    assert ds.meta["frac_bits"] == [10] * 3 and ds.rate_hz == 30.0
    takes = list(open_trials(root).takes)
    assert takes[0].lost.all(axis=1).tolist() == [False, False, True, True, False, False]
    assert takes[0].persons == 1


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_arrays_of_words_stay_as_they_are(tmp_path: Path, kind: type) -> None:
    words = np.random.default_rng(0).integers(-32768, 32768, (3, 5, 4)).astype(kind)
    ds = load_trials(write_trials(tmp_path, {"a": (words, [0] * 5)}))
    assert (ds.clips[0].x == words.transpose(1, 0, 2)).all() and ds.clips[0].subject == 0
    assert ds.meta["frac_bits"] == [0] * 3


def test_scale_is_one_for_all(tmp_path: Path) -> None:
    """The first array decides; a later one that does not fit it is refused, not scaled."""
    whole = np.zeros((3, 4, 4), dtype=np.float64)
    write_trials(tmp_path, {"a": (whole, [0] * 4), "b": (array(0), [0] * 4)})
    ds = load_trials(tmp_path, TrialsSpec(frac_bits=4, rate_hz=60.0))
    assert (ds.clips[1].x == np.floor(array(0)[..., 0].transpose(1, 0, 2) * 16 + 0.5)).all()
    assert ds.meta["frac_bits"] == [4] * 3 and ds.rate_hz == 60.0
    write_trials(tmp_path, {"a": (array(0), [0] * 4), "b": (100 * array(0), [0] * 4)})
    with pytest.raises(InputError, match=r"b\.npy: frame 0: coordinates must be -32\.\."):
        load_trials(tmp_path)


def test_persons(tmp_path: Path) -> None:
    two = array(0, persons=2)
    two[:, 1:, :, 1] = 0.0
    write_trials(tmp_path, {"a": (two, [0] * 4)})
    ds = load_trials(tmp_path, TrialsSpec(person=1))
    assert (ds.clips[0].x == two[..., 1].transpose(1, 0, 2) * 1024).all()
    (take,) = open_trials(tmp_path).takes
    assert take.persons == 2 and not take.lost.any()
    with pytest.raises(InputError, match=r"a\.npy: `person` must be 0\.\.1, got 2"):
        load_trials(tmp_path, TrialsSpec(person=2))


def test_parts(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_trials(tmp_path, {"a": (array(0), [0] * 4)}, part=part)
    assert [clip.name for clip in load_trials(tmp_path).clips] == ["train/a", "val/a"]
    only = load_trials(tmp_path, TrialsSpec(part="val"))
    assert [clip.name for clip in only.clips] == ["val/a"]
    with pytest.raises(InputError, match="no trials here"):
        load_trials(tmp_path, TrialsSpec(part="test"))


def test_mapping_file(tmp_path: Path) -> None:
    write_trials(tmp_path, {"a": (array(0), [1, 2, 1, 1])})
    (tmp_path / "actions.txt").unlink()
    with pytest.raises(InputError, match=r"no class names \(actions\.txt or mapping\.txt\)"):
        load_trials(tmp_path)
    (tmp_path / "mapping.txt").write_text("1 Standing\n2 Walking\n")
    assert load_trials(tmp_path).classes == ("unused 0", "Standing", "Walking")


def published(name: str) -> dict[str, Any]:
    skeleton = load_skeleton(name)
    count = len(skeleton.joints)
    edges = [[joint, joint] for joint in range(count)] + [[b, a] for a, b in skeleton.edges]
    return {"num_node": count, "edge": edges, "center": skeleton.center}


@pytest.mark.parametrize("name", ["pkummd", "ntu", "hugadb-msgcn", "tpvicon"])
def test_a_known_skeleton_is_recognised(tmp_path: Path, name: str) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(published(name)))
    assert read_skeleton_json(path) == load_skeleton(name)


def test_skeleton_files(tmp_path: Path) -> None:
    path = tmp_path / "three.json"
    own = {"joints": ["a", "b", "c"], "edges": [[0, 1], [1, 2]], "center": 1}
    path.write_text(json.dumps(own))
    skeleton = read_skeleton_json(path)
    assert (skeleton.name, skeleton.joints, skeleton.center) == ("three", ("a", "b", "c"), 1)
    for change, error in (
        ({"edges": [[0, 1]]}, "skeleton three: not connected to the centre: c"),
        ({"edges": [[0, 3]]}, "skeleton three: edge"),
        ({"center": "b"}, "skeleton three: key `center`"),
        ({"joints": 3}, "skeleton three: key `joints`"),
    ):
        path.write_text(json.dumps(own | change))
        with pytest.raises(InputError, match=rf"three\.json: {error}"):
            read_skeleton_json(path)
    for text in ("[]", '{"num_node": 3}', '{"num_node": "3", "edge": [], "center": 0}'):
        path.write_text(text)
        with pytest.raises(InputError, match="keys must be num_node, edge, center or joints"):
            read_skeleton_json(path)


def test_which_skeleton(tmp_path: Path) -> None:
    write_trials(tmp_path, {"a": (array(0), [0] * 4)})
    with pytest.raises(InputError, match="skeleton hugadb has 6 joints, the arrays 4"):
        load_trials(tmp_path, TrialsSpec(skeleton="hugadb"))
    (tmp_path / "second.json").write_text("{}")
    with pytest.raises(InputError, match=r"one skeleton JSON is needed.*; found 2"):
        load_trials(tmp_path)
    six = places(0, 3, 4, 6)
    write_trials(tmp_path, {"a": (six, [0] * 4)})
    assert load_trials(tmp_path, TrialsSpec(skeleton="hugadb")).skeleton == "hugadb"


def test_malformed_trials(tmp_path: Path) -> None:
    root = write_trials(tmp_path, {"a": (array(0), [0] * 4), "b": (array(1), [0] * 4)})
    path = root / "features" / "b.npy"
    good = path.read_bytes()
    nan = array(1)
    nan[1, 2, 3] = np.nan
    for wrong, error in (
        (nan, "frame 2: coordinates must be finite numbers, got nan"),
        (array(1)[:2], r"\(C, V\) is \(2, 4\), the first file's \(3, 4\)"),
        (array(1)[0, 0], r"shape must be \(C, T, V, M\) or \(C, T, V\), got \(4, 1\)"),
        (array(1)[:, :0], "shape must be"),
        (np.array(["x"]), "an npy array of numbers is needed"),
        (array(1, 5), "b.csv: 4 labels for 5 frames"),
    ):
        np.save(path, wrong)
        with pytest.raises(InputError, match=error):
            load_trials(root)
    for content in (b"", good[:40], good[:-8], b"hello"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"b\.npy: not a readable npy file"):
            load_trials(root)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"b\.npy: not a readable npy file \(ValueError\)"):
        load_trials(root)
    path.write_bytes(good)
    (root / "labels" / "b.csv").unlink()
    with pytest.raises(InputError, match=r"b\.npy: no label file .*labels/b\.csv"):
        load_trials(root)
