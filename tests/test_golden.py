import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxp.errors import InputError
from fxp.golden import bundle_files, file_sha256, tool_version, write_bundle
from fxp.ir import Affine, Graph, IntArray
from fxp.node_fields import node_arrays
from fxp.oracle import evaluate
from fxp.store import graph_hash, load_graph
from fxp.verify import verify_bundle
from tests.golden.networks import CASES, make
from tests.strategies import graphs_with_clips

GRAPH, CLIP = make(CASES["dilated"])


def read_memory(folder: Path, entry: dict[str, Any]) -> IntArray:
    """A tensor by its manifest entry alone, in Python integers: what a testbench would do."""
    text = (folder / entry["file"]).read_text(encoding="ascii")
    lines = text.split("\n")
    assert lines.pop() == ""
    assert len(lines) == entry["words"]
    assert all(len(line) == entry["digits"] for line in lines)
    assert entry["line_bits"] == entry["lanes"] * entry["word_bits"]
    axis = entry["axes"].index(entry["lane_axis"])
    size = entry["shape"][axis] // entry["groups"]
    blocks = -(-size // entry["lanes"])
    extents = list(entry["shape"])
    extents[axis] = entry["groups"] * blocks
    tensor = np.zeros(entry["shape"], np.int64)
    bits = entry["word_bits"]
    for line, place in zip(lines, np.ndindex(*extents), strict=True):
        group, block = divmod(place[axis], blocks)
        word = int(line, 16)
        for lane in range(entry["lanes"]):
            value = (word >> (lane * bits)) & ((1 << bits) - 1)
            if block * entry["lanes"] + lane < size:
                index = list(place)
                index[axis] = group * size + block * entry["lanes"] + lane
                sign = entry["signed"] and value >> (bits - 1)
                tensor[tuple(index)] = value - (1 << bits) if sign else value
            else:
                assert value == 0
    return tensor


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15
)
@given(graphs_with_clips(), st.integers(1, 5))
def test_a_reader_of_the_manifest_finds_network_and_words(
    tmp_path: Path, case: tuple[Graph, IntArray], lanes: int
) -> None:
    graph, clip = case
    folder = tmp_path / "bundle"
    write_bundle(graph, clip, folder, lanes=lanes)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    nodes = {node.name: node for node in graph.nodes}
    expected = evaluate(graph, clip)
    files = {"manifest.json", "model.fxp"}
    for entry in manifest["files"]:
        found = read_memory(folder, entry)
        files.add(entry["file"])
        assert entry["sha256"] == file_sha256(folder / entry["file"])
        if entry["role"] == "value":
            assert entry["axes"] == ["frame", "joint", "channel"]
            assert np.array_equal(found.transpose(0, 2, 1), expected[entry["node"]])
        elif entry["role"] == "constant":
            node = nodes[entry["node"]]
            raw = node_arrays(node)[entry["value"]]
            assert np.array_equal(found, raw.T if isinstance(node, Affine) else raw)
    values = {entry["node"] for entry in manifest["files"] if entry["role"] == "value"}
    assert values == nodes.keys()
    assert set(bundle_files(folder)) == files


def test_what_the_manifest_records(tmp_path: Path) -> None:
    source = {"seed": 3, "clip": ("synthetic", 1.5)}
    manifest = write_bundle(GRAPH, CLIP, tmp_path / "b", provenance=source)
    assert json.loads((tmp_path / "b" / "manifest.json").read_bytes()) == manifest
    assert manifest["tool_version"] == tool_version()
    assert manifest["provenance"] == {"seed": 3, "clip": ["synthetic", 1.5]}
    assert manifest["graph"]["hash"] == graph_hash(GRAPH)
    assert manifest["snapshots"] == [0, 4, 8]
    assert manifest["stimulus"] == "values/input.hex"
    assert graph_hash(load_graph(tmp_path / "b" / "model.fxp")) == graph_hash(GRAPH)


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_bundle(GRAPH, CLIP, tmp_path / name, lanes=3)
    for file in bundle_files(tmp_path / "a"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_taps_and_snapshots_limit_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(GRAPH, CLIP, folder, taps=["logits"], snapshots=[2])
    files = set(bundle_files(folder))
    assert {f for f in files if f.startswith("values/")} == {
        "values/input.hex",
        "values/logits.hex",
    }
    assert {f for f in files if f.startswith("state/")} == {
        "state/block0.sum.fifo.t2.hex",
        "state/block0.sum.accumulator.t2.hex",
    }
    assert not verify_bundle(folder).mismatches
    write_bundle(GRAPH, CLIP, folder, taps=[], snapshots=[])
    assert not [f for f in bundle_files(folder) if f.startswith("state/")]
    assert not verify_bundle(folder).mismatches


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (CLIP.astype(np.float64), "integers are needed, got float64"),
        (CLIP[:, :2], r"shape must be \(frames, 3, 4\), got \(9, 2, 4\)"),
        (CLIP[:0], r"shape must be \(frames, 3, 4\), got \(0, 3, 4\)"),
        (CLIP + 512, "word 1023 is outside -512..511"),
    ],
)
def test_clips_that_cannot_be(tmp_path: Path, clip: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_bundle(GRAPH, clip, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_bad_settings_write_nothing(tmp_path: Path) -> None:
    for change in ({"lanes": 0}, {"taps": ["x"]}, {"snapshots": [9]}, {"provenance": {"a": {1}}}):
        with pytest.raises(InputError):
            write_bundle(GRAPH, CLIP, tmp_path / "b", **change)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------- the target folder


def test_an_older_bundle_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(GRAPH, CLIP, folder)
    write_bundle(GRAPH, CLIP[:2], folder, lanes=2)
    assert verify_bundle(folder).mismatches == ()
    assert "state/block0.sum.fifo.t8.hex" not in set(bundle_files(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write_bundle(GRAPH, CLIP, tmp_path / "b")
    assert verify_bundle(tmp_path / "b").mismatches == ()


def test_other_things_are_never_replaced(tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match="thesis: is neither empty nor a golden bundle"):
        write_bundle(GRAPH, CLIP, other)
    (other / "manifest.json").write_text('{"name": "web app"}')
    with pytest.raises(InputError, match="thesis: is neither empty nor a golden bundle"):
        write_bundle(GRAPH, CLIP, other)
    with pytest.raises(InputError, match=r"chapter\.tex: is there and no folder"):
        write_bundle(GRAPH, CLIP, other / "chapter.tex")
    assert (other / "chapter.tex").read_text() == "years of work"


def test_a_bundle_with_other_files_in_it_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(GRAPH, CLIP, folder)
    (folder / "values" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"b: values/notes\.txt is no file of the bundle there"):
        write_bundle(GRAPH, CLIP, folder)
    assert (folder / "values" / "notes.txt").read_text() == "mine"


def test_a_missing_parent_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b: cannot be written \(No such file or directory\)"):
        write_bundle(GRAPH, CLIP, tmp_path / "no" / "b")


def test_a_failure_half_way_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "b"
    write_bundle(GRAPH, CLIP, folder)
    before = (folder / "manifest.json").read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fxp.golden._write_trace", full_disk)
    with pytest.raises(InputError, match=r"b: cannot be written \(No space left on device\)"):
        write_bundle(GRAPH, CLIP[:3], folder)
    assert (folder / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
