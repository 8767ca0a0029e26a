"""`export-memories`: what is written, and what is refused with nothing written."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fxp.axis import Extent, Framing, decode_beats
from fxp.bundle import open_bundle, read_value
from fxp.errors import InputError
from fxp.golden import bundle_files, write_bundle
from fxp.ir import Affine, Graph, Input, Weights
from fxp.memories import memories_of
from fxp.memory_files import LIST, TIGHT, Form, Stream, export_memories
from fxp.qformat import QFormat
from fxp.store import graph_hash
from tests.golden.networks import CASES, make
from tests.test_fxp_cli import Command, command

__all__ = ["command"]
GOLDEN = Path(__file__).parent / "golden"
RAGGED = GOLDEN / "ragged"


def test_every_form_of_a_bundle(tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    assert command("export-memories", RAGGED, "--out", out, "--as", "coe,mif,c,axis") == 0
    ground, _ = open_bundle(RAGGED)
    memories = len(memories_of(ground))
    assert command.out == (
        f"{out}: {memories} coe, {memories} mif, {memories + 1} c, 3 axis, "
        f"graph {graph_hash(ground.graph)[:12]}\n"
    )
    listed = json.loads((out / LIST).read_text())
    assert {entry["file"] for entry in listed["files"]} | {LIST} == set(bundle_files(out))
    for entry in listed["files"]:
        assert hashlib.sha256((out / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert (RAGGED / entry["source"]).is_file()
    manifest = (RAGGED / "manifest.json").read_bytes()
    assert listed["bundle_manifest"] == hashlib.sha256(manifest).hexdigest()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stream", [Stream(8), Stream(3, TIGHT, Extent.JOINT, Extent.CLIP)])
def test_beats_hold_the_stimulus_and_the_outputs(name: str, stream: Stream, tmp_path: Path) -> None:
    listed = export_memories(GOLDEN / name, tmp_path / "out", [Form.AXIS], stream)
    ground, _ = open_bundle(GOLDEN / name)
    names = dict.fromkeys((ground.graph.nodes[0].name, *ground.graph.outputs))
    assert [entry["node"] for entry in listed["files"]] == list(names)
    for entry in listed["files"]:
        word_bits, signed = ground.formats[entry["node"]]
        assert (entry["word_bits"], entry["signed"]) == (word_bits, signed)
        if stream.slot_bits == TIGHT:
            assert entry["slot_bits"] == word_bits
        framing = Framing(
            entry["tdata_bytes"], word_bits, signed, entry["slot_bits"], stream.row, stream.packet
        )
        text = (tmp_path / "out" / entry["file"]).read_bytes()
        words = decode_beats(text, entry["channels"], entry["joints"], framing, entry["file"])
        assert np.array_equal(words, read_value(GOLDEN / name, ground, entry["node"]))
        assert entry["beats"] == text.count(b"\n") == entry["frames"] * entry["beats_per_frame"]


def test_options_of_beats(tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    flags = ["--tdata-bytes", "16", "--slot", "32", "--row", "joint", "--packet", "clip"]
    assert command("export-memories", RAGGED, "--out", out, "--as", "axis", *flags) == 0
    entry = json.loads((out / LIST).read_text())["files"][0]
    keys = ("tdata_bytes", "slot_bits", "row", "packet", "slots")
    assert [entry[key] for key in keys] == [16, 32, "joint", "clip", 4]


def test_words_of_more_than_four_bytes_are_tight_or_none(tmp_path: Path) -> None:
    scale = Weights(np.array([[1 << 10]]), 12, (0,))
    nodes = (Input("x", 1, 1, QFormat(30, 0)), Affine("y", "x", scale, np.array([[0]])))
    clip = np.array([-(2**29), 5, 2**29 - 1]).reshape(3, 1, 1)
    write_bundle(Graph("g", nodes, ("y",)), clip, tmp_path / "bundle")
    with pytest.raises(InputError, match=r"^value `y`: no slot of whole bytes holds 40 bits"):
        export_memories(tmp_path / "bundle", tmp_path / "out", [Form.AXIS], Stream(8))
    export_memories(tmp_path / "bundle", tmp_path / "out", [Form.AXIS], Stream(8, TIGHT))
    text = (tmp_path / "out/axis/y.axis").read_text()
    assert text.splitlines()[:2] == ["1 1f 0000008000000000", "1 1f 0000000000001400"]


def test_outputs_that_the_bundle_has_not_are_left_out(tmp_path: Path) -> None:
    graph, clip = make(CASES["ragged"])
    write_bundle(graph, clip, tmp_path / "bundle", taps=["label"])
    listed = export_memories(tmp_path / "bundle", tmp_path / "out", [Form.AXIS])
    assert [entry["node"] for entry in listed["files"]] == ["input", "label"]


def test_an_older_export_is_replaced_and_nothing_else(tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert command("export-memories", RAGGED, "--out", out, "--as", "coe") == 0
    assert command("export-memories", RAGGED, "--out", out, "--as", "c") == 0
    assert not (out / "coe").exists()
    (out / "mine.txt").write_text("kept")
    before = set(bundle_files(out))
    assert command.refused("export-memories", RAGGED, "--out", out, "--as", "mif") == (
        f"{out}: mine.txt is no file of an export, hence not replaced"
    )
    assert set(bundle_files(out)) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("kept")
    assert command.refused("export-memories", RAGGED, "--out", other, "--as", "mif") == (
        f"{other}: is neither empty nor an export, hence not replaced"
    )
    (other / LIST).write_text('{"format": "something else", "files": []}')
    line = command.refused("export-memories", RAGGED, "--out", other, "--as", "mif")
    assert line == f"{other}: {LIST} is no file of an export, hence not replaced"
    file = tmp_path / "file"
    file.write_text("kept")
    assert command.refused("export-memories", RAGGED, "--out", file, "--as", "mif") == (
        f"{file}: is there and no folder; an export needs a new or empty one"
    )


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--as", "coe,vhdl"], "`--as`: forms are coe, mif, c, axis, got 'vhdl'"),
        (["--as", ""], "`--as`: forms are coe, mif, c, axis, got ''"),
        (["--as", "c", "--row", "joint"], "`--row` has no meaning without `axis` in `--as`"),
        (["--as", "c", "--slot", "8"], "`--slot` has no meaning without `axis` in `--as`"),
        (
            ["--as", "coe,axis", "--tdata-bytes", "0"],
            "value `input`: TDATA must have 1..128 bytes, got 0",
        ),
        (
            ["--as", "coe,axis", "--slot", "8"],
            "value `logits`: a word of 12 bits does not fit a slot of 8",
        ),
        (
            ["--as", "axis", "--slot", "32", "--tdata-bytes", "3"],
            "value `input`: a slot of 32 bits does not fit TDATA of 3 bytes",
        ),
    ],
)
def test_options_that_cannot_be(
    tmp_path: Path, command: Command, flags: list[str], line: str
) -> None:
    out = tmp_path / "out"
    assert command.refused("export-memories", RAGGED, "--out", out, *flags) == line
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_bundle_is_refused(tmp_path: Path, command: Command) -> None:
    bundle, out = tmp_path / "bundle", tmp_path / "out"
    assert "file is missing; not a golden bundle" in command.refused(
        "export-memories", bundle, "--out", out, "--as", "c"
    )
    shutil.copytree(RAGGED, bundle)
    file = bundle / "values/logits.hex"
    file.write_bytes(file.read_bytes()[:-1])
    line = command.refused("export-memories", bundle, "--out", out, "--as", "c")
    assert line.startswith(f"{file}: the file was altered")
    assert not out.exists()


def test_the_bundle_itself_is_no_place(tmp_path: Path, command: Command) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(RAGGED, bundle)
    for out in (bundle, bundle / "more"):
        assert command.refused("export-memories", bundle, "--out", out, "--as", "c") == (
            f"{out}: lies in the bundle {bundle}, which holds its own files only"
        )
    missing = tmp_path / "no" / "out"
    line = command.refused("export-memories", bundle, "--out", missing, "--as", "c")
    assert line.startswith(f"{missing}: cannot be written")
