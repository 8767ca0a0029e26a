import json
from typing import Any

import pytest

from fxp.manifest import first_difference, manifest_of, manifest_sha256, render
from fxp.memories import ground_of, memories_of, settings_for
from tests.golden.networks import CASES, make

GRAPH = make(CASES["dilated"])[0]
GROUND = ground_of(GRAPH, settings_for(GRAPH, 9))
SHA256 = {"model.fxp": "m", **{memory.file: memory.file for memory in memories_of(GROUND)}}


def test_the_text_is_json_and_hashes_itself() -> None:
    manifest = manifest_of(GROUND, SHA256, {"seed": 3}, "0.0")
    text = render(manifest)
    assert json.loads(text) == manifest
    assert text.endswith(b"\n")
    assert manifest["manifest_sha256"] == manifest_sha256(manifest)
    assert manifest_sha256({**manifest, "frames": 10}) != manifest["manifest_sha256"]


def test_a_file_entry_says_all_that_a_reader_needs() -> None:
    manifest = manifest_of(GROUND, SHA256, {}, "0.0")
    entries = {entry["file"]: entry for entry in manifest["files"]}
    assert entries["state/block0.sum.fifo.t4.hex"] == {
        "file": "state/block0.sum.fifo.t4.hex",
        "sha256": "state/block0.sum.fifo.t4.hex",
        "role": "fifo",
        "node": "block0.sum",
        "value": "block0.graph.q",
        "shape": [6, 4, 3],
        "axes": ["slot", "joint", "channel"],
        "lane_axis": "channel",
        "lanes": 1,
        "groups": 1,
        "word_bits": 8,
        "signed": True,
        "frac_bits": [4],
        "frac_axis": "channel",
        "words": 72,
        "line_bits": 8,
        "digits": 2,
        "after_frame": 4,
    }
    assert entries["constants/block0.norm.scale.hex"]["frac_bits"] == [7, 6, 8]
    assert entries["values/label.hex"]["word_bits"] == 2


def test_a_stage_says_how_it_rounds_and_how_wide_it_gets() -> None:
    stages = {s["node"]["name"]: s for s in manifest_of(GROUND, SHA256, {}, "0.0")["stages"]}
    assert list(stages) == [node.name for node in GRAPH.nodes]
    assert stages["block0.norm.q"]["node"] == {
        "kind": "Requantise",
        "name": "block0.norm.q",
        "x": "block0.norm",
        "relu": True,
        "cast": {
            "to": {"word_bits": 12, "frac_bits": 8, "signed": False},
            "rounding": "RND",
            "overflow": "SAT",
        },
    }
    assert stages["block0.sum"]["value"] == {
        "channels": 3,
        "joints": 4,
        "word_bits": 10,
        "signed": True,
        "frac_bits": [4],
        "bound": [-360, 357],  # three frames of -120..119
        "accumulator_bits": 10,
        "lookahead_frames": 0,
    }
    assert stages["logits"]["value"]["accumulator_bits"] is None


@pytest.mark.parametrize(
    ("expected", "found", "message"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, None),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a[1].b: expected 2, got 3"),
        ({"a": 1}, {"a": True}, "a: expected 1, got True"),
        ({"a": 1}, {"a": 1.0}, "a: expected 1, got 1.0"),
        ({"a": {"b": 1}}, {"a": {}}, "a.b: missing"),
        ({"a": {}}, {"a": {"b": 1}}, "a.b: unknown key"),
        ({"a": [1, 2]}, {"a": [1]}, "a: expected 2 entries, got 1"),
        ({"a": {}}, {"a": []}, "a: expected {}, got []"),
    ],
)
def test_first_difference(expected: Any, found: Any, message: str | None) -> None:
    assert first_difference(expected, found) == message
